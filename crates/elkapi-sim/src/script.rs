//! A stream's events, written one by one while they are sent.
//!
//! Made by the gateway, run by [`crate::reply`]. An event is put together only when its turn
//! comes, so that a long stream starts at once and a stamped one carries the true time.

use std::ops::Range;
use std::time::Duration;

use crate::clock;
use crate::json::push_quoted;

/// Everything that one streamed answer needs.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// From `data: {` up to and including `"choices":[`.
    pub(crate) opening: String,
    /// The answer's text, which the parts point into.
    pub(crate) text: String,
    /// The events in order.
    pub(crate) parts: Vec<Part>,
    /// Pause before each text event.
    pub(crate) pace: Duration,
    /// Whether text events carry the send time instead of their text.
    pub(crate) stamped: bool,
}

/// One event.
#[derive(Debug)]
pub(crate) enum Part {
    /// A choice whose delta is this JSON object.
    Delta(String, Option<&'static str>),
    /// A choice whose delta is a piece of the text.
    Text(Range<usize>, Option<&'static str>),
    /// The chunk without choices that carries this usage object.
    Usage(String),
    /// `[DONE]`.
    Done,
}

impl Script {
    /// How long to wait before this part.
    pub(crate) fn pause_before(&self, part: &Part) -> Duration {
        match part {
            Part::Text(..) => self.pace,
            _ => Duration::ZERO,
        }
    }

    /// Appends the event's bytes.
    pub(crate) fn write_event(&self, part: &Part, out: &mut Vec<u8>) {
        let finish = match part {
            Part::Delta(delta, finish) => {
                out.extend_from_slice(self.opening.as_bytes());
                out.extend_from_slice(b"{\"delta\":");
                out.extend_from_slice(delta.as_bytes());
                *finish
            }
            Part::Text(range, finish) => {
                out.extend_from_slice(self.opening.as_bytes());
                out.extend_from_slice(b"{\"delta\":{\"content\":");
                if self.stamped {
                    push_quoted(out, &clock::monotonic_nanoseconds().to_string());
                } else {
                    push_quoted(out, &self.text[range.clone()]);
                }
                out.push(b'}');
                *finish
            }
            Part::Usage(usage) => {
                out.extend_from_slice(self.opening.as_bytes());
                out.extend_from_slice(b"],\"usage\":");
                out.extend_from_slice(usage.as_bytes());
                out.extend_from_slice(b"}\n\n");
                return;
            }
            Part::Done => return out.extend_from_slice(b"data: [DONE]\n\n"),
        };
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        match finish {
            Some(reason) => push_quoted(out, reason),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"index\":0}],\"usage\":null}\n\n");
    }
}
