//! The request text: checked, and completed by splicing, never re-serialised.
//!
//! What the caller wrote reaches the wire byte for byte; the members that the documented contract
//! wants and the caller left out are added before the closing brace. Pure: no I/O.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::Error;
use crate::json::{self, Place, Type};

/// The model that the published contract names as the default.
pub const DEFAULT_MODEL: &str = "gemini-3.1-pro-preview";

/// Which members a request is completed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contract {
    /// ElkAPI's published contract: `model`, `stream`, and `contents` or `messages` from the other.
    #[default]
    Elkapi,
    /// Other OpenAI-compatible servers: only `stream`.
    Openai,
}

/// Whether the call wants the whole answer or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `"stream": false`
    Unary,
    /// `"stream": true`
    Stream,
}

/// A request text that was checked and completed: ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestBody<'a> {
    /// What the caller wrote.
    text: Cow<'a, [u8]>,
    /// What was added to it.
    added: String,
    pieces: Vec<Piece>,
    /// Where the model that it names stands, as a JSON string.
    model: Option<Piece>,
}

/// A piece of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Of the caller's text, which is not copied.
    Text(Range<usize>),
    Added(Range<usize>),
}

impl<'a> RequestBody<'a> {
    /// The bytes for the wire, one piece after the other.
    pub fn pieces(&self) -> Vec<&[u8]> {
        self.pieces.iter().map(|piece| self.piece(piece)).collect()
    }

    fn piece(&self, piece: &Piece) -> &[u8] {
        match piece {
            Piece::Text(range) => &self.text[range.clone()],
            Piece::Added(range) => &self.added.as_bytes()[range.clone()],
        }
    }

    /// The model that it names.
    pub(crate) fn model(&self) -> Option<Cow<'_, str>> {
        let name = std::str::from_utf8(self.piece(self.model.as_ref()?)).ok()?;
        Some(json::unescape(name))
    }

    /// With a copy of the caller's text.
    pub(crate) fn into_owned(self) -> RequestBody<'static> {
        RequestBody { text: Cow::Owned(self.text.into_owned()), ..self }
    }

    /// Checks the text and adds what is missing.
    ///
    /// # Errors
    ///
    /// `invalid_argument`, naming the byte offset or the member: not UTF-8, not JSON, not an
    /// object, neither `messages` nor `contents`, one of the four known members repeated or of the
    /// wrong type, or a `stream` that contradicts the call.
    pub fn complete(bytes: &'a [u8], contract: Contract, mode: Mode) -> Result<RequestBody<'a>, Error> {
        let text = utf8(bytes)?;
        let value = value(text)?;
        let object = value.root();
        let known = Known::read(&object)?;
        known.check_stream(mode)?;

        // The object has at least one member, so each addition follows a comma.
        let brace = object.range().end - 1;
        let mut body = Draft::default();
        body.pieces.push(Piece::Text(0..brace));
        let mut model = known.model.as_ref().map(|model| Piece::Text(model.range()));
        if contract == Contract::Elkapi && model.is_none() {
            body.push(",\"model\":");
            let start = body.added.len();
            body.push(&json::quote(DEFAULT_MODEL));
            model = Some(Piece::Added(start..body.added.len()));
        }
        if known.stream.is_none() {
            body.push(if mode == Mode::Stream { ",\"stream\":true" } else { ",\"stream\":false" });
        }
        if contract == Contract::Elkapi {
            match (known.messages, known.contents) {
                (Some(messages), None) => {
                    body.push(",\"contents\":");
                    add_contents(&mut body, &messages);
                }
                (None, Some(contents)) => {
                    body.push(",\"messages\":");
                    add_messages(&mut body, &contents);
                }
                _ => {}
            }
        }
        body.end_addition();
        body.pieces.push(Piece::Text(brace..text.len()));
        let Draft { added, pieces, .. } = body;
        Ok(RequestBody { text: Cow::Borrowed(bytes), added, pieces, model })
    }
}

/// From this length on a text is sent from where it stands, twice where it is added.
const LONG: usize = 4096;

/// What is to be sent, as it comes together.
#[derive(Default)]
struct Draft {
    added: String,
    /// Where the present addition begins.
    start: usize,
    pieces: Vec<Piece>,
}

impl Draft {
    fn push(&mut self, text: &str) {
        self.added.push_str(text);
    }

