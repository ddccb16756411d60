//! The client: arguments in, the core's call without the interpreter's lock, an answer out.

use std::sync::{Mutex, PoisonError};

use elkapi::{Config, Error, Kind, Work};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::answer::{Completion, Document};
use crate::encode::json_bytes;
use crate::failure::{prepare, raised, refused, type_name, wrong_type};
use crate::interrupt;
use crate::log;
use crate::options::{Changes, ImageOptions};
use crate::queue::{Call, Makes, Queue};
use crate::stream::Stream;

/// A client of one gateway with one key: made once, shared by all threads.
///
/// What is not given comes from the environment (`ELKAPI_API_KEY`, `ELKAPI_BASE_URL`), then from the
/// defaults. `timeout`: seconds for a whole call, 600 unless given, or `elkapi.Timeout`; for a stream
/// seconds to its first byte, 600, and of silence, 310; **None means no limit**. `max_retries`:
/// repetitions of what cannot be charged twice, 2 unless given; `retry_risky=True` repeats what may
/// have been charged too. `pacing=True` learns how many calls a second the server takes and starts no
/// more. `base_delay_ms`: the first pause. `headers`: more header fields for every
/// request. `ca_file`, `ca_pem`: certificate authorities to trust beside the system's;
/// `client_cert_file`, `client_key_file`: our own certificate; `min_tls`: `"1.2"` or `"1.3"`;
/// `insecure_skip_verify=True` accepts any certificate, so that others can read the key. `proxy`: the
/// URL of a proxy, `http://`, `socks5://` or `socks5h://`, "" for none, else from the environment;
/// `no_proxy`: what is reached directly. `contract`: `"elkapi"`, or `"openai"` for other servers.
/// `allow_http`: allow `http://` to hosts other than this machine. `max_body_bytes`, `max_event_bytes`:
/// the largest reply, 256 MiB, and the largest event of a stream, 128 MiB; `max_idle_connections`: kept
/// open for later calls, 64. `idempotency_header`: the name of a header field that carries one value for
/// all attempts of a call; `traceparent`, `user_agent`: the header fields of those names.
/// `environment=False` reads nothing from the environment.
///
/// A pickle holds the options that were given, the key among them.
///
/// Raises `ConfigError` for an option that cannot be used, `TypeError` for a wrong type or name.
///
///     with elkapi.Client(timeout=120) as client:
///         print(client.ask("Name three seas.").text)
#[pyclass(frozen, module = "elkapi")]
pub struct Client {
    /// None once it was closed.
    core: Mutex<Option<Core>>,
    base_url: String,
    /// The arguments it was made with, then those of each `with_options`: what a pickle keeps.
    given: Vec<Py<PyDict>>,
}

/// The core's client, and the same one with records, made when somebody first listens; each as calls
/// that wait here use it, and as a queue does, whose threads nobody interrupts.
struct Core {
    silent: elkapi::Client,
    recording: Option<elkapi::Client>,
    queued: elkapi::Client,
}

impl Client {
    fn made(core: elkapi::Client, given: Vec<Py<PyDict>>) -> Client {
        let base_url = core.base_url().to_owned();
        let queued = core.with_interrupt(None);
        Client { core: Mutex::new(Some(Core { silent: core, recording: None, queued })), base_url, given }
    }

