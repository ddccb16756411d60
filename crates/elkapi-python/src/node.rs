//! The places of an answer as Python objects: known members by getter, all by name and by key.
//!
//! A node stands on a plain dict, or on the JSON of an answer or of an event, whose members are converted
//! one by one when they are looked at; of an event that holds at every depth. What was wrapped once stays
//! the same object.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use elkapi::json::{self, Type, View};
use elkapi::{Attempt as Attempted, Completion as Answered};
use elkapi::{Kind, Reply};
use pyo3::exceptions::{PyAttributeError, PyKeyError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PySet, PyString, PyTuple};

use crate::decode;
use crate::encode::json_text;
use crate::failure::refused;
use crate::structure;

/// Which class a place is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any document, such as the models list.
    Document,
    /// A chat completion.
    Completion,
    /// An element of `choices`.
    Choice,
    /// An event of a stream.
    Chunk,
    /// An element of an event's `choices`.
    ChunkChoice,
    /// A choice's `message`, or its `delta`.
    Message,
    /// The token counts.
    Usage,
    /// What token counts are made of.
    TokenDetails,
    /// Log probabilities of a choice.
    Logprobs,
    /// An element of `tool_calls`.
    ToolCall,
    /// A tool call's `function`.
    Function,
    /// One HTTP request of a call.
    Attempt,
    /// Everything else.
    Node,
}

impl Shape {
    /// The member that leads to an event's content.
    fn way(self) -> Option<&'static str> {
        match self {
            Shape::Chunk => Some("choices"),
            Shape::ChunkChoice => Some("delta"),
            Shape::Message => Some("content"),
            _ => None,
        }
    }

    /// The shape of the member of that name, or of its elements.
    fn member(self, name: &str) -> Shape {
        match (self, name) {
            (Shape::Completion, "choices") => Shape::Choice,
            (Shape::Chunk, "choices") => Shape::ChunkChoice,
            (Shape::Completion | Shape::Chunk, "usage") => Shape::Usage,
            (Shape::Choice | Shape::ChunkChoice, "message") | (Shape::ChunkChoice, "delta") => Shape::Message,
            (Shape::Message, "tool_calls") => Shape::ToolCall,
            (Shape::Usage, "prompt_tokens_details" | "completion_tokens_details") => Shape::TokenDetails,
            (Shape::Choice | Shape::ChunkChoice, "logprobs") => Shape::Logprobs,
            (Shape::ToolCall, "function") | (Shape::Message, "function_call") => Shape::Function,
            _ => Shape::Node,
        }
    }

    /// Whether its class knows the member by name.
    fn knows(self, name: &str) -> bool {
        const ANSWERS: &[&str] =
            &["id", "choices", "created", "model", "object", "service_tier", "system_fingerprint", "usage"];
        let members = match self {
            Shape::Completion | Shape::Chunk => ANSWERS,
            Shape::Choice => Choice::MEMBERS,
            Shape::ChunkChoice if name == "delta" => return true,
            Shape::ChunkChoice => ChunkChoice::MEMBERS,
            Shape::Message => Message::MEMBERS,
            Shape::Usage => Usage::MEMBERS,
            Shape::TokenDetails => TokenDetails::MEMBERS,
            Shape::Logprobs => Logprobs::MEMBERS,
            Shape::ToolCall => ToolCall::MEMBERS,
            Shape::Function => Function::MEMBERS,
            Shape::Attempt => Attempt::MEMBERS,
            Shape::Node | Shape::Document => &[],
        };
        members.contains(&name)
    }
}

/// A whole answer: from a call, or from a pickle.
#[derive(Clone)]
pub enum Answer {
    /// As the core gave it.
    Live(Answered),
    /// Read again from its bytes.
    Kept(Arc<Kept>),
}

/// The bytes of an answer, the document in them, and the facts of its call.
pub struct Kept {
    reply: Reply,
    document: json::Document,
    saw_done: Option<bool>,
    attempts: Vec<Attempted>,
    elapsed_ms: u64,
}

impl Answer {
    /// Reads an answer's bytes again; `call`: its attempts, and how long it took in milliseconds.
    pub fn kept(
        reply: Reply,
        saw_done: Option<bool>,
        call: (Vec<Attempted>, u64),
    ) -> Result<Answer, json::NotJson> {
        let document = json::Document::of_reply(&reply)?;
        let (attempts, elapsed_ms) = call;
        Ok(Answer::Kept(Arc::new(Kept { reply, document, saw_done, attempts, elapsed_ms })))
    }

