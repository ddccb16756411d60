//! The inputs that fuzzing found worth keeping, through the same functions that it calls.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

#[path = "../../../fuzz/bodies/answers.rs"]
mod answers;
#[path = "../../../fuzz/bodies/events.rs"]
mod events;
#[path = "../../../fuzz/bodies/server_bytes.rs"]
mod server_bytes;

use std::fs;
use std::panic::catch_unwind;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = common::root().join("fuzz/corpus-kept").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        assert!(catch_unwind(|| run(&data)).is_ok(), "{} fails", path.display());
        count += 1;
    }
    assert!(count >= 20, "{} holds only {count} files", folder.display());
}

#[test]
fn kept_event_streams_decode_as_the_plain_decoder_says() {
    replay("events", events::run);
}

#[test]
fn kept_bytes_of_a_server_end_in_an_answer_or_an_error() {
    replay("server_bytes", server_bytes::run);
}

#[test]
fn kept_answers_can_be_read_through_every_view() {
    replay("answers", answers::run);
}
