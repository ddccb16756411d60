//! Pointers from C become Rust values here and nowhere else, and the other way round.
//!
//! The macros are used in exported functions only, on their own arguments: what they rely on is
//! what the header asks of the caller.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::slice;

use elkapi_core::{Body, Error, Kind};

/// In place of a length: the text ends at its first NUL. `ELK_NUL` in the header.
pub(crate) const NUL: usize = usize::MAX;

/// The object behind a handle; `None` for NULL.
macro_rules! borrowed {
    ($pointer:expr) => {{
        let pointer: *const _ = $pointer;
        // SAFETY: a handle is NULL or an object of this type that this library made and that the
        // caller has not freed; it is only ever shared, never changed.
        unsafe { pointer.as_ref() }
    }};
}

/// The object behind a handle that is about to change; `None` for NULL.
macro_rules! changed {
    ($pointer:expr) => {{
        let pointer: *mut _ = $pointer;
        // SAFETY: as for `borrowed!`, and the caller promises that nobody else uses the object now.
        unsafe { pointer.as_mut() }
    }};
}

/// Takes an object back from C, to drop it; `None` for NULL.
macro_rules! taken {
    ($pointer:expr) => {
        // SAFETY: a handle is NULL or came from `given`, and the caller gives it up with this call.
        unsafe { (!$pointer.is_null()).then(|| Box::from_raw($pointer)) }
    };
}

/// The place where a length is wanted, or what else is given out, if it is.
macro_rules! out {
    ($pointer:expr) => {
        out!($pointer, usize)
    };
    ($pointer:expr, $type:ty) => {
        // SAFETY: an out argument is NULL or points to memory for one value of its type, which need
        // not hold anything yet.
        unsafe { $pointer.cast::<std::mem::MaybeUninit<$type>>().as_mut() }
    };
}

/// The bytes of a text argument; `None` for NULL. A NULL with a length is an error.
macro_rules! text {
    ($pointer:ident, $len:expr) => {
        // SAFETY: the caller promises that many readable bytes, or a NUL-terminated text for ELK_NUL.
        unsafe { $crate::ffi::text(stringify!($pointer), $pointer, $len) }
    };
}

/// The bytes of a NUL-terminated name, path or pointer; `None` for NULL.
macro_rules! name {
    ($pointer:expr) => {
        // SAFETY: the caller promises NULL or a NUL-terminated text.
        unsafe { $crate::ffi::name($pointer) }
    };
}

/// Hands an object to C.
pub(crate) fn given<T>(object: T) -> *mut T {
    Box::into_raw(Box::new(object))
}

/// A function of the caller, with what it wants to be given.
pub(crate) struct Hook<F> {
    function: F,
    user: *mut c_void,
}

/// Asks whether to stop a call.
pub(crate) type Ask = unsafe extern "C" fn(user: *mut c_void) -> i32;

/// Takes records.
pub(crate) type Take = unsafe extern "C" fn(user: *mut c_void, json: *const c_char, len: usize);

// SAFETY: the caller promises that the function and what `user` points to can be used by every
// thread that uses the client.
unsafe impl<F: Send> Send for Hook<F> {}
// SAFETY: as above.
unsafe impl<F: Sync> Sync for Hook<F> {}

impl<F> Hook<F> {
    /// See `hook!`.
    pub unsafe fn new(function: F, user: *mut c_void) -> Hook<F> {
        Hook { function, user }
    }
}

impl Hook<Ask> {
    /// Calls it.
    pub fn ask(&self) -> i32 {
        // SAFETY: as promised to `new`.
        unsafe { (self.function)(self.user) }
    }
}

impl Hook<Take> {
    /// Calls it with a text that has a NUL behind it.
    pub fn take(&self, json: &CStr) {
        // SAFETY: as promised to `new`.
        unsafe { (self.function)(self.user, json.as_ptr(), json.count_bytes()) }
    }
}

/// The caller's hook.
macro_rules! hook {
    ($function:expr, $user:expr) => {
        // SAFETY: the caller promises a function that may be called with `user` from every thread
        // that uses the client, for as long as there is a client that has it.
        unsafe { $crate::ffi::Hook::new($function, $user) }
    };
}

