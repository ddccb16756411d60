//! The result of a call: an answer or a failure, read by accessors that lend text. A queue also hands
//! out chunks of streams in this form.
//!
//! What is lent and does not exist in that form in the core is made once, kept in the result, and
//! only ever added to: the pointers live as long as the result, whichever thread asked.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, OnceLock, PoisonError};

use elkapi_core::json::{Document, Type, View};
use elkapi_core::{Completion, Error, Image, Kind, OwnedChunk, Reply};

use crate::ffi::Lent;
use crate::status::{OK, elk_status};

/// What a call ended with: an answer or a failure; or one chunk out of a queue. It never changes.
pub struct elk_result {
    outcome: Outcome,
    /// A chunk, the error document or the client's own facts, parsed when they are first asked for.
    chunk: OnceLock<Option<Document>>,
    error: OnceLock<Option<Document>>,
    call: OnceLock<Option<Document>>,
    text: OnceLock<Vec<u8>>,
    /// Each with a NUL behind it.
    kept: Mutex<HashMap<Key, Vec<u8>>>,
}

enum Outcome {
    Answer(Completion),
    /// And what had arrived of an answer before its stream failed.
    Failure(Error, Option<Completion>),
    Chunk(OwnedChunk),
}

/// What a kept text answers.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Verdict,
    Error,
    Message,
    Header(String),
    Pointer(String),
    MediaType(usize),
    Url(usize),
}

/// Any thread may read a result.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<elk_result>();
};

impl elk_result {
    pub(crate) fn of(outcome: Result<Completion, Error>) -> elk_result {
        elk_result::new(match outcome {
            Ok(mut answer) => {
                answer.close_text();
                Outcome::Answer(answer)
            }
            Err(error) => Outcome::Failure(error, None),
        })
    }

    /// What a stream came to: its answer, or the error and what had arrived before it.
    pub(crate) fn of_stream(answer: Option<Completion>, error: Option<Error>) -> elk_result {
        match (answer, error) {
            (Some(answer), None) => elk_result::of(Ok(answer)),
            (partial, Some(error)) => elk_result::new(Outcome::Failure(error, partial)),
            (None, None) => elk_result::failed(Error::new(Kind::Internal, "A stream came to nothing")),
        }
    }

    pub(crate) fn of_chunk(chunk: OwnedChunk) -> elk_result {
        elk_result::new(Outcome::Chunk(chunk))
    }

    pub(crate) fn failed(error: Error) -> elk_result {
        elk_result::of(Err(error))
    }

    fn new(outcome: Outcome) -> elk_result {
        let (chunk, error, call) = Default::default();
        elk_result { outcome, chunk, error, call, text: OnceLock::new(), kept: Mutex::default() }
    }

    /// The answer, whole or partial.
    fn answer(&self) -> Option<&Completion> {
        match &self.outcome {
            Outcome::Answer(answer) => Some(answer),
            Outcome::Failure(_, partial) => partial.as_ref(),
            Outcome::Chunk(_) => None,
        }
    }

    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.outcome {
            Outcome::Failure(error, _) => Some(error),
            _ => None,
        }
    }

    /// Lends the text for that key, made now unless it was made before. What there is none of is
    /// not remembered, so that asking for many missing things costs no memory.
    fn lend(&self, key: Key, make: impl FnOnce() -> Option<Vec<u8>>) -> Lent {
        // A panic elsewhere cannot leave the map half changed.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = kept().get(&key) {
            return Lent::with_nul(text);
        }
        // Made outside the lock; where two threads make the same, the first one's stays.
        match make() {
            Some(bytes) => Lent::with_nul(kept().entry(key).or_insert_with(|| with_nul(bytes))),
            None => Lent::NOTHING,
        }
    }

    /// The reply's raw bytes with a NUL behind them.
    fn body(&self) -> Option<&[u8]> {
        match &self.outcome {
            // What a stream folded to is no body.
            Outcome::Answer(answer) if answer.saw_done().is_some() => None,
            _ => self.reply().map(Reply::body_with_nul),
        }
    }

    fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Outcome::Answer(answer) => Some(answer.reply()),
            Outcome::Failure(error, _) => error.reply(),
            Outcome::Chunk(_) => None,
        }
    }

    /// The place that a pointer names: in the error document, in the client's own facts, or in the
    /// answer or the chunk.
    fn place(&self, pointer: &str) -> Option<View<'_>> {
        let below =
            |root| pointer.strip_prefix(root).filter(|rest: &&str| rest.is_empty() || rest.starts_with('/'));
        if let Outcome::Chunk(chunk) = &self.outcome {
            return self.chunk.get_or_init(|| chunk.document().ok()).as_ref()?.pointer(pointer);
        }
        if below("/error").is_some() {
            let error = self.error()?;
            let document = self.error.get_or_init(|| Document::of_text(&error.document()).ok());
            return document.as_ref()?.pointer(pointer);
        }
        if let Some(rest) = below("/call") {
            let text = || match (self.answer(), self.error()) {
                (Some(answer), _) => answer.call_document(),
                (None, Some(error)) => error.call_document(),
                (None, None) => String::new(),
            };
            let document = self.call.get_or_init(|| Document::of_text(&text()).ok());
            return document.as_ref()?.pointer(rest);
        }
        self.answer()?.pointer(pointer)
    }

    fn images(&self) -> &[Image] {
        self.answer().map(Completion::images).unwrap_or_default()
    }
}

