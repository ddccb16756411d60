//! Whole answers: the document's members, and beside them the client's own facts about the call.

use elkapi::{Attempt, Body, Completion as Answered, Error, Headers as Fields, Kind, Reply, Verdict};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::failure;
use crate::headers::Headers;
use crate::image::Image;
use crate::node::{Answer, Made, Node, Shape, known, wrapped};
use crate::structure;

/// A JSON document from the gateway, such as the models list: its members by attribute and by key,
/// and the client's own facts about the call. A member that has a fact's name is read by key.
///
///     ids = [model.id for model in client.models().data]
#[pyclass(frozen, subclass, extends = Node, module = "elkapi")]
pub struct Document {
    answer: Answer,
    /// What the core made of the document, once it was asked for.
    facts: Made,
    raw: PyOnceLock<Py<PyBytes>>,
    headers: PyOnceLock<Py<Headers>>,
}

impl Document {
    fn made(answer: Answer, facts: Made, shape: Shape) -> PyClassInitializer<Document> {
        let node = Node::of_answer(answer.clone(), shape);
        let (raw, headers) = (PyOnceLock::new(), PyOnceLock::new());
        PyClassInitializer::from(node).add_subclass(Document { answer, facts, raw, headers })
    }

    /// The Python object for a document that the core gave.
    pub fn of_core(py: Python<'_>, answer: Answered) -> PyResult<Bound<'_, Document>> {
        Bound::new(py, Document::made(Answer::Live(answer), Made::nothing(), Shape::Document))
    }

    /// A fact of that name: kept, or asked of the core and kept from now on.
    fn fact<'py>(
        &self,
        name: &Bound<'py, PyString>,
        ask: impl FnOnce(&Answered) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(value) = self.facts.get(name)? {
            return Ok(value);
        }
        let Answer::Live(answer) = &self.answer else { return Ok(name.py().None().into_bound(name.py())) };
        self.facts.keep(name, ask(answer)?)
    }
}

#[pymethods]
impl Document {
    /// HTTP status.
    #[getter]
    fn status(&self) -> u16 {
        self.answer.reply().status()
    }

