//! A stream of chunks, pulled one at a time. What it lends lives until the next one is asked for.

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elkapi_core::json::{Document, Type};
use elkapi_core::{Body, Cancel, Completion, Error, Kind, Step, Stream};

use crate::cancel::elk_cancel;
use crate::client::{elk_client, missing, name_request, no_client};
use crate::ffi::{Lent, given};
use crate::result::{elk_result, pointer_text};
use crate::status::{DONE, OK, PENDING, elk_status};

/// An open stream, or the refusal that it met.
pub struct elk_stream {
    /// Apart from the rest, so that another thread can cancel while one waits.
    cancel: Cancel,
    state: Mutex<State>,
}

struct State {
    stream: Source,
    /// The present chunk as a document, and what was read out of it.
    document: Option<Option<Document>>,
    kept: HashMap<String, Body>,
    copied: Option<Body>,
}

enum Source {
    Open(Box<Stream>),
    Refused(Error),
    Finished,
}

impl elk_stream {
    fn of(outcome: Result<Stream, Error>) -> elk_stream {
        let cancel = outcome.as_ref().map(Stream::canceller).unwrap_or_default();
        let stream = outcome.map_or_else(Source::Refused, |stream| Source::Open(Box::new(stream)));
        let state = State { stream, document: None, kept: HashMap::new(), copied: None };
        elk_stream { cancel, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self, wait: Option<Duration>) -> elk_status {
        self.document = None;
        self.kept.clear();
        self.copied = None;
        let step = match &mut self.stream {
            Source::Open(stream) => stream.poll(wait),
            Source::Refused(error) => return error.kind().number(),
            Source::Finished => return Kind::Closed.number(),
        };
        match step {
            Ok(Step::Chunk) => OK,
            Ok(Step::Pending) => PENDING,
            Ok(Step::Done) => DONE,
            Err(error) => error.kind().number(),
        }
    }

    fn text(&self) -> Lent {
        match &self.stream {
            Source::Open(stream) => Lent::with_nul(stream.chunk_text_with_nul()),
            _ => Lent::EMPTY,
        }
    }

    fn json(&mut self) -> Lent {
        let Source::Open(stream) = &self.stream else { return Lent::EMPTY };
        if let Some(json) = stream.chunk_json_with_nul() {
            return Lent::with_nul(json);
        }
        match stream.chunk() {
            // Bytes that were not UTF-8 were replaced, so this chunk is a copy.
            Some(chunk) => Lent::of(self.copied.insert(Body::new(chunk.json().as_bytes().to_vec()))),
            None => Lent::EMPTY,
        }
    }

    fn get(&mut self, pointer: &str) -> Lent {
        let Source::Open(stream) = &self.stream else { return Lent::NOTHING };
        if pointer == "/choices/0/delta/content"
            && let Some(text) = stream.delta_content_with_nul()
        {
            return Lent::with_nul(text);
        }
        if !self.kept.contains_key(pointer) {
            let document = self.document.get_or_insert_with(|| stream.chunk()?.document().ok());
            let Some(place) = document.as_ref().and_then(|document| document.pointer(pointer)) else {
                return Lent::NOTHING;
            };
            let bytes = match place.kind() {
                Type::Null => return Lent::NOTHING,
                Type::String => place.as_str().map(|text| text.into_owned().into_bytes()).unwrap_or_default(),
                _ => place.raw().into(),
            };
            self.kept.insert(pointer.to_owned(), Body::new(bytes));
        }
        self.kept.get(pointer).map_or(Lent::NOTHING, Lent::of)
    }

    fn finish(&mut self) -> (Option<Completion>, Option<Error>) {
        match std::mem::replace(&mut self.stream, Source::Finished) {
            Source::Open(stream) => {
                let (answer, error) = stream.finish();
                (Some(answer), error)
            }
            Source::Refused(error) => (None, Some(error)),
            Source::Finished => (None, Some(Error::new(Kind::Closed, "The stream was finished before"))),
        }
    }
}

fn no_stream() -> Error {
    missing("stream", "give one made by elk_chat_completions_stream")
}

/// Sends a chat request and gives the answer bit by bit, as it is written.
///
/// `"stream": true` is added where it is absent. Waits for the reply's header fields; a refusal is
/// told by `elk_stream_next` and `elk_stream_finish`. A program that must not block uses threads.
///
/// `request_json`: the request. `len`: its bytes, or `ELK_NUL`.
/// `cancel_or_null`: NULL, or a token that stops the stream.
///
/// Returns: the stream, never NULL.
/// Ownership: the caller frees it with `elk_stream_free`; the text is copied.
/// Threads: any, concurrently; blocks.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_chat_completions_stream(
    client: *const elk_client,
    request_json: *const c_char,
    len: usize,
    cancel_or_null: *const elk_cancel,
) -> *mut elk_stream {
    boundary!(defect => given(elk_stream::of(Err(defect))); {
        let client = borrowed!(client).ok_or_else(no_client).and_then(elk_client::usable);
        given(elk_stream::of(client.and_then(|client| {
            let request = text!(request_json, len)?
                .ok_or_else(|| missing("request_json", "give a JSON object with \"messages\""))?;
            let cancel = borrowed!(cancel_or_null).map(elk_cancel::token);
            client.chat_completions_stream(request, cancel).map_err(name_request)
        })))
    })
}

