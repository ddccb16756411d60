//! Raw exchanges for `elkapi.httpx2`: the core's `raw` in Python's words.
//!
//! Blocking, or as tasks of an event loop's queue: the request up to the reply's header fields, each
//! read that has to wait, and the wait for the end where a body is left. Between those a reply has no
//! thread, and nothing is read ahead.
//!
//! Private to the package: `elkapi.httpx2` gives them their public shape and turns errors into those of
//! the HTTP library above.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use elkapi::raw::{Body, BodyReader, Limits, Reply, Request, Transport};
use elkapi::{Cancel, Config, Error, Kind, Work};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyIterator};

use crate::failure::{prepare, raised};
use crate::interrupt;
use crate::options::Changes;
use crate::queue::{Call, Kept, Makes, Queue};

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

fn limits(connect: Option<f64>, write: Option<f64>, read: Option<f64>) -> Limits {
    let seconds = |limit: Option<f64>| {
        let whole = limit.map(|limit| limit.clamp(0.001, 31_536_000.0));
        whole.map(Duration::from_secs_f64)
    };
    let (first_byte, idle) = (seconds(read), seconds(read));
    Limits { connect: seconds(connect), write: seconds(write), first_byte, idle, total: None }
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
        prepare(py)?;
        let changes = Changes::of_client(py, options)?;
        let core = Config::from_json(&changes.text()).and_then(Transport::new);
        let core = core.map_err(|error| raised(py, &error))?;
        Ok(RawTransport { core, raises })
    }

    /// Sends a request and waits for the reply's header fields. Times are seconds, None means no limit.
    #[pyo3(signature = (method, url, fields, body, connect, write, read))]
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
    ) -> PyResult<RawReply> {
        let limits = limits(connect, write, read);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let core = self.core.with_interrupt(Some(interrupt::signals()));
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
        let outcome = py.detach(|| core.send(request, None));
        if let Some(raised) = pieces.and_then(|pieces| pieces.raised) {
            return Err(raised);
        }
        if let Some(interrupt) = interrupt::raised_meanwhile() {
            return Err(interrupt);
        }
        let reply = outcome.map_err(|error| translated(py, &self.raises, &error))?;
        Ok(RawReply::new(reply, self.raises.clone_ref(py)))
    }

    /// The same as a call of a queue, which ends with the reply; the body is bytes.
    #[allow(clippy::too_many_arguments)]
    fn begin<'py>(
        &self,
        queue: &Bound<'py, Queue>,
        wake: Py<PyAny>,
        method: String,
        url: String,
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        body: Option<Vec<u8>>,
        connect: Option<f64>,
        write: Option<f64>,
        read: Option<f64>,
    ) -> PyResult<Bound<'py, Call>> {
        let limits = limits(connect, write, read);
        let (core, stop, place) = (self.core.clone(), Cancel::new(), Arc::<Place<Reply>>::default());
        let sent = Sent { place: place.clone(), raises: self.raises.clone_ref(queue.py()) };
        let token = stop.clone();
        let work = Work::task(move || {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let body = body.as_deref().map_or(Body::None, Body::Bytes);
            let request = Request { method: &method, url: &url, fields: &fields, body, limits };
            place.put(core.send(request, Some(&token)));
        });
        Queue::submit(queue, work, Makes::Kept(Box::new(sent)), wake, stop)
    }

    /// Closes connections that lie idle.
    fn close_idle(&self) {
        self.core.close_idle();
    }
}

/// Where a task leaves what it came to, for the loop to fetch.
struct Place<T>(Mutex<Held<T>>);

enum Held<T> {
    Nothing,
    Outcome(Result<T, Error>),
    /// Nobody waits for it any more.
    Left,
}

impl<T> Default for Place<T> {
    fn default() -> Place<T> {
        Place(Mutex::new(Held::Nothing))
    }
}

impl<T> Place<T> {
    fn held(&self) -> MutexGuard<'_, Held<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody still waits for it.
    fn put(&self, outcome: Result<T, Error>) -> bool {
        let mut held = self.held();
        let is_awaited = !matches!(*held, Held::Left);
        if is_awaited {
            *held = Held::Outcome(outcome);
        }
        is_awaited
    }

    /// What came; `error` where nothing did.
    fn take(&self, error: Option<Error>) -> Result<T, Error> {
        match std::mem::replace(&mut *self.held(), Held::Left) {
            Held::Outcome(outcome) => outcome,
            _ => Err(error.unwrap_or_else(|| Error::new(Kind::Internal, "An exchange came to nothing"))),
        }
    }

    /// Whether something had come that nobody fetched.
    fn leave(&self) -> bool {
        let held = std::mem::replace(&mut *self.held(), Held::Left);
        matches!(held, Held::Outcome(_))
    }
}

/// A request that a queue sends.
struct Sent {
    place: Arc<Place<Reply>>,
    raises: Py<PyAny>,
}

impl Kept for Sent {
    fn result<'py>(&self, py: Python<'py>, error: Option<Error>) -> PyResult<Bound<'py, PyAny>> {
        let reply = self.place.take(error).map_err(|error| translated(py, &self.raises, &error))?;
        Ok(Bound::new(py, RawReply::new(reply, self.raises.clone_ref(py)))?.into_any())
    }

    fn leave(&self) {
        self.place.leave();
    }
}

