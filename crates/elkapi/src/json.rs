//! JSON text with lazy views: parsed one level at a time, never re-serialised.
//!
//! [`Document`] checks a text once and then answers by member, index or JSON Pointer (RFC 6901);
//! what was looked at is remembered. `members` gives the first level of a text for `request`.
//! Numbers, escapes and unknown members stay exactly as they were written.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::reply::Reply;

/// How deep a reply may nest; deeper ones are refused instead of walked.
pub const MAX_DEPTH: usize = 512;

/// The seven things a place in a document can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number of any size.
    Number,
    /// A string.
    String,
    /// A list.
    Array,
    /// Members by name.
    Object,
}

impl Type {
    /// The name used in every language.
    pub fn name(self) -> &'static str {
        match self {
            Type::Null => "null",
            Type::Boolean => "boolean",
            Type::Number => "number",
            Type::String => "string",
            Type::Array => "array",
            Type::Object => "object",
        }
    }

    /// Judges by the first character of well-formed JSON.
    pub(crate) fn of(raw: &str) -> Type {
        match raw.as_bytes().first() {
            Some(b'{') => Type::Object,
            Some(b'[') => Type::Array,
            Some(b'"') => Type::String,
            Some(b't' | b'f') => Type::Boolean,
            Some(b'n') => Type::Null,
            _ => Type::Number,
        }
    }
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// Byte offset of the place.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

/// Where a document's bytes live.
#[derive(Clone, Debug)]
enum Source {
    /// In a reply; the range leaves out a byte order mark and surrounding white space.
    Reply(Reply, Range<usize>),
    /// In a text of its own.
    Own(Arc<str>),
}

/// A checked JSON text with lazy views.
#[derive(Debug)]
pub struct Document {
    source: Source,
    root: Node,
}

#[derive(Debug)]
struct Node {
    range: Range<usize>,
    kind: Type,
    children: OnceLock<Children>,
}

#[derive(Debug)]
enum Children {
    None,
    Items(Vec<Node>),
    Members(Vec<(String, Node)>),
}

impl Document {
    /// Reads the reply's body. A byte order mark and white space around the text are left out;
    /// bytes that are not UTF-8 become U+FFFD in the views and stay in the reply.
    pub fn of_reply(reply: &Reply) -> Result<Document, NotJson> {
        let bytes = reply.body();
        let start = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        match std::str::from_utf8(&bytes[start..]) {
            Ok(text) => {
                let root = check(text)?;
                let range = start..bytes.len();
                Ok(Document { source: Source::Reply(reply.clone(), range), root })
            }
            Err(_) => Document::of_text(String::from_utf8_lossy(&bytes[start..]).as_ref()),
        }
    }

    /// Reads a text of its own.
    pub fn of_text(text: &str) -> Result<Document, NotJson> {
        let root = check(text)?;
        Ok(Document { source: Source::Own(Arc::from(text)), root })
    }

    /// `{}`
    pub(crate) fn empty() -> Document {
        Document { source: Source::Own(Arc::from("{}")), root: Node::new(0, "{}") }
    }

    fn bytes(&self) -> &[u8] {
        match &self.source {
            Source::Reply(reply, range) => &reply.body()[range.clone()],
            Source::Own(text) => text.as_bytes(),
        }
    }

    /// The whole value.
    pub fn root(&self) -> View<'_> {
        View { document: self, node: &self.root }
    }

    /// The place that a JSON Pointer names; `""` is the whole value.
    pub fn pointer(&self, pointer: &str) -> Option<View<'_>> {
        self.root().pointer(pointer)
    }
}

/// One place in a [`Document`].
#[derive(Clone, Copy)]
pub struct View<'a> {
    document: &'a Document,
    node: &'a Node,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw())
    }
}

impl<'a> View<'a> {
    /// What stands here.
    pub fn kind(self) -> Type {
        self.node.kind
    }

