//! The queue: hand calls over, go on, take what they bring when it is there.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::time::Duration;

use elkapi_core::{Error, Kind, Queue, Taken, Work};

use crate::cancel::elk_cancel;
use crate::client::{elk_client, name_request, no_client};
use crate::ffi::given;
use crate::result::elk_result;
use crate::status::{CHUNK, DONE, OK, PENDING, elk_status};

/// What holds where the caller gives 0.
const WORKERS: usize = 64;
const CAPACITY: usize = 1024;

/// Calls under way, and results that wait to be taken.
pub struct elk_queue(Result<Queue, Error>);

/// Any thread may use a queue.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<elk_queue>();
};

impl elk_queue {
    fn usable(&self) -> Result<&Queue, Error> {
        self.0.as_ref().map_err(Clone::clone)
    }

    fn submit(&self, work: Work, cancel: Option<&elk_cancel>) -> elk_status {
        let work = match cancel {
            Some(cancel) => work.cancel(cancel.token()),
            None => work,
        };
        let submitted = self.usable().and_then(|queue| queue.submit(work));
        submitted.map_or_else(|error| error.kind().number(), |()| OK)
    }

    fn next(
        &self,
        wait: Option<Duration>,
        tag: Option<&mut MaybeUninit<u64>>,
        result: &mut MaybeUninit<*mut elk_result>,
    ) -> elk_status {
        let (status, its, made) = match self.usable().and_then(|queue| queue.take(wait)) {
            Ok(Taken::Chunk { tag, chunk }) => (CHUNK, tag, elk_result::of_chunk(chunk.release())),
            Ok(Taken::Ended { tag, answer, error }) => {
                (OK, tag, elk_result::of_stream(answer, error.map(name_request)))
            }
            Ok(Taken::Done) => return DONE,
            // No opening is asked for here.
            Ok(Taken::Pending | Taken::Opened { .. }) => return PENDING,
            Err(error) => return error.kind().number(),
        };
        if let Some(tag) = tag {
            tag.write(its);
        }
        result.write(given(made));
        status
    }
}

/// Hands over what `$make` makes of the request's bytes.
macro_rules! hand_over {
    ($queue:ident, $make:path, $request:ident, $len:ident, $tag:ident, $cancel:ident) => {
        boundary!(defect => defect.kind().number(); match (borrowed!($queue), text!($request, $len)) {
            (Some(queue), Ok(Some(request))) => queue.submit($make(request).tag($tag), borrowed!($cancel)),
            _ => Kind::InvalidArgument.number(),
        })
    };
}

/// Makes a queue, for programs that must not block and for many calls at once.
///
/// Its calls are made by this client on threads of the queue, which are started when there is work,
/// block all signals, and end when there was none for some seconds. What `elk_client_on_record` and
/// `elk_client_on_interrupt` set before runs on the thread that takes, in `elk_queue_next`.
///
/// `workers`: how many calls are under way at once at most, up to 1024; 0 for 64. The others wait, in
/// order. `capacity`: how many calls the queue holds at most, waiting, under way or not taken yet;
/// 0 for 1024.
///
/// Returns: the queue, never NULL; that of a client that cannot be used takes no calls.
/// Ownership: the caller frees it with `elk_queue_free`; it keeps the client's connections.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_new(
    client: *const elk_client,
    workers: u32,
    capacity: u32,
) -> *mut elk_queue {
    boundary!(defect => given(elk_queue(Err(defect))); {
        let client = borrowed!(client).ok_or_else(no_client).and_then(elk_client::usable);
        let or = |number: u32, default| if number == 0 { default } else { number as usize };
        given(elk_queue(client.and_then(|client| {
            Queue::new(client, or(workers, WORKERS), or(capacity, CAPACITY))
        })))
    })
}

/// Hands over a chat request for the whole answer, as `elk_chat_completions` makes it.
///
/// Never blocks. A request that cannot be used arrives as a result. The call's limits count from
/// now, also while it waits for others.
///
/// `request_json`: the request. `len`: its bytes, or `ELK_NUL`.
/// `tag`: a number of your own that comes back with the result.
/// `cancel_or_null`: NULL, or a token that stops this call.
///
/// Returns: `ELK_OK`; `ELK_E_QUEUE_FULL` when the queue holds as many calls as it may: take some
/// results first; `ELK_E_FORKED` in a child process; the failure of a client that cannot be used.
/// Ownership: the text is copied, the token kept as long as the call lasts.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_submit(
    queue: *const elk_queue,
    request_json: *const c_char,
    len: usize,
    tag: u64,
    cancel_or_null: *const elk_cancel,
) -> elk_status {
    hand_over!(queue, Work::chat_completions, request_json, len, tag, cancel_or_null)
}

