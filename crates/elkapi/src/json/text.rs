//! JSON strings to text and back.

use std::borrow::Cow;

/// The text of a well-formed JSON string, quotes included in the input; lone surrogates become U+FFFD.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
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
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
