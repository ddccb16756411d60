//! What a server announces is not reserved. In a program of its own, because it measures the
//! whole process.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{BOUND, HELLO, client_with, simulator, timed};
use elkapi::{Billed, Kind};

/// The most address space that this process ever had, in bytes: grows with every reservation,
/// also with one that is never touched.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[test]
fn an_announced_length_of_a_gigabyte_is_refused_or_awaited_without_reserving_it() {
    let sim = simulator();
    let base_url = sim.url("/fault/huge-content-length/v1");
    // Threads and their heaps are there before the measurement.
    client_with(&sim.base_url(), "{}").chat_completions(HELLO, None).unwrap();
    let before = peak();

    // Beyond the limit: refused at once, although the body never comes.
    let (outcome, took) = timed(|| client_with(&base_url, "{}").chat_completions(HELLO, None));
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::ReplyTooLarge, Some(200)), "{error}");
    assert_eq!(error.billed(), Billed::Yes, "{error}");
    assert!(error.message().contains("max_body_bytes"), "{error}");
    assert!(took < BOUND, "{took:?}");

    // Within the limit: awaited, but only what has come takes memory.
    let options = r#"{"max_body_bytes":2147483648,"total_timeout_ms":300}"#;
    let error = client_with(&base_url, options).chat_completions(HELLO, None).unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Timeout, Some(200)), "{error}");

    let grown = peak() - before;
    assert!(grown < 512 << 20, "{grown} bytes were reserved");
}
