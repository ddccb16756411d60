//! The client and its calls. The core's client does the work; this one can also be broken, so that
//! making it never fails and every call tells what is wrong.

use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, OnceLock};

use elkapi_core::{Client, Completion, Config, Error, Interrupt, Kind, Level, Recorder};

use crate::cancel::elk_cancel;
use crate::ffi::{Ask, Hook, Take, given, utf8};
use crate::panic::{outside, silence_within_boundary};
use crate::result::elk_result;

/// A client of one gateway with one key; it holds the connections.
pub struct elk_client(Result<Client, Box<elk_result>>);

impl elk_client {
    fn of(client: Result<Client, Error>) -> elk_client {
        elk_client(client.map_err(|error| Box::new(elk_result::failed(error))))
    }

    pub(crate) fn usable(&self) -> Result<&Client, Error> {
        self.0.as_ref().map_err(|broken| broken.error().cloned().unwrap_or_else(no_client))
    }
}

pub(crate) fn missing(argument: &'static str, advice: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("The argument \"{argument}\" is NULL; {advice}"))
        .with_param(argument)
}

pub(crate) fn no_client() -> Error {
    missing("client", "give a client made by elk_client_new")
}

/// Makes a client from a JSON object of options, or from the environment alone.
///
/// A configuration that cannot be used gives a client that answers every call with the reason;
/// `elk_client_error` tells it at once. Options that are absent come from the environment
/// (`ELKAPI_API_KEY`, `ELKAPI_BASE_URL`) unless `"environment"` is false. Nothing is sent yet.
///
/// `config_json`: the options, or NULL for the environment alone. `len`: its bytes, or `ELK_NUL`.
///
/// Returns: the client, never NULL.
/// Ownership: the caller frees it with `elk_client_free`; the text is copied.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_client_new(config_json: *const c_char, len: usize) -> *mut elk_client {
    silence_within_boundary();
    boundary!(defect => given(elk_client::of(Err(defect))); {
        let config = text!(config_json, len).and_then(|text| match text {
            Some(text) => Config::from_json(utf8("config_json", text)?),
            None => Ok(Config::new()),
        });
        given(elk_client::of(config.and_then(Client::new)))
    })
}

/// Tells why a client cannot be used.
///
/// Returns: the failure, or NULL for a client that can be used.
/// Ownership: belongs to the client and lives as long as it; never free it.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_client_error(client: *const elk_client) -> *const elk_result {
    static NO_CLIENT: OnceLock<elk_result> = OnceLock::new();
    boundary!(client, &raw const *NO_CLIENT.get_or_init(|| elk_result::failed(no_client())) => match &client.0 {
        Ok(_) => std::ptr::null(),
        Err(broken) => &raw const **broken,
    })
}

/// Makes a client with other limits or header fields over the same connections.
///
/// The changes are options as for `elk_client_new`; those that belong to the connections, such as
/// `api_key`, are refused. Cheap enough to be made for one call.
///
/// `changes_json`: the changes, or NULL for one more reference to the same client.
/// `len`: its bytes, or `ELK_NUL`.
///
/// Returns: the new client, never NULL; as with `elk_client_new` it may be a broken one.
/// Ownership: the caller frees it with `elk_client_free`, before or after the first one.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_client_with(
    client: *const elk_client,
    changes_json: *const c_char,
    len: usize,
) -> *mut elk_client {
    boundary!(defect => given(elk_client::of(Err(defect))); {
        let client = borrowed!(client).ok_or_else(no_client).and_then(elk_client::usable);
        given(elk_client::of(client.and_then(|client| match text!(changes_json, len)? {
            Some(text) => client.with(utf8("changes_json", text)?),
            None => Ok(client.clone()),
        })))
    })
}

/// Sets what is asked when a signal interrupted a waiting call: whether to stop the call.
///
/// `ask` runs on the thread that called, after the program's own signal handlers and under no lock;
/// it may use this library. Not 0 stops the call, which ends as `cancelled`; 0 lets it go on. A
/// signal that arrives just before a wait begins is not noticed; to miss none, have the handler
/// call `elk_cancel_signal`. Clients made of this one by `elk_client_with` inherit it.
///
/// `ask`: must return, neither by `longjmp` nor by an exception; NULL for none, as at first.
/// `user`: given to `ask` each time.
///
/// Returns: nothing; of no effect on NULL and on a client that cannot be used.
/// Ownership: `user` stays the caller's and must live as long as the client and those made of it.
/// Threads: set it before other threads use the client; `ask` then runs on each thread that calls.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_client_on_interrupt(
    client: *mut elk_client,
    ask: Option<unsafe extern "C" fn(user: *mut c_void) -> i32>,
    user: *mut c_void,
) {
    boundary!(_defect => (); {
        if let Some(elk_client(Ok(client))) = changed!(client) {
            let interrupt = ask.map(|ask| Arc::new(Asker(hook!(ask as Ask, user))) as Arc<dyn Interrupt>);
            *client = client.with_interrupt(interrupt);
        }
    })
}

/// The caller's hook, as the core knows it.
struct Asker(Hook<Ask>);

