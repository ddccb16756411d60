//! JSON as the core sees it, turned into Python objects.
//!
//! Numbers keep every digit, of repeated members the last wins, lone surrogates are U+FFFD.

use elkapi::Kind;
use elkapi::json::{self, Type, View};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::failure::refused;

/// A place in well-formed JSON.
pub trait Json: Copy {
    /// The JSON text of this place.
    fn raw(&self) -> &str;
    /// Looks at the elements of an array.
    fn each_item(self, each: &mut dyn FnMut(Self));
    /// Looks at the members of an object.
    fn each_member(self, each: &mut dyn FnMut(&str, Self));
}

impl Json for View<'_> {
    fn raw(&self) -> &str {
        View::raw(*self)
    }

    fn each_item(self, each: &mut dyn FnMut(Self)) {
        self.items().for_each(each);
    }

    fn each_member(self, each: &mut dyn FnMut(&str, Self)) {
        self.members().for_each(|(name, member)| each(name, member));
    }
}

impl Json for &str {
    fn raw(&self) -> &str {
        self
    }

    fn each_item(self, each: &mut dyn FnMut(Self)) {
        json::each_item(self, each);
    }

    fn each_member(self, each: &mut dyn FnMut(&str, Self)) {
        json::each_member(self, &mut |name, member| each(&name, member));
    }
}

/// The Python value of a place.
pub fn value<'py>(py: Python<'py>, place: impl Json) -> PyResult<Bound<'py, PyAny>> {
    nested(py, place, 0)
}

fn nested<'py>(py: Python<'py>, place: impl Json, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let raw = place.raw();
    Ok(match Type::of(raw) {
        Type::Null => py.None().into_bound(py),
        Type::Boolean => PyBool::new(py, raw == "true").to_owned().into_any(),
        Type::Number => number(py, raw)?,
        Type::String => PyString::new(py, &json::unescape(raw)).into_any(),
        Type::Array => {
            check_depth(py, depth)?;
            let mut items = Ok(Vec::new());
            place.each_item(&mut |item| push(&mut items, || nested(py, item, depth + 1)));
            PyList::new(py, items?)?.into_any()
        }
        Type::Object => {
            check_depth(py, depth)?;
            let members = PyDict::new(py);
            let mut outcome = Ok(());
            place.each_member(&mut |name, member| {
                if outcome.is_ok() {
                    let value = nested(py, member, depth + 1);
                    outcome = value.and_then(|value| members.set_item(PyString::intern(py, name), value));
                }
            });
            outcome?;
            members.into_any()
        }
    })
}

/// Adds what is made, unless something could not be made before.
pub fn push<T>(made: &mut PyResult<Vec<T>>, make: impl FnOnce() -> PyResult<T>) {
    if let Ok(list) = made {
        match make() {
            Ok(value) => list.push(value),
            Err(error) => *made = Err(error),
        }
    }
}

/// Whole answers are checked where they come in; of an event nobody knows before it is looked at.
pub fn check_depth(py: Python<'_>, depth: usize) -> PyResult<()> {
    if depth < json::MAX_DEPTH {
        return Ok(());
    }
    let detail =
        format!("The event of the stream cannot be read: it nests deeper than {} levels", json::MAX_DEPTH);
    refused(py, Kind::Decode, detail, "")
}

fn number<'py>(py: Python<'py>, raw: &str) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(small) = raw.parse::<i64>() {
        return Ok(small.into_pyobject(py)?.into_any());
    }
    if raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Ok(PyFloat::new(py, raw.parse().unwrap_or(f64::NAN)).into_any());
    }
    // Any size that Python itself reads; beyond that it raises ValueError, as `json.loads` does.
    py.get_type::<PyInt>().call1((raw,))
}
