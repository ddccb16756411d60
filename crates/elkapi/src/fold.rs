//! Chunks of a stream folded into the document that a unary call would have brought. Pure: no I/O.
//!
//! Strings join, objects merge, lists extend, also under names nobody knew; names and ids are taken
//! once; tool calls are put together by index or id, as the habits of gateways need it.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Type};

/// Members that name something: they are repeated, not continued.
const NAMES: &[&str] = &[
    "id",
    "type",
    "role",
    "name",
    "object",
    "model",
    "index",
    "mime_type",
    "mimeType",
    "url",
    "format",
    "created",
];

/// What has been folded so far.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// Members of the whole but `choices` and `usage`, as JSON text.
    root: Vec<(String, String)>,
    choices: Vec<Choice>,
    /// The last that was not null; cumulative counts are not added up.
    usage: Option<String>,
    /// The text that the last chunk added to the choice with the lowest index.
    added: Added,
    pattern: Pattern,
}

/// The last chunk that was taken apart. In most streams the next ones differ from it in their content
/// alone, and then there is nothing else to take.
#[derive(Debug, Default)]
struct Pattern {
    /// What stands before the content's string and behind it; empty where the next chunk must be taken
    /// apart too.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The choice's among those that are known.
    place: usize,
    /// The content stands in a `delta`.
    in_delta: bool,
}

/// More than this around a content is not remembered.
const PATTERN_MOST: usize = 16 * 1024;

impl Pattern {
    /// The content's string, quotes included, of a chunk that is otherwise the same.
    fn content_of<'a>(&self, chunk: &'a [u8]) -> Option<&'a str> {
        if self.head.is_empty() {
            return None;
        }
        let content = chunk.strip_prefix(&*self.head)?.strip_suffix(&*self.tail)?;
        std::str::from_utf8(content).ok().filter(|content| json::is_string(content))
    }

    fn forget(&mut self) {
        self.head.clear();
        self.tail.clear();
    }
}

/// What is seen while a chunk is taken apart that decides whether it makes a pattern.
#[derive(Default)]
struct Seen {
    choices: usize,
    deltas: usize,
    messages: usize,
    /// The content, where it begins and ends in memory.
    content: Option<Range<usize>>,
    /// Taking the same once more would change something.
    grows: bool,
}

impl Seen {
    fn member(&mut self, name: &str, value: &str) {
        self.grows |= match Type::of(value) {
            Type::Null | Type::Number | Type::Boolean => false,
            Type::String => !NAMES.contains(&name) && value != "\"\"",
            Type::Array | Type::Object => true,
        };
    }

    fn content(&mut self, value: &str) {
        self.grows |= self.content.is_some() || Type::of(value) != Type::String;
        let start = value.as_ptr() as usize;
        self.content = Some(start..start + value.len());
    }
}

#[derive(Debug, Default)]
enum Added {
    #[default]
    Nothing,
    /// The end of that choice's content.
    Tail(usize, Range<usize>),
    /// Texts of content parts, joined.
    Parts(Text),
}

#[derive(Debug)]
struct Choice {
    index: i64,
    /// Members of the message, `content` apart.
    message: Vec<(String, Merged)>,
    content: Content,
    finish_reason: Option<String>,
    /// Other members of the choice, such as `logprobs`.
    rest: Vec<(String, Merged)>,
}

#[derive(Debug)]
enum Content {
    /// Only null, or nothing.
    None,
    Text(Text),
    Parts(Vec<Merged>),
}

/// A growing text with a NUL behind it, so that C can borrow its end.
#[derive(Debug)]
struct Text(String);

impl Text {
    fn new(text: &str) -> Text {
        let mut own = String::with_capacity(text.len() + 1);
        own.push_str(text);
        own.push('\0');
        Text(own)
    }

    /// Adds the text of a JSON string.
    fn push_json(&mut self, more: &str) {
        self.0.pop();
        json::unescape_into(more, &mut self.0);
        self.0.push('\0');
    }

