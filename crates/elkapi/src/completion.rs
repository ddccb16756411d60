//! The answer: the reply's bytes as they came, and views that are made when they are looked at.
//!
//! The gateway's schema is not frozen into it: known members have accessors, everything is
//! reachable by JSON Pointer. Pure: no I/O.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::error::{Attempt, Error, Kind, Verdict};
use crate::image::{self, Image, Images};
use crate::json::{Document, Type, View};
use crate::refusal;
use crate::reply::{Body, Headers, Reply};
use crate::request::Contract;
use crate::secret::Secret;

/// What kind of document was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A chat completion: without choices it is not an answer.
    Chat,
    /// Any JSON, such as the models list.
    Any,
}

/// A good answer. Cheap to clone; any thread may read it.
#[derive(Clone, Debug)]
pub struct Completion(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reply: Reply,
    document: Document,
    /// Places of the choices in the document, lowest index first.
    order: Vec<(i64, usize)>,
    attempts: Vec<Attempt>,
    elapsed_ms: u64,
    images: OnceLock<Images>,
    /// Where it was put together from a stream.
    stream: Option<StreamFacts>,
}

/// From this many bytes on, a copy of the text is what an answer costs.
const WORTH_CLOSING: usize = 64 * 1024;

/// What only a stream can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamFacts {
    /// The closing `[DONE]` came.
    pub saw_done: bool,
    /// How it ended, where that is known already.
    pub verdict: Option<Verdict>,
}

impl Completion {
    /// What a stream has brought so far, in the shape of a whole answer.
    pub(crate) fn folded(head: &Reply, document: String, facts: StreamFacts) -> Completion {
        let body = Body::new(document.into_bytes());
        let reply = Reply::new(head.status(), head.headers().clone(), body);
        // The fold writes JSON; were it too deep to walk, it would be an empty object.
        let document = Document::of_reply(&reply).unwrap_or_else(|_| Document::empty());
        let order = choice_order(document.root());
        Completion(Arc::new(Inner {
            reply,
            document,
            order,
            attempts: Vec::new(),
            elapsed_ms: 0,
            images: OnceLock::new(),
            stream: Some(facts),
        }))
    }

    /// Reads the answer out of a reply that was kept.
    ///
    /// # Errors
    ///
    /// Whatever a call with that reply would have ended with.
    pub fn of_reply(reply: Reply) -> Result<Completion, Error> {
        Completion::read(reply, Wanted::Chat, Contract::Elkapi, &Secret::of_text(""))
    }

    /// Reads a reply with a 2xx status.
    pub(crate) fn read(
        reply: Reply,
        wanted: Wanted,
        contract: Contract,
        key: &Secret,
    ) -> Result<Completion, Error> {
        if reply.body().trim_ascii().is_empty() {
            return Err(refusal::empty(reply));
        }
        let document = match Document::of_reply(&reply) {
            Ok(document) => document,
            Err(error) => {
                return Err(refusal::not_understood(reply, &format!("it is not JSON: {error}"), key));
            }
        };
        if let Some(error) = refusal::in_success(&reply, document.root(), contract, key) {
            return Err(error);
        }
        if wanted == Wanted::Chat {
            match document.root().get("choices") {
                Some(choices) if choices.kind() == Type::Array && choices.count() == 0 => {
                    return Err(Error::new(
                        Kind::EmptyResponse,
                        "The reply has no choices, so there is no answer in it",
                    )
                    .with_billed(crate::error::Billed::Yes)
                    .with_reply(reply, None));
                }
                Some(choices) if choices.kind() == Type::Array => {}
                _ => {
                    return Err(refusal::not_understood(
                        reply,
                        "it has no \"choices\", so it is not a chat completion",
                        key,
                    ));
                }
            }
        }
        let order = choice_order(document.root());
        Ok(Completion(Arc::new(Inner {
            reply,
            document,
            order,
            attempts: Vec::new(),
            elapsed_ms: 0,
            images: OnceLock::new(),
            stream: None,
        })))
    }

