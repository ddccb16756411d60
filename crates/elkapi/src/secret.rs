//! The API key, and whatever else is never shown: checked once, cut out of every word.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::error::Error;

/// An API key, with what else must not be shown beside it. It has no `Display`, and `Debug` hides it.
///
/// Cheap to clone: every reply's field lines are looked through for it.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

/// Shorter ones are no secret and would cut words apart.
const LEAST: usize = 4;

struct Inner {
    text: String,
    /// What base64 makes of it.
    encoded: Vec<String>,
    /// No text below this many bytes can hold it in any spelling.
    shortest: usize,
    others: Vec<Secret>,
}

impl Secret {
    /// Takes a key; one trailing line end, the usual slip of keys read from files, is dropped.
    ///
    /// # Errors
    ///
    /// `config` when the key is empty or holds a byte that cannot stand in a header field. The
    /// message names the byte's place and never the key.
    pub fn new(key: &str) -> Result<Secret, Error> {
        let key = key.strip_suffix('\n').unwrap_or(key);
        let key = key.strip_suffix('\r').unwrap_or(key);
        if key.is_empty() {
            return Err(Error::config("The API key is empty; give the key as the gateway shows it")
                .with_param("api_key"));
        }
        if let Some(at) = key.bytes().position(|byte| !(0x21..=0x7e).contains(&byte)) {
            let what = match key.as_bytes()[at] {
                b' ' => "a space",
                b'\n' | b'\r' => "a line end",
                0x00..=0x1f | 0x7f => "a control character",
                _ => "a character outside ASCII",
            };
            return Err(Error::config(format!(
                "The API key has {what} at byte {at}; give the key alone, without quotes or other text"
            ))
            .with_param("api_key"));
        }
        Ok(Secret::of_text(key))
    }

    /// Any other text that must not be shown, such as a proxy's password.
    pub(crate) fn of_text(text: &str) -> Secret {
        Secret::with_others(text, Vec::new())
    }

    fn with_others(text: &str, others: Vec<Secret>) -> Secret {
        let encoded = if text.len() < LEAST { Vec::new() } else { base64_forms(text.as_bytes()) };
        let shortest = encoded.iter().map(String::len).min().unwrap_or(0).min(text.len());
        Secret(Arc::new(Inner { text: text.to_owned(), encoded, shortest, others }))
    }

    /// The same, which cuts the others out of texts too.
    pub(crate) fn beside<'a>(self, others: impl IntoIterator<Item = &'a Secret>) -> Secret {
        let others = self.0.others.iter().cloned().chain(others.into_iter().cloned()).collect();
        Secret::with_others(&self.0.text, others)
    }

    /// The key itself, for the `Authorization` field alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0.text
    }

    /// Whether a text of that many bytes can hold it at all.
    pub(crate) fn fits_into(&self, length: usize) -> bool {
        let Inner { text, shortest, others, .. } = &*self.0;
        text.len() >= LEAST && length >= *shortest || others.iter().any(|other| other.fits_into(length))
    }

    /// `text` with every occurrence of the key, and of what stands beside it, cut out: in clear, in the
    /// escapes of JSON, HTML and URLs, in base64, and whatever the case. Shorter ones than four bytes
    /// are no secret and would cut words apart.
    pub(crate) fn cut_from<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = self.cut_alone_from(text);
        for other in &self.0.others {
            if let Cow::Owned(cleaner) = other.cut_from(&clean) {
                clean = Cow::Owned(cleaner);
            }
        }
        clean
    }

    fn cut_alone_from<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Inner { text: secret, encoded, shortest, .. } = &*self.0;
        if secret.len() < LEAST || text.len() < *shortest {
            return Cow::Borrowed(text);
        }
        let mut kept = String::new();
        let (mut copied, mut at) = (0, 0);
        while at < text.len() {
            let found = escaped_at(&text[at..], secret).or_else(|| {
                encoded.iter().find_map(|form| text[at..].starts_with(form).then_some(form.len()))
            });
            match found {
                Some(length) => {
                    kept.push_str(&text[copied..at]);
                    kept.push_str("***");
                    at += length;
                    copied = at;
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        kept.push_str(&text[copied..]);
        Cow::Owned(kept)
    }
}

/// The length of `secret` at the beginning of `text`, each of its characters plain or escaped.
fn escaped_at(text: &str, secret: &str) -> Option<usize> {
    let mut rest = text;
    for wanted in secret.chars() {
        let (seen, length) = one_character(rest, wanted)?;
        if !seen.eq_ignore_ascii_case(&wanted) {
            return None;
        }
        rest = &rest[length..];
    }
    Some(text.len() - rest.len())
}

/// The character that stands at the beginning, and the length of its spelling. A backslash or
/// percent sign that is itself wanted counts as itself.
fn one_character(text: &str, wanted: char) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    let hex = |digits: Option<&str>| u32::from_str_radix(digits?, 16).ok().and_then(char::from_u32);
    let escaped = match first {
        // JSON within JSON escapes the backslash too.
        '\\' => {
            let rest = text.trim_start_matches('\\');
            let slashes = text.len() - rest.len();
            let code = rest.strip_prefix('u').and_then(|digits| hex(digits.get(..4)));
            match code {
                Some(character) => Some((character, slashes + 5)),
                None => rest.chars().next().map(|c| (c, slashes + c.len_utf8())),
            }
        }
        '%' => hex(text.get(1..3)).map(|c| (c, 3)),
        '&' => html_character(text),
        _ => None,
    };
    match escaped {
        Some((character, length)) if first != wanted || character == wanted => Some((character, length)),
        _ => Some((first, first.len_utf8())),
    }
}