    /// The JSON text of this place, as written.
    pub fn raw(self) -> &'a str {
        // The whole text was checked to be UTF-8, and values begin and end at ASCII characters.
        std::str::from_utf8(&self.document.bytes()[self.node.range.clone()]).unwrap_or_default()
    }

    fn children(self) -> &'a Children {
        self.node.children.get_or_init(|| {
            let raw = self.raw();
            let base = self.node.range.start;
            let node = |value: &RawValue| Node::new(base + offset_in(raw, value.get()), value.get());
            match self.node.kind {
                Type::Array => items(raw)
                    .map_or(Children::None, |list| Children::Items(list.into_iter().map(node).collect())),
                Type::Object => members(raw).map_or(Children::None, |list| {
                    Children::Members(list.into_iter().map(|(name, value)| (name, node(value))).collect())
                }),
                _ => Children::None,
            }
        })
    }

    fn view(self, node: &'a Node) -> View<'a> {
        View { document: self.document, node }
    }

    /// The member of that name; of repeated ones the last.
    pub fn get(self, name: &str) -> Option<View<'a>> {
        match self.children() {
            Children::Members(list) => {
                list.iter().rev().find(|(n, _)| n == name).map(|(_, node)| self.view(node))
            }
            _ => None,
        }
    }

    /// The member of that name unless it is null.
    pub fn get_some(self, name: &str) -> Option<View<'a>> {
        self.get(name).filter(|view| view.kind() != Type::Null)
    }

    /// The element at that place.
    pub fn at(self, index: usize) -> Option<View<'a>> {
        match self.children() {
            Children::Items(list) => list.get(index).map(|node| self.view(node)),
            _ => None,
        }
    }

    /// The elements of an array; nothing for anything else.
    pub fn items(self) -> impl Iterator<Item = View<'a>> {
        let list: &[Node] = match self.children() {
            Children::Items(list) => list,
            _ => &[],
        };
        list.iter().map(move |node| self.view(node))
    }

    /// The members of an object in their order; nothing for anything else.
    pub fn members(self) -> impl Iterator<Item = (&'a str, View<'a>)> {
        let list: &[(String, Node)] = match self.children() {
            Children::Members(list) => list,
            _ => &[],
        };
        list.iter().map(move |(name, node)| (name.as_str(), self.view(node)))
    }

    /// Number of elements or members; 0 for anything else.
    pub fn count(self) -> usize {
        match self.children() {
            Children::None => 0,
            Children::Items(list) => list.len(),
            Children::Members(list) => list.len(),
        }
    }

    /// The place below this one that a JSON Pointer names.
    pub fn pointer(self, pointer: &str) -> Option<View<'a>> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut place = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            place = match place.kind() {
                Type::Object if token.contains('~') => {
                    place.get(&token.replace("~1", "/").replace("~0", "~"))?
                }
                Type::Object => place.get(token)?,
                Type::Array => place.at(array_index(token)?)?,
                _ => return None,
            };
        }
        Some(place)
    }

    /// The string's text; lone surrogates become U+FFFD. `None` for anything but a string.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        (self.kind() == Type::String).then(|| unescape(self.raw()))
    }

    /// Whole numbers, numbers like `5.0`, and booleans as 1 and 0.
    pub fn as_i64(self) -> Option<i64> {
        let raw = self.raw();
        match self.kind() {
            Type::Boolean => Some(i64::from(raw == "true")),
            Type::Number => raw.parse().ok().or_else(|| {
                let number: f64 = raw.parse().ok()?;
                // 2^63 is exactly representable; anything below it converts without loss of range.
                let whole = number.fract() == 0.0 && number >= -(2f64.powi(63)) && number < 2f64.powi(63);
                whole.then_some(number as i64)
            }),
            _ => None,
        }
    }

    /// A string, or a number as text: how error codes are given.
    pub fn as_text_or_number(self) -> Option<String> {
        match self.kind() {
            Type::String => self.as_str().map(Cow::into_owned),
            Type::Number => Some(self.raw().to_owned()),
            _ => None,
        }
    }
}