    /// Adds the call's own facts; only while nothing shares the answer yet.
    pub(crate) fn with_call(mut self, attempts: Vec<Attempt>, elapsed_ms: u64) -> Completion {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.attempts = attempts;
            inner.elapsed_ms = elapsed_ms;
        }
        self
    }

    /// Puts a NUL behind a long text where it stands in the reply, so that C can borrow it: a text of
    /// megabytes is not copied. The document as it was sent is then copied when it is asked for. Only
    /// while nothing shares the answer.
    pub fn close_text(&mut self) {
        let content =
            self.first_choice().and_then(Choice::message).and_then(|message| message.get("content"));
        let Some(string) = content.map(View::range).filter(|string| string.len() >= WORTH_CLOSING) else {
            return;
        };
        if let Some(Inner { document, reply, .. }) = Arc::get_mut(&mut self.0) {
            document.close(reply, string);
        }
    }

    /// The text behind which [`Completion::close_text`] put a NUL, with that.
    pub fn closed_text(&self) -> Option<&[u8]> {
        self.first_choice()?.message()?.get("content")?.closed()
    }

    /// The answer document: byte for byte as the server sent it, or what a stream folded to.
    pub fn json(&self) -> &[u8] {
        self.0.reply.body()
    }

    /// The reply's raw bytes; empty where the answer came as a stream.
    pub fn body(&self) -> &[u8] {
        if self.0.stream.is_some() { &[] } else { self.0.reply.body() }
    }

    /// Whether the closing `[DONE]` of a stream came; `None` for an answer that came whole.
    pub fn saw_done(&self) -> Option<bool> {
        self.0.stream.map(|stream| stream.saw_done)
    }

    /// The reply behind the answer; of a stream its body is the folded document.
    pub fn reply(&self) -> &Reply {
        &self.0.reply
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.0.reply.status()
    }

    /// Header fields of the reply.
    pub fn headers(&self) -> &Headers {
        self.0.reply.headers()
    }

    /// The gateway's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.headers().request_id()
    }

    /// The HTTP requests made, in order; the last one succeeded.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// How long the call took, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.0.elapsed_ms
    }

    /// The whole document.
    pub fn root(&self) -> View<'_> {
        self.0.document.root()
    }

    /// The place that a JSON Pointer (RFC 6901) names, such as `/usage/total_tokens`.
    pub fn pointer(&self, pointer: &str) -> Option<View<'_>> {
        self.0.document.pointer(pointer)
    }

    /// All choices, lowest index first.
    pub fn choices(&self) -> impl Iterator<Item = Choice<'_>> {
        let choices = self.root().get("choices");
        self.0
            .order
            .iter()
            .filter_map(move |(index, place)| Some(Choice { index: *index, view: choices?.at(*place)? }))
    }

    /// The choice with the lowest index.
    pub fn first_choice(&self) -> Option<Choice<'_>> {
        self.choices().next()
    }

    /// The first choice's text; `""` where there is none.
    pub fn text(&self) -> Cow<'_, str> {
        self.first_choice().map(Choice::text).unwrap_or_default()
    }

    /// The first choice's text with embedded pictures cut out.
    pub fn text_without_images(&self) -> String {
        image::without_pictures(&self.text()).into_owned()
    }

    /// The first choice's thoughts; `""` where there are none.
    pub fn reasoning(&self) -> Cow<'_, str> {
        self.first_choice().map(Choice::reasoning).unwrap_or_default()
    }

    /// Why the first choice ended, as the server says it.
    pub fn finish_reason(&self) -> Option<Cow<'_, str>> {
        self.first_choice()?.finish_reason()
    }

    /// The first choice's tool calls.
    pub fn tool_calls(&self) -> Vec<ToolCall<'_>> {
        self.first_choice().map(Choice::tool_calls).unwrap_or_default()
    }

    /// Token counts, where the server gave them.
    pub fn usage(&self) -> Option<Usage> {
        let usage = self.root().get("usage").filter(|usage| usage.kind() == Type::Object)?;
        let count = |name: &str| usage.get(name).and_then(View::as_i64);
        Some(Usage {
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
            total_tokens: count("total_tokens"),
        })
    }

    /// How the answer ended, told by the first choice.
    pub fn verdict(&self) -> Verdict {
        if let Some(verdict) = self.0.stream.and_then(|stream| stream.verdict) {
            return verdict;
        }
        verdict_of(self.finish_reason().as_deref())
    }

    fn decoded_images(&self) -> &Images {
        self.0.images.get_or_init(|| {
            let mut images = Images::default();
            for choice in self.choices() {
                if let Some(message) = choice.message() {
                    images.collect(message);
                }
            }
            images
        })
    }

    /// The pictures in order, decoded once on first use. Of interim pictures the last is the final.
    pub fn images(&self) -> &[Image] {
        &self.decoded_images().list
    }

    /// Number of pictures whose data could not be decoded.
    pub fn image_errors(&self) -> usize {
        self.decoded_images().errors
    }

    /// The client's own facts as a JSON document, for languages that read by pointer.
    pub fn call_document(&self) -> String {
        #[derive(Serialize)]
        struct Call<'a> {
            attempts: &'a [Attempt],
            status: u16,
            request_id: Option<&'a str>,
            elapsed_ms: u64,
            finish_reason: Option<Cow<'a, str>>,
            reasoning: Cow<'a, str>,
            choice: Option<i64>,
            choices: Vec<Text<'a>>,
            saw_done: Option<bool>,
            text_without_images: String,
            image_errors: usize,
            images: Vec<Picture>,
        }
        #[derive(Serialize)]
        struct Text<'a> {
            index: i64,
            text: Cow<'a, str>,
            finish_reason: Option<Cow<'a, str>>,
        }
        #[derive(Serialize)]
        struct Picture {
            source: &'static str,
        }
        let call = Call {
            attempts: self.attempts(),
            status: self.status(),
            request_id: self.request_id(),
            elapsed_ms: self.elapsed_ms(),
            finish_reason: self.finish_reason(),
            reasoning: self.reasoning(),
            choice: self.first_choice().map(|choice| choice.index()),
            choices: self
                .choices()
                .map(|c| Text { index: c.index(), text: c.text(), finish_reason: c.finish_reason() })
                .collect(),
            saw_done: self.saw_done(),
            text_without_images: self.text_without_images(),
            image_errors: self.image_errors(),
            images: self.images().iter().map(|image| Picture { source: image.source().name() }).collect(),
        };
        serde_json::to_string(&call).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// What a finish reason says about the answer.
