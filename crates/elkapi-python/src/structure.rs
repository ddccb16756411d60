//! Classes that describe JSON: pydantic's models and type adapters, and whatever has their methods.
//!
//! Told by their methods alone, so that nothing is imported and nothing depends on pydantic.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::failure::{type_name, wrong_type};

/// A model's members as plain values, as it writes them into JSON and without what was not set;
/// None where it is no model.
pub fn dumped<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    let Ok(dump) = value.getattr(intern!(py, "model_dump")) else { return Ok(None) };
    let how = PyDict::new(py);
    how.set_item("mode", "json")?;
    how.set_item("by_alias", true)?;
    how.set_item("exclude_unset", true)?;
    dump.call((), Some(&how)).map(Some)
}

/// The request member `response_format` that asks for such JSON; None where it describes none.
pub fn response_format<'py>(model: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = model.py();
    let schema = if let Ok(schema) = model.getattr(intern!(py, "model_json_schema")) {
        schema.call0()?
    } else if model.hasattr(intern!(py, "validate_json"))? && model.hasattr(intern!(py, "json_schema"))? {
        model.call_method0(intern!(py, "json_schema"))?
    } else {
        return Ok(None);
    };
    let described = PyDict::new(py);
    described.set_item("name", name_of(model)?)?;
    described.set_item("schema", schema)?;
    let format = PyDict::new(py);
    format.set_item("type", "json_schema")?;
    format.set_item("json_schema", described)?;
    Ok(Some(format))
}

/// A name that servers take: letters, digits, `_` and `-`, at most 64.
fn name_of(model: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(class) = model.cast::<PyType>() else { return Ok("answer".to_owned()) };
    let name = class.name()?.to_string();
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
    Ok(name.take(64).collect())
}

/// The text read by the model; what does not fit raises what the model raises.
pub fn validated<'py>(model: &Bound<'py, PyAny>, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    for name in [intern!(model.py(), "model_validate_json"), intern!(model.py(), "validate_json")] {
        if let Ok(validate) = model.getattr(name) {
            return validate.call1((text,));
        }
    }
    let is = match model.cast::<PyType>() {
        Ok(class) => format!("the class {}", class.name()?),
        Err(_) => type_name(model),
    };
    wrong_type(format!(
        "model must have model_validate_json, as pydantic's models, or validate_json, as its TypeAdapter, not {is}"
    ))
}