impl Node {
    fn new(start: usize, raw: &str) -> Node {
        Node { range: start..start + raw.len(), kind: Type::of(raw), children: OnceLock::new() }
    }
}

/// RFC 6901: digits without a leading zero.
fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    if plain { token.parse().ok() } else { None }
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize).min(whole.len())
}

fn check(text: &str) -> Result<Node, NotJson> {
    let root = value(text)?;
    if let Some(offset) = too_deep(text) {
        let reason = format!("it nests deeper than {MAX_DEPTH} levels");
        return Err(NotJson { offset, reason });
    }
    Ok(Node::new(offset_in(text, root), root))
}

/// Checks that the text is one JSON value of any depth and gives it without white space around.
pub(crate) fn value(text: &str) -> Result<&str, NotJson> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Ok(raw.get()),
        Err(error) => Err(NotJson { offset: byte_offset(text, &error), reason: reason(&error) }),
    }
}

/// serde_json's words without its position, which we give in bytes.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// serde_json counts lines from 1 and columns in bytes; the column is that of the byte read last.
fn byte_offset(text: &str, error: &serde_json::Error) -> usize {
    let mut start = 0;
    for _ in 1..error.line() {
        match memchr::memchr(b'\n', &text.as_bytes()[start..]) {
            Some(at) => start += at + 1,
            None => break,
        }
    }
    let offset = (start + error.column().saturating_sub(1)).min(text.len());
    if error.is_eof() {
        return text.len();
    }
    // Inside a string serde_json stops before the character that it complains about.
    match text.as_bytes()[offset..].iter().take(2).position(|byte| *byte < 0x20) {
        Some(further) if reason(error).starts_with("control character") => offset + further,
        _ => offset,
    }
}

/// The offset at which well-formed JSON passes [`MAX_DEPTH`].
fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The offset of the quote that closes the string which opens at `open`.
fn end_of_string(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        if bytes[at + found] == b'"' {
            return at + found;
        }
        at = (at + found + 2).min(bytes.len());
    }
    bytes.len()
}

/// The members of an object text in their order, repeated ones included; `None` for anything else.
pub(crate) fn members(object: &str) -> Option<Vec<(String, &RawValue)>> {
    let mut list = Vec::new();
    each_member(object, &mut |name, value| list.push((name.into_owned(), value))).then_some(list)
}

/// The elements of an array text; `None` for anything else.
pub(crate) fn items(array: &str) -> Option<Vec<&RawValue>> {
    let mut list = Vec::new();
    each_item(array, &mut |value| list.push(value)).then_some(list)
}

/// Looks at the members of an object text in their order, without keeping anything; `false` for
/// anything else.
pub(crate) fn each_member<'a>(object: &'a str, each: &mut dyn FnMut(Cow<'a, str>, &'a RawValue)) -> bool {
    struct Members<'a, 'f>(&'f mut dyn FnMut(Cow<'a, str>, &'a RawValue));

    impl<'de> Visitor<'de> for Members<'de, '_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(Name(name)) = map.next_key()? {
                (self.0)(name, map.next_value()?);
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(Members(each)).and_then(|()| deserializer.end()).is_ok()
}

/// Looks at the elements of an array text, without keeping anything; `false` for anything else.
pub(crate) fn each_item<'a>(array: &'a str, each: &mut dyn FnMut(&'a RawValue)) -> bool {
    struct Items<'a, 'f>(&'f mut dyn FnMut(&'a RawValue));

    impl<'de> Visitor<'de> for Items<'de, '_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while let Some(item) = seq.next_element()? {
                (self.0)(item);
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(array);
    deserializer.deserialize_seq(Items(each)).and_then(|()| deserializer.end()).is_ok()
}

/// A member's name; read as bytes because serde_json refuses lone surrogates in text only.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Name<'de>, E> {
                Ok(Name(match std::str::from_utf8(bytes) {
                    Ok(text) => Cow::Borrowed(text),
                    Err(_) => Cow::Owned(text_of_wtf8(bytes)),
                }))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text_of_wtf8(bytes))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The text of a JSON string, quotes included in the input.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    match serde_json::from_str::<String>(raw) {
        Ok(text) => Cow::Owned(text),
        Err(_) => serde_json::from_str::<Name>(raw).map(|name| name.0).unwrap_or_default(),
    }
}

