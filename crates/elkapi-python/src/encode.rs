//! Python objects turned into JSON text: `dict`, `list`, `tuple`, `str`, `int`, `float`, `bool`,
//! `None` and their subclasses, the nodes of an answer, and what stands for such a value beyond doubt:
//! mappings, sequences, iterators, members of an enum, dataclasses and pydantic models.
//!
//! Everything else is refused with the path to it, so that nothing surprising is sent.

use std::fmt;
use std::io::Write;

use elkapi::{Kind, json};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyIterator, PyList, PyMapping, PyMemoryView,
    PySequence, PyString, PyTuple, PyType,
};

use crate::failure::{refused, type_name, wrong_type};
use crate::node::Node;
use crate::structure;

/// How deep a value may nest; a list that contains itself ends here too.
const MAX_DEPTH: usize = json::MAX_DEPTH;

/// The way to a value, kept on the stack and written out only for an error.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    /// The value as a whole, by the name that the caller knows it by.
    Root(&'a str),
    /// A member of an object.
    Member(&'a Path<'a>, &'a str),
    /// An element of a list.
    Element(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root(name) => f.write_str(name),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Member(Path::Root(""), name) if is_word(name) => f.write_str(name),
            Path::Member(parent, name) if is_word(name) => write!(f, "{parent}.{name}"),
            Path::Member(parent, name) => write!(f, "{parent}[{}]", json::quote(name)),
        }
    }
}

impl Path<'_> {
    /// The path, or a word for the request where it is the request as a whole.
    fn or_request(&self) -> String {
        match self {
            Path::Root("") => "the request".to_owned(),
            path => path.to_string(),
        }
    }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The JSON text of a value; `root` names it in errors, `""` is a request.
pub fn json_text(value: &Bound<'_, PyAny>, root: &str) -> PyResult<String> {
    json_bytes(value, root).map(|bytes| String::from_utf8(bytes).unwrap_or_default())
}

/// The same, for whom it need not be a `String`.
pub fn json_bytes(value: &Bound<'_, PyAny>, root: &str) -> PyResult<Vec<u8>> {
    let mut text = Vec::new();
    write_value(&mut text, value, Path::Root(root), 0)?;
    Ok(text)
}

fn write_value(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, path: Path<'_>, depth: usize) -> PyResult<()> {
    let py = value.py();
    if depth > MAX_DEPTH {
        let detail =
            format!("A value nests deeper than {MAX_DEPTH} levels; does a list or dict contain itself?");
        return refused(py, Kind::InvalidArgument, detail, "");
    }
    if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(text) = value.cast::<PyString>() {
        write_text(out, text)?;
    } else if let Ok(truth) = value.cast::<PyBool>() {
        out.extend_from_slice(if truth.is_true() { &b"true"[..] } else { b"false" });
    } else if let Ok(whole) = value.cast::<PyInt>() {
        write_int(out, whole, path)?;
    } else if let Ok(number) = value.cast::<PyFloat>() {
        write_float(out, number, path)?;
    } else if let Ok(members) = value.cast::<PyDict>() {
        write_members(out, members, path, depth)?;
    } else if let Ok(list) = value.cast::<PyList>() {
        write_elements(out, list.iter(), path, depth)?;
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        write_elements(out, tuple.iter(), path, depth)?;
    } else if let Ok(node) = value.cast::<Node>() {
        write_members(out, &node.get().plain(py)?, path, depth)?;
    } else {
        write_other(out, value, path, depth)?;
    }
    Ok(())
}

/// What is no JSON value itself, but stands for one.
fn write_other(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, path: Path<'_>, depth: usize) -> PyResult<()> {
    let (py, class) = (value.py(), value.get_type());
    let is_bytes = value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>();
    // Only where a schema is asked for can a class stand for one.
    if matches!(path, Path::Member(Path::Root(""), "response_format"))
        && let Some(format) = structure::response_format(value)?
    {
        return write_members(out, &format, path, depth);
    }
    if is_bytes || value.is_instance_of::<PyType>() {
        let hint = if is_bytes { "; give text, or base64 as text" } else { "" };
        return not_json(value, path, hint);
    }
    if let Some(members) = structure::dumped(value)? {
        return write_value(out, &members, path, depth + 1);
    }
    if value.hasattr("_value_")? && class.hasattr("__members__")? {
        return write_value(out, &value.getattr("_value_")?, path, depth + 1);
    }
    if class.hasattr("__dataclass_fields__")? {
        let members = PyDict::new(py);
        for field in py.import("dataclasses")?.call_method1("fields", (value,))?.try_iter()? {
            let name = field?.getattr("name")?.cast_into::<PyString>()?;
            members.set_item(&name, value.getattr(&name)?)?;
        }
        return write_members(out, &members, path, depth);
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        let members = PyDict::new(py);
        members.update(mapping)?;
        return write_members(out, &members, path, depth);
    }
    if value.is_instance_of::<PyIterator>() || value.cast::<PySequence>().is_ok() {
        // Read once: what is sent again after a failure is this text.
        let elements = value.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        return write_elements(out, elements.into_iter(), path, depth);
    }
    not_json(value, path, "")
}