fn html_character(text: &str) -> Option<(char, usize)> {
    let end = text.get(..10.min(text.len())).unwrap_or(text).find(';')?;
    let name = &text[1..end];
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
            Some(digits) => char::from_u32(u32::from_str_radix(digits, 16).ok()?)?,
            None => char::from_u32(name.strip_prefix('#')?.parse().ok()?)?,
        },
    };
    Some((character, end + 1))
}

/// What base64 makes of the key at each of the three places it can have in a longer text; only the
/// characters that depend on the key alone.
fn base64_forms(key: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(key.iter().copied()).collect();
        // Characters that also hold bits of what stands before or behind are left out.
        let (first, last) = ([0, 2, 3][before], padded.len() * 8 / 6);
        for form in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(form[first..last].to_owned());
        }
    }
    forms
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_line_end_is_dropped_and_anything_else_is_refused_without_showing_the_key() {
        assert_eq!(Secret::new("sk-abc\r\n").unwrap().expose(), "sk-abc");
        for (key, says) in [
            ("", "empty"),
            ("\n", "empty"),
            ("sk-SECRET\n\n", "line end at byte 9"),
            ("sk-SECRET x", "space at byte 9"),
            ("sk-SECRET\r\nX-Evil: 1", "line end"),
            ("sk-SECRETé", "outside ASCII"),
            ("sk-SECRET\0", "control character"),
        ] {
            let error = Secret::new(key).unwrap_err();
            assert!(error.message().contains(says), "{error}");
            assert!(!error.document().contains("SECRET"), "{error}");
        }
        assert_eq!(format!("{:?}", Secret::new("sk-abc").unwrap()), "***");
    }

    #[test]
    fn an_echoed_key_is_cut_out_in_every_spelling() {
        let key = "sk-a/b+c&d%<Z";
        let secret = Secret::new(key).unwrap();
        let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        for spelling in [
            key.to_owned(),
            key.to_ascii_lowercase(),
            r"sk-a\/b+c\u0026d%\u003cZ".to_owned(),
            r"sk-a\\/b+c&d%<Z".to_owned(),
            "sk-a%2Fb%2bc%26d%25%3CZ".to_owned(),
            "sk-a/b+c&amp;d%&lt;Z".to_owned(),
            "sk-a&#47;b&#x2B;c&d%<Z".to_owned(),
        ] {
            assert_eq!(secret.cut_from(&format!("é{spelling}é")), "é***é", "{spelling}");
        }
        for before in ["", "x", "xy", "Bearer "] {
            let encoded = base64(format!("{before}{key}!"));
            let cut = secret.cut_from(&encoded);
            assert!(cut.contains("***") && cut.len() < 20, "{before}: {cut}");
        }
        for other in ["", "sk-a/b", "sk-a/b+c&d%<", "%", "\\", "&", "&amp", "\\u00", "%2"] {
            assert_eq!(secret.cut_from(other), other);
        }
    }
}
