//! Faults: the ways in which a server can misbehave, by name.
//!
//! One table, which `--help` and `/__faults` print. What each does is in [`crate::misbehave`].

use std::fmt::Write as _;
use std::time::Duration;

/// One line of the table.
struct Row {
    name: &'static str,
    kind: Kind,
    /// What a number after the name means, and its default.
    number: Option<(&'static str, u64)>,
    does: &'static str,
}

/// What is done; each variant belongs to the row that names it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    StallBeforeHeaders,
    StallAfterHeaders,
    StallMidBody,
    StallAfterDone,
    Drip,
    OneByteWrites,
    CloseBeforeReply,
    Truncate,
    ResetBeforeReply,
    ResetAfterHeaders,
    ResetMidBody,
    PingStorm,
    PingForever,
    HugeLine,
    SlowAccept,
    SlowRead,
    BodyTooLarge,
    ExpectIgnored,
    CloseAfterReply,
    CloseWhenIdle,
    CloseOnSecond,
    ResetOnSecond,
    StallOnSecond,
    ExtraReply,
    RateLimitSeconds,
    RateLimitDate,
    RateLimitMilliseconds,
    RateLimitGarbage,
    RateLimitLong,
    RateLimit,
    ShortLength,
    LongLength,
    HugeContentLength,
    HalfHeader,
    EndlessHeader,
    ManyHeaders,
    InterimStorm,
    EndlessBody,
    BadChunk,
    NotHttp,
    GzipBomb,
    ErrorPage,
    EchoKey,
    Redirect,
}

const fn row(name: &'static str, kind: Kind, does: &'static str) -> Row {
    Row { name, kind, number: None, does }
}

const fn numbered(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    default: u64,
    does: &'static str,
) -> Row {
    Row { name, kind, number: Some((unit, default)), does }
}

/// Every fault there is.
const TABLE: &[Row] = &[
    row("stall-before-headers", Kind::StallBeforeHeaders, "reads the request, never replies"),
    row("stall-after-headers", Kind::StallAfterHeaders, "sends the reply's head, then nothing"),
    row("stall-mid-body", Kind::StallMidBody, "sends half of the body, then nothing"),
    row(
        "stall-after-done",
        Kind::StallAfterDone,
        "sends everything but the end of a chunked body, then nothing",
    ),
    numbered("drip", Kind::Drip, "MS", 50, "sends one byte of the reply every MS milliseconds"),
    row("one-byte-writes", Kind::OneByteWrites, "sends each byte of the reply on its own, without pauses"),
    row("close-before-reply", Kind::CloseBeforeReply, "reads the request, then closes"),
    row("truncate", Kind::Truncate, "closes after half of the body"),
    row("reset", Kind::ResetBeforeReply, "the same as reset-before-reply"),
    row("reset-before-reply", Kind::ResetBeforeReply, "reads the request, then resets the connection"),
    row("reset-after-headers", Kind::ResetAfterHeaders, "resets after the reply's head"),
    row("reset-mid-body", Kind::ResetMidBody, "resets after half of the body"),
    numbered("ping-storm", Kind::PingStorm, "COUNT", 10_000, "sends COUNT comments before a stream's events"),
    numbered(
        "ping-forever",
        Kind::PingForever,
        "MS",
        50,
        "sends a comment every MS milliseconds and never an event",
    ),
    numbered("huge-line", Kind::HugeLine, "MEGABYTES", 16, "answers with a text of that size, in one line"),
    numbered(
        "slow-accept",
        Kind::SlowAccept,
        "MS",
        1_000,
        "leaves the body unread for MS milliseconds, then answers",
    ),
    row("slow-read", Kind::SlowRead, "never reads the body: a sender of some megabytes blocks"),
    row("body-too-large", Kind::BodyTooLarge, "413 at once, body unread, then closes"),
    row("expect-ignored", Kind::ExpectIgnored, "waits for the body without answering Expect: 100-continue"),
    row("close-after-reply", Kind::CloseAfterReply, "says keep-alive, closes right after the reply"),
    numbered(
        "close-when-idle",
        Kind::CloseWhenIdle,
        "MS",
        100,
        "closes a kept connection after MS milliseconds",
    ),
    row(
        "close-on-second-request",
        Kind::CloseOnSecond,
        "closes when a kept connection's second request was read",
    ),
    row(
        "reset-on-second-request",
        Kind::ResetOnSecond,
        "resets when a kept connection's second request was read",
    ),
    row(
        "stall-on-second-request",
        Kind::StallOnSecond,
        "never replies to a kept connection's second request",
    ),
    row("extra-reply", Kind::ExtraReply, "sends a second reply that nobody asked for"),
    numbered("429-seconds", Kind::RateLimitSeconds, "S", 1, "429 with Retry-After: S"),
    numbered("429-date", Kind::RateLimitDate, "S", 2, "429 with Retry-After as a date S seconds ahead"),
    numbered(
        "429-ms",
        Kind::RateLimitMilliseconds,
        "MS",
        150,
        "429 with retry-after-ms: MS beside Retry-After: 20",
    ),
    row("429-garbage", Kind::RateLimitGarbage, "429 with a Retry-After that cannot be read"),
    numbered("429-long", Kind::RateLimitLong, "S", 3_600, "429 with a Retry-After of an hour"),
    numbered(
        "rate-limit",
        Kind::RateLimit,
        "COUNT",
        50,
        "answers at most COUNT requests within any second, 429 to the others",
    ),
    row("short-length", Kind::ShortLength, "announces half of the body's length, sends it all, closes"),
    row("long-length", Kind::LongLength, "announces 100 bytes more than it sends, closes"),
    row("huge-content-length", Kind::HugeContentLength, "announces 1 GB, sends no body"),
    row("half-header", Kind::HalfHeader, "closes in the middle of a field line"),
    row("endless-header", Kind::EndlessHeader, "sends a field line without an end"),
    numbered("many-headers", Kind::ManyHeaders, "COUNT", 10_000, "adds COUNT field lines to the reply"),
    numbered(
        "interim-storm",
        Kind::InterimStorm,
        "COUNT",
        1_000,
        "sends COUNT replies 100 Continue before the real one",
    ),
    row("endless-body", Kind::EndlessBody, "sends a body (or events) without an end"),
    row("bad-chunk", Kind::BadChunk, "sends a transfer chunk whose size is not a number"),
    row("not-http", Kind::NotHttp, "answers in another protocol, closes"),
    row("gzip-bomb", Kind::GzipBomb, "sends 1 MB that decompresses to 1 GB"),
    numbered("error-page", Kind::ErrorPage, "MEGABYTES", 1, "502 with an HTML page of that size"),
    row("echo-key", Kind::EchoKey, "401 which repeats the Authorization field in head and body"),
    row("redirect", Kind::Redirect, "307 to the ordinary gateway"),
];