    /// Adds what stands at a place of the caller's text.
    fn push_text(&mut self, text: &str, range: Range<usize>) {
        if text.len() < LONG {
            self.push(text);
        } else {
            self.end_addition();
            self.pieces.push(Piece::Text(range));
        }
    }

    fn end_addition(&mut self) {
        let end = self.added.len();
        if self.start < end {
            self.pieces.push(Piece::Added(self.start..end));
            self.start = end;
        }
    }
}

fn utf8(text: &[u8]) -> Result<&str, Error> {
    if text.starts_with(b"\xEF\xBB\xBF") {
        return Err(Error::argument(
            "The request text begins with a byte order mark (byte 0); send it without the mark",
        ));
    }
    simdutf8::basic::from_utf8(text).map_err(|_| {
        let at = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
        let byte = text.get(at).copied().unwrap_or_default();
        Error::argument(format!("The request text is not UTF-8: byte {at} (0x{byte:02x}) is not valid"))
    })
}

fn value(text: &str) -> Result<json::Value<'_>, Error> {
    if text.trim_ascii().is_empty() {
        return Err(Error::argument(
            "The request text is empty; give a JSON object such as {\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}",
        ));
    }
    let value = json::Value::check(text)
        .map_err(|error| Error::argument(format!("The request text is not JSON: {error}")))?;
    match value.root().kind() {
        Type::Object => Ok(value),
        other => {
            let name = other.name();
            let article = if matches!(other, Type::Array) { "an" } else { "a" };
            Err(Error::argument(format!(
                "The request text must be a JSON object, but it is {article} {name}"
            )))
        }
    }
}

/// The four members this client knows; everything else is the gateway's to judge.
#[derive(Default)]
struct Known<'v, 'a> {
    model: Option<Place<'v, 'a>>,
    stream: Option<Place<'v, 'a>>,
    messages: Option<Place<'v, 'a>>,
    contents: Option<Place<'v, 'a>>,
}

impl<'v, 'a> Known<'v, 'a> {
    fn read(object: &Place<'v, 'a>) -> Result<Known<'v, 'a>, Error> {
        let mut known = Known::default();
        for (name, value) in object.members() {
            known.take(&name, value)?;
        }
        if known.messages.is_none() && known.contents.is_none() {
            return Err(Error::argument(
                "The request has neither \"messages\" nor \"contents\"; add \"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]",
            )
            .with_param("messages"));
        }
        Ok(known)
    }

    fn take(&mut self, name: &str, value: Place<'v, 'a>) -> Result<(), Error> {
        let offset = value.range().start;
        let (slot, wanted, example) = match name {
            "model" => (&mut self.model, Type::String, "\"gemini-3.1-pro-preview\""),
            "stream" => (&mut self.stream, Type::Boolean, "false"),
            "messages" => (&mut self.messages, Type::Array, "[{\"role\":\"user\",\"content\":\"Hello\"}]"),
            "contents" => (&mut self.contents, Type::Array, "[\"Hello\"]"),
            _ => return Ok(()),
        };
        if slot.is_some() {
            return Err(Error::argument(format!(
                "The request has \"{name}\" twice (the second value at byte {offset}); keep one"
            ))
            .with_param(name));
        }
        let kind = value.kind();
        if kind != wanted {
            return Err(Error::argument(format!(
                "\"{name}\" in the request (byte {offset}) must be of type {}, such as {example}, but it is of type {}",
                wanted.name(),
                kind.name(),
            ))
            .with_param(name));
        }
        *slot = Some(value);
        Ok(())
    }

    fn check_stream(&self, mode: Mode) -> Result<(), Error> {
        let advice = match (self.stream.as_ref().map(Place::text), mode) {
            (Some("true"), Mode::Unary) => {
                "\"stream\" is true in a call that returns the whole answer; leave it out, or use the stream call"
            }
            (Some("false"), Mode::Stream) => {
                "\"stream\" is false in a stream call; leave it out, or use the call that returns the whole answer"
            }
            _ => return Ok(()),
        };
        Err(Error::argument(advice).with_param("stream"))
    }
}

