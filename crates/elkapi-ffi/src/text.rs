//! Help for programs that put requests together as text.

use std::ffi::c_char;

use elkapi_core::json;

use crate::ffi::NUL;

/// Writes a text as a JSON string, quotes and escapes included, so that it can stand in a request.
///
/// Works as `snprintf`: writes at most `cap` bytes, the closing NUL included, and tells how many
/// the whole needs; a return value of `cap` or more means that `out` was too small. Bytes that are
/// not UTF-8 become U+FFFD. NULL with length 0 is the empty text.
///
/// `out`: where to write, or NULL with `cap` 0 to ask for the size. `text`: what to quote.
/// `len`: its bytes, or `ELK_NUL`.
///
/// Returns: bytes of the whole JSON string without the NUL, at least 2; 0 for NULL with a length.
/// Ownership: `out` stays the caller's; the text is only read during the call.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_json_quote(
    out: *mut c_char,
    cap: usize,
    text: *const c_char,
    len: usize,
) -> usize {
    boundary!(_defect => 0; {
        let quoted = match text!(text, len) {
            Ok(bytes) => json::quote(&String::from_utf8_lossy(bytes.unwrap_or_default())),
            Err(_) => String::new(),
        };
        copy_out!(quoted.as_bytes(), out, cap);
        quoted.len()
    })
}

/// The length that stands for "NUL-terminated" is the largest one in both languages.
const _: () = assert!(NUL == !0);
