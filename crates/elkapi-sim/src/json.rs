//! JSON text written by hand, in the gateway's key order and with its escapes.
//!
//! The gateway escapes `<`, `>` and `&` in its JSON, so the simulator does too: a client that
//! compares text without unescaping shows itself.

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0..=0x1F => {
                out.extend_from_slice(&bytes[written..at]);
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                written = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..at]);
        out.extend_from_slice(escape);
        written = at + 1;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// `text` as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    // Escapes are ASCII and everything else was copied whole, so this never replaces anything.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn quoted_text_reads_back_as_it_was() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{1}\u{1f}", "<b>&</b>", "日本語 👋"] {
            let back: String = serde_json::from_str(&quoted(text)).unwrap();
            assert_eq!(back, text);
        }
        assert_eq!(quoted("<&>"), "\"\\u003c\\u0026\\u003e\"");
    }
}
