//! Keyword arguments turned into the core's configuration text.
//!
//! Names, meanings and checks are the core's table; Python's part is the types, `timeout=` in
//! seconds, and the nearest name for a misspelt one.

use elkapi::{Kind, OPTIONS, OptionRow, RequestHead, json};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple};

use crate::encode::json_text;
use crate::failure::{refused, type_name, wrong_type};
use crate::interrupt::Cancel;

/// Limits come only through `timeout=`.
fn is_limit(row: &OptionRow) -> bool {
    row.name == "timeout_ms" || row.name.ends_with("_timeout_ms")
}

fn client_names() -> impl Iterator<Item = &'static str> + Clone {
    OPTIONS.iter().filter(|row| !is_limit(row)).map(|row| row.name).chain(["timeout"])
}

fn call_names() -> impl Iterator<Item = &'static str> + Clone {
    let rows = OPTIONS.iter().filter(|row| row.per_call && !is_limit(row) && row.name != "headers");
    rows.map(|row| row.name).chain(["timeout", "extra_headers"])
}

/// A configuration text in the making, and the arguments it stands for.
pub struct Changes<'py> {
    text: String,
    /// What was given, for a pickle.
    pub given: Bound<'py, PyDict>,
    /// The token that may stop the call.
    pub cancel: Option<elkapi::Cancel>,
    /// What `elkapi.openai` writes into the head of the request.
    pub head: Option<RequestHead>,
}

impl<'py> Changes<'py> {
    fn new(py: Python<'py>) -> Changes<'py> {
        Changes { text: String::new(), given: PyDict::new(py), cancel: None, head: None }
    }

    /// A client's keyword arguments.
    pub fn of_client(py: Python<'py>, arguments: Option<&Bound<'py, PyDict>>) -> PyResult<Changes<'py>> {
        let mut changes = Changes::new(py);
        for (name, value) in pairs(arguments)? {
            match OPTIONS.iter().find(|row| row.name == name && !is_limit(row)) {
                Some(row) => changes.option(row, &name, &value)?,
                None if name == "timeout" => changes.timeout(&value)?,
                None => return Err(unknown("Client", &name, client_names())),
            }
        }
        Ok(changes)
    }

    /// The keyword arguments of `with_options` or of a call; others go to `rest`, which refuses
    /// them where it is None.
    pub fn of_call(
        py: Python<'py>,
        function: &str,
        arguments: Option<&Bound<'py, PyDict>>,
        mut rest: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Changes<'py>> {
        let mut changes = Changes::new(py);
        for (name, value) in pairs(arguments)? {
            let row_name = if name == "extra_headers" { "headers" } else { name.as_str() };
            let row = OPTIONS.iter().find(|row| row.name == row_name && call_names().any(|n| n == name));
            match (row, rest.as_mut()) {
                (Some(row), _) => changes.option(row, &name, &value)?,
                (None, _) if name == "timeout" => changes.timeout(&value)?,
                (None, _) if name == "cancel" && function != "with_options" => changes.token(&value)?,
                (None, _) if name == "_head" => changes.head(&value)?,
                (None, Some(rest)) => rest.set_item(name, value)?,
                (None, None) if function == "with_options" => {
                    return Err(unknown(function, &name, call_names()));
                }
                (None, None) => return Err(unknown(function, &name, call_names().chain(["cancel"]))),
            }
        }
        Ok(changes)
    }

    /// The configuration text.
    pub fn text(&self) -> String {
        format!("{{{}}}", self.text)
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether what is not given comes from the environment.
    pub fn reads_environment(&self) -> PyResult<bool> {
        self.given.get_item("environment")?.map_or(Ok(true), |value| value.is_truthy())
    }

    fn member(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&json::quote(name));
        self.text.push(':');
        self.text.push_str(value);
    }

    /// An option of the core's table; None is as good as absent.
    fn option(&mut self, row: &OptionRow, argument: &str, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if value.is_none() {
            return Ok(());
        }
        let wanted = Wanted::of(row);
        if !wanted.fits(value) {
            let (wanted, is) = (wanted.words(), type_name(value));
            return wrong_type(format!("{argument} must be {wanted}, not {is}"));
        }
        self.member(row.name, &json_text(value, argument)?);
        self.given.set_item(argument, value)
    }

    /// `cancel=`: belongs to one call, never to a client.
    fn token(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if value.is_none() {
            return Ok(());
        }
        let Ok(cancel) = value.cast::<Cancel>() else {
            return wrong_type(format!("cancel must be elkapi.Cancel, not {}", type_name(value)));
        };
        self.cancel = Some(cancel.get().0.clone());
        Ok(())
    }

    /// `_head=`: key, query, and field lines by name, of which None leaves one out.
    fn head(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let (key, query, fields) = value.extract()?;
        self.head = Some(RequestHead { key, query, fields });
        Ok(())
    }

