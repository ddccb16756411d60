//! JSON strings to text and back.

use std::borrow::Cow;

use crate::sys::block::{self, LENGTH};

/// The text of a well-formed JSON string, quotes included in the input; lone surrogates become U+FFFD.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    let inner = inner(raw);
    // Names are short: a search of its own costs more than to look at each byte.
    let is_plain = match inner.as_bytes() {
        short if short.len() <= 16 => !short.contains(&b'\\'),
        long => memchr::memchr(b'\\', long).is_none(),
    };
    if is_plain {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    unescape_into(raw, &mut text);
    Cow::Owned(text)
}

/// Appends the text of a well-formed JSON string, quotes included in the input.
pub(crate) fn unescape_into(raw: &str, text: &mut String) {
    let mut rest = inner(raw);
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied();
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            Some(b'u') => text.push(code_point(&mut rest)),
            Some(b'b') => text.push('\u{8}'),
            Some(b'f') => text.push('\u{c}'),
            Some(b'n') => text.push('\n'),
            Some(b'r') => text.push('\r'),
            Some(b't') => text.push('\t'),
            Some(same) => text.push(char::from(same)),
            None => {}
        }
    }
    text.push_str(rest);
}

fn inner(raw: &str) -> &str {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

/// The character whose digits come next, of a pair of surrogates both.
fn code_point(rest: &mut &str) -> char {
    let unit = take_unit(rest);
    if (0xD800..0xDC00).contains(&unit)
        && let Some(mut behind) = rest.strip_prefix("\\u")
    {
        let low = take_unit(&mut behind);
        if (0xDC00..0xE000).contains(&low) {
            *rest = behind;
            return char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)).unwrap_or('\u{FFFD}');
        }
    }
    char::from_u32(unit).unwrap_or('\u{FFFD}')
}

fn take_unit(rest: &mut &str) -> u32 {
    let digits = rest.get(..4).unwrap_or_default();
    *rest = rest.get(4..).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or(0xFFFD)
}

/// Text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote_into(text, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends text as a JSON string, quotes included.
pub fn quote_into(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 16 + 2);
    out.push(b'"');
    let rest = quote_blocks(text.as_bytes(), out);
    quote_words(rest, out);
    out.push(b'"');
}

/// Quotes whole blocks that have another one behind them, and gives the rest.
fn quote_blocks<'a>(mut text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if text.len() < 2 * LENGTH {
        return text;
    }
    // What is escaped in prose stands close together: the pieces are put together here, since to copy each by
    // itself would cost more than to look for it.
    let mut staged = [0; 1024];
    let most = staged.len() - LENGTH * (ESCAPE + 1);
    let mut filled = 0;
    while let Some(two) = text.first_chunk::<{ 2 * LENGTH }>() {
        filled = quote_block(two, &mut staged, filled);
        text = &text[LENGTH..];
        if filled > most {
            out.extend_from_slice(&staged[..filled]);
            filled = 0;
        }
    }
    out.extend_from_slice(&staged[..filled]);
    text
}

/// Quotes a short text, or the end of a long one, word by word.
fn quote_words(mut text: &[u8], out: &mut Vec<u8>) {
    let mut staged = [0; 256];
    let most = staged.len() - 8 - ESCAPE;
    let mut filled = 0;
    while let Some(word) = text.first_chunk::<8>() {
        staged[filled..][..8].copy_from_slice(word);
        let marks = to_be_escaped(u64::from_le_bytes(*word));
        if marks == 0 {
            filled += word.len();
            text = &text[word.len()..];
        } else {
            let plain = marks.trailing_zeros() as usize / 8;
            filled += plain;
            filled += stage_escape(&mut staged[filled..], word[plain]);
            text = &text[plain + 1..];
        }
        if filled > most {
            out.extend_from_slice(&staged[..filled]);
            filled = 0;
        }
    }
    out.extend_from_slice(&staged[..filled]);
    for byte in text {
        if *byte < 0x20 || matches!(byte, b'"' | b'\\') {
            let mut escape = [0; ESCAPE];
            let length = stage_escape(&mut escape, *byte);
            out.extend_from_slice(&escape[..length]);
        } else {
            out.push(*byte);
        }
    }
}