pub(crate) fn verdict_of(finish_reason: Option<&str>) -> Verdict {
    match finish_reason {
        Some("length") => Verdict::Length,
        Some("content_filter") => Verdict::Filtered,
        Some("tool_calls" | "function_call") => Verdict::ToolCalls,
        _ => Verdict::Complete,
    }
}

/// Indices and places, sorted by index; a choice without one counts by its place.
fn choice_order(root: View<'_>) -> Vec<(i64, usize)> {
    let Some(choices) = root.get("choices") else { return Vec::new() };
    let mut order: Vec<_> = choices
        .items()
        .enumerate()
        .map(|(place, choice)| (choice.get("index").and_then(View::as_i64).unwrap_or(place as i64), place))
        .collect();
    order.sort_by_key(|(index, _)| *index);
    order
}

/// Token counts as the server gives them; what is absent is `None`, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: Option<i64>,
    /// Tokens of the answer, thoughts included.
    pub completion_tokens: Option<i64>,
    /// Both together.
    pub total_tokens: Option<i64>,
}

/// One choice of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    index: i64,
    view: View<'a>,
}

impl<'a> Choice<'a> {
    /// Its index as the server gives it.
    pub fn index(self) -> i64 {
        self.index
    }

    /// The choice's JSON.
    pub fn json(self) -> View<'a> {
        self.view
    }

    /// The message of the choice.
    pub fn message(self) -> Option<View<'a>> {
        self.view.get_some("message")
    }

    /// The text; parts of a content array are joined bare, `null` is `""`.
    pub fn text(self) -> Cow<'a, str> {
        let Some(content) = self.message().and_then(|message| message.get("content")) else {
            return Cow::Borrowed("");
        };
        match content.kind() {
            Type::String => content.as_str().unwrap_or_default(),
            Type::Array => {
                let parts = content.items().filter_map(|part| part.get("text").and_then(View::as_str));
                Cow::Owned(parts.collect::<Vec<_>>().concat())
            }
            _ => Cow::Borrowed(""),
        }
    }

    /// The thoughts. Some servers write the same text under both names: the first one counts.
    pub fn reasoning(self) -> Cow<'a, str> {
        let message = self.message();
        let member = |name| message?.get(name)?.as_str();
        member("reasoning_content").or_else(|| member("reasoning")).unwrap_or_default()
    }

    /// Why the choice ended.
    pub fn finish_reason(self) -> Option<Cow<'a, str>> {
        self.view.get("finish_reason")?.as_str()
    }

    /// Tool calls the model asks for.
    pub fn tool_calls(self) -> Vec<ToolCall<'a>> {
        let Some(calls) = self.message().and_then(|message| message.get("tool_calls")) else {
            return Vec::new();
        };
        calls.items().map(ToolCall).collect()
    }
}

/// One tool call.
#[derive(Clone, Copy, Debug)]
pub struct ToolCall<'a>(View<'a>);