    fn as_str(&self) -> &str {
        &self.0[..self.0.len() - 1]
    }

    fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// A value put together from pieces.
#[derive(Debug)]
enum Merged {
    /// Anything but text, list and object, as JSON text.
    Raw(String),
    Text(String),
    List(Vec<Merged>),
    Object(Vec<(String, Merged)>),
}

/// What a chunk held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// An `error` member that is not null.
    pub error: bool,
}

impl Fold {
    /// Folds one chunk, a JSON object text. `false` when it is not an object.
    pub fn absorb(&mut self, chunk: &str) -> Option<Held> {
        let mut held = Held::default();
        self.added = Added::Nothing;
        self.pattern.forget();
        let chunk = json::value(chunk).ok()?;
        let mut seen = Seen::default();
        let is_object = json::each_member(chunk, &mut |name, value| match name.as_ref() {
            "choices" => {
                // Of repeated members the last is the one that a reader finds.
                seen.grows |= seen.choices > 0;
                json::each_item(value, &mut |choice| self.absorb_choice(choice, &mut seen));
            }
            "usage" => {
                if Type::of(value) != Type::Null {
                    let usage = self.usage.get_or_insert_default();
                    usage.clear();
                    usage.push_str(value);
                }
            }
            "error" if Type::of(value) != Type::Null => held.error = true,
            "success" if value == "false" => held.error = true,
            _ => self.absorb_root(&name, value),
        });
        if !is_object {
            return None;
        }
        if !held.error {
            self.remember(chunk, &seen);
        }
        Some(held)
    }

    /// Takes a chunk that differs from the last one in its content alone; `false` where it does not.
    pub fn absorb_alike(&mut self, chunk: &[u8]) -> bool {
        let Some(content) = self.pattern.content_of(chunk) else { return false };
        let place = self.pattern.place;
        self.added = self.choices[place].content.absorb(place, content);
        true
    }

    /// Makes the chunk the pattern for others, where it can be one.
    fn remember(&mut self, chunk: &str, seen: &Seen) {
        let Added::Tail(place, _) = self.added else { return };
        let Some(content) = seen.content.as_ref().filter(|_| !seen.grows && seen.choices == 1) else {
            return;
        };
        let start = chunk.as_ptr() as usize;
        let (head, tail) = (&chunk[..content.start - start], &chunk[content.end - start..]);
        if head.len() + tail.len() <= PATTERN_MOST && seen.deltas + seen.messages == 1 {
            self.pattern.head.extend_from_slice(head.as_bytes());
            self.pattern.tail.extend_from_slice(tail.as_bytes());
            self.pattern.place = place;
            self.pattern.in_delta = seen.deltas == 1;
        }
    }

    /// What the last chunk has at `/choices/0/delta/content`, with a NUL behind it, where that is known
    /// without looking for it.
    pub fn delta_content_with_nul(&self) -> Option<&str> {
        (!self.pattern.head.is_empty() && self.pattern.in_delta).then(|| self.added_text_with_nul())
    }

