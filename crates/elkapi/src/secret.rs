//! The API key: checked once, never shown.

use std::fmt;

use crate::error::Error;

/// An API key. It has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

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
        Ok(Secret(key.to_owned()))
    }

    /// The key itself, for the `Authorization` field alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the key cut out.
    pub(crate) fn cut_from<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if text.contains(&self.0) { text.replace(&self.0, "***").into() } else { text.into() }
    }
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
}