/// Puts the first of two blocks behind what is staged, and says how far it reaches. A whole block is copied
/// from wherever a piece of it begins; what is too much is written over.
fn quote_block(two: &[u8; 2 * LENGTH], staged: &mut [u8], mut filled: usize) -> usize {
    let mut marks = two.first_chunk().map_or(0, block::to_be_escaped);
    let mut done = 0;
    while marks != 0 {
        let place = marks.trailing_zeros() as usize;
        marks &= marks - 1;
        staged[filled..][..LENGTH].copy_from_slice(&two[done..][..LENGTH]);
        filled += place - done;
        filled += stage_escape(&mut staged[filled..], two[place]);
        done = place + 1;
    }
    staged[filled..][..LENGTH].copy_from_slice(&two[done..][..LENGTH]);
    filled + LENGTH - done
}

/// Bytes of the longest escape.
const ESCAPE: usize = 6;

/// The lowest bit that is set stands in the first byte that is to be escaped in a string: a quote, a
/// backslash or a control character.
pub(super) fn to_be_escaped(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The highest bit of a byte that is less than `least`; behind such a byte there may be false ones.
    let below = |word: u64, least: u64| word.wrapping_sub(EACH * least) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH * 0x80)
}

/// Puts the escape of a byte there, and says how long it is.
fn stage_escape(staged: &mut [u8], byte: u8) -> usize {
    let (escape, length) = &ESCAPES[usize::from(byte & 0x7f)];
    staged[..ESCAPE].copy_from_slice(escape);
    usize::from(*length)
}

/// The escapes of those that have to be, and how long they are: looked up, since which one comes next cannot
/// be foreseen.
static ESCAPES: [([u8; ESCAPE], u8); 128] = {
    let mut all = [([0; ESCAPE], 0); 128];
    let mut byte = 0;
    while byte < all.len() {
        let short = match byte as u8 {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => 0,
        };
        let digits = b"0123456789abcdef";
        all[byte] = match short {
            0 => ([b'\\', b'u', b'0', b'0', digits[byte >> 4], digits[byte & 15]], ESCAPE as u8),
            short => ([b'\\', short, 0, 0, 0, 0], 2),
        };
        byte += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_serde_json_quotes_them() {
        let all: String = (0..0x180).filter_map(char::from_u32).collect();
        for from in 0..20 {
            for to in from..all.chars().count().min(from + 200) {
                let text: String = all.chars().skip(from).take(to - from).collect();
                assert_eq!(quote(&text), serde_json::to_string(&text).unwrap());
            }
        }
        // Each of them at each place in a word, and behind each other.
        for byte in (0..0x20).chain([b'"', b'\\', b'!', b'#', b'[', b']', 0x7f]) {
            for place in 0..20 {
                let mut text = "é".repeat(place) + &"x".repeat(place);
                text.push(char::from(byte));
                text.push_str("y\"z\u{1}é!#");
                assert_eq!(quote(&text), serde_json::to_string(&text).unwrap());
                let long = text.repeat(30);
                assert_eq!(quote(&long), serde_json::to_string(&long).unwrap());
            }
        }
    }

    #[test]
    fn as_many_escapes_as_can_stand_together_are_quoted_wherever_they_begin() {
        for plain in 0..=1100 {
            for escapes in [1, 63, 64, 65, 130] {
                let text = "x".repeat(plain) + &"\u{1}".repeat(escapes) + &"y".repeat(70);
                assert_eq!(quote(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn every_escape_reads_as_serde_json_reads_it() {
        for raw in [
            r#""""#,
            r#""a""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""x\u00e9y\u7d75z""#,
            r#""\ud83d\ude00!""#,
            r#""é\n絵""#,
        ] {
            assert_eq!(unescape(raw), serde_json::from_str::<String>(raw).unwrap(), "{raw}");
        }
    }

    #[test]
    fn lone_surrogates_become_one_replacement_character_each() {
        assert_eq!(unescape(r#""a\ud800b""#), "a\u{FFFD}b");
        assert_eq!(unescape(r#""\udc00\ud800""#), "\u{FFFD}\u{FFFD}");
        assert_eq!(unescape(r#""\ud800\ud83d\ude00""#), "\u{FFFD}😀");
        assert_eq!(unescape(r#""\ud800\u0041\n""#), "\u{FFFD}A\n");
    }
}