    /// Header fields of the reply; names compare without regard to case.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, Headers>> {
        let make = || Py::new(py, Headers::new(self.answer.reply().headers().clone()));
        Ok(self.headers.get_or_try_init(py, make)?.bind(py))
    }

    /// The gateway's id of the request; quote it to the operator.
    #[getter]
    fn request_id(&self) -> Option<&str> {
        self.answer.reply().headers().request_id()
    }

    /// The same, under the name that the `openai` package has for it.
    #[getter]
    fn _request_id(&self) -> Option<&str> {
        self.request_id()
    }

    /// The HTTP requests made for this answer, in order; the last one succeeded.
    #[getter]
    fn attempts<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let name = intern!(slf.py(), "attempts made");
        let node = slf.as_super().get();
        if let Some(attempts) = node.kept(name)? {
            return Ok(attempts);
        }
        let list = PyList::empty(slf.py());
        for attempt in slf.get().answer.attempts() {
            let facts = PyDict::new(slf.py());
            facts.set_item("status", attempt.status)?;
            facts.set_item("kind", attempt.kind.map(Kind::name))?;
            facts.set_item("request_id", attempt.request_id.as_deref())?;
            facts.set_item("elapsed_ms", attempt.elapsed_ms)?;
            list.append(facts)?;
        }
        node.keep(name, wrapped(list.as_any(), Shape::Attempt)?)
    }

    /// How long the call took, in seconds.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.answer.elapsed_ms() as f64 / 1000.0
    }

    /// How the answer ended: `complete`, `length`, `filtered` or `tool_calls`; of a stream that did not
    /// end well `truncated`, `stalled`, `cancelled` or `failed`.
    #[getter]
    fn verdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fact(intern!(py, "verdict"), |answer| answer.verdict().name().into_bound_py_any(py))
    }

    /// The reply's bytes as they came, always the same object; empty where the answer came as a stream.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> &Bound<'py, PyBytes> {
        let bytes = if self.answer.saw_done().is_none() { self.answer.reply().body() } else { &[] };
        self.raw.get_or_init(py, || PyBytes::new(py, bytes).unbind()).bind(py)
    }

    /// The same answer with another document, for `model_copy`; the facts of the call stay.
    fn _with<'py>(slf: &Bound<'py, Self>, json: &str) -> PyResult<Bound<'py, PyAny>> {
        let (py, document) = (slf.py(), slf.get());
        let reply = document.answer.reply();
        let reply = Reply::new(reply.status(), reply.headers().clone(), Body::new(json.as_bytes().to_vec()));
        let call = (document.answer.attempts().to_vec(), document.answer.elapsed_ms());
        let answer = Answer::kept(reply, document.answer.saw_done(), call)
            .map_err(|error| PyValueError::new_err(format!("the members are not JSON: {error}")))?;
        let whole = slf.cast::<Completion>().ok();
        let shape = if whole.is_some() { Shape::Completion } else { Shape::Document };
        if let Some(completion) = whole {
            Completion::ask_all(completion)?;
        }
        document.verdict(py)?;
        let made = Document::made(answer, Made::again(document.facts.all(py)?.unbind()), shape);
        Ok(match whole {
            Some(_) => Bound::new(py, made.add_subclass(Completion))?.into_any(),
            None => Bound::new(py, made)?.into_any(),
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        static UNPICKLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let document = slf.get();
        let whole = slf.cast::<Completion>().is_ok();
        document.verdict(py)?;
        if let Ok(completion) = slf.cast::<Completion>() {
            Completion::ask_all(completion)?;
        }
        let fields: Vec<_> = document.answer.reply().headers().iter().collect();
        let attempts: Vec<_> = document
            .answer
            .attempts()
            .iter()
            .map(|a| (a.status, a.kind.map(Kind::name), a.request_id.as_deref(), a.elapsed_ms))
            .collect();
        let facts = document.facts.all(py)?;
        let body = match document.answer.saw_done() {
            None => document.raw(py).clone(),
            Some(saw_done) => {
                facts.set_item(intern!(py, "saw_done"), saw_done)?;
                PyBytes::new(py, document.answer.reply().body())
            }
        };
        let reply = (document.status(), fields, body);
        let state = (whole, reply, attempts, document.answer.elapsed_ms(), facts);
        (UNPICKLE.import(py, "elkapi._elkapi", "unpickle_answer")?, state).into_pyobject(py)
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (memo, /))]
    fn __deepcopy__(slf: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = memo;
        slf
    }
}

/// An answer to a chat request: the gateway's members by attribute and by key, shortcuts to the
/// first choice, and the client's own facts about the call. Known members that are absent are None.
///
///     answer = client.ask("Name three seas.")
///     print(answer.text, answer.usage.total_tokens, answer.request_id)
#[pyclass(frozen, extends = Document, module = "elkapi")]
pub struct Completion;

impl Completion {
    /// The Python object for an answer that the core gave.
    pub fn of_core(py: Python<'_>, answer: Answered) -> PyResult<Bound<'_, Completion>> {
        let base = Document::made(Answer::Live(answer), Made::nothing(), Shape::Completion);
        Bound::new(py, base.add_subclass(Completion))
    }

    /// The Python object for what a stream has brought so far.
    pub fn of_stream<'py>(
        py: Python<'py>,
        answer: Answered,
        ended: bool,
    ) -> PyResult<Bound<'py, Completion>> {
        let cut = !ended && answer.finish_reason().is_none();
        let completion = Completion::of_core(py, answer)?;
        if cut {
            // It may still become anything; as it is, it is a part.
            let truncated = Verdict::Truncated.name().into_bound_py_any(py)?;
            completion.as_super().get().facts.keep(intern!(py, "verdict"), truncated)?;
        }
        Ok(completion)
    }

    /// Asks the core for everything that a pickle keeps.
    fn ask_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        Completion::text(slf)?;
        Completion::text_without_images(slf)?;
        Completion::reasoning(slf)?;
        Completion::finish_reason(slf)?;
        Completion::images(slf)?;
        Completion::image_errors(slf)?;
        Ok(())
    }
}

