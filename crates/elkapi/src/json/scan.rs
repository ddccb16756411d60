//! One pass that says whether a text is JSON, and walks over text that is. Allocates nothing but a
//! note of long strings, so that their ends need not be looked for again.
//!
//! What [`check`] refuses may still be JSON that nests too deep; the caller asks serde_json why.

use std::ops::Range;

use super::text::to_be_escaped;
use crate::sys::block::{self, Block};

/// How deep a reply may nest; deeper ones are refused instead of walked.
pub const MAX_DEPTH: usize = 512;

/// From this length on it pays to remember where a string ends.
const LONG: usize = 4096;

/// A text that was found to be JSON.
pub(super) struct Checked {
    /// The value, without white space around.
    pub value: Range<usize>,
    pub long: Long,
}

/// Long strings in their order.
#[derive(Debug, Default)]
pub(super) struct Long(Vec<LongString>);

#[derive(Debug)]
struct LongString {
    /// Quotes included.
    place: Range<usize>,
    has_escapes: bool,
}

impl Long {
    fn find(&self, open: usize) -> Option<&LongString> {
        self.0.binary_search_by_key(&open, |known| known.place.start).ok().map(|place| &self.0[place])
    }

    /// Whether the string that opens there is a long one without escapes.
    pub fn is_plain(&self, open: usize) -> bool {
        self.find(open).is_some_and(|known| !known.has_escapes)
    }
}

/// Checks that the text is one JSON value (RFC 8259) that nests no deeper than [`MAX_DEPTH`].
pub(super) fn check(text: &str) -> Option<Checked> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, long: Long::default() };
    scan.space();
    let start = scan.at;
    scan.value()?;
    let value = start..scan.at;
    scan.space();
    (scan.at == text.len()).then_some(Checked { value, long: scan.long })
}

/// Whether the text is one JSON string and nothing else.
pub(super) fn is_string(text: &str) -> bool {
    if is_short_and_plain(text.as_bytes()) {
        return true;
    }
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, long: Long::default() };
    scan.string().is_some() && scan.at == text.len()
}

/// Whether it is a string without escapes that takes no longer to look at than to prepare for a long one, as
/// what an event adds to a text mostly is.
fn is_short_and_plain(text: &[u8]) -> bool {
    const MOST: usize = 128;
    let Some(inner) = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else {
        return false;
    };
    if inner.len() > MOST {
        return false;
    }
    let (words, rest) = inner.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).all(|word| to_be_escaped(u64::from_le_bytes(*word)) == 0)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    long: Long,
}