    fn open(&self, py: Python<'_>, recording: bool) -> PyResult<elkapi::Client> {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(|core| {
            if !recording {
                return core.silent.clone();
            }
            let make = || core.silent.with_recorder(Some(log::recorder()));
            core.recording.get_or_insert_with(make).clone()
        });
        core.ok_or_else(|| raised(py, &Error::new(Kind::Closed, "The client was closed")))
    }

    /// The core's client for a queue, unless the call changes something.
    fn queued(&self, py: Python<'_>) -> PyResult<elkapi::Client> {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = core.as_ref().map(|core| core.queued.clone());
        queued.ok_or_else(|| raised(py, &Error::new(Kind::Closed, "The client was closed")))
    }

    /// The core's client for one call of a queue.
    fn for_queue(&self, py: Python<'_>, changes: &Changes<'_>) -> PyResult<elkapi::Client> {
        if log::is_wanted(py)? {
            return self.for_call(py, changes);
        }
        changed(py, self.queued(py)?, changes)
    }

    /// The core's client for one call.
    fn for_call(&self, py: Python<'_>, changes: &Changes<'_>) -> PyResult<elkapi::Client> {
        changed(py, self.open(py, log::is_wanted(py)?)?, changes)
    }
}

fn changed(py: Python<'_>, core: elkapi::Client, changes: &Changes<'_>) -> PyResult<elkapi::Client> {
    let core = if changes.is_empty() { Ok(core) } else { core.with(&changes.text()) };
    let core = match &changes.head {
        Some(head) => core.and_then(|core| core.with_head(head)),
        None => core,
    };
    core.map_err(|error| raised(py, &error))
}