/// What a queue does with a reply's body: a piece of it, or nothing more where it is left.
struct Piece {
    place: Arc<Place<Vec<u8>>>,
    wire: Arc<Wire>,
    raises: Py<PyAny>,
}

impl Kept for Piece {
    fn result<'py>(&self, py: Python<'py>, error: Option<Error>) -> PyResult<Bound<'py, PyAny>> {
        let piece = self.place.take(error).map_err(|error| translated(py, &self.raises, &error))?;
        Ok(PyBytes::new(py, &piece).into_any())
    }

    fn leave(&self) {
        // A body of which a piece is lost is of no use. A worker that has it drops it by itself.
        if self.place.leave() || self.wire.stop.is_signalled() {
            self.wire.abort();
        }
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

/// A reply's body, and what stops its reading. Workers hold it too, so nothing of Python is in it.
struct Wire {
    /// None once it has ended or was left.
    body: Mutex<Option<BodyReader>>,
    stop: Cancel,
}

impl Wire {
    /// None while another thread reads.
    fn held(&self) -> Option<MutexGuard<'_, Option<BodyReader>>> {
        match self.body.try_lock() {
            Ok(body) => Some(body),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Closes the connection at once; a thread that reads does so.
    fn abort(&self) {
        self.stop.signal();
        if let Some(mut held) = self.held() {
            *held = None;
        }
    }

    /// On a worker: what a use of the body brings, until the body ends.
    fn work(&self, place: &Place<Vec<u8>>, use_of: impl FnOnce(&mut BodyReader) -> Result<Vec<u8>, Error>) {
        let mut held = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = held.as_mut().map_or_else(|| Ok(Vec::new()), use_of);
        let goes_on = outcome.as_ref().is_ok_and(|piece| !piece.is_empty());
        if !goes_on {
            *held = None;
        }
        // Not held when what came can be seen: whoever throws it away finds the body free.
        drop(held);
        if !place.put(outcome) {
            self.abort();
        }
    }
}

/// A reply: status, field lines, and an iterator of its body's bytes.
#[pyclass(frozen, module = "elkapi._elkapi")]
pub struct RawReply {
    /// HTTP status.
    #[pyo3(get)]
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    wire: Arc<Wire>,
    raises: Py<PyAny>,
}

fn busy<T>() -> PyResult<T> {
    Err(PyRuntimeError::new_err("the reply's body is being read by another thread or task"))
}

impl RawReply {
    fn new(reply: Reply, raises: Py<PyAny>) -> RawReply {
        let stop = reply.body.cancel();
        let wire = Arc::new(Wire { body: Mutex::new(Some(reply.body)), stop });
        RawReply { status: reply.status, fields: reply.fields, wire, raises }
    }

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

    /// Hands a use of the body over to a queue.
    fn hand_over<'py>(
        &self,
        queue: &Bound<'py, Queue>,
        wake: Py<PyAny>,
        use_of: impl FnOnce(&mut BodyReader) -> Result<Vec<u8>, Error> + Send + 'static,
    ) -> PyResult<Bound<'py, Call>> {
        let (place, wire) = (Arc::<Place<Vec<u8>>>::default(), self.wire.clone());
        let raises = self.raises.clone_ref(queue.py());
        let piece = Piece { place: place.clone(), wire: wire.clone(), raises };
        let stop = wire.stop.clone();
        let work = Work::task(move || wire.work(&place, use_of));
        Queue::submit(queue, work, Makes::Kept(Box::new(piece)), wake, stop)
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
        let Some(mut held) = self.wire.held() else { return busy() };
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
        let Some(mut held) = self.wire.held() else { return busy() };
        let Some(body) = held.as_mut() else { return Ok(Some(PyBytes::new(py, b""))) };
        let mut room = vec![0; ROOM];
        match body.read_now(&mut room).transpose() {
            Some(outcome) => self.judged(py, &mut held, outcome, &room).map(Some),
            None => Ok(None),
        }
    }

    /// The wait for the next bytes as a call of a queue; empty at the end.
    fn begin_read<'py>(&self, queue: &Bound<'py, Queue>, wake: Py<PyAny>) -> PyResult<Bound<'py, Call>> {
        self.hand_over(queue, wake, |body| {
            let mut room = vec![0; ROOM];
            let length = body.read(&mut room)?;
            room.truncate(length);
            Ok(room)
        })
    }

    /// Leaves the body: reads what little is missing of it, else closes the connection. Stops a thread
    /// that reads it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(mut held) = self.wire.held() else {
            self.wire.stop.signal();
            return Ok(());
        };
        if let Some(mut body) = held.take() {
            py.detach(|| body.finish());
        }
        interrupt::raised_meanwhile().map_or(Ok(()), Err)
    }

    /// The same where it takes no wait: whether the body is left.
    fn close_now(&self) -> bool {
        let Some(mut held) = self.wire.held() else {
            self.wire.stop.signal();
            return true;
        };
        let is_left = held.as_mut().is_none_or(BodyReader::finish_now);
        if is_left {
            *held = None;
        }
        is_left
    }

    /// The same as a call of a queue.
    fn begin_close<'py>(&self, queue: &Bound<'py, Queue>, wake: Py<PyAny>) -> PyResult<Bound<'py, Call>> {
        self.hand_over(queue, wake, |body| {
            body.finish();
            Ok(Vec::new())
        })
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a reply that is being read cannot be pickled or copied"))
    }
}