    /// `timeout=`: None is no limit.
    fn timeout(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(timeout) = value.cast::<Timeout>() {
            for (name, limit) in timeout.get().limits() {
                if let Limit::Milliseconds(ms) = limit {
                    self.member(name, &ms.to_string());
                }
            }
        } else {
            let Limit::Milliseconds(ms) = Limit::read("timeout", value, " or elkapi.Timeout")? else {
                return Ok(());
            };
            self.member("timeout_ms", &ms.to_string());
        }
        self.given.set_item("timeout", value)
    }
}

fn pairs<'py>(arguments: Option<&Bound<'py, PyDict>>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let Some(arguments) = arguments else { return Ok(Vec::new()) };
    arguments.items().iter().map(|pair| pair.extract()).collect()
}

/// The Python type that an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Text,
    Truth,
    Whole,
    Fields,
}

impl Wanted {
    fn of(row: &OptionRow) -> Wanted {
        match row.takes {
            "boolean" => Wanted::Truth,
            "bytes" | "number" => Wanted::Whole,
            takes if takes.starts_with("milliseconds") => Wanted::Whole,
            takes if takes.starts_with("object") => Wanted::Fields,
            _ => Wanted::Text,
        }
    }

    fn fits(self, value: &Bound<'_, PyAny>) -> bool {
        match self {
            Wanted::Text => value.is_instance_of::<PyString>(),
            Wanted::Truth => value.is_instance_of::<PyBool>(),
            Wanted::Whole => value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>(),
            Wanted::Fields => value.cast::<PyDict>().is_ok_and(|fields| {
                fields.iter().all(|(name, text)| {
                    name.is_instance_of::<PyString>() && text.is_instance_of::<PyString>()
                })
            }),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Wanted::Text => "str",
            Wanted::Truth => "bool",
            Wanted::Whole => "int",
            Wanted::Fields => "a dict of str and str",
        }
    }
}

fn unknown(function: &str, name: &str, known: impl Iterator<Item = &'static str> + Clone) -> PyErr {
    if name == "timeout_ms" || name.ends_with("_timeout_ms") {
        return PyTypeError::new_err(format!(
            "{function}() got an unexpected keyword argument '{name}'; limits are given in seconds, as timeout="
        ));
    }
    let distance = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
    let near = |candidate: &&str| {
        distance(candidate) <= 1 + candidate.len() / 3 || candidate.contains(name) || name.contains(candidate)
    };
    let advice = match known.clone().filter(near).min_by_key(|candidate| distance(candidate)) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        // The usual mistake of those who know other packages: the request's members as keywords.
        None if matches!(function, "chat_completions" | "stream") => format!(
            "members of the request stand in a dict: {function}({{\"messages\": […]}}); beside it there are {}",
            known.collect::<Vec<_>>().join(", ")
        ),
        None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    };
    PyTypeError::new_err(format!("{function}() got an unexpected keyword argument '{name}'; {advice}"))
}

/// One limit as the caller gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Limit {
    /// Not given: the client's own.
    Absent,
    /// In milliseconds; 0 is the core's word for no limit.
    Milliseconds(u64),
}

impl Limit {
    /// Seconds, or None for no limit.
    fn read(name: &str, value: &Bound<'_, PyAny>, also: &str) -> PyResult<Limit> {
        let py = value.py();
        if value.is_none() {
            return Ok(Limit::Milliseconds(0));
        }
        if value.is(py.Ellipsis()) {
            return Ok(Limit::Absent);
        }
        let number = (value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>())
            && !value.is_instance_of::<PyBool>();
        if !number {
            let is = type_name(value);
            return wrong_type(format!(
                "{name} must be seconds as float{also}, or None for no limit, not {is}"
            ));
        }
        let seconds = value.extract::<f64>().unwrap_or(f64::INFINITY);
        // Past 2^53 milliseconds a float no longer counts single ones, nor does anybody wait so long.
        let milliseconds = (seconds * 1000.0).ceil();
        if seconds > 0.0 && milliseconds <= 2f64.powi(53) {
            return Ok(Limit::Milliseconds(milliseconds as u64));
        }
        let detail =
            format!("{name} must be more than 0 seconds, or None for no limit, but it is {}", value.repr()?);
        refused(py, Kind::Config, detail, name)
    }

    fn shown(self) -> Option<String> {
        match self {
            Limit::Absent => None,
            Limit::Milliseconds(0) => Some("None".to_owned()),
            Limit::Milliseconds(ms) => Some(format!("{:?}", ms as f64 / 1000.0)),
        }
    }
}

/// Limits of a call in seconds; `None` means no limit, absent means the client's own.
///
/// `connect`: name lookup, TCP, proxy and TLS together. `write`: between two bytes sent.
/// `first_byte`: from the last byte sent to the reply's first byte. `idle`: between two bytes
/// received. `total`: the whole call with all attempts and pauses.
///
/// Raises `ConfigError` for a limit that is not more than 0, and `TypeError` for a wrong type.
///
///     client = elkapi.Client(timeout=elkapi.Timeout(connect=3, total=120))
#[pyclass(frozen, eq, hash, module = "elkapi")]
#[derive(PartialEq, Eq, Hash)]
pub struct Timeout {
    connect: Limit,
    write: Limit,
    first_byte: Limit,
    idle: Limit,
    total: Limit,
}