/// Goes on to the next chunk.
///
/// `wait_ms`: -1 waits as long as the client's limits allow, 0 does not wait, more waits no longer
/// than that.
///
/// Returns: `ELK_OK` with a chunk; `ELK_DONE` at the good end; `ELK_PENDING` when nothing came in
/// that time, which loses nothing; below 0 when the stream failed, again each time it is asked.
/// Ownership: what the last chunk lent is given back.
/// Threads: one at a time; blocks.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_next(stream: *mut elk_stream, wait_ms: i32) -> elk_status {
    boundary!(defect => defect.kind().number(); match borrowed!(stream) {
        Some(stream) => {
            let wait = u64::try_from(wait_ms).ok().map(Duration::from_millis);
            stream.state().next(wait)
        }
        None => Kind::InvalidArgument.number(),
    })
}

/// Gives what the chunk added to the text of the choice with the lowest index.
///
/// `len`: NULL, or where to write the number of bytes.
///
/// Returns: the text; `""` where the chunk added none.
/// Ownership: lent until the stream is used again.
/// Threads: one at a time.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_text(stream: *mut elk_stream, len: *mut usize) -> *const c_char {
    boundary!(stream, Lent::EMPTY.give(out!(len)) => stream.state().text().give(out!(len)))
}

/// Gives the chunk's JSON as it came.
///
/// `len`: NULL, or where to write the number of bytes.
///
/// Returns: the JSON; `""` where there is no chunk.
/// Ownership: lent until the stream is used again; not a copy.
/// Threads: one at a time.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_json(stream: *mut elk_stream, len: *mut usize) -> *const c_char {
    boundary!(stream, Lent::EMPTY.give(out!(len)) => stream.state().json().give(out!(len)))
}

/// Gives what a JSON Pointer (RFC 6901) names in the chunk, such as `/choices/0/delta/content`.
///
/// `pointer`: NUL-terminated. `len`: NULL, or where to write the number of bytes.
///
/// Returns: a string's text without quotes and escapes, anything else as JSON; NULL for null and
/// for what does not exist.
/// Ownership: lent until the next chunk is asked for.
/// Threads: one at a time.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_get(
    stream: *mut elk_stream,
    pointer: *const c_char,
    len: *mut usize,
) -> *const c_char {
    boundary!(stream, Lent::NOTHING.give(out!(len)) => match pointer_text(name!(pointer)) {
        Some(pointer) => stream.state().get(pointer).give(out!(len)),
        None => Lent::NOTHING.give(out!(len)),
    })
}

/// Stops a stream from another thread; what arrived stays readable.
///
/// It must not race `elk_stream_free`; where it could, use a token. NULL is allowed.
///
/// Returns: nothing.
/// Ownership: none.
/// Threads: any, while the stream lives.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_cancel(stream: *const elk_stream) {
    boundary!(stream, () => stream.cancel.signal())
}

/// Reads a stream to its end and gives the whole answer.
///
/// After a cancel or a failure it does not wait: the result then has the error, and whatever had
/// arrived of the answer beside it. Works once.
///
/// Returns: the answer or the failure, never NULL.
/// Ownership: the caller frees it with `elk_result_free`; the stream still wants `elk_stream_free`.
/// Threads: one at a time; blocks.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_finish(stream: *mut elk_stream) -> *mut elk_result {
    boundary!(defect => given(elk_result::failed(defect)); {
        let (answer, error) = match borrowed!(stream) {
            Some(stream) => stream.state().finish(),
            None => (None, Some(no_stream())),
        };
        given(elk_result::of_stream(answer, error))
    })
}

/// Gives a stream up; one that is not at its end closes its connection at once. NULL is allowed.
///
/// Returns: nothing; never waits for the network.
/// Ownership: takes the stream.
/// Threads: any, once.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_stream_free(stream: *mut elk_stream) {
    boundary!(_defect => (); drop(taken!(stream)))
}
