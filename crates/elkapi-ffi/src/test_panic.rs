//! A function that panics, for the test of the boundary.

use crate::ffi::given;
use crate::result::elk_result;

/// Panics within the boundary.
#[unsafe(no_mangle)]
pub extern "C" fn elk_test_panic() -> *mut elk_result {
    boundary!(defect => given(elk_result::failed(defect)); panic!("on purpose"))
}