/// A choice's index; one without counts by its place, as in the core.
fn index_of(choice: &Bound<'_, PyAny>, place: usize) -> i64 {
    let index = choice
        .cast::<Node>()
        .ok()
        .and_then(|node| node.get().member(intern!(choice.py(), "index")).ok().flatten()?.extract().ok());
    index.unwrap_or(place as i64)
}

#[pymethods]
impl Completion {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["verdict", "text"])
    }

    /// The first choice's text; `""` where there is none.
    #[getter]
    fn text<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let ask = |answer: &Answered| Ok(PyString::new(py, &answer.text()).into_any());
        slf.as_super().get().fact(intern!(py, "text"), ask)
    }

    /// The first choice's text with embedded pictures cut out.
    #[getter]
    fn text_without_images<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let ask = |answer: &Answered| answer.text_without_images().into_bound_py_any(py);
        slf.as_super().get().fact(intern!(py, "text_without_images"), ask)
    }

    /// The first choice's thoughts; `""` where there are none.
    #[getter]
    fn reasoning<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let ask = |answer: &Answered| Ok(PyString::new(py, &answer.reasoning()).into_any());
        slf.as_super().get().fact(intern!(py, "reasoning"), ask)
    }

    /// Why the first choice ended, as the server says it.
    #[getter]
    fn finish_reason<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let ask = |answer: &Answered| answer.finish_reason().into_bound_py_any(py);
        slf.as_super().get().fact(intern!(py, "finish_reason"), ask)
    }

    /// The pictures in order, decoded once. Of interim pictures the last is the final.
    #[getter]
    fn images<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let ask = |answer: &Answered| {
            // Megabytes are decoded here: other threads run meanwhile.
            let count = py.detach(|| answer.images().len());
            let images = (0..count).filter_map(|place| Image::of_answer(answer, place));
            images.collect::<Vec<_>>().into_bound_py_any(py)
        };
        slf.as_super().get().fact(intern!(py, "images"), ask)
    }

    /// Number of pictures whose data could not be decoded.
    #[getter]
    fn image_errors<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let ask = |answer: &Answered| py.detach(|| answer.image_errors()).into_bound_py_any(py);
        slf.as_super().get().fact(intern!(py, "image_errors"), ask)
    }

    /// All choices, lowest index first.
    #[getter]
    fn choices<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, node) = (slf.py(), slf.as_super().as_super().get());
        let Some(choices) = node.member(intern!(py, "choices"))? else { return Ok(None) };
        let Ok(list) = choices.cast::<PyList>() else { return Ok(Some(choices)) };
        let mut order: Vec<_> =
            list.iter().enumerate().map(|(place, choice)| (index_of(&choice, place), choice)).collect();
        if order.is_sorted_by_key(|(index, _)| *index) {
            return Ok(Some(choices));
        }
        let name = intern!(py, "choices in order");
        if let Some(sorted) = node.kept(name)? {
            return Ok(Some(sorted));
        }
        order.sort_by_key(|(index, _)| *index);
        let sorted = PyList::new(py, order.into_iter().map(|(_, choice)| choice))?;
        node.keep(name, sorted.into_any()).map(Some)
    }

    /// The first choice's tool calls; an empty list where there are none.
    #[getter]
    fn tool_calls<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let calls = match first_message(slf)? {
            Some(message) => message.get().member(intern!(py, "tool_calls"))?,
            None => None,
        };
        let node = slf.as_super().as_super().get();
        match calls.filter(|calls| calls.is_instance_of::<PyList>()) {
            Some(calls) => Ok(calls),
            None => node.keep(intern!(py, "no tool calls"), PyList::empty(py).into_any()),
        }
    }

    /// Whether the closing `[DONE]` of a stream came; None for an answer that came whole.
    #[getter]
    fn saw_done(slf: &Bound<'_, Self>) -> Option<bool> {
        slf.as_super().get().answer.saw_done()
    }

    /// Token counts, where the server gave them.
    #[getter]
    fn usage<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "usage"))
    }

    /// The answer's id.
    #[getter]
    fn id<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "id"))
    }

    /// The model that answered, as the server names it.
    #[getter]
    fn model<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "model"))
    }

    /// When the answer was made, in seconds since 1970.
    #[getter]
    fn created<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "created"))
    }

    /// `"chat.completion"`.
    #[getter]
    fn object<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "object"))
    }

    /// The tier of service that the server used, where it tells.
    #[getter]
    fn service_tier<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "service_tier"))
    }

    /// The server's name for its own state.
    #[getter]
    fn system_fingerprint<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        known(slf.as_super().as_super(), intern!(slf.py(), "system_fingerprint"))
    }

    /// The text read as JSON by a pydantic model, or by a `TypeAdapter`: an instance of the model.
    ///
    /// `ask(…, response_format=Model)`, or the class as the request's member, makes the model write that.
    ///
    /// Raises what the model raises, with pydantic `ValidationError`, where the text does not fit; where it
    /// was cut off, `APIResponseValidationError` (kind `decode`).
    #[pyo3(signature = (model, /))]
    fn parse<'py>(slf: &Bound<'py, Self>, model: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let text = Completion::text(slf)?.cast_into::<PyString>()?;
        structure::validated(model, &text).or_else(|misfit| {
            let verdict = slf.as_super().get().verdict(py)?.to_string();
            if matches!(verdict.as_str(), "complete" | "tool_calls")
                || misfit.is_instance_of::<PyTypeError>(py)
            {
                return Err(misfit);
            }
            let detail = format!("The answer is not whole: it ended with the verdict {verdict}");
            let refused = failure::raised(py, &Error::new(Kind::Decode, detail));
            refused.set_cause(py, Some(misfit));
            Err(refused)
        })
    }

    /// The first choice's message as a plain dict, to be appended to `messages`.
    ///
    /// It is what the server sent, without thoughts and without members that are null.
    fn to_message<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let message = PyDict::new(py);
        message.set_item("role", "assistant")?;
        message.set_item("content", py.None())?;
        if let Some(first) = first_message(slf)? {
            for pair in first.get().plain(py)?.items() {
                let (name, value) = pair.extract::<(String, Bound<'_, PyAny>)>()?;
                if !value.is_none() && name != "reasoning" && name != "reasoning_content" {
                    message.set_item(name, value)?;
                }
            }
        }
        Ok(message)
    }
}