    /// The HTTP requests made for it.
    pub fn attempts(&self) -> &[Attempted] {
        match self {
            Answer::Live(answer) => answer.attempts(),
            Answer::Kept(kept) => &kept.attempts,
        }
    }

    /// How long the call took, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        match self {
            Answer::Live(answer) => answer.elapsed_ms(),
            Answer::Kept(kept) => kept.elapsed_ms,
        }
    }

    /// Whether the closing `[DONE]` of a stream came; None for an answer that came whole.
    pub fn saw_done(&self) -> Option<bool> {
        match self {
            Answer::Live(answer) => answer.saw_done(),
            Answer::Kept(kept) => kept.saw_done,
        }
    }

    /// The reply behind it; of a stream its body is the folded document.
    pub fn reply(&self) -> &Reply {
        match self {
            Answer::Live(answer) => answer.reply(),
            Answer::Kept(kept) => &kept.reply,
        }
    }

    /// The whole document.
    pub fn root(&self) -> View<'_> {
        match self {
            Answer::Live(answer) => answer.root(),
            Answer::Kept(kept) => kept.document.root(),
        }
    }
}

enum Source {
    Members(Py<PyDict>),
    Answer(Answer),
    /// An object in the JSON of an event, which the core found to be well-formed.
    Event(Arc<str>, Range<usize>),
    /// The event, its only choice or that choice's delta, whose content the core knows: on the way to it
    /// nothing need be read. Which of the three, the shape tells.
    Way(Arc<str>, Py<PyString>),
}

/// A JSON object of an answer: members by attribute (`node.name`) and by key (`node["name"]`).
///
/// An attribute that the object does not have raises `AttributeError`, a key `KeyError`; members
/// that a class knows by name are None where they are absent.
#[pyclass(frozen, subclass, module = "elkapi")]
pub struct Node {
    shape: Shape,
    source: Source,
    made: Made,
}

/// What was made once, by name. Most objects are asked for one member alone: it needs no dict.
///
/// These locks, unlike pyo3's, never let go of the interpreter, and no Python code runs in them.
pub struct Made {
    first: OnceLock<(Py<PyString>, Py<PyAny>)>,
    more: OnceLock<Py<PyDict>>,
}

impl Made {
    /// Nothing yet.
    pub fn nothing() -> Made {
        Made { first: OnceLock::new(), more: OnceLock::new() }
    }

    /// What a pickle kept.
    pub fn again(kept: Py<PyDict>) -> Made {
        Made { first: OnceLock::new(), more: OnceLock::from(kept) }
    }

    /// All of it, as a dict of its own.
    pub fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = self.more.get().map_or_else(|| Ok(PyDict::new(py)), |more| more.bind(py).copy())?;
        if let Some((first, value)) = self.first.get() {
            all.set_item(first, value)?;
        }
        Ok(all)
    }

    /// What is kept under that name.
    pub fn get<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = name.py();
        if let Some((first, value)) = self.first.get()
            && is_same(first.bind(py), name)?
        {
            return Ok(Some(value.bind(py).clone()));
        }
        self.more.get().map_or(Ok(None), |more| more.bind(py).get_item(name))
    }

    /// The value that is kept under that name: of two threads the first one's.
    pub fn keep<'py>(
        &self,
        name: &Bound<'py, PyString>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        if self.first.get().is_none()
            && self.first.set((name.clone().unbind(), value.clone().unbind())).is_ok()
        {
            return Ok(value);
        }
        if let Some((first, kept)) = self.first.get()
            && is_same(first.bind(py), name)?
        {
            return Ok(kept.bind(py).clone());
        }
        let more = kept_in(&self.more, || PyDict::new(py).unbind()).bind(py);
        more.set_default(name, &value)?;
        Ok(more.get_item(name)?.unwrap_or(value))
    }
}

/// What a lock has, made outside of it.
pub fn kept_in<T>(lock: &OnceLock<T>, make: impl FnOnce() -> T) -> &T {
    if lock.get().is_none() {
        let _ = lock.set(make());
    }
    lock.wait()
}

fn is_same(one: &Bound<'_, PyString>, other: &Bound<'_, PyString>) -> PyResult<bool> {
    // Names of attributes are interned: most often it is the same object.
    if one.is(other) { Ok(true) } else { one.as_any().eq(other) }
}