fn with_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    // A plain push onto a full vector would double it.
    bytes.reserve_exact(1);
    bytes.push(0);
    bytes
}

/// The text's bytes, with room for the NUL that is put behind them: texts of megabytes are copied once.
fn with_room(text: Cow<'_, str>) -> Vec<u8> {
    match text {
        Cow::Borrowed(text) => {
            let mut bytes = Vec::with_capacity(text.len() + 1);
            bytes.extend_from_slice(text.as_bytes());
            bytes
        }
        Cow::Owned(text) => text.into_bytes(),
    }
}

/// A pointer argument that can name something.
pub(crate) fn pointer_text(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

/// Tells whether the call gave an answer, and if not, what went wrong.
///
/// Returns: `ELK_OK` for an answer, whatever its verdict; otherwise below 0, an `ELK_E_` number.
/// For NULL `ELK_E_INVALID_ARGUMENT`.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_status(result: *const elk_result) -> elk_status {
    boundary!(result, Kind::InvalidArgument.number() => result.error().map_or(OK, |error| error.kind().number()))
}

/// Gives a sentence for a person: what went wrong, the server's own words, and what to do.
///
/// Returns: the sentence; `""` for an answer.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_message(result: *const elk_result) -> *const c_char {
    boundary!(result, Lent::fixed(c"The result is NULL.").give(None) => match result.error() {
        Some(error) => result.lend(Key::Message, || Some(error.message().into_bytes())).give(None),
        None => Lent::EMPTY.give(None),
    })
}

/// Gives the answer's text: that of the choice with the lowest index.
///
/// Of a stream that failed it is what had arrived; of a chunk out of a queue what that added.
///
/// `len`: NULL, or where to write the number of bytes; the text may contain NULs.
///
/// Returns: the text; `""` where there is none.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_text(result: *const elk_result, len: *mut usize) -> *const c_char {
    boundary!(result, Lent::EMPTY.give(out!(len)) => match (&result.outcome, result.answer()) {
        (Outcome::Chunk(chunk), _) => Lent::of(chunk.text()).give(out!(len)),
        (_, Some(answer)) => match answer.closed_text() {
            Some(text) => Lent::with_nul(text),
            None => Lent::with_nul(result.text.get_or_init(|| with_nul(with_room(answer.text())))),
        }
        .give(out!(len)),
        (_, None) => Lent::EMPTY.give(out!(len)),
    })
}

/// Tells how the call ended.
///
/// An answer is `complete`, `length` (cut off by a token limit), `filtered` or `tool_calls`; a
/// failure is `failed`, `filtered`, `truncated`, `stalled` or `cancelled`.
///
/// Returns: the word; `""` for a chunk out of a queue, `failed` for NULL.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_verdict(result: *const elk_result) -> *const c_char {
    boundary!(result, Lent::fixed(c"failed").give(None) => {
        let verdict = match &result.outcome {
            Outcome::Answer(answer) => answer.verdict().name(),
            Outcome::Failure(error, _) => error.verdict().name(),
            Outcome::Chunk(_) => "",
        };
        result.lend(Key::Verdict, || Some(verdict.into())).give(None)
    })
}

