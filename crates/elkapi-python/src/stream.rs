//! Streams: a chunk for every event, and what arrived of the answer at any moment.
//!
//! What is buffered is handed out at once; the interpreter's lock is released only for a wait.

use std::process;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use elkapi::{Error, Step, Verdict, json};
use pyo3::exceptions::{PyResourceWarning, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::answer::Completion;
use crate::failure::raised;
use crate::headers::Headers;
use crate::interrupt;
use crate::node::{Node, kept_in, known};

/// An answer while it is being written: an iterator of chunks, one for every event of the reply, and a
/// context manager that closes it.
///
/// Whatever it ends with except a whole answer is raised by the iteration; `error.completion` keeps
/// what arrived. One thread at a time may use it, others get `RuntimeError`; a `cancel=` token stops it
/// from any thread. A stream that was neither read to its end nor closed is closed when it is dropped,
/// with a `ResourceWarning`.
///
///     with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
///         for text in stream.text_stream:
///             print(text, end="", flush=True)
///     print(stream.verdict, stream.completion.usage)
#[pyclass(frozen, module = "elkapi")]
pub struct Stream {
    inner: Mutex<Inner>,
    /// The process that opened it: of a child's copy nobody needs to hear.
    process: u32,
}

struct Inner {
    core: elkapi::Stream,
    /// A chunk was handed out.
    has_begun: bool,
    /// What arrived, as it was last asked for; forgotten when more arrives.
    completion: Option<Py<Completion>>,
}

impl Inner {
    fn completion<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, Completion>> {
        if let Some(completion) = &self.completion {
            return Ok(completion.bind(py).clone());
        }
        let ended = self.core.verdict().is_some();
        let completion = Completion::of_stream(py, self.core.completion(), ended)?;
        self.completion = Some(completion.clone().unbind());
        Ok(completion)
    }

    /// The exception for the error that ended the stream.
    fn raised(&mut self, py: Python<'_>, error: &Error) -> PyErr {
        let exception = raised(py, error);
        if !self.has_begun {
            return exception;
        }
        let completion = self.completion(py);
        let kept = completion.and_then(|it| exception.value(py).setattr(intern!(py, "completion"), it));
        kept.map_or_else(|failed| failed, |()| exception)
    }

    fn close(&mut self) {
        if self.core.verdict().is_none() {
            self.completion = None;
        }
        self.core.close();
    }
}

impl Stream {
    /// The Python object for a stream that the core opened.
    pub fn of_core(core: elkapi::Stream) -> Stream {
        Stream {
            inner: Mutex::new(Inner { core, has_begun: false, completion: None }),
            process: process::id(),
        }
    }

    /// Whoever waits in it holds it: nobody else waits for that, since it may be this very thread, in a
    /// signal handler.
    fn held(&self) -> PyResult<MutexGuard<'_, Inner>> {
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "the stream is being read, and only one thread at a time may use it; to stop it from \
                 another, give stream() a token as cancel=",
            )),
        }
    }

    /// Goes on by one chunk; None at the good end.
    fn advance(&self, py: Python<'_>) -> PyResult<Option<MutexGuard<'_, Inner>>> {
        let mut inner = self.held()?;
        if inner.core.verdict().is_none() {
            inner.completion = None;
        }
        let mut outcome = inner.core.poll_buffered();
        if matches!(outcome, Ok(Step::Pending)) {
            drop(inner);
            // A server that is always faster than its reader leaves no wait in which a signal is seen.
            if let Err(raised) = py.check_signals() {
                self.held()?.close();
                return Err(raised);
            }
            inner = self.held()?;
            let core = &mut inner.core;
            outcome = py.detach(|| core.poll(None));
            if let Some(raised) = interrupt::raised_meanwhile() {
                inner.close();
                return Err(raised);
            }
        } else if let Some(raised) = interrupt::raised_meanwhile() {
            return Err(raised);
        }
        match outcome {
            Ok(Step::Chunk) => {
                inner.has_begun = true;
                Ok(Some(inner))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(inner.raised(py, &error)),
        }
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Chunk>>> {
        let Some(inner) = self.advance(py)? else { return Ok(None) };
        let chunk = inner.core.chunk();
        let knows_content = inner.core.delta_content_with_nul().is_some();
        chunk.map(|chunk| Chunk::made(py, chunk.json(), chunk.text(), knows_content)).transpose()
    }

    /// The text alone: an iterator of str, the empty ones left out. It reads the same stream.
    #[getter]
    fn text_stream(slf: Py<Self>) -> TextStream {
        TextStream(slf)
    }

    /// Reads to the end and gives the whole answer; a stream that is at its end already is not read.
    ///
    /// Raises what the iteration raises.
    ///
    ///     with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
    ///         print(stream.finish().text)
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Completion>> {
        while self.advance(py)?.is_some() {}
        self.completion(py)
    }

    /// What has arrived so far, as a whole answer would be; it never reads on. The same object until
    /// more arrives; while the stream runs, its verdict is `truncated`.
    #[getter]
    fn completion<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Completion>> {
        self.held()?.completion(py)
    }

    /// How the stream ended: `complete`, `length`, `filtered`, `tool_calls`, `truncated`, `stalled`,
    /// `cancelled` (also where it was left early) or `failed`. None until then.
    #[getter]
    fn verdict(&self) -> PyResult<Option<&'static str>> {
        Ok(self.held()?.core.verdict().map(Verdict::name))
    }

    /// Whether the closing `[DONE]` has come; an answer can be whole without it.
    #[getter]
    fn saw_done(&self) -> PyResult<bool> {
        Ok(self.held()?.core.saw_done())
    }

    /// HTTP status.
    #[getter]
    fn status(&self) -> PyResult<u16> {
        Ok(self.held()?.core.head().status())
    }

    /// Header fields of the reply; names compare without regard to case.
    #[getter]
    fn headers(&self) -> PyResult<Headers> {
        Ok(Headers::new(self.held()?.core.head().headers().clone()))
    }

    /// The gateway's id of the request; quote it to the operator.
    #[getter]
    fn request_id(&self) -> PyResult<Option<String>> {
        Ok(self.held()?.core.head().headers().request_id().map(str::to_owned))
    }

    /// Leaves the stream: its connection is closed at once, the iteration ends, what arrived stays
    /// readable. After the end it does nothing.
    fn close(&self) -> PyResult<()> {
        self.held()?.close();
        interrupt::raised_meanwhile().map_or(Ok(()), Err)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let _ = exception;
        self.close()
    }

    fn __repr__(&self) -> String {
        match self.held() {
            Ok(inner) => {
                let verdict = inner.core.verdict().map_or("open", Verdict::name);
                format!("<elkapi.Stream, {verdict}>")
            }
            Err(_) => "<elkapi.Stream, being read>".to_owned(),
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a stream cannot be pickled or copied; its completion can"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        if inner.core.verdict().is_some() || self.process != process::id() {
            return;
        }
        let told = Python::try_attach(|py| {
            // An exception may be under way.
            let pending = PyErr::take(py);
            inner.core.close();
            let words = c"a stream was dropped before its end; read it to the end, or use it in a with block";
            let category = py.get_type::<PyResourceWarning>();
            let warned = PyErr::warn(py, &category, words, 1);
            for error in interrupt::raised_meanwhile().into_iter().chain(warned.err()) {
                error.write_unraisable(py, None);
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
        if told.is_none() {
            inner.core.close();
        }
    }
}

/// The texts of a stream.
#[pyclass(frozen, module = "elkapi")]
pub struct TextStream(Py<Stream>);

#[pymethods]
impl TextStream {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        loop {
            let Some(inner) = self.0.get().advance(py)? else { return Ok(None) };
            match inner.core.chunk() {
                Some(chunk) if !chunk.text().is_empty() => return Ok(Some(PyString::new(py, chunk.text()))),
                _ => {}
            }
        }
    }
}

/// One event of a stream: its members by attribute and by key, parsed when they are looked at, and the
/// text it adds. Known members that are absent are None.
///
///     for chunk in client.stream({"messages": [{"role": "user", "content": "Hello"}]}):
///         print(chunk.text, chunk.choices, chunk.usage)
#[pyclass(frozen, extends = Node, module = "elkapi")]
pub struct Chunk {
    text: Py<PyString>,
    raw: OnceLock<Py<PyBytes>>,
}

impl Chunk {
    /// Of an event's JSON, which the core found to be well-formed, and the text that it adds.
    /// `is_content`: that text is what stands at `choices[0].delta.content`.
    pub fn made<'py>(
        py: Python<'py>,
        json: &str,
        text: &str,
        is_content: bool,
    ) -> PyResult<Bound<'py, Chunk>> {
        let text = PyString::new(py, text);
        let node = Node::of_event(json, is_content.then_some(&text));
        Chunk::of_parts(node, text)
    }

    fn of_parts<'py>(node: Node, text: Bound<'py, PyString>) -> PyResult<Bound<'py, Chunk>> {
        let py = text.py();
        let chunk = Chunk { text: text.unbind(), raw: OnceLock::new() };
        Bound::new(py, PyClassInitializer::from(node).add_subclass(chunk))
    }
}

