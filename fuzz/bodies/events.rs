//! Arbitrary bytes in arbitrary pieces through the event stream decoder: what it gives is what the plain
//! second decoder gives.

#[path = "../../crates/elkapi/tests/common/naive_sse.rs"]
mod naive_sse;

use elkapi::sse::{Decoder, Event};

/// One input.
pub fn run(data: &[u8]) {
    let (piece, bytes) =
        data.split_first().map_or((1, data), |(first, rest)| (1 + usize::from(*first), rest));
    let mut decoder = Decoder::new(1 << 20);
    let mut taken = Vec::new();
    let own = |event: Event<'_>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(event.name), text(event.data), event.whole)
    };
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        while let Some(event) = decoder.next_event().expect("it is small") {
            taken.push(own(event));
        }
    }
    if decoder.finish() {
        taken.push(own(decoder.current()));
    }
    assert_eq!(taken, naive_sse::naive(bytes));
}
