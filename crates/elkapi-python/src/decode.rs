//! JSON as the core sees it, turned into Python objects.
//!
//! Numbers keep every digit, of repeated members the last wins, lone surrogates are U+FFFD.

use elkapi::json::{Type, View};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

/// The Python value of a place in a document.
pub fn value<'py>(py: Python<'py>, view: View<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match view.kind() {
        Type::Null => py.None().into_bound(py),
        Type::Boolean => PyBool::new(py, view.raw() == "true").to_owned().into_any(),
        Type::Number => number(py, view.raw())?,
        Type::String => PyString::new(py, &view.as_str().unwrap_or_default()).into_any(),
        Type::Array => {
            let items = view.items().map(|item| value(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Type::Object => {
            let members = PyDict::new(py);
            for (name, member) in view.members() {
                members.set_item(PyString::intern(py, name), value(py, member)?)?;
            }
            members.into_any()
        }
    })
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