impl Interrupt for Asker {
    fn ask(&self) -> bool {
        // The hook is the program's code again: panics in it, should it be Rust, are not ours.
        outside(|| self.0.ask()) != 0
    }
}

/// Sets what takes the client's records: one JSON object for each attempt that has ended.
///
/// A record names times, bytes, status, request id, verdict, money and token counts, where that fits
/// under the names of OpenTelemetry's conventions for generative AI; never a body, never a key. It is
/// handed out on the thread that called, for a stream the one that met its end or freed it, under no
/// lock; `take` may use this library. Clients made of this one by `elk_client_with` inherit it.
///
/// `level`: `ELK_RECORD_NONE`, `ELK_RECORD_FAILURES` or `ELK_RECORD_ALL`.
/// `take`: must return, neither by `longjmp` nor by an exception; `json` is NUL-terminated and lent
/// until it returns; NULL for none, as at first. `user`: given to `take` each time.
///
/// Returns: nothing; of no effect on NULL and on a client that cannot be used.
/// Ownership: `user` stays the caller's and must live as long as the client and those made of it.
/// Threads: set it before other threads use the client; `take` then runs on each thread that calls.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_client_on_record(
    client: *mut elk_client,
    level: i32,
    take: Option<unsafe extern "C" fn(user: *mut c_void, json: *const c_char, len: usize)>,
    user: *mut c_void,
) {
    boundary!(_defect => (); {
        if let Some(elk_client(Ok(client))) = changed!(client) {
            let take = take.filter(|_| level > 0).map(|take| {
                let level = if level == 1 { Level::Failures } else { Level::All };
                Arc::new(Taker { hook: hook!(take as Take, user), level }) as Arc<dyn Recorder>
            });
            *client = client.with_recorder(take);
        }
    })
}

/// The caller's hook for records, as the core knows it.
struct Taker {
    hook: Hook<Take>,
    level: Level,
}

impl Recorder for Taker {
    fn take(&self, json: &str) {
        if let Ok(json) = CString::new(json) {
            outside(|| self.hook.take(&json));
        }
    }

    fn level(&self) -> Level {
        self.level
    }
}

/// Gives a client up; its connections are closed when the last client that shares them is freed.
///
/// NULL is allowed. Results that came from it stay valid. No other thread may be using it.
///
/// Returns: nothing.
/// Ownership: takes the client.
/// Threads: any, once.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_client_free(client: *mut elk_client) {
    boundary!(_defect => (); drop(taken!(client)))
}

/// Sends a chat request, a JSON object, and waits for the whole answer.
///
/// What the text says reaches the gateway byte for byte; `model`, `stream` and one of `messages`
/// and `contents` are added where they are absent. `"stream": true` is refused here. The call ends
/// at the client's limits, whatever the server does.
///
/// `request_json`: the request. `len`: its bytes, or `ELK_NUL`.
/// `cancel_or_null`: NULL, or a token that stops the call.
///
/// Returns: the answer or the failure, never NULL.
/// Ownership: the caller frees it with `elk_result_free`; the text is only read during the call.
/// Threads: any, concurrently; blocks.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_chat_completions(
    client: *const elk_client,
    request_json: *const c_char,
    len: usize,
    cancel_or_null: *const elk_cancel,
) -> *mut elk_result {
    boundary!(defect => given(elk_result::failed(defect)); {
        let client = borrowed!(client).ok_or_else(no_client).and_then(elk_client::usable);
        given(elk_result::of(client.and_then(|client| {
            let request = text!(request_json, len)?
                .ok_or_else(|| missing("request_json", "give a JSON object with \"messages\""))?;
            let cancel = borrowed!(cancel_or_null).map(elk_cancel::token);
            client.chat_completions(request, cancel).map_err(name_request)
        })))
    })
}

/// Where the core has no member to name, it is the text as a whole.
pub(crate) fn name_request(error: Error) -> Error {
    match error.kind() {
        Kind::InvalidArgument if error.param().is_none() => error.with_param("request_json"),
        _ => error,
    }
}

/// Asks for the document at a path below the base URL, such as `/models`.
///
/// `path`: NUL-terminated, beginning with a slash. `cancel_or_null`: as for a chat request.
///
/// Returns: the answer or the failure, never NULL; the verdict of an answer is `complete`.
/// Ownership: the caller frees it with `elk_result_free`.
/// Threads: any, concurrently; blocks.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_get(
    client: *const elk_client,
    path: *const c_char,
    cancel_or_null: *const elk_cancel,
) -> *mut elk_result {
    boundary!(defect => given(elk_result::failed(defect)); {
        let client = borrowed!(client).ok_or_else(no_client).and_then(elk_client::usable);
        let answer = client.and_then(|client| -> Result<Completion, Error> {
            let path = name!(path).ok_or_else(|| missing("path", "give one such as \"/models\""))?;
            let cancel = borrowed!(cancel_or_null).map(elk_cancel::token);
            client.get(utf8("path", path)?, cancel).map_err(|error| match error.kind() {
                Kind::InvalidArgument => error.with_param("path"),
                _ => error,
            })
        });
        given(elk_result::of(answer))
    })
}