/// Gives what a JSON Pointer (RFC 6901) names, such as `/usage/total_tokens`.
///
/// Pointers address the answer document; those that begin with `/error` address the error document,
/// those that begin with `/call` the client's own facts: `/call/attempts`, `/call/status`,
/// `/call/request_id`, `/call/elapsed_ms`, `/call/finish_reason`, `/call/reasoning`,
/// `/call/choices/0/text`, `/call/saw_done`, `/call/text_without_images`, `/call/image_errors`,
/// `/call/images/0/source`.
///
/// `pointer`: NUL-terminated. `len`: NULL, or where to write the number of bytes.
///
/// Returns: a string's text without quotes and escapes, anything else as JSON; NULL for null and
/// for what does not exist (`elk_result_type` tells them apart).
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_get(
    result: *const elk_result,
    pointer: *const c_char,
    len: *mut usize,
) -> *const c_char {
    boundary!(result, Lent::NOTHING.give(out!(len)) => match pointer_text(name!(pointer)) {
        Some(pointer) => result
            .lend(Key::Pointer(pointer.to_owned()), || {
                let place = result.place(pointer)?;
                match place.kind() {
                    Type::Null => None,
                    Type::String => place.as_str().map(with_room),
                    _ => Some(with_room(place.raw().into())),
                }
            })
            .give(out!(len)),
        None => Lent::NOTHING.give(out!(len)),
    })
}

/// Gives the number that a JSON Pointer names; `true` is 1, `false` is 0, `5.0` is 5.
///
/// Returns: the number; `fallback` for anything that is not a whole number of 64 bits.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_int(
    result: *const elk_result,
    pointer: *const c_char,
    fallback: i64,
) -> i64 {
    boundary!(result, fallback => {
        let place = pointer_text(name!(pointer)).and_then(|pointer| result.place(pointer));
        place.and_then(View::as_i64).unwrap_or(fallback)
    })
}

/// Counts the elements of the array, or the members of the object, that a JSON Pointer names.
///
/// Returns: the number; 0 for anything else.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_count(result: *const elk_result, pointer: *const c_char) -> usize {
    boundary!(result, 0 => {
        let place = pointer_text(name!(pointer)).and_then(|pointer| result.place(pointer));
        place.map_or(0, View::count)
    })
}

/// Tells what a JSON Pointer names.
///
/// Returns: `null`, `boolean`, `number`, `string`, `array` or `object`; `""` for what does not exist.
/// Ownership: belongs to the library and lives as long as the program.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_type(result: *const elk_result, pointer: *const c_char) -> *const c_char {
    boundary!(result, Lent::EMPTY.give(None) => {
        let place = pointer_text(name!(pointer)).and_then(|pointer| result.place(pointer));
        let name = match place.map(View::kind) {
            None => c"",
            Some(Type::Null) => c"null",
            Some(Type::Boolean) => c"boolean",
            Some(Type::Number) => c"number",
            Some(Type::String) => c"string",
            Some(Type::Array) => c"array",
            Some(Type::Object) => c"object",
        };
        Lent::fixed(name).give(None)
    })
}

/// Gives the answer document, byte for byte as the server sent it.
///
/// Of a stream it is what its chunks were put together to, also of one that failed; of a chunk out of
/// a queue that event alone.
///
/// `len`: NULL, or where to write the number of bytes.
///
/// Returns: the document; `""` for a failure (see `elk_result_body`).
/// Ownership: lent until the result is freed; a copy only where the text is longer than 64 KiB.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_json(result: *const elk_result, len: *mut usize) -> *const c_char {
    boundary!(result, Lent::EMPTY.give(out!(len)) => match (&result.outcome, result.answer()) {
        (Outcome::Chunk(chunk), _) => Lent::of(chunk.json()).give(out!(len)),
        (_, Some(answer)) => Lent::with_nul(answer.reply().body_with_nul()).give(out!(len)),
        (_, None) => Lent::EMPTY.give(out!(len)),
    })
}

/// Gives the error document, `{"error":{"kind":...,"message":...}}`.
///
/// Its members: `kind`, `hint`, `verdict`, `status`, `code`, `type`, `param`, `message` (the
/// server's words where there are some), `request_id`, `retryable`, `billed` (`no`, `maybe`,
/// `yes`), `retry_after_ms`, `phase`, `limit`, `elapsed_ms`, `bytes_sent`, `bytes_received`,
/// `attempts`, `body`; what is not known is null.
///
/// `len`: NULL, or where to write the number of bytes.
///
/// Returns: the document; NULL for an answer.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_error(result: *const elk_result, len: *mut usize) -> *const c_char {
    boundary!(result, Lent::NOTHING.give(out!(len)) => match result.error() {
        Some(error) => result.lend(Key::Error, || Some(error.document().into_bytes())).give(out!(len)),
        None => Lent::NOTHING.give(out!(len)),
    })
}