#[pymethods]
impl Chunk {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["text"])
    }

    /// What the event adds to the text of the stream's choice with the lowest index; `""` if nothing.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.text.bind(py)
    }

    /// The event's JSON as it came, always the same object; bytes that are not UTF-8 are U+FFFD.
    #[getter]
    fn raw<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyBytes> {
        let (py, json) = (slf.py(), slf.as_super().get().event());
        kept_in(&slf.get().raw, || PyBytes::new(py, json.as_bytes()).unbind()).bind(py).clone()
    }

    /// All choices of the event; an empty list where it has none.
    #[getter]
    fn choices<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, node) = (slf.py(), slf.as_super().get());
        match node.member(intern!(py, "choices"))?.filter(|choices| choices.is_instance_of::<PyList>()) {
            Some(choices) => Ok(choices),
            None => node.keep(intern!(py, "no choices"), PyList::empty(py).into_any()),
        }
    }

    /// Token counts, where the event has them; `stream.completion.usage` has the last ones.
    #[getter]
    fn usage<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "usage"))
    }

    /// The answer's id.
    #[getter]
    fn id<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "id"))
    }

    /// The model that answers, as the server names it.
    #[getter]
    fn model<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "model"))
    }

    /// When the answer was begun, in seconds since 1970.
    #[getter]
    fn created<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "created"))
    }

    /// `"chat.completion.chunk"`.
    #[getter]
    fn object<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "object"))
    }

    /// The tier of service that the server uses, where it tells.
    #[getter]
    fn service_tier<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "service_tier"))
    }

    /// The server's name for its own state.
    #[getter]
    fn system_fingerprint<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super(), intern!(slf.py(), "system_fingerprint"))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        static UNPICKLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let (py, chunk) = (slf.py(), slf.get());
        let unpickle = UNPICKLE.import(py, "elkapi._elkapi", "unpickle_chunk")?;
        (unpickle, (Chunk::raw(slf), chunk.text(py))).into_pyobject(py)
    }

    /// The same event with another document, for `model_copy`.
    fn _with<'py>(&self, py: Python<'py>, json: &str) -> PyResult<Bound<'py, Chunk>> {
        Chunk::of_parts(Node::of_event(json, None), self.text(py).clone())
    }
}

/// A chunk out of a pickle.
#[pyfunction]
pub fn unpickle_chunk<'py>(
    raw: Bound<'py, PyBytes>,
    text: Bound<'py, PyString>,
) -> PyResult<Bound<'py, Chunk>> {
    let json = String::from_utf8_lossy(raw.as_bytes());
    json::Document::of_text(json.trim_start_matches('\u{feff}'))
        .map_err(|error| PyValueError::new_err(format!("the pickled event is not JSON: {error}")))?;
    Chunk::of_parts(Node::of_event(&json, None), text)
}
