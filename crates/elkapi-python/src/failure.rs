//! Failures of the core as Python exceptions.
//!
//! The classes, and the choice among them, are in `elkapi._errors`, so that a reader finds them in
//! Python; here are only the facts. A wrong Python type is a plain `TypeError`.

use elkapi::json::Document;
use elkapi::{Error, Kind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};

use crate::decode;
use crate::headers::Headers;
use crate::node::{self, Shape};

/// The exception for an error of the core, ready to be raised.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failed| failed, PyErr::from_value)
}

/// Loads the exceptions, so that a failure can be told when the process has no descriptors or memory left.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    error_of(py).map(drop)
}

fn error_of<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    static ERROR_OF: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    ERROR_OF.import(py, "elkapi._errors", "_error_of")
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let error_of = error_of(py)?;
    let headers = error.headers().map(|fields| Bound::new(py, Headers::new(fields.clone()))).transpose()?;
    error_of.call1((facts(py, error)?, error.message(), PyBytes::new(py, error.body()), headers))
}

/// The members of the error document.
fn facts<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    let Ok(document) = Document::of_text(&error.document()) else { return Ok(facts) };
    let Some(members) = document.root().get("error") else { return Ok(facts) };
    for (name, value) in members.members() {
        let value = decode::value(py, value)?;
        let value = if name == "attempts" { node::wrapped(&value, Shape::Attempt)? } else { value };
        facts.set_item(name, value)?;
    }
    Ok(facts)
}

/// Raises an error that this face finds itself, with the core's own words for the kind.
pub fn refused<T>(py: Python<'_>, kind: Kind, detail: String, param: &str) -> PyResult<T> {
    let error = Error::new(kind, detail);
    Err(raised(py, &if param.is_empty() { error } else { error.with_param(param) }))
}

/// A wrong Python type.
pub fn wrong_type<T>(message: String) -> PyResult<T> {
    Err(PyTypeError::new_err(message))
}

/// The name of a value's type, as Python writes it.
pub fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}