enum Root<'a> {
    Members(&'a Py<PyDict>),
    Answer(View<'a>),
    Event(&'a str),
}

impl Node {
    fn new_of(shape: Shape, source: Source) -> Node {
        Node { shape, source, made: Made::nothing() }
    }

    pub fn of_members(members: Bound<'_, PyDict>, shape: Shape) -> Node {
        Node::new_of(shape, Source::Members(members.unbind()))
    }

    /// Of a whole answer.
    pub fn of_answer(answer: Answer, shape: Shape) -> Node {
        Node::new_of(shape, Source::Answer(answer))
    }

    /// Of the JSON of an event, well-formed but for a byte order mark and white space around. `content`: what
    /// its only choice's delta has by that name, where the core knows.
    pub fn of_event(json: &str, content: Option<&Bound<'_, PyString>>) -> Node {
        let event = Arc::from(json);
        Node::new_of(
            Shape::Chunk,
            match content {
                Some(content) => Source::Way(event, content.clone().unbind()),
                None => Source::Event(event, place_in(json, object_of(json))),
            },
        )
    }

    /// The JSON of the event that it stands on, as it came; empty for another source.
    pub fn event(&self) -> &str {
        if let Source::Event(event, _) | Source::Way(event, _) = &self.source { event } else { "" }
    }

    /// The JSON that it stands on, or the dict.
    fn root(&self) -> Root<'_> {
        match &self.source {
            Source::Members(members) => Root::Members(members),
            Source::Answer(answer) => Root::Answer(answer.root()),
            Source::Event(event, place) => Root::Event(&event[place.clone()]),
            Source::Way(event, _) => Root::Event(on_the_way(event, self.shape)),
        }
    }

    /// The member of that name, always the same object.
    pub fn member<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = name.py();
        if let Some(value) = self.made.get(name)? {
            return Ok(Some(value));
        }
        // A name with lone surrogates is in no JSON.
        let text = name.to_str().ok();
        let shape = text.map_or(Shape::Node, |text| self.shape.member(text));
        let value = match &self.source {
            Source::Members(members) => {
                let found = members.bind(py).get_item(name)?;
                found.map(|value| wrapped(&value, shape)).transpose()?
            }
            Source::Answer(answer) => {
                let found = text.and_then(|text| answer.root().get(text));
                found.map(|view| wrapped(&decode::value(py, view)?, shape)).transpose()?
            }
            Source::Way(event, content) if text == self.shape.way() => {
                Some(further(py, event, content, shape)?)
            }
            Source::Event(event, _) | Source::Way(event, _) => {
                let Root::Event(object) = self.root() else { return Ok(None) };
                let found = text.and_then(|text| last_member(object, text));
                found.map(|value| in_event(py, event, value, shape, 0)).transpose()?
            }
        };
        value.map(|value| self.made.keep(name, value)).transpose()
    }

    /// The value that is kept under that name: of two threads the first one's.
    pub fn keep<'py>(
        &self,
        name: &Bound<'py, PyString>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.made.keep(name, value)
    }

    /// What is kept under that name.
    pub fn kept<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.made.get(name)
    }

    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let names = PyDict::new(py);
        let mut outcome = Ok(());
        let mut add = |name: &str| {
            if outcome.is_ok() {
                outcome = names.set_item(name, py.None());
            }
        };
        match self.root() {
            Root::Members(members) => return Ok(members.bind(py).keys()),
            Root::Answer(root) => root.members().for_each(|(name, _)| add(name)),
            Root::Event(root) => {
                json::each_member(root, &mut |name, _| add(&name));
            }
        }
        outcome.map(|()| names.keys())
    }

    /// A plain dict of its own.
    pub fn plain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let plain = match self.root() {
            Root::Members(members) => plain(members.bind(py))?,
            Root::Answer(root) => decode::value(py, root)?,
            Root::Event(root) => decode::value(py, root)?,
        };
        Ok(plain.cast_into::<PyDict>().unwrap_or_else(|_| PyDict::new(py)))
    }
}

/// Where a piece of a text stands in it.
fn place_in(text: &str, piece: &str) -> Range<usize> {
    let start = piece.as_ptr() as usize - text.as_ptr() as usize;
    start..start + piece.len()
}

/// The object that an event is, without a byte order mark and white space.
fn object_of(event: &str) -> &str {
    event.trim_start_matches('\u{feff}').trim_ascii()
}