/// Hands over a chat request whose answer comes chunk by chunk.
///
/// As `elk_queue_submit`; a stream keeps one of the queue's threads as long as it lasts. While nobody
/// takes its chunks it reads no further, and nothing piles up.
///
/// Returns: as `elk_queue_submit`.
/// Ownership: the text is copied, the token kept as long as the call lasts.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_submit_stream(
    queue: *const elk_queue,
    request_json: *const c_char,
    len: usize,
    tag: u64,
    cancel_or_null: *const elk_cancel,
) -> elk_status {
    hand_over!(queue, Work::chat_completions_stream, request_json, len, tag, cancel_or_null)
}

/// Takes what comes next out of a queue.
///
/// The chunks of a stream come in order, and after the last one its result. A chunk is an `elk_result`
/// too: its text is what it added, its JSON the event.
///
/// `wait_ms`: -1 waits until something comes, 0 does not wait, more waits no longer than that.
/// `tag`: NULL, or where to write the number that the call was given.
/// `result`: where to write the result, or NULL where nothing is handed over.
///
/// Returns: `ELK_OK` with the result of a call, an answer or a failure; `ELK_CHUNK` with a chunk of a
/// stream; `ELK_PENDING` when nothing came in that time; `ELK_DONE` when nothing waits, runs or is
/// left to be taken; below 0: `ELK_E_INVALID_ARGUMENT` when an argument is missing, `ELK_E_FORKED` in a
/// child process, `ELK_E_CANCELLED` when the client's interrupt hook ended the wait, the calls go on.
/// Ownership: the caller frees the result with `elk_result_free`.
/// Threads: any, concurrently; blocks unless `wait_ms` is 0.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_next(
    queue: *const elk_queue,
    wait_ms: i32,
    tag: *mut u64,
    result: *mut *mut elk_result,
) -> elk_status {
    boundary!(defect => defect.kind().number(); {
        let Some(result) = out!(result, *mut elk_result) else { return Kind::InvalidArgument.number() };
        result.write(std::ptr::null_mut());
        match borrowed!(queue) {
            Some(queue) => {
                let wait = u64::try_from(wait_ms).ok().map(Duration::from_millis);
                queue.next(wait, out!(tag, u64), result)
            }
            None => Kind::InvalidArgument.number(),
        }
    })
}

/// Gives the descriptor that is readable while something waits in a queue.
///
/// It is for `poll`, `epoll`, `select` and event loops, and readable again and again until everything was taken; only `elk_queue_next` makes it silent.
/// When it is, call that with `wait_ms` 0 until it gives `ELK_PENDING` or `ELK_DONE`. Never read,
/// write or close it.
///
/// Returns: the descriptor; -1 for NULL and for the queue of a client that cannot be used.
/// Ownership: belongs to the queue and lives as long as it.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_handle(queue: *const elk_queue) -> isize {
    boundary!(queue, -1 => match &queue.0 {
        Ok(queue) => queue.handle().as_raw_fd() as isize,
        Err(_) => -1,
    })
}

/// Stops all calls of a queue, those that run and those that wait; it can be used further.
///
/// Returns at once. Each call still has its result, to be taken, with the kind `cancelled`. To stop one
/// call give it a token. NULL is allowed.
///
/// Returns: nothing.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_cancel_all(queue: *const elk_queue) {
    boundary!(queue, () => if let Ok(queue) = &queue.0 { queue.cancel_all() })
}

/// Gives a queue up: stops its calls, and forgets the results that nobody has taken. NULL is allowed.
///
/// Waits at most a tenth of a second, for the queue's threads to end. In a forked child nothing of it
/// is touched. No other thread may be using it; one that waits in `elk_queue_next` is using it.
///
/// Returns: nothing.
/// Ownership: takes the queue; results that were taken stay valid.
/// Threads: any, once.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_queue_free(queue: *mut elk_queue) {
    boundary!(_defect => (); drop(taken!(queue)))
}
