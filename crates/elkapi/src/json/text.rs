//! JSON strings to text and back.

use std::borrow::Cow;

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
    // What is escaped in prose stands close together: the pieces are put together here, since to copy each
    // by itself would cost more than to look for it.
    let mut block = [0; 256];
    let most = block.len() - LENGTH - ESCAPE;
    let mut filled = 0;
    out.reserve(text.len() + text.len() / 16 + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(word) = rest.first_chunk::<LENGTH>() {
        block[filled..filled + LENGTH].copy_from_slice(word);
        let marks = to_be_escaped(u64::from_le_bytes(*word));
        let plain = if marks == 0 { LENGTH } else { marks.trailing_zeros() as usize / 8 };
        filled += plain;
        if marks == 0 {
            rest = &rest[LENGTH..];
        } else {
            let (escape, length) = escaped(word[plain]);
            block[filled..filled + ESCAPE].copy_from_slice(&escape);
            filled += length;
            rest = &rest[plain + 1..];
        }
        if filled > most {
            out.extend_from_slice(&block[..filled]);
            filled = 0;
        }
    }
    out.extend_from_slice(&block[..filled]);
    for byte in rest {
        if *byte < 0x20 || matches!(byte, b'"' | b'\\') {
            let (escape, length) = escaped(*byte);
            out.extend_from_slice(&escape[..length]);
        } else {
            out.push(*byte);
        }
    }
    out.push(b'"');
}

/// Bytes that are looked at together.
const LENGTH: usize = 8;
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

/// The escape of a byte, and how long it is.
fn escaped(byte: u8) -> ([u8; ESCAPE], usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
            return ([b'\\', b'u', b'0', b'0', digits[0], digits[1]], ESCAPE);
        }
    };
    ([b'\\', short, 0, 0, 0, 0], 2)
}

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