/// The place of that shape on the way to an event's content.
fn on_the_way(event: &str, shape: Shape) -> &str {
    let event = object_of(event);
    let choice = || {
        let mut first = None;
        json::each_item(last_member(event, "choices")?, &mut |choice| {
            first.get_or_insert(choice);
        });
        first
    };
    let place = match shape {
        Shape::Chunk => Some(event),
        Shape::ChunkChoice => choice(),
        _ => choice().and_then(|choice| last_member(choice, "delta")),
    };
    place.unwrap_or("{}")
}

/// What comes next on that way, of that shape: the list with the only choice, its delta, or the content.
fn further<'py>(
    py: Python<'py>,
    event: &Arc<str>,
    content: &Py<PyString>,
    shape: Shape,
) -> PyResult<Bound<'py, PyAny>> {
    let node = || bound(py, Node::new_of(shape, Source::Way(event.clone(), content.clone_ref(py))));
    match shape {
        Shape::ChunkChoice => Ok(PyList::new(py, [node()?])?.into_any()),
        Shape::Message => node(),
        _ => Ok(content.bind(py).clone().into_any()),
    }
}

/// Of repeated members the last wins.
fn last_member<'a>(object: &'a str, wanted: &str) -> Option<&'a str> {
    let mut found = None;
    json::each_member(object, &mut |name, value| {
        if name == wanted {
            found = Some(value);
        }
    });
    found
}

/// A value of an event: objects as nodes that are not read before somebody looks, lists element by
/// element.
fn in_event<'py>(
    py: Python<'py>,
    event: &Arc<str>,
    value: &str,
    shape: Shape,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    match Type::of(value) {
        Type::Object => bound(py, Node::new_of(shape, Source::Event(event.clone(), place_in(event, value)))),
        Type::Array => {
            decode::check_depth(py, depth)?;
            let mut items = Ok(Vec::new());
            json::each_item(value, &mut |item| {
                decode::push(&mut items, || in_event(py, event, item, shape, depth + 1));
            });
            Ok(PyList::new(py, items?)?.into_any())
        }
        _ => decode::value(py, value),
    }
}

/// Lists and dicts copied all the way down.
fn plain<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Ok(members) = value.cast::<PyDict>() {
        let copy = PyDict::new(py);
        for pair in members.items() {
            let (name, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            copy.set_item(name, plain(&value)?)?;
        }
        return Ok(copy.into_any());
    }
    if let Ok(list) = value.cast::<PyList>() {
        let copy = list.iter().map(|item| plain(&item)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyList::new(py, copy)?.into_any());
    }
    if let Ok(node) = value.cast::<Node>() {
        return Ok(node.get().plain(py)?.into_any());
    }
    Ok(value.clone())
}

/// Removes what is None, all the way down.
fn drop_none(value: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(members) = value.cast::<PyDict>() {
        for pair in members.items() {
            let (name, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            if value.is_none() {
                members.del_item(name)?;
            } else {
                drop_none(&value)?;
            }
        }
    } else if let Ok(list) = value.cast::<PyList>() {
        for item in list {
            drop_none(&item)?;
        }
    }
    Ok(())
}

/// Dicts as nodes of that shape, lists element by element, everything else as it is.
pub fn wrapped<'py>(value: &Bound<'py, PyAny>, shape: Shape) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Ok(list) = value.cast_exact::<PyList>() {
        let items = list.iter().map(|item| wrapped(&item, shape)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyList::new(py, items)?.into_any());
    }
    let Ok(members) = value.cast_exact::<PyDict>() else { return Ok(value.clone()) };
    bound(py, Node::of_members(members.clone(), shape))
}