impl Timeout {
    /// The limits by the core's names.
    fn limits(&self) -> [(&'static str, Limit); 5] {
        [
            ("connect_timeout_ms", self.connect),
            ("write_timeout_ms", self.write),
            ("first_byte_timeout_ms", self.first_byte),
            ("idle_timeout_ms", self.idle),
            ("total_timeout_ms", self.total),
        ]
    }
}

/// The keywords of [`Timeout`].
const TIMEOUTS: [&str; 5] = ["connect", "write", "first_byte", "idle", "total"];

#[pymethods]
impl Timeout {
    #[new]
    #[pyo3(signature = (**limits), text_signature = "(*, connect=..., write=..., first_byte=..., idle=..., total=...)")]
    fn new(limits: Option<&Bound<'_, PyDict>>) -> PyResult<Timeout> {
        const ABSENT: Limit = Limit::Absent;
        let mut timeout =
            Timeout { connect: ABSENT, write: ABSENT, first_byte: ABSENT, idle: ABSENT, total: ABSENT };
        for (name, value) in pairs(limits)? {
            let limit = match name.as_str() {
                "connect" => &mut timeout.connect,
                "write" => &mut timeout.write,
                "first_byte" => &mut timeout.first_byte,
                "idle" => &mut timeout.idle,
                "total" => &mut timeout.total,
                _ => return Err(unknown("Timeout", &name, TIMEOUTS.iter().copied())),
            };
            *limit = Limit::read(&name, &value, "")?;
        }
        Ok(timeout)
    }

    fn __repr__(&self) -> String {
        let shown = self.limits().into_iter().filter_map(|(name, limit)| {
            Some(format!("{}={}", name.trim_end_matches("_timeout_ms"), limit.shown()?))
        });
        format!("Timeout({})", shown.collect::<Vec<_>>().join(", "))
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let limits = PyDict::new(py);
        for (name, limit) in self.limits() {
            let name = name.trim_end_matches("_timeout_ms");
            match limit {
                Limit::Absent => {}
                Limit::Milliseconds(0) => limits.set_item(name, py.None())?,
                Limit::Milliseconds(ms) => limits.set_item(name, ms as f64 / 1000.0)?,
            }
        }
        Ok((PyTuple::empty(py), limits))
    }
}

/// How a picture should be: `aspect_ratio` such as `"16:9"`, `image_size` such as `"2K"`.
///
/// It becomes the request member `extra_body.google.image_config`; the gateway judges the values.
///
///     client.ask("A cat", model="gemini-3-pro-image-preview", image=elkapi.ImageOptions("16:9", "2K"))
#[pyclass(frozen, eq, hash, get_all, module = "elkapi")]
#[derive(PartialEq, Eq, Hash)]
pub struct ImageOptions {
    /// Width to height, such as `"16:9"`; None leaves it to the model.
    pub aspect_ratio: Option<String>,
    /// Size, such as `"1K"`, `"2K"` or `"4K"`; None leaves it to the model.
    pub image_size: Option<String>,
}

#[pymethods]
impl ImageOptions {
    #[new]
    #[pyo3(signature = (aspect_ratio=None, image_size=None))]
    fn new(aspect_ratio: Option<String>, image_size: Option<String>) -> ImageOptions {
        ImageOptions { aspect_ratio, image_size }
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<String> {
        let shown = |name: &str| slf.getattr(name)?.repr().map(|text| text.to_string());
        Ok(format!("ImageOptions({}, {})", shown("aspect_ratio")?, shown("image_size")?))
    }

    fn __getnewargs__(&self) -> (Option<&str>, Option<&str>) {
        (self.aspect_ratio.as_deref(), self.image_size.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_the_core_is_a_keyword_of_timeout() {
        let limits = OPTIONS.iter().filter(|row| is_limit(row) && row.name != "timeout_ms");
        let names: Vec<_> = limits.map(|row| row.name.trim_end_matches("_timeout_ms")).collect();
        assert_eq!(names, TIMEOUTS);
    }

    #[test]
    fn every_option_of_the_core_has_its_python_type() {
        for row in OPTIONS {
            let wanted = match row.name {
                "allow_http" | "environment" | "insecure_skip_verify" | "pacing" | "retry_risky" => {
                    Wanted::Truth
                }
                "headers" => Wanted::Fields,
                name if name.starts_with("max_") || name.ends_with("_ms") => Wanted::Whole,
                _ => Wanted::Text,
            };
            assert_eq!(Wanted::of(row), wanted, "{}", row.name);
        }
    }
}
