//! Tokens that stop calls, from other threads and from signal handlers.

use elkapi_core::Cancel;

use crate::ffi::{given, keeping_errno};

/// Stops every call it was given to, now or later; cannot be undone.
pub struct elk_cancel(Cancel);

/// Any thread may signal a token.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<elk_cancel>();
};

impl elk_cancel {
    pub(crate) fn token(&self) -> &Cancel {
        &self.0
    }
}

/// Makes a token that stops calls; one token may be given to any number of calls.
///
/// Returns: the token, never NULL.
/// Ownership: the caller frees it with `elk_cancel_free`.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn elk_cancel_new() -> *mut elk_cancel {
    // Neither of these two can panic.
    given(elk_cancel(Cancel::new()))
}

/// Makes one more reference to a token, for another owner: signalling one signals all.
///
/// Returns: the reference; NULL for NULL.
/// Ownership: the caller frees it with `elk_cancel_free`, before or after the first one.
/// Threads: any, concurrently.
/// Since: 0.1
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_cancel_ref(cancel: *const elk_cancel) -> *mut elk_cancel {
    boundary!(cancel, std::ptr::null_mut() => given(elk_cancel(cancel.0.clone())))
}

/// Stops the calls that have this token, in whatever phase they are, and all that get it later.
///
/// Returns at once; the calls end by themselves, with the kind `cancelled`. A signal handler may
/// call it: it preserves `errno`. Again is of no effect, and NULL is allowed. In a forked child it
/// stops the child's calls only.
///
/// Returns: nothing.
/// Ownership: none; calls under way hold references of their own.
/// Threads: any, concurrently, also in signal handlers.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_cancel_signal(cancel: *const elk_cancel) {
    // The only function that does not stand behind the panic wall, which counts in a thread-local:
    // the first use of one on a thread may allocate, under a lock that the interrupted code may hold.
    // There is nothing to catch: loads, stores and compares, at most one shutdown(2), and one write(2).
    keeping_errno(|| {
        if let Some(cancel) = borrowed!(cancel) {
            cancel.0.signal();
        }
    });
}

/// Gives a reference to a token up; calls that were given it keep it. NULL is allowed.
///
/// A token that a signal handler knows must outlive the handler.
///
/// Returns: nothing.
/// Ownership: takes the reference.
/// Threads: any, once.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elk_cancel_free(cancel: *mut elk_cancel) {
    boundary!(_defect => (); drop(taken!(cancel)))
}