/// The Python object of the class that its shape is read by.
fn bound(py: Python<'_>, node: Node) -> PyResult<Bound<'_, PyAny>> {
    let shape = node.shape;
    let base = PyClassInitializer::from(node);
    Ok(match shape {
        Shape::Choice => Bound::new(py, base.add_subclass(Choice))?.into_any(),
        Shape::ChunkChoice => Bound::new(py, base.add_subclass(ChunkChoice))?.into_any(),
        Shape::Message => Bound::new(py, base.add_subclass(Message))?.into_any(),
        Shape::Usage => Bound::new(py, base.add_subclass(Usage))?.into_any(),
        Shape::TokenDetails => Bound::new(py, base.add_subclass(TokenDetails))?.into_any(),
        Shape::Logprobs => Bound::new(py, base.add_subclass(Logprobs))?.into_any(),
        Shape::ToolCall => Bound::new(py, base.add_subclass(ToolCall))?.into_any(),
        Shape::Function => Bound::new(py, base.add_subclass(Function))?.into_any(),
        Shape::Attempt => Bound::new(py, base.add_subclass(Attempt))?.into_any(),
        Shape::Node | Shape::Document | Shape::Completion | Shape::Chunk => Bound::new(py, base)?.into_any(),
    })
}

/// Characters of a text that a repr shows.
const SHOWN: usize = 80;

/// A value for a person: long texts, pictures in base64 among them, are cut.
fn shown(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        let length = text.len()?;
        if length <= SHOWN {
            return Ok(text.repr()?.to_string());
        }
        let head: String = text.to_string_lossy().chars().take(SHOWN / 2).collect();
        let head = PyString::new(value.py(), &head).repr()?.to_string();
        return Ok(format!("{}…{} ({length} characters)", &head[..head.len() - 1], &head[head.len() - 1..]));
    }
    if depth > 6 {
        return Ok("…".to_owned());
    }
    if let Ok(list) = value.cast::<PyList>() {
        let mut items =
            list.iter().take(10).map(|item| shown(&item, depth + 1)).collect::<PyResult<Vec<_>>>()?;
        if list.len() > items.len() {
            items.push(format!("… {} more", list.len() - items.len()));
        }
        return Ok(format!("[{}]", items.join(", ")));
    }
    match value.cast::<Node>() {
        Ok(node) => shown_node(node, depth),
        Err(_) => Ok(value.repr()?.to_string()),
    }
}