/// Waits without the interpreter's lock: other threads run meanwhile. What a signal handler raises
/// in the wait, such as `KeyboardInterrupt`, stops the call and is raised here.
fn waited<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    let outcome = py.detach(call);
    match interrupt::raised_meanwhile() {
        Some(interrupt) => Err(interrupt),
        None => outcome.map_err(|error| raised(py, &error)),
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(
        signature = (**options),
        text_signature = "(*, base_url=None, api_key=None, contract=None, timeout=..., max_retries=None, base_delay_ms=None, retry_risky=None, pacing=None, idempotency_header=None, ca_file=None, ca_pem=None, client_cert_file=None, client_key_file=None, min_tls=None, insecure_skip_verify=None, proxy=None, no_proxy=None, headers=None, traceparent=None, user_agent=None, max_body_bytes=None, max_event_bytes=None, max_idle_connections=None, allow_http=None, environment=None)"
    )]
    fn new(py: Python<'_>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Client> {
        prepare(py)?;
        let changes = Changes::of_client(py, options)?;
        let core = Config::from_json(&changes.text()).and_then(elkapi::Client::new);
        let core = core.map_err(|error| raised(py, &error))?;
        if changes.reads_environment()? {
            log::set_up(py)?;
        }
        let core = core.with_interrupt(Some(interrupt::signals()));
        Ok(Client::made(core, vec![changes.given.unbind()]))
    }

    /// Where requests go.
    #[getter]
    fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Asks one question and waits for the whole answer.
    ///
    /// `model`: `"gemini-3.1-pro-preview"` unless given; `models()` lists them. `image`: how a picture should
    /// be. `timeout` in seconds (None means no limit), retries and header fields hold for this call;
    /// `cancel`: a token that may stop it. Every other keyword is a member of the request, such as
    /// `temperature=0.2`, and is sent as it is, however it is spelt.
    ///
    /// Raises a class of `elkapi.Error` for whatever a call can end with.
    ///
    ///     answer = client.ask("Name three seas.", temperature=0.2)
    #[pyo3(
        signature = (prompt, **arguments),
        text_signature = "($self, prompt, *, model=None, image=None, timeout=..., max_retries=None, base_delay_ms=None, retry_risky=None, idempotency_header=None, extra_headers=None, traceparent=None, cancel=None, **members)"
    )]
    fn ask<'py>(
        &self,
        py: Python<'py>,
        prompt: &Bound<'py, PyAny>,
        arguments: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Completion>> {
        let members = PyDict::new(py);
        let changes = Changes::of_call(py, "ask", arguments, Some(&members))?;
        let request = question(prompt, &members)?;
        let text = json_bytes(&request, "")?;
        let core = self.for_call(py, &changes)?;
        let cancel = changes.cancel.as_ref();
        Completion::of_core(py, waited(py, || core.chat_completions(&text, cancel))?)
    }

    /// Sends a chat request and waits for the whole answer.
    ///
    /// `request`: a dict, or JSON text as str or bytes; it reaches the wire as it is. `timeout` in
    /// seconds (None means no limit), retries and header fields hold for this call; `cancel`: a token
    /// that may stop it.
    ///
    /// Raises `InvalidArgumentError` or `TypeError` before anything is sent; otherwise a class of
    /// `elkapi.Error` for whatever a call can end with.
    ///
    ///     answer = client.chat_completions({"messages": [{"role": "user", "content": "Hello"}]})
    #[pyo3(
        signature = (request=None, **arguments),
        text_signature = "($self, request, *, timeout=..., max_retries=None, base_delay_ms=None, retry_risky=None, idempotency_header=None, extra_headers=None, traceparent=None, cancel=None)"
    )]
    fn chat_completions<'py>(
        &self,
        py: Python<'py>,
        request: Option<&Bound<'py, PyAny>>,
        arguments: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Completion>> {
        let changes = Changes::of_call(py, "chat_completions", arguments, None)?;
        let none = py.None().into_bound(py);
        let request = request.unwrap_or(&none);
        let cancel = changes.cancel.as_ref();
        if let Ok(bytes) = request.cast::<PyBytes>() {
            let core = self.for_call(py, &changes)?;
            let request = bytes.as_bytes();
            return Completion::of_core(py, waited(py, || core.chat_completions(request, cancel))?);
        }
        let text = request_text(request)?;
        let core = self.for_call(py, &changes)?;
        Completion::of_core(py, waited(py, || core.chat_completions(&text, cancel))?)
    }

    /// Sends a chat request and gives the answer bit by bit, as it is written.
    ///
    /// `request`: a dict, or JSON text as str or bytes; `"stream": true` is added where it is absent.
    /// Waits for the reply's header fields, so a refusal is raised here. `timeout` in seconds bounds the
    /// wait for the first byte and then each silence, never the whole (None means no limit); retries
    /// and header fields hold for this call; `cancel`: a token that may stop it from another thread.
    ///
    /// Raises `InvalidArgumentError` or `TypeError` before anything is sent; otherwise, here or while it
    /// is read, a class of `elkapi.Error` for whatever a stream can end with.
    ///
    ///     with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
    ///         for chunk in stream:
    ///             print(chunk.text, end="", flush=True)
    #[pyo3(
        signature = (request=None, **arguments),
        text_signature = "($self, request, *, timeout=..., max_retries=None, base_delay_ms=None, retry_risky=None, idempotency_header=None, extra_headers=None, traceparent=None, cancel=None)"
    )]
    fn stream(
        &self,
        py: Python<'_>,
        request: Option<&Bound<'_, PyAny>>,
        arguments: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Stream> {
        let changes = Changes::of_call(py, "stream", arguments, None)?;
        let none = py.None().into_bound(py);
        let request = request.unwrap_or(&none);
        let cancel = changes.cancel.as_ref();
        if let Ok(bytes) = request.cast::<PyBytes>() {
            let core = self.for_call(py, &changes)?;
            let request = bytes.as_bytes();
            return waited(py, || core.chat_completions_stream(request, cancel)).map(Stream::of_core);
        }
        let text = request_text(request)?;
        let core = self.for_call(py, &changes)?;
        waited(py, || core.chat_completions_stream(&text, cancel)).map(Stream::of_core)
    }

    /// The models list: a document whose `data` has one entry per model.
    ///
    /// `timeout` in seconds (None means no limit), retries and header fields hold for this call;
    /// `cancel`: a token that may stop it.
    ///
    /// Raises a class of `elkapi.Error` for whatever a call can end with.
    ///
    ///     for model in client.models().data:
    ///         print(model.id)
    #[pyo3(
        signature = (**arguments),
        text_signature = "($self, *, timeout=..., max_retries=None, base_delay_ms=None, retry_risky=None, idempotency_header=None, extra_headers=None, traceparent=None, cancel=None)"
    )]
    fn models<'py>(
        &self,
        py: Python<'py>,
        arguments: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Document>> {
        self._get(py, "/models", arguments)
    }

    /// The document at a path below the base URL.
    #[pyo3(signature = (path, **arguments))]
    fn _get<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        arguments: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Document>> {
        let changes = Changes::of_call(py, "models", arguments, None)?;
        let core = self.for_call(py, &changes)?;
        let cancel = changes.cancel.as_ref();
        Document::of_core(py, waited(py, || core.get(path, cancel))?)
    }

    /// A client with other limits, retries or header fields over the same connections.
    ///
    /// `timeout` in seconds, or None for no limit; `extra_headers` are merged over the client's own.
    ///
    ///     patient = client.with_options(timeout=None)
    #[pyo3(
        signature = (**arguments),
        text_signature = "($self, *, timeout=..., max_retries=None, base_delay_ms=None, retry_risky=None, idempotency_header=None, extra_headers=None, traceparent=None)"
    )]
    fn with_options(&self, py: Python<'_>, arguments: Option<&Bound<'_, PyDict>>) -> PyResult<Client> {
        let changes = Changes::of_call(py, "with_options", arguments, None)?;
        let core = changed(py, self.open(py, false)?, &changes)?;
        let mut given: Vec<_> = self.given.iter().map(|given| given.clone_ref(py)).collect();
        given.push(changes.given.unbind());
        Ok(Client::made(core, given))
    }

    /// Hands a call over to a queue: the function of that name, `ask`, `chat_completions`, `stream`,
    /// `models`, or `_get` with a path, with these arguments. `wake` is called, by `queue.drain()`, when it
    /// has gone on.
    #[pyo3(signature = (queue, wake, function, subject, arguments))]
    fn _begin<'py>(
        &self,
        py: Python<'py>,
        queue: &Bound<'py, Queue>,
        wake: Py<PyAny>,
        function: &str,
        subject: &Bound<'py, PyAny>,
        arguments: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Call>> {
        let members = PyDict::new(py);
        let rest = (function == "ask").then_some(&members);
        let changes = Changes::of_call(py, function, arguments, rest)?;
        let (work, makes) = match function {
            "models" => (Work::get("/models"), Makes::Document),
            "_get" => (Work::get(subject.extract::<String>()?), Makes::Document),
            "ask" => {
                let text = json_bytes(&question(subject, &members)?, "")?;
                (Work::chat_completions(text), Makes::Completion)
            }
            _ => {
                let bytes = match subject.cast::<PyBytes>() {
                    Ok(bytes) => bytes.as_bytes().to_vec(),
                    Err(_) => request_text(subject)?,
                };
                if function == "stream" {
                    (Work::chat_completions_stream(bytes).announced(), Makes::Stream)
                } else {
                    (Work::chat_completions(bytes), Makes::Completion)
                }
            }
        };
        let work = work.client(&self.for_queue(py, &changes)?);
        let work = match &changes.cancel {
            Some(cancel) => work.cancel(cancel),
            None => work,
        };
        Queue::submit(queue, work, makes, wake, elkapi::Cancel::new())
    }

    /// Closes the client; a call on it then raises `ClosedError`. Closing twice does nothing.
    ///
    /// Clients made from it by `with_options`, and streams that are open, go on.
    fn close(&self) {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(core);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) {
        let _ = exception;
        self.close();
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Client(base_url={})", PyString::new(py, &self.base_url).repr()?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        static UNPICKLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        slf.get().open(py, false)?;
        let unpickle = UNPICKLE.import(py, "elkapi._elkapi", "unpickle_client")?;
        (unpickle, (PyList::new(py, &slf.get().given)?,)).into_pyobject(py)
    }
}