/// One object per message that has text; the texts stay as they were written, escapes included.
fn add_contents(body: &mut Draft, messages: &Place<'_, '_>) {
    let mut before = "[";
    for message in messages.items() {
        let [content, said_by] = message.get(["content", "role"]);
        let texts = content.map(|content| message_texts(&content)).unwrap_or_default();
        if texts.is_empty() {
            continue;
        }
        let role = match said_by.as_ref().map(role).as_deref() {
            Some("assistant") => "model",
            _ => "user",
        };
        body.push(std::mem::replace(&mut before, ","));
        body.push("{\"role\":\"");
        body.push(role);
        body.push("\",\"parts\":[");
        let mut before = "{\"text\":";
        for text in texts {
            body.push(std::mem::replace(&mut before, ",{\"text\":"));
            body.push_text(text.text(), text.range());
            body.push("}");
        }
        body.push("]}");
    }
    // Of no message there is not even the bracket.
    body.push(if before == "[" { "[]" } else { "]" });
}

fn role<'a>(role: &Place<'_, 'a>) -> Cow<'a, str> {
    json::unescape(role.text())
}

/// The texts of a message's content: the string itself, or the `text` of each part.
fn message_texts<'v, 'a>(content: &Place<'v, 'a>) -> Vec<Place<'v, 'a>> {
    match content.kind() {
        Type::String => vec![content.clone()],
        _ => content.items().iter().filter_map(part_text).collect(),
    }
}

fn part_text<'v, 'a>(part: &Place<'v, 'a>) -> Option<Place<'v, 'a>> {
    let [text] = part.get(["text"]);
    text.filter(|text| text.kind() == Type::String)
}