fn shown_node(node: &Bound<'_, Node>, depth: usize) -> PyResult<String> {
    let mut members = Vec::new();
    for name in node.get().names(node.py())? {
        let name = name.cast_into::<PyString>()?;
        if let Some(value) = node.get().member(&name)? {
            members.push(format!("{name}={}", shown(&value, depth + 1)?));
        }
    }
    Ok(format!("{}({})", node.get_type().name()?, members.join(", ")))
}

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (members, /))]
    fn new(members: &Bound<'_, PyDict>) -> PyResult<Node> {
        Ok(Node::of_members(plain(members)?.cast_into::<PyDict>()?, Shape::Node))
    }

    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().member(name)?.map_or_else(
            || {
                let class = slf.get_type().name()?;
                Err(PyAttributeError::new_err(format!("'{class}' object has no attribute '{name}'")))
            },
            Ok,
        )
    }

    fn __getitem__<'py>(&self, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let found = match name.cast::<PyString>() {
            Ok(name) => self.member(name)?,
            Err(_) => None,
        };
        found.ok_or_else(|| PyKeyError::new_err(name.clone().unbind()))
    }

    /// The member of that name, else `default`.
    #[pyo3(signature = (name, default=None, /))]
    fn get<'py>(
        &self,
        name: &Bound<'py, PyString>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.member(name)?.or(default))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        match name.cast::<PyString>() {
            Ok(name) => Ok(self.member(name)?.is_some()),
            Err(_) => Ok(false),
        }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.names(py)?.try_iter()?.into_any())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.names(py)?.len())
    }

    /// A node without members is still there.
    fn __bool__(&self) -> bool {
        true
    }

    /// The names of all members, in the order of the reply.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.names(py)
    }

    /// All members as pairs of name and value, in the order of the reply.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let pairs = PyList::empty(py);
        for name in self.names(py)? {
            pairs.append((&name, self.member(name.cast()?)?))?;
        }
        Ok(pairs)
    }

    /// The values of all members, in the order of the reply.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
        self.names(py)?.iter().map(|name| self.member(name.cast()?)).collect()
    }

    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let own = slf.py().get_type::<PyAny>().call_method1("__dir__", (slf,))?;
        own.call_method1("__add__", (slf.get().names(slf.py())?,))
    }

    /// All members as a new plain dict, nested ones too; with `exclude_none` without those that are None.
    /// The other keywords are those of the `openai` package and change nothing.
    #[pyo3(signature = (*, exclude_none=false, **others))]
    fn to_dict<'py>(
        &self,
        py: Python<'py>,
        exclude_none: bool,
        others: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.model_dump(py, None, None, exclude_none, others)
    }

    /// The object as JSON text, of a whole answer or event as the server wrote it.
    ///
    /// With `indent` it is laid out anew, with that many spaces a level; with `exclude_none` it is without
    /// what is null. The other keywords are those of the `openai` package and change nothing.
    #[pyo3(signature = (*, indent=None, exclude_none=false, **others))]
    fn to_json(
        &self,
        py: Python<'_>,
        indent: Option<usize>,
        exclude_none: bool,
        others: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<String> {
        self.model_dump_json(py, indent, None, None, exclude_none, others)
    }

    /// As `to_dict`, with only the members that `include` names, or without those that `exclude` names;
    /// with `exclude_none` without those that are None at any depth. The name and keywords of pydantic's
    /// method; the other ones change nothing here: what the server did not send is not filled in.
    #[pyo3(signature = (*, include=None, exclude=None, exclude_none=false, **others))]
    fn model_dump<'py>(
        &self,
        py: Python<'py>,
        include: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
        exclude_none: bool,
        others: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        check_dump_keywords(others)?;
        let members = self.plain(py)?;
        if let Some(include) = include {
            let wanted = names_of(include)?;
            for name in members.keys() {
                if !wanted.contains(&name)? {
                    members.del_item(&name)?;
                }
            }
        }
        if let Some(exclude) = exclude {
            for name in names_of(exclude)? {
                if members.contains(&name)? {
                    members.del_item(&name)?;
                }
            }
        }
        if exclude_none {
            drop_none(&members)?;
        }
        Ok(members)
    }

    /// As `to_json`, with the keywords of `model_dump`; the name of pydantic's method.
    #[pyo3(signature = (*, indent=None, include=None, exclude=None, exclude_none=false, **others))]
    fn model_dump_json(
        &self,
        py: Python<'_>,
        indent: Option<usize>,
        include: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
        exclude_none: bool,
        others: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<String> {
        check_dump_keywords(others)?;
        let is_whole = include.is_none() && exclude.is_none() && !exclude_none;
        match self.root() {
            Root::Answer(root) if is_whole && indent.is_none() => return Ok(root.raw().to_owned()),
            Root::Event(root) if is_whole && indent.is_none() && self.shape == Shape::Chunk => {
                return Ok(root.to_owned());
            }
            _ => {}
        }
        let members = self.model_dump(py, include, exclude, exclude_none, None)?;
        if indent.is_none() {
            return json_text(&members, "the object");
        }
        let layout = PyDict::new(py);
        layout.set_item("indent", indent)?;
        layout.set_item("ensure_ascii", false)?;
        py.import("json")?.call_method("dumps", (members,), Some(&layout))?.extract()
    }

    /// A copy with other members: those of `update` replace or join what the server sent. Without, the
    /// same object, which cannot change; `deep` changes nothing.
    #[pyo3(signature = (*, update=None, deep=false))]
    fn model_copy<'py>(
        slf: &Bound<'py, Self>,
        update: Option<&Bound<'py, PyMapping>>,
        deep: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = deep;
        let Some(update) = update else { return Ok(slf.clone().into_any()) };
        let py = slf.py();
        let members = slf.get().plain(py)?;
        members.update(update)?;
        match slf.get().shape {
            Shape::Document | Shape::Completion | Shape::Chunk => {
                slf.call_method1(intern!(py, "_with"), (json_text(&members, "update")?,))
            }
            _ => slf.get_type().call1((plain(members.as_any())?,)),
        }
    }

    /// The members that the class does not know by name.
    #[getter]
    fn model_extra<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let extra = PyDict::new(py);
        for name in self.names(py)? {
            let name = name.cast_into::<PyString>()?;
            if !self.shape.knows(&name.to_string_lossy()) {
                extra.set_item(&name, self.member(&name)?)?;
            }
        }
        Ok(extra)
    }

    /// The names of all members, as a set.
    #[getter]
    fn model_fields_set<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        PySet::new(py, self.names(py)?)
    }

    /// Keeps a value under a name beside the members, for `elkapi.openai`.
    fn _keep(&self, name: &Bound<'_, PyString>, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.keep(name, value).map(drop)
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        match other.cast::<Node>() {
            Ok(node) if node.get_type().is(slf.get_type()) => {
                slf.get().plain(py)?.eq(node.get().plain(py)?)
            }
            _ => Ok(false),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        shown_node(slf, 0)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        (slf.get_type(), (slf.get().plain(slf.py())?,)).into_pyobject(slf.py())
    }
}