/// The table of all faults as text: name, what a number after it means, what it does.
pub fn table() -> String {
    let mut out = String::new();
    for row in TABLE {
        let name = match row.number {
            Some((unit, _)) => format!("{}[-{unit}]", row.name),
            None => row.name.to_owned(),
        };
        let _ = write!(out, "  {name:<26} {}", row.does);
        if let Some((unit, default)) = row.number {
            let _ = write!(out, " ({unit}: {default})");
        }
        out.push('\n');
    }
    out
}

/// A fault as asked for by a URL.
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
}

impl Fault {
    /// The fault of that name, with or without a number at its end.
    pub(crate) fn find(name: &str) -> Option<Fault> {
        if let Some(row) = TABLE.iter().find(|row| row.name == name) {
            return Some(Fault { kind: row.kind, number: row.number.map_or(0, |(_, default)| default) });
        }
        let (name, number) = name.rsplit_once('-')?;
        let row = TABLE.iter().find(|row| row.name == name && row.number.is_some())?;
        Some(Fault { kind: row.kind, number: number.parse().ok()? })
    }

    /// Whether the reply comes, or fails to come, when only the request's head was read.
    pub(crate) fn leaves_body_unread(&self) -> bool {
        matches!(self.kind, Kind::SlowRead | Kind::BodyTooLarge)
    }

    /// How long the body stays unread before it is read after all.
    pub(crate) fn delay_of_body(&self) -> Option<Duration> {
        (self.kind == Kind::SlowAccept).then(|| self.milliseconds())
    }

    /// Whether `Expect: 100-continue` stays without an answer.
    pub(crate) fn ignores_expect(&self) -> bool {
        self.kind == Kind::ExpectIgnored
    }

    /// The number as a duration, for faults that count milliseconds.
    pub(crate) fn milliseconds(&self) -> Duration {
        Duration::from_millis(self.number)
    }

    /// The number as a count.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_one_is_found() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|other| other.name != row.name), "{} twice", row.name);
            assert_eq!(Fault::find(row.name).map(|fault| fault.kind), Some(row.kind));
        }
    }

    #[test]
    fn a_number_is_taken_only_where_the_table_says_so() {
        assert_eq!(Fault::find("drip-7").map(|fault| fault.number), Some(7));
        assert_eq!(Fault::find("429-seconds-3").map(|fault| fault.number), Some(3));
        assert!(Fault::find("truncate-7").is_none());
        assert!(Fault::find("drip-fast").is_none());
        assert!(Fault::find("nonsense").is_none());
    }
}
