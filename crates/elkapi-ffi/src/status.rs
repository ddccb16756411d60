//! Status numbers by name, and versions.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use elkapi_core::Kind;

/// 0: it worked. Below 0: a failure, one of the ELK_E_ numbers, which are never renumbered. Above 0:
/// only from the functions that go on to the next of something.
pub type elk_status = i32;

pub(crate) const OK: elk_status = 0;
/// A stream has ended well.
pub(crate) const DONE: elk_status = 1;
/// Nothing came in the time that the caller wanted to wait.
pub(crate) const PENDING: elk_status = 2;
/// A queue hands out a chunk of a stream.
pub(crate) const CHUNK: elk_status = 3;

/// The number of the shared library's name, libelkapi.so.0: what a program was compiled for.
pub(crate) const ABI_VERSION: u32 = 0;

/// Gives the name of a status, such as `rate_limit` for `ELK_E_RATE_LIMIT`.
///
/// Returns: the name, `ok` for 0, `done`, `pending` and `chunk` of streams and queues, `unknown` for a number that this version does not know.
/// Ownership: belongs to the library and lives as long as the program.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn elk_status_name(status: elk_status) -> *const c_char {
    static NAMES: OnceLock<Vec<(elk_status, CString)>> = OnceLock::new();
    boundary!(_defect => c"unknown".as_ptr(); {
        let names = NAMES.get_or_init(|| {
            let named = |kind: &Kind| (kind.number(), CString::new(kind.name()).unwrap_or_default());
            Kind::ALL.iter().map(named).chain([
                (OK, c"ok".to_owned()),
                (DONE, c"done".to_owned()),
                (PENDING, c"pending".to_owned()),
                (CHUNK, c"chunk".to_owned()),
            ]).collect()
        });
        let known = names.iter().find(|(number, _)| *number == status);
        known.map_or(c"unknown".as_ptr(), |(_, name)| name.as_ptr())
    })
}

/// Gives the library's version, such as `0.1.0`.
///
/// Returns: the version.
/// Ownership: belongs to the library and lives as long as the program.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn elk_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Gives the number of the binary interface; programs compare it with `ELK_ABI_VERSION`.
///
/// Returns: the number at the end of the shared library's name, `libelkapi.so.0`.
/// Ownership: none.
/// Threads: any, concurrently.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn elk_abi_version() -> u32 {
    ABI_VERSION
}
