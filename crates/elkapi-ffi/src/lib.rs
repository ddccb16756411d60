//! The C interface: a thin translation of the core, without logic of its own.
//!
//! Each function's comment below becomes its comment in `include/elkapi.h`, and the order of the
//! modules and functions is the header's order. A body is one `boundary!`: a panic and a NULL
//! handle end there (`elk_cancel_signal` tells why it is none). Whatever touches a raw pointer stands
//! in [`ffi`]; everything else is safe code.

#![deny(unsafe_op_in_unsafe_fn)]
#![allow(non_camel_case_types)]
// What a C caller must keep to stands in the lines `Ownership:` and `Threads:` of each function.
#![allow(clippy::missing_safety_doc)]

// Only so that its compile-time level is ours to set; see Cargo.toml.
use log as _;

#[macro_use]
mod panic;
#[macro_use]
mod ffi;

pub mod client;

pub mod cancel;

pub mod stream;

pub mod result;

pub mod queue;

pub mod text;

pub mod status;

#[cfg(feature = "test-panic")]
pub mod test_panic;