/// A client out of a pickle.
#[pyfunction]
pub fn unpickle_client(py: Python<'_>, given: Vec<Bound<'_, PyDict>>) -> PyResult<Client> {
    let mut given = given.iter();
    let mut client = Client::new(py, given.next())?;
    for changes in given {
        client = client.with_options(py, Some(changes))?;
    }
    Ok(client)
}

/// The JSON text of a request that is not bytes.
fn request_text(request: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = request.py();
    if request.is_instance_of::<PyDict>() {
        return json_bytes(request, "");
    }
    let Ok(text) = request.cast::<PyString>() else {
        let is = type_name(request);
        let advice = if request.is_instance_of::<PyList>() {
            "; messages stand in it: {\"messages\": […]}"
        } else {
            ""
        };
        return wrong_type(format!("request must be a dict, or JSON text as str or bytes, not {is}{advice}"));
    };
    let text = text.to_string_lossy();
    if !text.trim_ascii_start().starts_with('{') {
        let detail = "The request is a str that does not begin with \"{\": a request is a JSON object. \
                      To ask a question in plain words, use ask(prompt)";
        return refused(py, Kind::InvalidArgument, detail.to_owned(), "request");
    }
    Ok(text.into_owned().into_bytes())
}

/// The request for one question.
fn question<'py>(prompt: &Bound<'py, PyAny>, members: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let py = prompt.py();
    if !prompt.is_instance_of::<PyString>() {
        let is = type_name(prompt);
        return wrong_type(format!("prompt must be str, not {is}; for messages use chat_completions"));
    }
    for name in ["messages", "contents"] {
        if members.contains(name)? {
            return Err(PyTypeError::new_err(format!(
                "ask() makes the messages from the prompt and takes no '{name}'; use chat_completions"
            )));
        }
    }
    let request = PyDict::new(py);
    let model = taken(members, "model")?;
    if let Some(model) = model.filter(|model| !model.is_none()) {
        request.set_item("model", model)?;
    }
    let message = PyDict::new(py);
    message.set_item("role", "user")?;
    message.set_item("content", prompt)?;
    request.set_item("messages", PyList::new(py, [message])?)?;
    let image = taken(members, "image")?;
    request.update(members.as_mapping())?;
    if let Some(image) = image.filter(|image| !image.is_none()) {
        let Ok(image) = image.cast::<ImageOptions>() else {
            let is = type_name(&image);
            return wrong_type(format!("image must be elkapi.ImageOptions, not {is}"));
        };
        place_image_options(&request, image.get())?;
    }
    Ok(request.into_any())
}

