//! What came back, unjudged: status, header fields, body bytes.
//!
//! Filled by `exchange`, judged by `refusal` and `completion`, kept by answers and errors.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ureq_proto::http::{HeaderMap, HeaderName, HeaderValue};

use crate::sys::text::text;

/// The reply's header fields; names compare without regard to case.
#[derive(Clone, Default)]
pub struct Headers(HeaderMap);

impl fmt::Debug for Headers {
    /// Names alone: a server may echo a secret in a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Headers {
    pub(crate) fn new(map: HeaderMap) -> Headers {
        Headers(map)
    }

    /// The first value of that field, if it is readable text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str().ok())
    }

    /// All fields in the order of the underlying map; unreadable values are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The same fields with others done to them.
    pub(crate) fn map(self, change: impl FnOnce(HeaderMap) -> HeaderMap) -> Headers {
        Headers(change(self.0))
    }

    /// All fields with the bytes of their values, readable or not.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    /// The gateway's id of the request, from its own header or the usual one.
    pub fn request_id(&self) -> Option<&str> {
        self.get("x-oneapi-request-id").or_else(|| self.get("x-request-id"))
    }

    /// The media type without parameters, as sent.
    pub(crate) fn media_type(&self) -> Option<&str> {
        let value = self.get("content-type")?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }
}

impl FromIterator<(String, String)> for Headers {
    /// Unusable names and values are left out.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Headers {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                map.append(name, value);
            }
        }
        Headers(map)
    }
}

/// Body bytes followed by one NUL that is not part of them, so that C can borrow them as they are.
#[derive(Clone)]
pub struct Body {
    content: Content,
    closed: Option<Closed>,
}

/// A quote inside that gave way to a NUL, so that C can borrow the string before it where it stands.
#[derive(Clone)]
struct Closed {
    at: usize,
    /// The bytes as they came: a copy, made when they are first asked for.
    as_sent: OnceLock<Content>,
}

/// UTF-8 is judged once, where the bytes come in.
#[derive(Clone)]
enum Content {
    Text(String),
    Bytes(Vec<u8>),
}

impl Body {
    /// Takes the bytes over; costs no copy when the vector has room for one more byte.
    pub fn new(mut bytes: Vec<u8>) -> Body {
        // A plain push onto a full vector would double it.
        bytes.reserve_exact(1);
        bytes.push(0);
        let content = match text(bytes) {
            Ok(text) => Content::Text(text),
            Err(bytes) => Content::Bytes(bytes),
        };
        Body { content, closed: None }
    }

    /// Puts a NUL in place of the quote at that byte.
    fn close(&mut self, at: usize) {
        if let Content::Text(text) = &mut self.content
            && self.closed.is_none()
            && text.as_bytes().get(at) == Some(&b'"')
        {
            text.replace_range(at..=at, "\0");
            self.closed = Some(Closed { at, as_sent: OnceLock::new() });
        }
    }

    fn as_sent(&self) -> &Content {
        match (&self.closed, &self.content) {
            (Some(closed), Content::Text(text)) => closed.as_sent.get_or_init(|| {
                let mut text = text.clone();
                text.replace_range(closed.at..=closed.at, "\"");
                Content::Text(text)
            }),
            _ => &self.content,
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        let with_nul = self.with_nul();
        &with_nul[..with_nul.len() - 1]
    }

    /// The bytes as text, where they are UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        self.as_sent().text()
    }

    /// The bytes with the closing NUL.
    pub fn with_nul(&self) -> &[u8] {
        match self.as_sent() {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
        }
    }
}

impl Content {
    fn text(&self) -> Option<&str> {
        match self {
            Content::Text(text) => Some(&text[..text.len() - 1]),
            Content::Bytes(_) => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.as_bytes().len())
    }
}

/// One HTTP reply; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reply(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    status: u16,
    headers: Headers,
    body: Body,
}

impl Reply {
    /// A reply of these parts.
    pub fn new(status: u16, headers: Headers, body: Body) -> Reply {
        Reply(Arc::new(Parts { status, headers, body }))
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Header fields.
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    /// Body bytes, with any content coding undone.
    pub fn body(&self) -> &[u8] {
        self.0.body.as_bytes()
    }

    /// The body as text, where it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.0.body.as_text()
    }

    /// Puts a NUL in place of the quote at that byte of the text; only while nothing shares the reply.
    pub(crate) fn close(&mut self, at: usize) {
        if let Some(parts) = Arc::get_mut(&mut self.0) {
            parts.body.close(at);
        }
    }

    /// Where a quote gave way to a NUL.
    pub(crate) fn closed_at(&self) -> Option<usize> {
        self.0.body.closed.as_ref().map(|closed| closed.at)
    }

    /// The text but for that quote: costs nothing where [`Reply::text`] would copy.
    pub(crate) fn text_in_place(&self) -> Option<&str> {
        self.0.body.content.text()
    }

    /// Body bytes with a closing NUL.
    pub fn body_with_nul(&self) -> &[u8] {
        self.0.body.with_nul()
    }
}