/// Leaves `errno` as it is, whatever `body` does: the code that a signal handler interrupted may be
/// about to read it.
pub(crate) fn keeping_errno(body: impl FnOnce()) {
    #[cfg(target_os = "linux")]
    use libc::__errno_location as errno;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    use libc::__error as errno;
    // SAFETY: the place of this thread's `errno`, which lives as long as the thread.
    let before = unsafe { *errno() };
    body();
    // SAFETY: as above.
    unsafe { *errno() = before };
}

/// See `text!`.
pub(crate) unsafe fn text<'a>(
    argument: &'static str,
    pointer: *const c_char,
    len: usize,
) -> Result<Option<&'a [u8]>, Error> {
    match len {
        // SAFETY: as promised to this function.
        NUL => Ok(unsafe { name(pointer) }),
        0 if pointer.is_null() => Ok(None),
        _ if pointer.is_null() => {
            let detail = format!(
                "The argument \"{argument}\" is NULL but its length is {len}; give the text, or NULL with 0"
            );
            Err(Error::new(Kind::InvalidArgument, detail).with_param(argument))
        }
        // No object is larger; slices of that size are not allowed in Rust.
        _ if len > isize::MAX as usize => {
            let detail = format!("The length {len} of the argument \"{argument}\" is impossible");
            Err(Error::new(Kind::InvalidArgument, detail).with_param(argument))
        }
        // SAFETY: as promised to this function; the pointer is not NULL and the length possible.
        _ => Ok(Some(unsafe { slice::from_raw_parts(pointer.cast(), len) })),
    }
}

/// See `name!`.
pub(crate) unsafe fn name<'a>(pointer: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: as promised to this function; the pointer is not NULL.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// Copies as much of the text as fits before a NUL, as `snprintf` does.
macro_rules! copy_out {
    ($text:expr, $out:expr, $cap:expr) => {
        // SAFETY: the caller promises `cap` writable bytes at `out`, or NULL.
        unsafe { $crate::ffi::copy_out($text, $out, $cap) }
    };
}

/// See `copy_out!`.
pub(crate) unsafe fn copy_out(text: &[u8], out: *mut c_char, cap: usize) {
    if out.is_null() || cap == 0 {
        return;
    }
    let fitting = text.len().min(cap - 1);
    // SAFETY: `fitting` and the NUL are within the `cap` bytes promised; `text` is our own memory.
    unsafe {
        out.copy_from_nonoverlapping(text.as_ptr().cast(), fitting);
        out.add(fitting).write(0);
    }
}

/// UTF-8 text of an argument, or an error that names the argument and the byte.
pub(crate) fn utf8<'a>(argument: &'static str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let detail =
            format!("The argument \"{argument}\" is not UTF-8: byte {at} (0x{:02x}) is not valid", bytes[at]);
        Error::new(Kind::InvalidArgument, detail).with_param(argument)
    })
}

/// Text lent to C: where it begins (a NUL stands behind it) and how long it is.
#[derive(Clone, Copy)]
pub(crate) struct Lent {
    start: *const c_char,
    len: usize,
}

impl Lent {
    /// No text.
    pub(crate) const NOTHING: Lent = Lent { start: std::ptr::null(), len: 0 };
    /// `""`
    pub(crate) const EMPTY: Lent = Lent { start: c"".as_ptr(), len: 0 };

    /// A text of the program's own.
    pub(crate) const fn fixed(text: &'static CStr) -> Lent {
        Lent { start: text.as_ptr(), len: text.count_bytes() }
    }

    /// Bytes with a NUL behind them, such as [`Body::with_nul`] gives.
    pub(crate) fn with_nul(bytes: &[u8]) -> Lent {
        Lent { start: bytes.as_ptr().cast(), len: bytes.len() - 1 }
    }

    /// Bytes whose length must be looked at.
    pub(crate) fn bytes(bytes: &[u8]) -> Lent {
        Lent { start: bytes.as_ptr().cast(), len: bytes.len() }
    }

    /// The text of a body, which must outlive its use in C.
    pub(crate) fn of(body: &Body) -> Lent {
        Lent::with_nul(body.with_nul())
    }

    /// Gives it to C.
    pub(crate) fn give(self, len: Option<&mut MaybeUninit<usize>>) -> *const c_char {
        if let Some(len) = len {
            len.write(self.len);
        }
        self.start
    }
}
