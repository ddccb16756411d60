//! The operating system and the processor, made safe: fork marker, wake descriptor, lent socket,
//! quiet threads, socket facts, many bytes at once.
//!
//! The ground floor, and the only room of this crate with `unsafe`. Nothing here knows of HTTP,
//! calls or errors of ours.

#![allow(unsafe_code)]

pub(crate) mod block;
pub(crate) mod fork;
pub(crate) mod loan;
pub(crate) mod socket;
pub(crate) mod text;
pub(crate) mod thread;
pub(crate) mod wake;
