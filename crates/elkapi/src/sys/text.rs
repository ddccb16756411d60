//! Bytes that are text: judged as fast as they can be read.

/// The bytes as text, where they are UTF-8; otherwise the bytes.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, Vec<u8>> {
    if simdutf8::basic::from_utf8(&bytes).is_err() {
        return Err(bytes);
    }
    // SAFETY: that was just judged, of the same bytes.
    Ok(unsafe { String::from_utf8_unchecked(bytes) })
}
