//! The request text: checked, and completed by splicing, never re-serialised.
//!
//! What the caller wrote reaches the wire byte for byte; the members that the documented contract
//! wants and the caller left out are added before the closing brace. Pure: no I/O.

use std::borrow::Cow;

use crate::error::Error;
use crate::json::{self, Type};

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
    /// What the caller wrote, without the closing brace.
    head: Cow<'a, [u8]>,
    added: String,
    /// The closing brace and what follows it.
    tail: Cow<'a, [u8]>,
    /// The model that it names, as a JSON string.
    model: Option<Cow<'a, str>>,
}

impl<'a> RequestBody<'a> {
    /// The bytes for the wire, in three pieces: the caller's text is not copied.
    pub fn pieces(&self) -> [&[u8]; 3] {
        [&self.head, self.added.as_bytes(), &self.tail]
    }

    /// The model that it names.
    pub(crate) fn model(&self) -> Option<Cow<'_, str>> {
        self.model.as_deref().map(json::unescape)
    }

    /// With a copy of the caller's text.
    pub(crate) fn into_owned(self) -> RequestBody<'static> {
        RequestBody {
            head: Cow::Owned(self.head.into_owned()),
            added: self.added,
            tail: Cow::Owned(self.tail.into_owned()),
            model: self.model.map(|model| Cow::Owned(model.into_owned())),
        }
    }

    /// Checks the text and adds what is missing.
    ///
    /// # Errors
    ///
    /// `invalid_argument`, naming the byte offset or the member: not UTF-8, not JSON, not an
    /// object, neither `messages` nor `contents`, one of the four known members repeated or of the
    /// wrong type, or a `stream` that contradicts the call.
    pub fn complete(text: &'a [u8], contract: Contract, mode: Mode) -> Result<RequestBody<'a>, Error> {
        let text = utf8(text)?;
        let object = object(text)?;
        let known = Known::read(&object)?;
        known.check_stream(mode)?;

        let mut added = String::new();
        let mut model = known.model.map(Cow::Borrowed);
        if contract == Contract::Elkapi && model.is_none() {
            let default = json::quote(DEFAULT_MODEL);
            member(&mut added, "model", &default);
            model = Some(Cow::Owned(default));
        }
        if known.stream.is_none() {
            member(&mut added, "stream", if mode == Mode::Stream { "true" } else { "false" });
        }
        if contract == Contract::Elkapi {
            match (known.messages, known.contents) {
                (Some(messages), None) => member(&mut added, "contents", &contents_from(messages)),
                (None, Some(contents)) => member(&mut added, "messages", &messages_from(contents)),
                _ => {}
            }
        }

        // The object has at least one member, so each addition follows a comma.
        let (head, tail) = text.as_bytes().split_at(object.end() - 1);
        Ok(RequestBody { head: Cow::Borrowed(head), added, tail: Cow::Borrowed(tail), model })
    }
}

fn member(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    out.push_str(value);
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

fn object(text: &str) -> Result<json::Value<'_>, Error> {
    if text.trim_ascii().is_empty() {
        return Err(Error::argument(
            "The request text is empty; give a JSON object such as {\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}",
        ));
    }
    let value = json::Value::check(text)
        .map_err(|error| Error::argument(format!("The request text is not JSON: {error}")))?;
    match Type::of(value.text()) {
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
struct Known<'a> {
    model: Option<&'a str>,
    stream: Option<&'a str>,
    messages: Option<&'a str>,
    contents: Option<&'a str>,
}

impl<'a> Known<'a> {
    fn read(object: &json::Value<'a>) -> Result<Known<'a>, Error> {
        let mut known = Known::default();
        let mut outcome = Ok(());
        object.each_member(|name, value, offset| {
            if outcome.is_ok() {
                outcome = known.take(&name, value, offset);
            }
        });
        outcome?;
        if known.messages.is_none() && known.contents.is_none() {
            return Err(Error::argument(
                "The request has neither \"messages\" nor \"contents\"; add \"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]",
            )
            .with_param("messages"));
        }
        Ok(known)
    }

    fn take(&mut self, name: &str, value: &'a str, offset: usize) -> Result<(), Error> {
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
        let kind = Type::of(value);
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
        let advice = match (self.stream, mode) {
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
fn contents_from(messages: &str) -> String {
    let mut out = String::from("[");
    for message in elements(messages) {
        let Some(members) = json::members(message) else { continue };
        let texts = last(&members, "content").map(message_texts).unwrap_or_default();
        if texts.is_empty() {
            continue;
        }
        let role = match last(&members, "role").map(json::unescape).as_deref() {
            Some("assistant") => "model",
            _ => "user",
        };
        separate(&mut out);
        out.push_str("{\"role\":\"");
        out.push_str(role);
        out.push_str("\",\"parts\":[");
        for (index, text) in texts.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"text\":" } else { "{\"text\":" });
            out.push_str(text);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push(']');
    out
}

/// The texts of a message's content: the string itself, or the `text` of each part.
fn message_texts(content: &str) -> Vec<&str> {
    match Type::of(content) {
        Type::String => vec![content],
        Type::Array => elements(content).into_iter().filter_map(part_text).collect(),
        _ => Vec::new(),
    }
}

fn part_text(part: &str) -> Option<&str> {
    let members = json::members(part)?;
    last(&members, "text").filter(|text| Type::of(text) == Type::String)
}

/// Strings become user messages; objects keep their role and join their texts bare.
fn messages_from(contents: &str) -> String {
    let mut out = String::from("[");
    for content in elements(contents) {
        let (role, texts) = match Type::of(content) {
            Type::String => ("user", vec![content]),
            Type::Object => {
                let members = json::members(content).unwrap_or_default();
                let role = match last(&members, "role").map(json::unescape).as_deref() {
                    Some("model") => "assistant",
                    _ => "user",
                };
                let parts = last(&members, "parts").map(elements).unwrap_or_default();
                (role, parts.into_iter().filter_map(part_text).collect())
            }
            _ => continue,
        };
        if texts.is_empty() {
            continue;
        }
        separate(&mut out);
        out.push_str("{\"role\":\"");
        out.push_str(role);
        out.push_str("\",\"content\":\"");
        for text in texts {
            out.push_str(&text[1..text.len() - 1]);
        }
        out.push_str("\"}");
    }
    out.push(']');
    out
}

fn elements(array: &str) -> Vec<&str> {
    json::items(array).unwrap_or_default()
}

fn last<'a>(members: &[(Cow<'_, str>, &'a str)], name: &str) -> Option<&'a str> {
    members.iter().rev().find(|(n, _)| n == name).map(|(_, value)| *value)
}

fn separate(out: &mut String) {
    if !out.ends_with('[') {
        out.push(',');
    }
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