/// Keywords of pydantic's methods, and of the `openai` package's, that change nothing here.
const DUMP_KEYWORDS: &[&str] = &[
    "by_alias",
    "context",
    "ensure_ascii",
    "exclude_computed_fields",
    "exclude_defaults",
    "exclude_unset",
    "fallback",
    "mode",
    "round_trip",
    "serialize_as_any",
    "use_api_names",
    "warnings",
];

fn check_dump_keywords(others: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    for name in others.into_iter().flat_map(|others| others.keys()) {
        if !DUMP_KEYWORDS.iter().any(|known| name.eq(known).unwrap_or(false)) {
            return Err(PyTypeError::new_err(format!("got an unexpected keyword argument {}", name.repr()?)));
        }
    }
    Ok(())
}

/// The names in a set, a list or the keys of a dict.
fn names_of<'py>(names: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(names.py(), names.try_iter()?.collect::<PyResult<Vec<_>>>()?)
}

/// The member of that name, or None.
pub fn known<'py>(
    node: &Bound<'py, Node>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    node.get().member(name)
}

/// A class over [`Node`]: its known members, what `match` takes by position, and methods of its own.
macro_rules! node_class {
    (
        $(#[$class_doc:meta])* $class:ident matches($($matched:literal),*);
        $($(#[$doc:meta])* $name:literal $getter:ident;)*
        { $($own:tt)* }
    ) => {
        $(#[$class_doc])*
        #[pyclass(frozen, extends = Node, module = "elkapi")]
        pub struct $class;

        impl $class {
            /// The members that have a getter of that name here.
            const MEMBERS: &'static [&'static str] = &[$($name),*];
        }

        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (members, /))]
            fn new(members: &Bound<'_, PyDict>) -> PyResult<PyClassInitializer<$class>> {
                let members = plain(members)?.cast_into::<PyDict>()?;
                let base = PyClassInitializer::from(Node::of_members(members, Shape::$class));
                Ok(base.add_subclass($class))
            }

            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
                PyTuple::new(py, [$($matched),*])
            }

            $(
                $(#[$doc])*
                #[getter]
                #[pyo3(name = $name)]
                fn $getter<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
                    known(slf.as_super(), intern!(slf.py(), $name))
                }
            )*

            $($own)*
        }
    };
}

node_class! {
    /// One choice of an answer.
    Choice matches("index", "message");
    /// Its index as the server gives it.
    "index" index;
    /// The message.
    "message" message;
    /// Why the choice ended: `"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`, …
    "finish_reason" finish_reason;
    /// Log probabilities, where asked for.
    "logprobs" logprobs;
    {}
}

node_class! {
    /// One choice of a stream's event.
    ChunkChoice matches("index", "delta");
    /// Its index as the server gives it.
    "index" index;
    /// Why the choice ended; None until it has.
    "finish_reason" finish_reason;
    /// Log probabilities, where asked for.
    "logprobs" logprobs;
    {
        /// What the event adds to the message; a message without members where it adds nothing.
        #[getter]
        fn delta<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
            let (py, node) = (slf.py(), slf.as_super().get());
            // A whole reply to a stream request has a message instead.
            for name in [intern!(py, "delta"), intern!(py, "message")] {
                if let Some(delta) = node.member(name)?.filter(|delta| delta.is_instance_of::<Message>()) {
                    return Ok(delta);
                }
            }
            let nothing = wrapped(PyDict::new(py).as_any(), Shape::Message)?;
            node.keep(intern!(py, "no delta"), nothing)
        }
    }
}

node_class! {
    /// The message of a choice, or the piece of it that an event of a stream brings.
    Message matches("role", "content");
    /// Who speaks: `"assistant"`.
    "role" role;
    /// The text, a list of parts, or None.
    "content" content;
    /// What the model says instead of an answer, where it refuses.
    "refusal" refusal;
    /// Tool calls the model asks for.
    "tool_calls" tool_calls;
    /// The model's thoughts.
    "reasoning_content" reasoning_content;
    /// The model's thoughts, under the name some servers use.
    "reasoning" reasoning;
    /// Pictures as some servers send them; `answer.images` has them decoded.
    "images" images;
    /// Sources and other notes on the text.
    "annotations" annotations;
    /// Spoken answer, where asked for.
    "audio" audio;
    /// A function call of the old form.
    "function_call" function_call;
    {}
}