/// UTF-8 in which each surrogate half (three bytes) becomes one U+FFFD.
fn text_of_wtf8(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => {
                let (valid, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                text.push('\u{FFFD}');
                let surrogate = bad.len() >= 3 && bad[0] == 0xED && (0xA0..=0xBF).contains(&bad[1]);
                rest = &bad[if surrogate { 3 } else { 1 }..];
            }
        }
    }
}

/// Text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_reach_members_elements_and_escaped_names() {
        let document = Document::of_text(r#" {"a":[1,{"b/c":"x","~":true}],"":null,"a b":5.0} "#).unwrap();
        let raw = |pointer: &str| document.pointer(pointer).map(|v| v.raw().to_owned());
        assert_eq!(raw("/a/0").as_deref(), Some("1"));
        assert_eq!(raw("/a/1/b~1c").as_deref(), Some("\"x\""));
        assert_eq!(raw("/a/1/~0").as_deref(), Some("true"));
        assert_eq!(raw("/").as_deref(), Some("null"));
        for missing in ["/a/01", "/a/2", "/a/-", "/a/0/x", "a", "/b", "/a/+1"] {
            assert_eq!(raw(missing), None, "{missing}");
        }
        assert_eq!(document.pointer("/a b").unwrap().as_i64(), Some(5));
    }

    #[test]
    fn of_repeated_members_the_last_wins() {
        let document = Document::of_text(r#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(document.pointer("/a").unwrap().as_i64(), Some(2));
    }

    #[test]
    fn lone_surrogates_become_one_replacement_character() {
        let document = Document::of_text(r#"["a\ud800b","\ud83d\ude00",{"\udfff":1}]"#).unwrap();
        assert_eq!(document.pointer("/0").unwrap().as_str().unwrap(), "a\u{FFFD}b");
        assert_eq!(document.pointer("/1").unwrap().as_str().unwrap(), "😀");
        assert_eq!(document.pointer("/2").unwrap().members().next().unwrap().0, "\u{FFFD}");
    }

    #[test]
    fn numbers_keep_every_digit_and_convert_only_when_whole() {
        let document =
            Document::of_text("[123456789012345678901234567890,1.5,-0.0,9223372036854775807,1e3]").unwrap();
        let at = |i: usize| document.root().at(i).unwrap();
        assert_eq!(at(0).raw(), "123456789012345678901234567890");
        assert_eq!(at(0).as_i64(), None);
        assert_eq!(at(1).as_i64(), None);
        assert_eq!(at(2).as_i64(), Some(0));
        assert_eq!(at(3).as_i64(), Some(i64::MAX));
        assert_eq!(at(4).as_i64(), Some(1000));
    }

    #[test]
    fn what_is_not_json_is_told_with_its_byte_offset() {
        for (text, offset) in [("", 0), ("{\"a\":}", 5), ("{}x", 2), ("[1,\n2,}", 6), ("NaN", 0), ("[1", 2)] {
            assert_eq!(Document::of_text(text).unwrap_err().offset, offset, "{text}");
        }
    }

    #[test]
    fn nesting_is_walked_to_512_levels_and_refused_beyond() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let document = Document::of_text(&nested(512)).unwrap();
        assert!(document.pointer(&"/0".repeat(511)).is_some());
        assert_eq!(Document::of_text(&nested(513)).unwrap_err().offset, 512);
        assert!(Document::of_text(&nested(1_000_000)).is_err());
        assert!(Document::of_text(r#"["[[[","\"[[["]"#).is_ok());
    }
}