/// Strings become user messages; objects keep their role and join their texts bare.
fn add_messages(body: &mut Draft, contents: &Place<'_, '_>) {
    let mut before = "[";
    for content in contents.items() {
        let (role, texts) = match content.kind() {
            Type::String => ("user", vec![content]),
            _ => {
                let [parts, said_by] = content.get(["parts", "role"]);
                let role = match said_by.as_ref().map(role).as_deref() {
                    Some("model") => "assistant",
                    _ => "user",
                };
                let parts = parts.map(|parts| parts.items()).unwrap_or_default();
                (role, parts.iter().filter_map(part_text).collect())
            }
        };
        if texts.is_empty() {
            continue;
        }
        body.push(std::mem::replace(&mut before, ","));
        body.push("{\"role\":\"");
        body.push(role);
        body.push("\",\"content\":\"");
        for text in texts {
            let (quoted, range) = (text.text(), text.range());
            body.push_text(&quoted[1..quoted.len() - 1], range.start + 1..range.end - 1);
        }
        body.push("\"}");
    }
    body.push(if before == "[" { "[]" } else { "]" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str, contract: Contract) -> String {
        let body = RequestBody::complete(text.as_bytes(), contract, Mode::Unary).unwrap();
        String::from_utf8(body.pieces().concat()).unwrap()
    }

    fn refused(text: &[u8]) -> String {
        RequestBody::complete(text, Contract::Elkapi, Mode::Unary).unwrap_err().server_message().to_owned()
    }

    #[test]
    fn messages_alone_are_completed_with_model_stream_and_contents() {
        assert_eq!(
            complete(
                r#"{"messages":[{"role":"system","content":"Be \u0062rief"},{"role":"assistant","content":[{"type":"text","text":"A"},{"type":"image_url","image_url":"x"},{"type":"text","text":"B"}]},{"role":"tool","content":null}]}"#,
                Contract::Elkapi
            ),
            concat!(
                r#"{"messages":[{"role":"system","content":"Be \u0062rief"},{"role":"assistant","content":[{"type":"text","text":"A"},{"type":"image_url","image_url":"x"},{"type":"text","text":"B"}]},{"role":"tool","content":null}]"#,
                r#","model":"gemini-3.1-pro-preview","stream":false,"contents":[{"role":"user","parts":[{"text":"Be \u0062rief"}]},{"role":"model","parts":[{"text":"A"},{"text":"B"}]}]}"#
            )
        );
    }

    #[test]
    fn contents_alone_are_completed_with_messages() {
        assert_eq!(
            complete(
                r#"{"model":"m","stream":false,"contents":["Hi",{"role":"model","parts":[{"text":"A\n"},{"text":"B"}]},{"parts":[{"inline_data":{}}]}]}"#,
                Contract::Elkapi
            ),
            r#"{"model":"m","stream":false,"contents":["Hi",{"role":"model","parts":[{"text":"A\n"},{"text":"B"}]},{"parts":[{"inline_data":{}}]}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"A\nB"}]}"#
        );
    }

    #[test]
    fn long_texts_are_sent_from_where_they_stand() {
        let long = r#"Long \"text\". "#.repeat(LONG);
        let text = format!(
            r#"{{"messages":[{{"content":"{long}"}},{{"content":[{{"text":"short"}},{{"text":"{long}"}}]}}]}}"#
        );
        let body = RequestBody::complete(text.as_bytes(), Contract::Elkapi, Mode::Unary).unwrap();
        assert!(body.added.len() < 300, "{}", body.added);
        let contents = format!(
            r#"[{{"role":"user","parts":[{{"text":"{long}"}}]}},{{"role":"user","parts":[{{"text":"short"}},{{"text":"{long}"}}]}}]"#
        );
        let sent = format!(
            r#"{},"model":"{DEFAULT_MODEL}","stream":false,"contents":{contents}}}"#,
            &text[..text.len() - 1]
        );
        assert!(body.pieces().concat() == sent.as_bytes());
        assert_eq!(body.model().as_deref(), Some(DEFAULT_MODEL));
        let text = format!(
            r#"{{"contents":["{long}",{{"parts":[{{"text":"{long}"}},{{"text":"!"}}]}}],"model":"m"}}"#
        );
        let body =
            RequestBody::complete(text.as_bytes(), Contract::Elkapi, Mode::Stream).unwrap().into_owned();
        let messages =
            format!(r#"[{{"role":"user","content":"{long}"}},{{"role":"user","content":"{long}!"}}]"#);
        let sent = format!(r#"{},"stream":true,"messages":{messages}}}"#, &text[..text.len() - 1]);
        assert!(body.pieces().concat() == sent.as_bytes());
        assert_eq!(body.model().as_deref(), Some("m"));
    }

    #[test]
    fn the_openai_contract_adds_only_stream() {
        assert_eq!(complete(r#"{"messages":[]}"#, Contract::Openai), r#"{"messages":[],"stream":false}"#);
    }

    #[test]
    fn what_the_caller_wrote_stays_byte_for_byte() {
        let text = " {\t\"x\" : 123456789012345678901234567890 , \"y\":\"\\ud800\\u00e9\\/\", \"stream\":false,\"model\":\"m\",\"messages\" :[ ],\"contents\":[]}\n";
        assert_eq!(complete(text, Contract::Elkapi), text);
        let text = "{\"extra_body\":{\"google\":1},\"extra_body\":2,\"messages\":[1e999,\"\\u0000\"]}";
        assert!(complete(text, Contract::Openai).starts_with(&text[..text.len() - 1]));
    }

    #[test]
    fn nesting_of_any_depth_passes() {
        let text = format!("{{\"messages\":[],\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(complete(&text, Contract::Elkapi).len() > text.len());
    }

    #[test]
    fn bad_input_is_named_with_its_place() {
        for (text, says) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"\xEF\xBB\xBF{}", "byte order mark"),
            (b"{\"messages\":[\"\xff\"]}", "byte 14 (0xff)"),
            (b"{\"messages\":[\"a\0b\"]}", "byte 15"),
            (b"{\"messages\":[]} x", "byte 16"),
            (b"{\"messages\":[],}", "byte 15"),
            (b"[]", "must be a JSON object, but it is an array"),
            (b"\"Hello\"", "a string"),
            (b"{}", "neither \"messages\" nor \"contents\""),
            (b"{\"messages\":\"Hi\"}", "\"messages\" in the request (byte 12) must be of type array"),
            (b" \n{\"messages\":\"Hi\"}", "\"messages\" in the request (byte 14) must be of type array"),
            (b"{\"messages\":[],\"model\":null}", "\"model\""),
            (b"{\"messages\":[],\"stream\":\"no\"}", "\"stream\""),
            (b"{\"messages\":[],\"stream\":true}", "leave it out"),
            (b"{\"messages\":[],\"messages\":[]}", "twice"),
            (b"{\"messages\":[],\"m\\u0065ssages\":[]}", "twice"),
        ] {
            let message = refused(text);
            assert!(message.contains(says), "{}: {message}", String::from_utf8_lossy(text));
        }
    }
}