fn taken<'py>(members: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = members.get_item(name)?;
    if value.is_some() {
        members.del_item(name)?;
    }
    Ok(value)
}

/// Puts them under the literal member `extra_body`, as the published contract has it.
fn place_image_options(request: &Bound<'_, PyDict>, image: &ImageOptions) -> PyResult<()> {
    let py = request.py();
    let mut place = request.clone();
    let mut path = String::new();
    for name in ["extra_body", "google", "image_config"] {
        path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        // A copy, since the caller's own dicts stay as they are.
        let inner = match place.get_item(name)? {
            None => PyDict::new(py),
            Some(inner) => match inner.cast::<PyDict>() {
                Ok(inner) => inner.copy()?,
                Err(_) => {
                    let is = type_name(&inner);
                    return wrong_type(format!("{path} must be a dict where image= is given, not {is}"));
                }
            },
        };
        place.set_item(name, &inner)?;
        place = inner;
    }
    for (name, value) in [("aspect_ratio", &image.aspect_ratio), ("image_size", &image.image_size)] {
        let Some(value) = value else { continue };
        if place.contains(name)? {
            let detail = format!("{path}.{name} is given twice: in extra_body and by image=; keep one");
            return refused(py, Kind::InvalidArgument, detail, "image");
        }
        place.set_item(name, value)?;
    }
    Ok(())
}
