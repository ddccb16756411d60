//! Raw exchanges for `elkapi.httpx2`: the core's `raw` in Python's words.
//!
//! Private to the package: `elkapi.httpx2` gives them their public shape and turns errors into those of
//! the HTTP library above.

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use elkapi::raw::{Body, BodyReader, Limits, Request, Transport};
use elkapi::{Config, Error};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyIterator};

use crate::failure::raised;
use crate::interrupt;
use crate::options::Changes;

/// Bytes that are handed to Python at once.
const ROOM: usize = 64 * 1024;

/// Connections to any server.
///
/// `raises` makes of an `elkapi.Error` the exception that the caller expects.
#[pyclass(frozen, module = "elkapi._elkapi")]
pub struct RawTransport {
    core: Transport,
    raises: Py<PyAny>,
}

fn translated(py: Python<'_>, raises: &Py<PyAny>, error: &Error) -> PyErr {
    let own = raised(py, error).into_value(py);
    match raises.call1(py, (own,)) {
        Ok(theirs) => PyErr::from_value(theirs.into_bound(py)),
        Err(failed) => failed,
    }
}

#[pymethods]
impl RawTransport {
    #[new]
    #[pyo3(signature = (raises, **options))]
    fn new(py: Python<'_>, raises: Py<PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<RawTransport> {
        let changes = Changes::of_client(py, options)?;
        let core = Config::from_json(&changes.text()).and_then(Transport::new);
        let core = core.map_err(|error| raised(py, &error))?;
        Ok(RawTransport { core: core.with_interrupt(Some(interrupt::signals())), raises })
    }

    /// Sends a request and waits for the reply's header fields. Times are seconds, None means no limit.
    #[pyo3(signature = (method, url, fields, body, connect, write, read, cancel=None))]
    #[allow(clippy::too_many_arguments)]
    fn send(
        &self,
        py: Python<'_>,
        method: &str,
        url: &str,
        fields: Vec<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)>,
        body: &Bound<'_, PyAny>,
        connect: Option<f64>,
        write: Option<f64>,
        read: Option<f64>,
        cancel: Option<&interrupt::Cancel>,
    ) -> PyResult<RawReply> {
        let seconds = |limit: Option<f64>| {
            let whole = limit.map(|limit| limit.clamp(0.001, 31_536_000.0));
            whole.map(Duration::from_secs_f64)
        };
        let (first_byte, idle) = (seconds(read), seconds(read));
        let limits =
            Limits { connect: seconds(connect), write: seconds(write), first_byte, idle, total: None };
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let cancel = cancel.map(|cancel| &cancel.0);
        let core = &self.core;
        let fields = &fields;
        let mut pieces = None;
        let body = if body.is_none() {
            Body::None
        } else if let Ok(bytes) = body.cast::<PyBytes>() {
            Body::Bytes(bytes.as_bytes())
        } else {
            let source = body.try_iter()?.unbind();
            Body::Reader(pieces.insert(Pieces { source, piece: Vec::new(), at: 0, raised: None }))
        };
        let request = Request { method, url, fields, body, limits };
        let outcome = py.detach(|| core.send(request, cancel));
        if let Some(raised) = pieces.and_then(|pieces| pieces.raised) {
            return Err(raised);
        }
        if let Some(interrupt) = interrupt::raised_meanwhile() {
            return Err(interrupt);
        }
        let reply = outcome.map_err(|error| translated(py, &self.raises, &error))?;
        Ok(RawReply {
            status: reply.status,
            fields: reply.fields,
            stop: reply.body.cancel(),
            body: Mutex::new(Some(reply.body)),
            raises: self.raises.clone_ref(py),
        })
    }

    /// Closes connections that lie idle.
    fn close_idle(&self) {
        self.core.close_idle();
    }
}

/// A request's body that Python gives piece by piece.
struct Pieces {
    source: Py<PyIterator>,
    piece: Vec<u8>,
    at: usize,
    raised: Option<PyErr>,
}

impl Read for Pieces {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let next = Python::attach(|py| {
                let next = self.source.bind(py).clone().next();
                next.map(|piece| piece?.extract::<Vec<u8>>()).transpose()
            });
            match next {
                Ok(Some(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(None) => return Ok(0),
                Err(raised) => {
                    self.raised = Some(raised);
                    return Err(io::Error::other("the request's body raised an exception"));
                }
            }
        }
        let length = room.len().min(self.piece.len() - self.at);
        room[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// A reply: status, field lines, and an iterator of its body's bytes.
#[pyclass(frozen, module = "elkapi._elkapi")]
pub struct RawReply {
    /// HTTP status.
    #[pyo3(get)]
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    /// None once it was closed.
    body: Mutex<Option<BodyReader>>,
    stop: elkapi::Cancel,
    raises: Py<PyAny>,
}

impl RawReply {
    fn held(&self) -> Option<MutexGuard<'_, Option<BodyReader>>> {
        match self.body.try_lock() {
            Ok(body) => Some(body),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn busy<T>() -> PyResult<T> {
    Err(PyRuntimeError::new_err("the reply's body is being read by another thread"))
}

impl RawReply {
    /// What a read brought; the connection is let go at the end.
    fn judged<'py>(
        &self,
        py: Python<'py>,
        held: &mut Option<BodyReader>,
        outcome: Result<usize, Error>,
        room: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        if !matches!(outcome, Ok(1..)) {
            *held = None;
        }
        let length = outcome.map_err(|error| translated(py, &self.raises, &error))?;
        Ok(PyBytes::new(py, &room[..length]))
    }
}

#[pymethods]
impl RawReply {
    /// The field lines as pairs of bytes.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let pair =
            |(name, value): &(String, Vec<u8>)| (PyBytes::new(py, name.as_bytes()), PyBytes::new(py, value));
        self.fields.iter().map(pair).collect()
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        // A server that is always faster than its reader leaves no wait in which a signal is seen.
        py.check_signals()?;
        let Some(mut held) = self.held() else { return busy() };
        let Some(body) = held.as_mut() else { return Ok(None) };
        let mut room = vec![0; ROOM];
        let outcome = py.detach(|| body.read(&mut room));
        if let Some(interrupt) = interrupt::raised_meanwhile() {
            *held = None;
            return Err(interrupt);
        }
        let bytes = self.judged(py, &mut held, outcome, &room)?;
        Ok(Some(bytes).filter(|bytes| !bytes.as_bytes().is_empty()))
    }

    /// The bytes that are here already; empty at the end, None where a wait is needed.
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(mut held) = self.held() else { return busy() };
        let Some(body) = held.as_mut() else { return Ok(Some(PyBytes::new(py, b""))) };
        let mut room = vec![0; ROOM];
        match body.read_now(&mut room).transpose() {
            Some(outcome) => self.judged(py, &mut held, outcome, &room).map(Some),
            None => Ok(None),
        }
    }

    /// Leaves the body: reads what little is missing of it, else closes the connection. Stops a thread
    /// that reads it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(mut held) = self.held() else {
            self.stop.signal();
            return Ok(());
        };
        if let Some(mut body) = held.take() {
            py.detach(|| body.finish());
        }
        interrupt::raised_meanwhile().map_or(Ok(()), Err)
    }

    /// Closes the connection at once, from any thread.
    fn abort(&self) {
        self.stop.signal();
        if let Some(mut held) = self.held() {
            *held = None;
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a reply that is being read cannot be pickled or copied"))
    }
}