impl<'a> ToolCall<'a> {
    /// The call's JSON.
    pub fn json(self) -> View<'a> {
        self.0
    }

    /// Its id, to be given back with the tool's result.
    pub fn id(self) -> Cow<'a, str> {
        self.0.get("id").and_then(View::as_str).unwrap_or_default()
    }

    /// The function's name.
    pub fn name(self) -> Cow<'a, str> {
        self.0.pointer("/function/name").and_then(View::as_str).unwrap_or_default()
    }

    /// The arguments as the model wrote them, meant to be JSON.
    pub fn arguments(self) -> Cow<'a, str> {
        self.0.pointer("/function/arguments").and_then(View::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Completion, Error> {
        let reply = Reply::new(200, Headers::default(), Body::new(body.to_vec()));
        Completion::read(reply, Wanted::Chat, Contract::Elkapi, &Secret::new("k").unwrap())
    }

    #[test]
    fn choices_come_lowest_index_first_and_parts_are_joined() {
        let body = br#"{"choices":[{"index":2,"message":{"content":"C"}},{"index":1,"message":{"content":[{"type":"text","text":"A"},{"type":"output_text","text":"B"}]}}]}"#;
        let answer = read(body).unwrap();
        assert_eq!(answer.text(), "AB");
        assert_eq!(answer.choices().map(Choice::index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(answer.json(), body);
    }

    #[test]
    fn a_long_text_is_closed_where_it_stands_and_everything_else_reads_as_it_was_sent() {
        let long = "é".repeat(WORTH_CLOSING);
        for mark in ["", "\u{FEFF}"] {
            let message = format!(r#"{{"role":"assistant","content":"{long}","x":[1]}}"#);
            let body = format!(r#"{mark} {{"id":"c","choices":[{{"message":{message}}}]}} "#);
            let mut answer = read(body.as_bytes()).unwrap();
            assert_eq!(answer.closed_text(), None);
            answer.close_text();
            let closed = answer.closed_text().unwrap();
            assert_eq!(closed, format!("{long}\0").as_bytes());
            assert!(
                answer.reply().text_in_place().unwrap().as_bytes().as_ptr_range().contains(&closed.as_ptr())
            );
            assert_eq!(answer.text(), long);
            let content = answer.pointer("/choices/0/message/content").unwrap();
            assert_eq!(content.raw(), format!("\"{long}\""));
            assert_eq!(content.as_str().unwrap(), long);
            assert_eq!(answer.pointer("/choices/0/message").unwrap().raw(), message);
            assert_eq!(answer.pointer("/choices/0/message/x/0").unwrap().raw(), "1");
            assert_eq!(answer.root().raw(), body.trim_start_matches('\u{FEFF}').trim());
            assert_eq!((answer.json(), answer.body()), (body.as_bytes(), body.as_bytes()));
            assert_eq!(answer.reply().body_with_nul(), format!("{body}\0").as_bytes());
        }
    }

    #[test]
    fn a_text_that_is_short_or_has_escapes_or_is_shared_is_not_closed() {
        let long = "x".repeat(WORTH_CLOSING);
        let of = |content: &str| {
            read(format!(r#"{{"choices":[{{"message":{{"content":{content}}}}}]}}"#).as_bytes())
        };
        for content in ["\"short\"", "null", "[]", &format!("\"{long}\\n\"")] {
            let mut answer = of(content).unwrap();
            answer.close_text();
            assert_eq!(answer.closed_text(), None, "{}", &content[..5.min(content.len())]);
        }
        let mut shared = of(&format!("\"{long}\"")).unwrap();
        let other = shared.clone();
        shared.close_text();
        assert_eq!((shared.closed_text(), other.text().as_ref()), (None, long.as_str()));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_in_views_and_kept_in_the_reply() {
        let body = b"{\"choices\":[{\"message\":{\"content\":\"a\xffb\"}}]}";
        let answer = read(body).unwrap();
        assert_eq!(answer.text(), "a\u{FFFD}b");
        assert_eq!(answer.json(), body);
    }

    #[test]
    fn nan_and_deep_nesting_are_decode_errors_that_keep_the_body() {
        for body in [&b"{\"choices\":[NaN]}"[..], &[b'['; 100_000], b"{\"object\":\"list\"}", b"\"text\""] {
            let error = read(body).unwrap_err();
            assert_eq!(error.kind(), Kind::Decode, "{error}");
            assert_eq!(error.body(), body);
        }
    }
}