node_class! {
    /// Token counts as the server gives them; what is absent is None, never 0.
    Usage matches("prompt_tokens", "completion_tokens", "total_tokens");
    /// Tokens of the request.
    "prompt_tokens" prompt_tokens;
    /// Tokens of the answer, thoughts included.
    "completion_tokens" completion_tokens;
    /// Both together.
    "total_tokens" total_tokens;
    /// What the request's tokens are made of.
    "prompt_tokens_details" prompt_tokens_details;
    /// What the answer's tokens are made of.
    "completion_tokens_details" completion_tokens_details;
    {}
}

node_class! {
    /// What token counts are made of, as the server gives it; what is absent is None, never 0.
    TokenDetails matches("reasoning_tokens", "cached_tokens");
    /// Of the answer: tokens of the model's thoughts.
    "reasoning_tokens" reasoning_tokens;
    /// Of the request: tokens that the server had kept.
    "cached_tokens" cached_tokens;
    /// Tokens of sound.
    "audio_tokens" audio_tokens;
    /// Of the answer: tokens of a prediction that came true.
    "accepted_prediction_tokens" accepted_prediction_tokens;
    /// Of the answer: tokens of a prediction that did not.
    "rejected_prediction_tokens" rejected_prediction_tokens;
    {}
}

node_class! {
    /// Log probabilities of a choice.
    Logprobs matches("content", "refusal");
    /// Those of the text, token by token.
    "content" content;
    /// Those of a refusal, token by token.
    "refusal" refusal;
    {}
}

node_class! {
    /// One tool call.
    ToolCall matches("name", "arguments");
    /// Its id, to be given back with the tool's result.
    "id" id;
    /// `"function"`.
    "type" kind;
    /// Place among the calls, where the server gives one.
    "index" index;
    /// The function's name and arguments.
    "function" function;
    {
        /// The function's name; None where there is none.
        #[getter]
        fn name<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
            of_function(slf, intern!(slf.py(), "name"))
        }

        /// The arguments as the model wrote them, meant to be JSON; None where there are none.
        #[getter]
        fn arguments<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
            of_function(slf, intern!(slf.py(), "arguments"))
        }

        /// The arguments, parsed anew each time; `{}` where the model wrote none.
        ///
        /// `model`: a pydantic model, or a `TypeAdapter`, that reads them instead and raises what it raises.
        ///
        /// Raises `APIResponseValidationError` (kind `decode`) where they are not JSON.
        #[pyo3(signature = (model=None, /))]
        fn args<'py>(
            slf: &Bound<'py, Self>,
            model: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let py = slf.py();
            let text = match ToolCall::arguments(slf)?.filter(|arguments| !arguments.is_none()) {
                Some(arguments) => match arguments.cast::<PyString>() {
                    Ok(text) => text.to_string_lossy().into_owned(),
                    Err(_) => json_text(&arguments, "arguments")?,
                },
                None => String::new(),
            };
            let text = if text.trim().is_empty() { "{}" } else { &text };
            if let Some(model) = model {
                return structure::validated(model, &PyString::new(py, text));
            }
            match json::Document::of_text(text) {
                Ok(document) => decode::value(py, document.root()),
                Err(error) => {
                    let detail = format!("The arguments of the tool call are not JSON: {error}");
                    refused(py, Kind::Decode, detail, "arguments")
                }
            }
        }
    }
}

fn of_function<'py>(
    call: &Bound<'py, ToolCall>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let function = known(call.as_super(), intern!(call.py(), "function"))?;
    match function.as_ref().and_then(|function| function.cast::<Node>().ok()) {
        Some(function) => function.get().member(name),
        None => Ok(None),
    }
}

node_class! {
    /// The function that a tool call names.
    Function matches("name", "arguments");
    /// Its name.
    "name" name;
    /// The arguments as the model wrote them, meant to be JSON.
    "arguments" arguments;
    {}
}

node_class! {
    /// One HTTP request made for a call.
    Attempt matches("status", "kind");
    /// HTTP status; None when no reply arrived.
    "status" status;
    /// What went wrong; None for the attempt that succeeded.
    "kind" kind;
    /// The gateway's id of this request.
    "request_id" request_id;
    /// How long the attempt took, in milliseconds.
    "elapsed_ms" elapsed_ms;
    {}
}