    /// The first value that says something stays.
    fn absorb_root(&mut self, name: &str, value: &str) {
        match self.root.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) if known == "null" || known == "\"\"" => {
                known.clear();
                known.push_str(value);
            }
            Some(_) => {}
            None => self.root.push((name.to_owned(), value.to_owned())),
        }
    }

    fn absorb_choice(&mut self, choice: &str, seen: &mut Seen) {
        seen.choices += 1;
        let mut index = None;
        json::each_member(choice, &mut |name, value| {
            if name == "index" {
                index = value.parse().ok();
            }
        });
        let index = index.unwrap_or(0);
        let place = match self.choices.iter().position(|known| known.index == index) {
            Some(place) => place,
            None => {
                self.choices.push(Choice::new(index));
                self.choices.len() - 1
            }
        };
        let is_first = self.choices.iter().all(|other| other.index >= index);
        let known = &mut self.choices[place];
        let mut added = Added::Nothing;
        json::each_member(choice, &mut |name, value| {
            match name.as_ref() {
                "index" => {}
                // A whole reply to a stream request has a message instead of a delta.
                "delta" | "message" => {
                    *if name == "delta" { &mut seen.deltas } else { &mut seen.messages } += 1;
                    json::each_member(value, &mut |name, value| {
                        if name == "content" {
                            seen.content(value);
                            added = known.content.absorb(place, value);
                        } else {
                            seen.member(&name, value);
                            absorb_member(&mut known.message, &name, value);
                        }
                    });
                }
                "finish_reason" => {
                    if Type::of(value) != Type::Null {
                        known.finish_reason = Some(value.to_owned());
                    }
                }
                _ => {
                    seen.member(&name, value);
                    absorb_member(&mut known.rest, &name, value);
                }
            }
        });
        if is_first {
            self.added = added;
        }
    }

    /// The text that the last chunk added to the choice with the lowest index.
    pub fn added_text(&self) -> &str {
        let with_nul = self.added_text_with_nul();
        &with_nul[..with_nul.len() - 1]
    }

    /// The same with a NUL behind it.
    pub fn added_text_with_nul(&self) -> &str {
        match &self.added {
            Added::Nothing => "\0",
            Added::Parts(text) => &text.0,
            Added::Tail(place, range) => match &self.choices[*place].content {
                Content::Text(text) => &text.0[range.start..=range.end],
                _ => "\0",
            },
        }
    }

    /// Why the choice with the lowest index ended.
    pub fn finish_reason(&self) -> Option<Cow<'_, str>> {
        let first = self.choices.iter().min_by_key(|choice| choice.index)?;
        first.finish_reason.as_deref().map(json::unescape)
    }

    /// Whether any part of an answer came.
    pub fn has_answer(&self) -> bool {
        !self.choices.is_empty()
    }

    /// Whether every choice said why it ended.
    pub fn is_finished(&self) -> bool {
        self.has_answer() && self.choices.iter().all(|choice| choice.finish_reason.is_some())
    }

    /// The folded document, as a unary call would have brought it.
    pub fn document(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in &self.root {
            let value = if name == "object" && value == "\"chat.completion.chunk\"" {
                "\"chat.completion\""
            } else {
                value
            };
            write_name(&mut out, name);
            out.push_str(value);
        }
        write_name(&mut out, "choices");
        out.push('[');
        let mut sorted: Vec<&Choice> = self.choices.iter().collect();
        sorted.sort_by_key(|choice| choice.index);
        for (place, choice) in sorted.into_iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            choice.write(&mut out);
        }
        out.push(']');
        if let Some(usage) = &self.usage {
            write_name(&mut out, "usage");
            out.push_str(usage);
        }
        out.push('}');
        out
    }
}

impl Choice {
    fn new(index: i64) -> Choice {
        Choice { index, message: Vec::new(), content: Content::None, finish_reason: None, rest: Vec::new() }
    }

    fn write(&self, out: &mut String) {
        out.push_str(&format!("{{\"index\":{},\"message\":{{", self.index));
        for (name, value) in &self.message {
            write_name(out, name);
            value.write(out);
        }
        write_name(out, "content");
        match &self.content {
            Content::None => out.push_str("null"),
            Content::Text(text) => out.push_str(&json::quote(text.as_str())),
            Content::Parts(parts) => write_list(out, parts),
        }
        out.push_str("},\"finish_reason\":");
        out.push_str(self.finish_reason.as_deref().unwrap_or("null"));
        for (name, value) in &self.rest {
            write_name(out, name);
            value.write(out);
        }
        out.push('}');
    }
}

