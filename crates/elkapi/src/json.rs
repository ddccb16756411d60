//! JSON text with lazy views: parsed one level at a time, never re-serialised.
//!
//! [`Document`] checks a text once and then answers by member, index or JSON Pointer (RFC 6901);
//! what was looked at is remembered. `Value` is gone through by `request`, which needs little of it.
//! Numbers, escapes and unknown members stay exactly as they were written.

mod scan;
mod text;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

use crate::reply::Reply;
use scan::{Checked, Long, Walk};

pub use scan::MAX_DEPTH;
pub(crate) use text::unescape_into;
pub use text::{quote, quote_into, unescape};

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
    pub fn of(raw: &str) -> Type {
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

/// Where a document's text lives.
#[derive(Clone, Debug)]
enum Source {
    /// In a reply, from that byte on: a byte order mark is left out.
    Reply(Reply, usize),
    /// In a text of its own.
    Own(Arc<str>),
}

/// A checked JSON text with lazy views.
#[derive(Debug)]
pub struct Document {
    source: Source,
    root: Node,
    long: Long,
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
    Members(Vec<(Name, Node)>),
}

/// A member's name.
#[derive(Debug)]
enum Name {
    /// As it stands in the text.
    Plain(Range<usize>),
    /// With its escapes undone.
    Unescaped(Box<str>),
}

impl Document {
    /// Reads the reply's body. A byte order mark and white space around the text are left out;
    /// bytes that are not UTF-8 become U+FFFD in the views and stay in the reply.
    pub fn of_reply(reply: &Reply) -> Result<Document, NotJson> {
        let Some(text) = reply.text() else {
            let bytes = reply.body();
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            return Document::of_text(&String::from_utf8_lossy(bytes));
        };
        let start = if text.starts_with('\u{FEFF}') { 3 } else { 0 };
        let (root, long) = check(&text[start..])?;
        Ok(Document { source: Source::Reply(reply.clone(), start), root, long })
    }

    /// Reads a text of its own.
    pub fn of_text(text: &str) -> Result<Document, NotJson> {
        let (root, long) = check(text)?;
        Ok(Document { source: Source::Own(Arc::from(text)), root, long })
    }

    /// `{}`
    pub(crate) fn empty() -> Document {
        let root = Node::new("{}", 0..2);
        Document { source: Source::Own(Arc::from("{}")), root, long: Long::default() }
    }

    fn text(&self) -> &str {
        match &self.source {
            Source::Reply(reply, start) => &reply.text_in_place().unwrap_or_default()[*start..],
            Source::Own(text) => text,
        }
    }

    /// A piece of the text as it was written: [`Document::text`] but for a quote that gave way to a NUL.
    fn written(&self, range: Range<usize>) -> &str {
        if let Source::Reply(reply, start) = &self.source
            && reply.closed_at().is_some_and(|at| (range.start + start..range.end + start).contains(&at))
        {
            return &reply.text().unwrap_or_default()[*start..][range];
        }
        &self.text()[range]
    }

    /// Puts a NUL behind a long string without escapes, in place of its quote in the reply, so that C can
    /// borrow it where it stands. `reply`: the one that was read; nothing else may share it.
    pub(crate) fn close(&mut self, reply: &mut Reply, string: Range<usize>) {
        let Source::Reply(_, start) = self.source else { return };
        if self.long.is_plain(string.start) {
            self.source = Source::Own(Arc::from(""));
            reply.close(start + string.end - 1);
            self.source = Source::Reply(reply.clone(), start);
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
        self.document.written(self.range())
    }

    /// Where it stands in the text, quotes included.
    pub(crate) fn range(self) -> Range<usize> {
        self.node.range.clone()
    }

    /// A string's bytes with a NUL behind them, where [`Document::close`] put one.
    pub(crate) fn closed(self) -> Option<&'a [u8]> {
        let Source::Reply(reply, start) = &self.document.source else { return None };
        let range = self.range();
        (reply.closed_at()? + 1 == start + range.end && self.kind() == Type::String)
            .then(|| &self.document.text().as_bytes()[range.start + 1..range.end])
    }

    fn children(self) -> &'a Children {
        self.node.children.get_or_init(|| {
            let text = self.document.text();
            let walk = Walk::new(text, Some(&self.document.long));
            let open = self.node.range.start;
            match self.node.kind {
                Type::Array => {
                    let mut list = Vec::new();
                    walk.items(open, |value| list.push(Node::new(text, value)));
                    Children::Items(list)
                }
                Type::Object => {
                    let mut list = Vec::new();
                    walk.members(open, |name, value| {
                        list.push((Name::new(text, name), Node::new(text, value)))
                    });
                    Children::Members(list)
                }
                _ => Children::None,
            }
        })
    }

    fn name(self, name: &'a Name) -> &'a str {
        match name {
            Name::Plain(range) => &self.document.text()[range.clone()],
            Name::Unescaped(text) => text,
        }
    }

    fn view(self, node: &'a Node) -> View<'a> {
        View { document: self.document, node }
    }

    /// The member of that name; of repeated ones the last.
    pub fn get(self, name: &str) -> Option<View<'a>> {
        match self.children() {
            Children::Members(list) => {
                list.iter().rev().find(|(n, _)| self.name(n) == name).map(|(_, node)| self.view(node))
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
        let list: &'a [(Name, Node)] = match self.children() {
            Children::Members(list) => list,
            _ => &[],
        };
        list.iter().map(move |(name, node)| (self.name(name), self.view(node)))
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
        if self.kind() != Type::String {
            return None;
        }
        let range = self.range();
        let text = self.document.text();
        if self.document.long.is_plain(range.start) {
            return Some(Cow::Borrowed(&text[range.start + 1..range.end - 1]));
        }
        Some(unescape(&text[range]))
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
    fn new(text: &str, range: Range<usize>) -> Node {
        let kind = Type::of(&text[range.start..]);
        Node { range, kind, children: OnceLock::new() }
    }
}

impl Name {
    /// Of a name with its quotes.
    fn new(text: &str, quoted: Range<usize>) -> Name {
        match unescape(&text[quoted.clone()]) {
            Cow::Borrowed(_) => Name::Plain(quoted.start + 1..quoted.end - 1),
            Cow::Owned(text) => Name::Unescaped(text.into()),
        }
    }
}

/// RFC 6901: digits without a leading zero.
fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    if plain { token.parse().ok() } else { None }
}

fn check(text: &str) -> Result<(Node, Long), NotJson> {
    if let Some(checked) = scan::check(text) {
        return Ok((Node::new(text, checked.value), checked.long));
    }
    // Either it is not JSON, or it is and nests too deep.
    value(text)?;
    let reason = format!("it nests deeper than {MAX_DEPTH} levels");
    Err(NotJson { offset: scan::too_deep(text).unwrap_or_default(), reason })
}

/// Checks that the text is one JSON value, as deep as views go, and gives it without white space around.
pub(crate) fn walkable(text: &str) -> Option<&str> {
    scan::check(text).map(|checked| &text[checked.value])
}

/// Whether the text is one JSON string and nothing else.
pub(crate) fn is_string(text: &str) -> bool {
    scan::is_string(text)
}

/// A text that was found to be one JSON value.
pub(crate) struct Value<'a> {
    whole: &'a str,
    /// The value's, without white space around.
    place: Range<usize>,
    long: Long,
}

impl<'a> Value<'a> {
    /// Checks the text, which may nest to any depth.
    pub fn check(whole: &'a str) -> Result<Value<'a>, NotJson> {
        if let Some(Checked { value: place, long }) = scan::check(whole) {
            return Ok(Value { whole, place, long });
        }
        let text = value(whole)?;
        let start = text.as_ptr() as usize - whole.as_ptr() as usize;
        Ok(Value { whole, place: start..start + text.len(), long: Long::default() })
    }

    /// The value itself, to be gone through.
    pub fn root(&self) -> Place<'_, 'a> {
        Place { value: self, range: self.place.clone() }
    }
}

/// A place in a [`Value`], read anew whenever it is gone through.
#[derive(Clone)]
pub(crate) struct Place<'v, 'a> {
    value: &'v Value<'a>,
    range: Range<usize>,
}

impl<'v, 'a> Place<'v, 'a> {
    /// The JSON text, as written.
    pub fn text(&self) -> &'a str {
        &self.value.whole[self.range.clone()]
    }

    /// Where it stands in what was checked, quotes included.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    pub fn kind(&self) -> Type {
        Type::of(self.text())
    }

    fn walk(&self) -> Walk<'v> {
        Walk::new(self.value.whole, Some(&self.value.long))
    }

    fn at(&self, range: Range<usize>) -> Place<'v, 'a> {
        Place { value: self.value, range }
    }

    /// The elements of an array; none of anything else.
    pub fn items(&self) -> Vec<Place<'v, 'a>> {
        let mut list = Vec::new();
        if self.kind() == Type::Array {
            self.walk().items(self.range.start, |value| list.push(self.at(value)));
        }
        list
    }

    /// The members of an object in their order; none of anything else.
    pub fn members(&self) -> Vec<(Cow<'a, str>, Place<'v, 'a>)> {
        let mut list = Vec::new();
        if self.kind() == Type::Object {
            self.walk().members(self.range.start, |name, value| {
                list.push((unescape(&self.value.whole[name]), self.at(value)));
            });
        }
        list
    }

    /// The members of these names; of repeated ones the last.
    pub fn get<const N: usize>(&self, names: [&str; N]) -> [Option<Place<'v, 'a>>; N] {
        let mut found = [const { None }; N];
        if self.kind() == Type::Object {
            self.walk().members(self.range.start, |name, value| {
                let name = unescape(&self.value.whole[name]);
                if let Some(place) = names.iter().position(|wanted| *wanted == name) {
                    found[place] = Some(self.at(value));
                }
            });
        }
        found
    }
}

/// Checks that the text is one JSON value of any depth and gives it without white space around.
pub(crate) fn value(text: &str) -> Result<&str, NotJson> {
    if let Some(value) = walkable(text) {
        return Ok(value);
    }
    serde_json::from_str::<&RawValue>(text)
        .map(RawValue::get)
        .map_err(|error| NotJson { offset: byte_offset(text, &error), reason: reason(&error) })
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

/// Looks at the members of a well-formed object text in their order, without keeping anything;
/// `false` for anything else.
pub fn each_member<'a>(object: &'a str, each: &mut dyn FnMut(Cow<'a, str>, &'a str)) -> bool {
    let is_object = object.starts_with('{');
    if is_object {
        Walk::new(object, None).members(0, |name, value| each(unescape(&object[name]), &object[value]));
    }
    is_object
}

/// Looks at the elements of a well-formed array text, without keeping anything; `false` for anything
/// else.
pub fn each_item<'a>(array: &'a str, each: &mut dyn FnMut(&'a str)) -> bool {
    let is_array = array.starts_with('[');
    if is_array {
        Walk::new(array, None).items(0, |value| each(&array[value]));
    }
    is_array
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
