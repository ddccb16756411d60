//! Attempts as lines of Python's `logging`, whose words are in `elkapi._logging`.
//!
//! Asked before every call whether somebody listens; where nobody does, no record is made. A program
//! that has not imported `logging` cannot listen, so it is never imported for that.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use elkapi::{Kind, Level, Recorder, json};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

use crate::failure::refused;
use crate::{decode, interrupt};

/// Whether those that succeeded are wanted too; the same for all, as the logger is.
static WANTS_ALL: AtomicBool = AtomicBool::new(false);

struct Lines;

impl Recorder for Lines {
    fn take(&self, record: &str) {
        // Without an interpreter there is nobody to tell.
        Python::try_attach(|py| tell(py, record).unwrap_or_else(|raised| keep(py, raised)));
    }

    fn level(&self) -> Level {
        if WANTS_ALL.load(Ordering::Relaxed) { Level::All } else { Level::Failures }
    }
}

fn tell(py: Python<'_>, record: &str) -> PyResult<()> {
    static TELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Ok(document) = json::Document::of_text(record) else { return Ok(()) };
    let tell = TELL.import(py, "elkapi._logging", "tell")?;
    tell.call1((decode::value(py, document.root())?,)).map(drop)
}

/// The call goes on, except where a signal handler raised, as for Ctrl-C.
fn keep(py: Python<'_>, raised: PyErr) {
    if raised.is_instance_of::<PyException>(py) {
        // At the interpreter's end the modules are gone before the last stream is.
        let is_ending = py.import("sys").and_then(|sys| sys.call_method0("is_finalizing")?.is_truthy());
        if !is_ending.unwrap_or(true) {
            raised.write_unraisable(py, None);
        }
    } else {
        interrupt::keep(raised);
    }
}

/// What takes the records of calls that somebody listens to.
pub fn recorder() -> Arc<dyn Recorder> {
    static LINES: OnceLock<Arc<dyn Recorder>> = OnceLock::new();
    LINES.get_or_init(|| Arc::new(Lines)).clone()
}

/// Whether somebody listens to what the next call does.
pub fn is_wanted(py: Python<'_>) -> PyResult<bool> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    static WANTED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if WANTED.get(py).is_none() {
        let modules = MODULES.import(py, "sys", "modules")?;
        if !modules.contains(intern!(py, "logging"))? {
            return Ok(false);
        }
    }
    let wanted = WANTED.import(py, "elkapi._logging", "wanted")?.call0()?;
    if wanted.is_none() {
        return Ok(false);
    }
    WANTS_ALL.store(wanted.is_truthy()?, Ordering::Relaxed);
    Ok(true)
}

/// Obeys the environment's `ELKAPI_LOG`, for whoever wants lines without writing code.
pub fn set_up(py: Python<'_>) -> PyResult<()> {
    let Some(level) = std::env::var_os("ELKAPI_LOG").filter(|level| !level.is_empty()) else { return Ok(()) };
    let set_up = PyModule::import(py, "elkapi._logging")?.getattr("set_up")?;
    if set_up.call1((level.to_string_lossy().to_lowercase(),))?.is_truthy()? {
        return Ok(());
    }
    let detail = "ELKAPI_LOG must be debug, info, warning or off";
    refused(py, Kind::Config, detail.to_owned(), "ELKAPI_LOG")
}