impl Content {
    /// Adds a piece, and tells which text it was.
    fn absorb(&mut self, place: usize, value: &str) -> Added {
        match Type::of(value) {
            Type::String => match self {
                Content::Parts(parts) => {
                    let text = json::unescape(value);
                    let added = Added::Parts(Text::new(&text));
                    if !text.is_empty() {
                        parts.push(text_part(text.into_owned()));
                    }
                    added
                }
                Content::None => {
                    let mut text = Text::new("");
                    text.push_json(value);
                    let range = 0..text.len();
                    *self = Content::Text(text);
                    Added::Tail(place, range)
                }
                Content::Text(text) => {
                    let before = text.len();
                    text.push_json(value);
                    Added::Tail(place, before..text.len())
                }
            },
            Type::Array => {
                let mut parts = match std::mem::replace(self, Content::None) {
                    Content::None => Vec::new(),
                    Content::Text(text) if text.len() == 0 => Vec::new(),
                    Content::Text(text) => vec![text_part(text.as_str().to_owned())],
                    Content::Parts(parts) => parts,
                };
                let mut added = String::new();
                json::each_item(value, &mut |part| {
                    let part = Merged::of_any(part);
                    if let Merged::Object(members) = &part
                        && let Some((_, Merged::Text(text))) = members.iter().find(|(name, _)| name == "text")
                    {
                        added.push_str(text);
                    }
                    parts.push(part);
                });
                *self = Content::Parts(parts);
                Added::Parts(Text::new(&added))
            }
            _ => Added::Nothing,
        }
    }
}

fn text_part(text: String) -> Merged {
    Merged::Object(vec![
        ("type".to_owned(), Merged::Text("text".to_owned())),
        ("text".to_owned(), Merged::Text(text)),
    ])
}

impl Merged {
    /// What nests deeper than views go is kept as it came. All else nests no deeper than its chunk did,
    /// however many are merged, so that walking it cannot exhaust the stack.
    fn of_any(value: &str) -> Merged {
        if json::walkable(value).is_some() { Merged::of(value) } else { Merged::Raw(value.to_owned()) }
    }

    fn of(value: &str) -> Merged {
        match Type::of(value) {
            Type::String => Merged::Text(json::unescape(value).into_owned()),
            Type::Array => {
                let mut list = Vec::new();
                json::each_item(value, &mut |item| list.push(Merged::of(item)));
                Merged::List(list)
            }
            Type::Object => {
                let mut members = Vec::new();
                json::each_member(value, &mut |name, value| {
                    members.push((name.into_owned(), Merged::of(value)));
                });
                Merged::Object(members)
            }
            _ => Merged::Raw(value.to_owned()),
        }
    }