/// The containers around a place: one bit each, set for an object.
#[derive(Default)]
struct Around {
    objects: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Around {
    fn enter(&mut self, object: bool) -> Option<()> {
        let word = self.objects.get_mut(self.depth / 64)?;
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    fn is_object(&self) -> bool {
        let innermost = self.depth - 1;
        self.objects[innermost / 64] >> (innermost % 64) & 1 == 1
    }
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        self.at = skip_space(self.bytes, self.at);
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// A value of any depth, without recursion.
    fn value(&mut self) -> Option<()> {
        let mut around = Around::default();
        loop {
            match self.peek()? {
                open @ (b'{' | b'[') => {
                    let object = open == b'{';
                    around.enter(object)?;
                    self.at += 1;
                    self.space();
                    if self.peek()? == open + 2 {
                        self.at += 1;
                        around.depth -= 1;
                    } else {
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended, and with it perhaps what is around it.
            loop {
                if around.depth == 0 {
                    return Some(());
                }
                self.space();
                match (around.is_object(), self.peek()?) {
                    (object, b',') => {
                        self.at += 1;
                        self.space();
                        if object {
                            self.name()?;
                        }
                        break;
                    }
                    (true, b'}') | (false, b']') => {
                        self.at += 1;
                        around.depth -= 1;
                    }
                    _ => return None,
                }
            }
        }
    }

    /// A member's name with its colon.
    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.take(b':')?;
        self.space();
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<()> {
        let open = self.at;
        self.take(b'"')?;
        let (end, has_escapes) = end_of_string(self.bytes, self.at)?;
        self.at = end;
        if end - open >= LONG {
            self.long.0.push(LongString { place: open..end, has_escapes });
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let before = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > before).then_some(())
    }
}

/// Where the string whose text begins at `at` ends, behind its quote, and whether it has escapes; `None`
/// where it is not well-formed.
fn end_of_string(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    match near_quote(bytes.get(at..)?) {
        Some(length) => Some((at + length + 1, false)),
        None => end_of_longer_string(bytes, at),
    }
}

fn end_of_longer_string(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut at = start;
    let mut passage = Passage::default();
    let mut blocks = [Block::default(); block::AT_ONCE];
    // Most strings are short: what lies behind their end need not be looked at.
    let mut at_once = 1;
    // Where the next window is looked at in one go.
    let mut next_window = start + 8 * block::LENGTH;
    loop {
        while at >= next_window && passage.is_told_by_the_byte_before(bytes, at) {
            let Some(has_escapes) = block::goes_on(bytes, at) else {
                next_window = at + BLOCK_BY_BLOCK;
                break;
            };
            at += block::WINDOW;
            next_window = at;
            passage.carry = u64::from(bytes[at - 1] == b'\\');
            passage.backslashes |= u64::from(has_escapes);
            passage.plain = 0;
        }
        if passage.plain >= PLAIN_BLOCKS {
            at += plain_length(bytes.get(at..)?)?;
            passage.plain = 0;
        }
        let rest = bytes.get(at..)?;
        let mut count = block::look(rest, &mut blocks[..at_once]);
        at_once = (2 * at_once).min(block::AT_ONCE);
        if count == 0 {
            blocks[0] = block::last(rest);
            count = 1;
        }
        for found in &blocks[..count] {
            if let Some(end) = passage.through(bytes, at, found)? {
                return Some((end, passage.has_escapes()));
            }
            at += block::LENGTH;
        }
    }
}

/// A way through a string, block by block.
#[derive(Default)]
struct Passage {
    /// 1 where the first byte of the next block is escaped by the last one of this.
    carry: u64,
    /// Blocks in a row that had nothing in them.
    plain: usize,
    /// Not 0 where there was a backslash.
    backslashes: u64,
}

impl Passage {
    fn has_escapes(&self) -> bool {
        self.backslashes != 0
    }

    /// Whether the byte before that place is a backslash exactly where one escapes what stands there.
    fn is_told_by_the_byte_before(&self, bytes: &[u8], at: usize) -> bool {
        self.carry == u64::from(bytes[at - 1] == b'\\')
    }

    /// Goes through the block at that place, to the end of the string where it is in it: behind its quote.
    /// `None` where something stands in the string that must not.
    fn through(&mut self, bytes: &[u8], at: usize, found: &Block) -> Option<Option<usize>> {
        if found.quotes | found.backslashes | found.controls | self.carry == 0 {
            self.plain += 1;
            return Some(None);
        }
        self.plain = 0;
        let escaped = escaped(found.backslashes, &mut self.carry);
        let ends = found.quotes & !escaped;
        // What stands before the string's end, or in all of the block.
        let inside = if ends == 0 { u64::MAX } else { ends ^ (ends - 1) };
        self.backslashes |= found.backslashes & inside;
        if found.controls & inside != 0 {
            return None;
        }
        let others = escaped & !found.escapes & inside;
        if others != 0 && !are_escapes(bytes, at, others) {
            return None;
        }
        Some((ends != 0).then(|| at + ends.trailing_zeros() as usize + 1))
    }
}

/// Which bytes of a block follow a backslash that is not itself escaped. `carry`: the same for the byte
/// before the block, then for that behind it.
///
/// Runs of backslashes are told apart by where they begin, on an even or an odd place, and the carry of an
/// addition finds where they end; so simdjson does it.
fn escaped(backslashes: u64, carry: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    if backslashes == 0 {
        return std::mem::take(carry);
    }
    let escaping = backslashes & !*carry;
    let follows = escaping << 1 | *carry;
    let odd_starts = escaping & !EVEN & !follows;
    let (even_runs, beyond) = odd_starts.overflowing_add(escaping);
    *carry = u64::from(beyond);
    (EVEN ^ (even_runs << 1)) & follows
}

/// Whether each of these places of the block at `at` has what may follow a backslash.
fn are_escapes(bytes: &[u8], at: usize, mut places: u64) -> bool {
    while places != 0 {
        let place = at + places.trailing_zeros() as usize;
        let is_escape = match bytes.get(place) {
            Some(b'u') => {
                bytes.get(place + 1..place + 5).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            Some(byte) => b"\"\\/bfnrt".contains(byte),
            None => false,
        };
        if !is_escape {
            return false;
        }
        places &= places - 1;
    }
    true
}

/// Bytes of a string that are read block by block where a window of it was not simple: the next ones will
/// not be either.
const BLOCK_BY_BLOCK: usize = 4 * block::WINDOW;

/// So many blocks without anything in them make it likely that a long plain text follows, for which
/// there is a faster search.
const PLAIN_BLOCKS: usize = 4;

/// Bytes that are looked at twice while they are at hand.
const PLAIN_AT_ONCE: usize = 16 * 1024;

/// How far it is to the next quote or backslash; `None` where there is neither, or a control character
/// before.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let mut passed = 0;
    for window in bytes.chunks(PLAIN_AT_ONCE) {
        let found = memchr::memchr2(b'"', b'\\', window);
        let plain = &window[..found.unwrap_or(window.len())];
        // Without a branch per byte, so that many are looked at together.
        if plain.iter().fold(false, |found, byte| found | (*byte < 0x20)) {
            return None;
        }
        if let Some(at) = found {
            return Some(passed + at);
        }
        passed += window.len();
    }
    None
}

/// How far it is to the quote that ends a short string without escapes, as names and most values are.
fn near_quote(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().take(2).enumerate() {
        let found = to_be_escaped(u64::from_le_bytes(*word));
        if found != 0 {
            let at = 8 * place + found.trailing_zeros() as usize / 8;
            return (bytes[at] == b'"').then_some(at);
        }
    }
    None
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Goes through text that [`check`] found well-formed.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    long: Option<&'a Long>,
}

impl<'a> Walk<'a> {
    pub fn new(text: &'a str, long: Option<&'a Long>) -> Walk<'a> {
        Walk { bytes: text.as_bytes(), long }
    }

    /// The elements of the array that opens there.
    pub fn items(self, open: usize, mut each: impl FnMut(Range<usize>)) {
        let mut at = skip_space(self.bytes, open + 1);
        while self.bytes.get(at).is_some_and(|byte| *byte != b']') {
            let end = self.end_of_value(at);
            each(at..end);
            at = self.skip_comma(end);
        }
    }

    /// The members of the object that opens there: the name with its quotes, and the value.
    pub fn members(self, open: usize, mut each: impl FnMut(Range<usize>, Range<usize>)) {
        let mut at = skip_space(self.bytes, open + 1);
        while self.bytes.get(at).is_some_and(|byte| *byte != b'}') {
            let name = at..self.end_of_string(at);
            let colon = skip_space(self.bytes, name.end);
            let start = skip_space(self.bytes, colon + 1);
            let end = self.end_of_value(start);
            each(name, start..end);
            at = self.skip_comma(end);
        }
    }

    fn skip_comma(self, at: usize) -> usize {
        let at = skip_space(self.bytes, at);
        if self.bytes.get(at) == Some(&b',') { skip_space(self.bytes, at + 1) } else { at }
    }

    /// Behind the value that begins there; always further on.
    fn end_of_value(self, start: usize) -> usize {
        match self.bytes.get(start) {
            Some(b'"') => self.end_of_string(start),
            Some(b'{' | b'[') => self.end_of_container(start),
            _ => {
                let rest = self.bytes.get(start + 1..).unwrap_or_default();
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
                start + 1 + rest.iter().position(ends).unwrap_or(rest.len())
            }
        }
    }

    fn end_of_container(self, start: usize) -> usize {
        let (mut at, mut depth) = (start, 0usize);
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b'"' => {
                    at = self.end_of_string(at);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return at + 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// Behind the quote that closes the string which opens at `open`.
    fn end_of_string(self, open: usize) -> usize {
        if let Some(known) = self.long.and_then(|long| long.find(open)) {
            return known.place.end;
        }
        end_of_string(self.bytes, open + 1).map_or(self.bytes.len(), |(end, _)| end)
    }
}

/// The offset at which well-formed JSON passes [`MAX_DEPTH`].
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let walk = Walk::new(text, None);
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = walk.bytes.get(at) {
        match byte {
            b'"' => {
                at = walk.end_of_string(at);
                continue;
            }
            b'{' | b'[' if depth == MAX_DEPTH => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn judged_alike(text: &str) {
        let theirs = serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get);
        let ours = check(text).map(|checked| &text[checked.value]);
        assert_eq!(ours, theirs, "{text:?}");
        let is_whole_string = theirs.is_some_and(|value| value == text && value.starts_with('"'));
        assert_eq!(is_string(text), is_whole_string, "{text:?}");
    }

    #[test]
    fn every_form_is_judged_as_serde_json_judges_it() {
        let texts = r#"
            {} [] "" 0 -0 -1.5e+10 1E9 01 -01 1. .5 1e 1e+ - + true false null nul tru truex [1,2] [1,] [,1]
            {"a":1} {"a":1,} {"a"} {a:1} {"a":} {"a"1} [1}2] {"a":1] [}] {] "\u12g4" "\u123" "\ud800" "\x" "a
            "\"" "\\" "\/\b\f\n\r\t\u00e9" [[[]]] {"a":{"b":[{}]}} 1,2 "a""b" [1]] }{ NaN Infinity --1 1.5.5 [1,,2]
            {"a":1"b":2} {1:2} {"a":1,"a":2} ["é","絵文字👩"] [tru,] "
        "#;
        for text in texts.split_whitespace() {
            judged_alike(text);
        }
        let spaced = [
            " {  } ",
            "[ 1 , 2 ]",
            "\t{\n\"a\" :\r1 , \"b\": [ ] }\n",
            "",
            " ",
            "\"a\u{1}b\"",
            "\"a\nb\"",
            "[1 2]",
            "\u{a0}1",
            "1\0",
        ];
        spaced.iter().for_each(|text| judged_alike(text));
    }

    #[test]
    fn random_texts_are_judged_as_serde_json_judges_them() {
        let alphabet = [
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\\", "\\u00e9", "1", "-", "0", ".5", "e3", "true",
            "null", " ", "\n", "é",
        ];
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        for _ in 0..200_000 {
            let text: String = (0..random(12)).map(|_| alphabet[random(alphabet.len())]).collect();
            judged_alike(&text);
        }
        // Long strings, whose escapes and ends fall on every place of a block.
        let pieces =
            ["x", "xxxxxxx", "é", "\\\"", "\\\\", "\\u00e9", "\\n", "\"", "\n", "\\u12", "\\x", "\\"];
        for round in 0..50_000 {
            let plain = "y".repeat(random(if round % 16 == 0 { 600 } else { 90 }));
            let kinds = random(pieces.len()) + 1;
            let text: String = (0..random(40)).map(|_| pieces[random(kinds)]).collect();
            judged_alike(&format!("\"{plain}{text}\""));
            judged_alike(&format!("\"{text}{plain}\""));
        }
        // Strings of many windows, with one thing out of the order in them or none.
        for round in 0..5_000 {
            let simple = ["x", "yyyyyyy", "é", "\\\"", "\\n", "\\/"];
            let odd = ["\\\\", "\\u00e9", "\\x", "\n", "\"", "\\u12"];
            let known = if round % 2 == 0 { 3 } else { simple.len() };
            let mut text: Vec<&str> = (0..random(3_000)).map(|_| simple[random(known)]).collect();
            if round % 4 != 0 {
                text.insert(random(text.len() + 1), odd[random(odd.len())]);
            }
            judged_alike(&format!("\"{}\"", text.concat()));
            text.push(odd[random(2)]);
            judged_alike(&format!("\"{}{}\"", text.concat(), "y".repeat(random(9_000))));
        }
    }

    #[test]
    fn runs_of_backslashes_are_judged_at_every_border() {
        let borders = (50..70).chain(570..585).chain(1080..1095).chain(1595..1605);
        for plain in borders {
            for run in [0, 1, 2, 3, 62, 63, 64, 65, 127, 128, 1023, 1024, 1025] {
                for tail in ["", "n", "u00e9", "u00e", "x", "\"", "\\\"", "\n"] {
                    for rest in [0, 1, 63, 1100, 6000] {
                        let text = ["y".repeat(plain), "\\".repeat(run), tail.to_owned(), "z".repeat(rest)];
                        judged_alike(&format!("\"{}\"", text.concat()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_string_knows_of_its_only_escape() {
        for at in [0, 1, 62, 63, 64, 511, 512, 513, 1534, 1535, 1536, 4000, 8990] {
            let plain = "y".repeat(9_000);
            let text = format!("\"{}\\n{}\"", &plain[..at], &plain[at..]);
            assert!(!check(&text).unwrap().long.is_plain(0), "{at}");
        }
        assert!(check(&format!("\"{}\"", "y".repeat(9_000))).unwrap().long.is_plain(0));
    }

    #[test]
    fn long_strings_are_found_again_without_a_search() {
        let long = "x".repeat(LONG);
        let text = format!(r#"{{"a":["{long}\"",{{"b":"{long}"}}],"{long}":1}}"#);
        let checked = check(&text).unwrap();
        assert_eq!(checked.long.0.len(), 3);
        let walk = |long| {
            let mut found = Vec::new();
            Walk::new(&text, long).members(0, |name, value| found.push((name, value)));
            found
        };
        assert_eq!(walk(Some(&checked.long)), walk(None));
        assert_eq!(walk(None).len(), 2);
    }
}