fn not_json(value: &Bound<'_, PyAny>, path: Path<'_>, hint: &str) -> PyResult<()> {
    let is = match value.cast::<PyType>() {
        Ok(class) => format!("the class {}", class.name()?),
        Err(_) => format!("of type {}", type_name(value)),
    };
    wrong_type(format!("{} is {is}, which JSON does not have{hint}", path.or_request()))
}

fn write_text(out: &mut Vec<u8>, text: &Bound<'_, PyString>) -> PyResult<()> {
    if let Ok(text) = text.to_str() {
        json::quote_into(text, out);
        return Ok(());
    }
    // Lone surrogates have no UTF-8; JSON can write them as escapes.
    let py = text.py();
    let units = py.get_type::<PyString>().call_method1("encode", (text, "utf-16-le", "surrogatepass"))?;
    let units = units.cast_into::<PyBytes>()?;
    let units = units.as_bytes().chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    out.push(b'"');
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(character) => {
                let quoted = json::quote(character.encode_utf8(&mut [0; 4]));
                out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
            }
            Err(lone) => push(out, format_args!("\\u{:04x}", lone.unpaired_surrogate())),
        }
    }
    out.push(b'"');
    Ok(())
}

/// Writing into memory cannot fail.
fn push(out: &mut Vec<u8>, what: fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

fn write_int(out: &mut Vec<u8>, whole: &Bound<'_, PyInt>, path: Path<'_>) -> PyResult<()> {
    if let Ok(small) = whole.extract::<i64>() {
        push(out, format_args!("{small}"));
        return Ok(());
    }
    // Not `str(whole)`: a subclass such as an enum says something else there.
    let py = whole.py();
    match py.get_type::<PyInt>().call_method1("__repr__", (whole,)) {
        Ok(digits) => {
            out.extend_from_slice(digits.cast_into::<PyString>()?.to_str()?.as_bytes());
            Ok(())
        }
        Err(error) => {
            let detail = format!("{} cannot be written: {}", path.or_request(), error.value(py));
            refused(py, Kind::InvalidArgument, detail, &path.to_string())
        }
    }
}

fn write_float(out: &mut Vec<u8>, number: &Bound<'_, PyFloat>, path: Path<'_>) -> PyResult<()> {
    let number_value = number.extract::<f64>()?;
    if !number_value.is_finite() {
        let name = if number_value.is_nan() { "NaN" } else { "infinite" };
        let detail = format!("{} is {name}, which JSON does not have", path.or_request());
        return refused(number.py(), Kind::InvalidArgument, detail, &path.to_string());
    }
    // The shortest digits that read back as the same number.
    push(out, format_args!("{number_value:?}"));
    Ok(())
}

fn write_members(
    out: &mut Vec<u8>,
    members: &Bound<'_, PyDict>,
    path: Path<'_>,
    depth: usize,
) -> PyResult<()> {
    out.push(b'{');
    // A copy of the pairs: another thread may change the dict meanwhile.
    for (place, pair) in members.items().iter().enumerate() {
        let (name, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let Ok(name) = name.cast::<PyString>() else {
            return wrong_type(format!(
                "{} has the key {} of type {}; keys must be str",
                path.or_request(),
                name.repr()?,
                type_name(&name)
            ));
        };
        if place > 0 {
            out.push(b',');
        }
        write_text(out, name)?;
        out.push(b':');
        write_value(out, &value, Path::Member(&path, &name.to_string_lossy()), depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_elements<'py>(
    out: &mut Vec<u8>,
    elements: impl Iterator<Item = Bound<'py, PyAny>>,
    path: Path<'_>,
    depth: usize,
) -> PyResult<()> {
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_value(out, &element, Path::Element(&path, index), depth + 1)?;
    }
    out.push(b']');
    Ok(())
}
