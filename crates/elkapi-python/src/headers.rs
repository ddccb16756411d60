//! The reply's header fields as a small read-only mapping.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// The reply's header fields: a read-only mapping whose names compare without regard to case.
///
/// `headers["x"]` is the first value of a field; `items()` has every line, repeated ones too.
#[pyclass(frozen, module = "elkapi")]
pub struct Headers(elkapi::Headers);

impl Headers {
    pub fn new(fields: elkapi::Headers) -> Headers {
        Headers(fields)
    }

    fn lines(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The names, each once.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.0.iter() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[pymethods]
impl Headers {
    #[new]
    #[pyo3(signature = (lines=Vec::new(), /), text_signature = "(lines=[], /)")]
    fn of_lines(lines: Vec<(String, String)>) -> Headers {
        Headers(lines.into_iter().collect())
    }

    fn __getitem__(&self, name: &str) -> PyResult<&str> {
        self.0.get(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
    }

    /// The first value of the field, else `default`.
    #[pyo3(signature = (name, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.0.get(name) {
            Some(value) => Ok(Some(value.into_pyobject(py)?.into_any())),
            None => Ok(default),
        }
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>().is_ok_and(|name| self.0.get(name).is_some())
    }

    fn __len__(&self) -> usize {
        self.names().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self.names())?.try_iter()?.into_any())
    }

    /// The names in lower case, each once.
    fn keys(&self) -> Vec<&str> {
        self.names()
    }

    /// All lines as pairs of name and value, in order.
    fn items(&self) -> Vec<(String, String)> {
        self.lines()
    }

    /// The values of all lines, in order.
    fn values(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, value)| value).collect()
    }

    /// All values of the field, in order; of a field of several lines one for each.
    #[pyo3(signature = (name, /))]
    fn get_list(&self, name: &str) -> Vec<String> {
        let lines = self.lines().into_iter();
        lines.filter(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// As `items`; the name of httpx's method.
    fn multi_items(&self) -> Vec<(String, String)> {
        self.lines()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Headers>().is_ok_and(|other| self.lines() == other.get().lines())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Headers({})", PyList::new(py, self.lines())?.repr()?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        (slf.get_type(), (slf.get().lines(),)).into_pyobject(slf.py())
    }
}