/// Gives the bytes of the reply, also of one that is a failure or could not be understood.
///
/// A stream has none. Of a reply whose status is not 2xx the first MiB is kept at most.
///
/// `len`: NULL, or where to write the number of bytes.
///
/// Returns: the bytes, a NUL behind them; `""` where no reply arrived.
/// Ownership: lent until the result is freed; a copy only where the answer's text is longer than 64 KiB.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_body(result: *const elk_result, len: *mut usize) -> *const c_char {
    boundary!(result, Lent::EMPTY.give(out!(len)) => match result.body() {
        Some(body) => Lent::with_nul(body).give(out!(len)),
        None => Lent::EMPTY.give(out!(len)),
    })
}

/// Gives a header field of the reply; names compare without regard to case.
///
/// `name`: NUL-terminated.
///
/// Returns: the first value of that name; NULL where there is none or no reply arrived.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_header(result: *const elk_result, name: *const c_char) -> *const c_char {
    boundary!(result, Lent::NOTHING.give(None) => match pointer_text(name!(name)) {
        Some(name) => result
            .lend(Key::Header(name.to_ascii_lowercase()), || Some(result.reply()?.headers().get(name)?.into()))
            .give(None),
        None => Lent::NOTHING.give(None),
    })
}

/// Counts the pictures of an answer; they are decoded on first use.
///
/// Returns: the number, remote pictures included.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_image_count(result: *const elk_result) -> usize {
    boundary!(result, 0 => result.images().len())
}

/// Gives the decoded bytes of a picture.
///
/// `len`: NULL, or where to write the number of bytes.
///
/// Returns: the bytes; NULL for a remote picture and for a number that is out of range.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_image_bytes(
    result: *const elk_result,
    i: usize,
    len: *mut usize,
) -> *const u8 {
    boundary!(result, Lent::NOTHING.give(out!(len)).cast() => {
        let bytes = result.images().get(i).and_then(Image::bytes);
        bytes.map_or(Lent::NOTHING, Lent::bytes).give(out!(len)).cast()
    })
}

/// Gives the media type of a picture, such as `image/png`, told by its first bytes.
///
/// Returns: the media type; NULL for a remote picture and for a number that is out of range.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_image_media_type(result: *const elk_result, i: usize) -> *const c_char {
    boundary!(result, Lent::NOTHING.give(None) => {
        let media_type = || Some(result.images().get(i)?.media_type()?.into());
        result.lend(Key::MediaType(i), media_type).give(None)
    })
}

/// Gives the address of a remote picture; this library does not fetch it.
///
/// Returns: the URL; NULL for a picture that came with the answer and for a number out of range.
/// Ownership: lent until the result is freed.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_image_url(result: *const elk_result, i: usize) -> *const c_char {
    boundary!(result, Lent::NOTHING.give(None) => {
        let url = || Some(result.images().get(i)?.url()?.into());
        result.lend(Key::Url(i), url).give(None)
    })
}

/// Writes a picture to a file, replacing what was there.
///
/// `path`: NUL-terminated, in the file system's own bytes.
///
/// Returns: `ELK_OK`; `ELK_E_FILE` if it could not be written; `ELK_E_INVALID_ARGUMENT` for a remote
/// picture, a number that is out of range, and NULL.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_image_save(
    result: *const elk_result,
    i: usize,
    path: *const c_char,
) -> elk_status {
    boundary!(defect => defect.kind().number(); {
        let image = borrowed!(result).and_then(|result| result.images().get(i));
        match (image, name!(path)) {
            (Some(image), Some(path)) => {
                image.save(OsStr::from_bytes(path)).map_or_else(|error| error.kind().number(), |()| OK)
            }
            _ => Kind::InvalidArgument.number(),
        }
    })
}

/// Gives a result up, and everything it lent. NULL is allowed.
///
/// Returns: nothing.
/// Ownership: takes the result.
/// Threads: any, once.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_result_free(result: *mut elk_result) {
    boundary!(_defect => (); drop(taken!(result)))
}