    fn merge(&mut self, name: &str, value: &str) {
        match (&mut *self, Type::of(value)) {
            (_, Type::Null) => {}
            (Merged::Text(text), Type::String) => {
                if !NAMES.contains(&name) {
                    json::unescape_into(value, text);
                } else if value != "\"\"" {
                    text.clear();
                    json::unescape_into(value, text);
                }
            }
            (Merged::Object(members), Type::Object) => {
                json::each_member(value, &mut |name, value| merge_member(members, &name, value));
            }
            (Merged::List(list), Type::Array) if name == "tool_calls" => {
                json::each_item(value, &mut |call| merge_tool_call(list, call));
            }
            (Merged::List(list), Type::Array) => {
                json::each_item(value, &mut |item| list.push(Merged::of(item)));
            }
            _ => *self = Merged::of(value),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Merged::Text(text) => Some(text),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<&Merged> {
        match self {
            Merged::Object(members) => {
                members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Merged::Raw(raw) => out.push_str(raw),
            Merged::Text(text) => out.push_str(&json::quote(text)),
            Merged::List(list) => write_list(out, list),
            Merged::Object(members) => {
                out.push('{');
                for (name, value) in members {
                    write_name(out, name);
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Takes a member of a chunk; what nests too deep to be merged stands as it came last.
fn absorb_member(members: &mut Vec<(String, Merged)>, name: &str, value: &str) {
    if json::walkable(value).is_some() {
        return merge_member(members, name, value);
    }
    members.retain(|(known, _)| known != name);
    members.push((name.to_owned(), Merged::Raw(value.to_owned())));
}

fn merge_member(members: &mut Vec<(String, Merged)>, name: &str, value: &str) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => known.merge(name, value),
        None if name == "tool_calls" && Type::of(value) == Type::Array => {
            let mut list = Vec::new();
            json::each_item(value, &mut |call| merge_tool_call(&mut list, call));
            members.push((name.to_owned(), Merged::List(list)));
        }
        None => members.push((name.to_owned(), Merged::of(value))),
    }
}

/// Puts a piece to the call it belongs to: by index, unless its id says that it is another call; without
/// index by id; with neither it goes on with the last call, unless it names a function.
fn merge_tool_call(calls: &mut Vec<Merged>, piece: &str) {
    let piece_value = Merged::of(piece);
    let id = piece_value.text("id").filter(|id| !id.is_empty());
    let same_id = |call: &Merged| match (id, call.text("id").filter(|id| !id.is_empty())) {
        (Some(new), Some(known)) => new == known,
        _ => true,
    };
    let index = match piece_value.member("index") {
        Some(Merged::Raw(index)) if index != "null" => Some(index.as_str()),
        _ => None,
    };
    let place = match (index, id) {
        (Some(index), _) => calls.iter().rposition(|call| {
            matches!(call.member("index"), Some(Merged::Raw(known)) if known == index) && same_id(call)
        }),
        (None, Some(id)) => calls.iter().rposition(|call| call.text("id") == Some(id)),
        (None, None) => {
            let named = piece_value.member("function").and_then(|function| function.text("name"));
            if named.is_some_and(|name| !name.is_empty()) { None } else { calls.len().checked_sub(1) }
        }
    };
    match place {
        Some(place) => calls[place].merge("", piece),
        None => calls.push(piece_value),
    }
}

fn write_name(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&json::quote(name));
    out.push(':');
}

fn write_list(out: &mut String, list: &[Merged]) {
    out.push('[');
    for (place, item) in list.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        item.write(out);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(chunks: &[&str]) -> Fold {
        let mut fold = Fold::default();
        for chunk in chunks {
            assert!(fold.absorb(chunk).is_some(), "{chunk}");
        }
        fold
    }

    fn calls(pieces: &[&str]) -> String {
        let chunks: Vec<String> = pieces
            .iter()
            .map(|piece| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{piece}]}}}}]}}"#))
            .collect();
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        let document = json::Document::of_text(&fold(&chunks).document()).unwrap();
        document.pointer("/choices/0/message/tool_calls").unwrap().raw().to_owned()
    }

    #[test]
    fn texts_join_names_do_not_and_unknown_members_are_kept() {
        let fold = fold(&[
            r#"{"id":"","object":"chat.completion.chunk","x":null,"choices":[{"index":0,"delta":{"role":"assistant","content":"Hé","new":{"a":"x","n":1,"l":[1]}}}],"usage":null}"#,
            r#"{"id":"i","object":"chat.completion.chunk","x":7,"choices":[{"index":0,"delta":{"role":"assistant","content":"l\u006co","new":{"a":"y","n":2,"l":[2]}},"finish_reason":"stop","logprobs":{"content":[{"t":1}]}}],"usage":{"total_tokens":3}}"#,
        ]);
        assert_eq!(
            fold.document(),
            r#"{"id":"i","object":"chat.completion","x":7,"choices":[{"index":0,"message":{"role":"assistant","new":{"a":"xy","n":2,"l":[1,2]},"content":"Héllo"},"finish_reason":"stop","logprobs":{"content":[{"t":1}]}}],"usage":{"total_tokens":3}}"#
        );
        assert_eq!(fold.added_text(), "llo");
        assert!(fold.is_finished());
    }

    #[test]
    fn tool_calls_are_put_together_in_every_habit_of_gateways() {
        // Pieces by index, ids repeated, `type` null.
        assert_eq!(
            calls(&[
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}"#,
                r#"{"index":0,"id":"a","type":null,"function":{"arguments":"{}"}}"#,
                r#"{"index":1,"function":{"arguments":"}"}}"#,
            ]),
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]"#
        );
        // Whole calls without index, or all with the same one.
        for index in ["", r#""index":0,"#] {
            let first = format!(r#"{{{index}"id":"a","function":{{"name":"f","arguments":"1"}}}}"#);
            let second = format!(r#"{{{index}"id":"b","function":{{"name":"f","arguments":"2"}}}}"#);
            assert_eq!(calls(&[&first, &second]), format!("[{first},{second}]"));
        }
        // Neither index nor id: a name begins a call, arguments go on with the last.
        assert_eq!(
            calls(&[
                r#"{"function":{"name":"f","arguments":"1"}}"#,
                r#"{"function":{"arguments":"2"}}"#,
                r#"{"function":{"name":"g","arguments":"3"}}"#,
            ]),
            r#"[{"function":{"name":"f","arguments":"12"}},{"function":{"name":"g","arguments":"3"}}]"#
        );
    }

    #[test]
    fn several_choices_stay_apart_and_the_lowest_gives_the_text() {
        let mut fold = Fold::default();
        let mut texts = Vec::new();
        for (index, text) in [(1, "B"), (0, "A"), (1, "b"), (0, "a")] {
            fold.absorb(&format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"{text}"}}}}]}}"#));
            texts.push(fold.added_text().to_owned());
        }
        assert_eq!(texts, ["B", "A", "", "a"]);
        assert!(fold.document().contains(r#"{"index":0,"message":{"content":"Aa"}"#), "{}", fold.document());
        assert!(!fold.is_finished());
    }

    #[test]
    fn parts_and_texts_in_one_answer_become_parts() {
        let fold = fold(&[
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"b"},{"type":"image_url","image_url":"x"}]}}]}"#,
            r#"{"choices":[{"delta":{"content":"c"}}]}"#,
        ]);
        assert!(fold.document().contains(r#""content":[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"image_url","image_url":"x"},{"type":"text","text":"c"}]"#), "{}", fold.document());
        assert_eq!(fold.added_text(), "c");
    }

    #[test]
    fn what_nests_too_deep_is_kept_and_walked_by_nobody() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let chunk = format!(r#"{{"x":{deep},"choices":[{{"delta":{{"content":"a","y":{deep}}}}}]}}"#);
        let fold = fold(&[&chunk, &chunk]);
        assert_eq!(fold.added_text(), "a");
        assert!(fold.document().contains(&format!(r#""y":{deep}"#)));
    }

    #[test]
    fn many_chunks_never_nest_deeper_than_one() {
        // Each would go on where the one before ended.
        let step = 400;
        let chunks: Vec<String> = (1..=60)
            .map(|count| {
                let depth = count * step;
                let value = r#"{"y":"#.repeat(depth) + "1" + &"}".repeat(depth);
                format!(r#"{{"choices":[{{"delta":{{"y":{value}}}}}]}}"#)
            })
            .collect();
        let mut fold = Fold::default();
        for chunk in &chunks {
            assert!(fold.absorb(chunk).is_some());
        }
        assert!(fold.document().contains(&r#"{"y":"#.repeat(60 * step)));
    }

    #[test]
    fn chunks_that_are_alike_but_for_their_content_are_folded_as_all_others() {
        let pieces: &[&[&str]] = &[
            &["", "\"id\":\"c\",", "\"id\":null,", "\"usage\":{\"total_tokens\":3},", "\"x\":[1],"],
            &["", "\"index\":0,", "\"index\":1,", "\"logprobs\":null,", "\"seen\":true,", "\"extra\":\"e\","],
            &["\"delta\"", "\"delta\"", "\"message\""],
            &[
                "",
                "",
                "\"role\":\"assistant\",",
                "\"reasoning\":\"r\",",
                "\"reasoning\":null,",
                "\"tool_calls\":[{}],",
            ],
            &["\"a\"", "\"b\\n\"", "\"\"", "\"\\ud83d\\ude00\"", "\"é\"", "null", "[{\"text\":\"p\"}]"],
            &["", ",\"content\":\"again\"", ",\"refusal\":null"],
            &[
                "",
                "",
                ",\"finish_reason\":null",
                ",\"finish_reason\":\"stop\"",
                ",\"delta\":{\"content\":\"2\"}",
            ],
            &["", "", ",{\"index\":2,\"delta\":{\"content\":\"other\"}}", "],\"choices\":["],
        ];
        let mut state = 11u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        let (mut alike, mut taken_apart) = (0, 0);
        for _ in 0..2_000 {
            let (mut quick, mut slow) = (Fold::default(), Fold::default());
            let mut chosen: Vec<&str> = pieces.iter().map(|those| those[random(those.len())]).collect();
            for _ in 0..random(12) {
                // Mostly the content alone changes.
                let place = if random(4) > 0 { 4 } else { random(pieces.len()) };
                chosen[place] = pieces[place][random(pieces[place].len())];
                let [root, choice, holder, message, content, more, rest, other] = chosen[..] else {
                    panic!()
                };
                let chunk = format!(
                    "{{{root}\"choices\":[{{{choice}{holder}:{{{message}\"content\":{content}{more}}}{rest}}}{other}]}}"
                );
                if quick.absorb_alike(chunk.as_bytes()) {
                    alike += 1;
                } else {
                    quick.absorb(&chunk).unwrap();
                    taken_apart += 1;
                }
                slow.absorb(&chunk).unwrap();
                assert_eq!(quick.added_text(), slow.added_text(), "{chunk}");
                assert_eq!(quick.document(), slow.document(), "{chunk}");
                if let Some(text) = quick.delta_content_with_nul() {
                    let document = json::Document::of_text(&chunk).unwrap();
                    let place = document.pointer("/choices/0/delta/content").expect(&chunk);
                    assert_eq!(&text[..text.len() - 1], place.as_str().unwrap(), "{chunk}");
                }
            }
        }
        assert!(alike > 300 && taken_apart > 1_000, "{alike} {taken_apart}");
    }

    #[test]
    fn what_is_no_chunk_is_not_taken_for_one_that_is_alike() {
        let mut fold = Fold::default();
        fold.absorb(r#"{"choices":[{"delta":{"content":"a"}}]}"#).unwrap();
        for chunk in [
            &br#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#[..],
            br#"{"choices":[{"delta":{"content":"a}}]}"#,
            br#"{"choices":[{"delta":{"content":}}]}"#,
            br#"{"choices":[{"delta":{"content":"}}]}"#,
            br#"{"choices":[{"delta":{"content":1}}]}"#,
            b"{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}",
            b"{\"choices\":[{\"delta\":{\"content\":\"\n\"}}]}",
            br#"{"choices":[{"delta":{"content":"a"}}]} "#,
        ] {
            assert!(!fold.absorb_alike(chunk), "{}", String::from_utf8_lossy(chunk));
        }
        assert!(fold.absorb_alike(br#"{"choices":[{"delta":{"content":"b"}}]}"#));
        assert_eq!(fold.added_text(), "b");
    }

    #[test]
    fn an_error_beside_anything_is_seen() {
        let mut fold = Fold::default();
        assert_eq!(fold.absorb(r#"{"error":null}"#), Some(Held { error: false }));
        assert_eq!(fold.absorb(r#"{"choices":[],"error":"x"}"#), Some(Held { error: true }));
        assert_eq!(fold.absorb("[1]"), None);
        assert_eq!(fold.absorb("\"x\""), None);
    }
}