fn first_message<'py>(completion: &Bound<'py, Completion>) -> PyResult<Option<Bound<'py, Node>>> {
    let choices = Completion::choices(completion)?;
    let first = choices.and_then(|choices| choices.cast::<PyList>().ok()?.iter().next());
    let Some(Ok(first)) = first.map(|first| first.cast_into::<Node>()) else { return Ok(None) };
    let message = first.get().member(intern!(completion.py(), "message"))?;
    Ok(message.and_then(|message| message.cast_into::<Node>().ok()))
}

type KeptAttempt = (Option<u16>, Option<String>, Option<String>, u64);

/// An answer out of a pickle.
#[pyfunction]
pub fn unpickle_answer<'py>(
    py: Python<'py>,
    whole: bool,
    reply: (u16, Vec<(String, String)>, Bound<'py, PyBytes>),
    attempts: Vec<KeptAttempt>,
    elapsed_ms: u64,
    facts: Py<PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let (status, fields, raw) = reply;
    let fields: Fields = fields.into_iter().collect();
    let reply = Reply::new(status, fields, Body::new(raw.as_bytes().to_vec()));
    let saw_done = facts.bind(py).get_item(intern!(py, "saw_done"))?;
    let saw_done = saw_done.map(|saw_done| saw_done.extract()).transpose()?;
    let attempts = attempts.into_iter().map(|(status, kind, request_id, elapsed_ms)| Attempt {
        status,
        kind: kind.and_then(|name| Kind::ALL.iter().copied().find(|kind| kind.name() == name)),
        request_id,
        elapsed_ms,
    });
    let answer = Answer::kept(reply, saw_done, (attempts.collect(), elapsed_ms))
        .map_err(|error| PyValueError::new_err(format!("the pickled answer is not JSON: {error}")))?;
    let facts = Made::again(facts);
    if !whole {
        return Ok(Bound::new(py, Document::made(answer, facts, Shape::Document))?.into_any());
    }
    let made = Document::made(answer, facts, Shape::Completion);
    Ok(Bound::new(py, made.add_subclass(Completion))?.into_any())
}
