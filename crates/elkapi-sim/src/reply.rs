//! A reply before it becomes bytes, and the three ways of sending it.
//!
//! The gateway, the fixtures and the faults all make a [`Reply`]; it is sent as it stands
//! ([`send`]), with other borders between the writes ([`send_reframed`]), or taken apart by a
//! fault ([`Reply::flat`]).

use std::borrow::Cow;
use std::io;
use std::time::{Duration, Instant};

use crate::clock::mix;
use crate::http::Connection;
use crate::script::Script;
use crate::stats::Exchange;

/// How the client finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Framing {
    ContentLength,
    Chunked,
    /// The close ends the body.
    UntilClose,
    /// Neither body nor framing field, as for 204.
    NoBody,
}

/// The content of a reply.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it, sent together with the head in one write.
    Whole(Vec<u8>),
    /// Pieces with a write (and a transfer chunk) of their own.
    Pieces(Vec<Piece>),
    /// A stream's events, made while they are sent.
    Script(Script),
}

/// One write of a body.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Pause before it.
    pub(crate) pause: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// How the exchange ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    /// As the framing says.
    Normal,
    /// The connection closes before the body is over.
    Truncate,
    /// The connection closes before the status line.
    CloseBeforeResponse,
}

/// One field line.
pub(crate) type Field = (Cow<'static, str>, String);

/// Status, fields, content and timing of one reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `None`: the usual phrase of the status.
    pub(crate) reason: Option<String>,
    /// Without `Content-Length` and `Transfer-Encoding`, which the framing decides.
    pub(crate) headers: Vec<Field>,
    pub(crate) framing: Framing,
    pub(crate) body: Body,
    /// The `Content-Length` to announce instead of the true one.
    pub(crate) declared_length: Option<u64>,
    /// Pause before the status line.
    pub(crate) delay: Duration,
    pub(crate) end: End,
    /// Whether the fields are sent exactly as they stand, also when the connection will close.
    pub(crate) literal: bool,
}

/// What becomes of the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum After {
    /// It serves the next request.
    KeepAlive,
    /// It closes.
    Close,
    /// It closes, but the client may first read the reply to a request that was not read to the end.
    Linger,
    /// It closes with a reset.
    Reset,
}

/// Other borders between the writes (and transfer chunks) of the same body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reframe {
    /// One byte per write, head and chunk sizes included.
    Bytes,
    /// One event per write and transfer chunk.
    Events,
    /// Everything in one write, without pauses.
    Whole,
    /// Borders at random places, the same for the same seed.
    Random(u64),
}

impl Reply {
    /// A reply with a whole body and the given media type; fields are still to be added.
    pub(crate) fn whole(status: u16, media_type: &str, body: Vec<u8>) -> Reply {
        Reply {
            status,
            reason: None,
            headers: vec![("Content-Type".into(), media_type.to_owned())],
            framing: Framing::ContentLength,
            body: Body::Whole(body),
            declared_length: None,
            delay: Duration::ZERO,
            end: End::Normal,
            literal: false,
        }
    }

    /// The first field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a field, in place if it is there.
    pub(crate) fn set_header(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.headers.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some(field) => field.1 = value,
            None => self.headers.push((name.into(), value)),
        }
    }

    /// The content in memory: for the faults, which must know where its middle is.
    pub(crate) fn flat(&self) -> Vec<u8> {
        match &self.body {
            Body::Whole(bytes) => bytes.clone(),
            Body::Pieces(pieces) => pieces.iter().flat_map(|piece| piece.bytes.iter().copied()).collect(),
            Body::Script(script) => {
                let mut bytes = Vec::new();
                for part in &script.parts {
                    script.write_event(part, &mut bytes);
                }
                bytes
            }
        }
    }

    /// Whether the connection can serve another request afterwards.
    fn allows_next(&self, body_length: u64) -> bool {
        let framed = match self.framing {
            Framing::ContentLength => self.declared_length.is_none_or(|declared| declared == body_length),
            Framing::Chunked => true,
            Framing::NoBody => matches!(self.status, 204 | 304),
            Framing::UntilClose => false,
        };
        let closes = self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        framed && self.end == End::Normal && !closes
    }

    /// The bytes from the status line to the empty line.
    pub(crate) fn head(&self, body_length: u64, keep_alive: bool) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let reason = self.reason.as_deref().unwrap_or_else(|| usual_phrase(self.status));
        head.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status).as_bytes());
        let says_close = !self.literal && !keep_alive;
        for (name, value) in &self.headers {
            if says_close && name.eq_ignore_ascii_case("connection") {
                continue;
            }
            push_field(&mut head, name, value);
        }
        if says_close {
            push_field(&mut head, "Connection", "close");
        }
        match self.framing {
            Framing::ContentLength => push_field(
                &mut head,
                "Content-Length",
                &self.declared_length.unwrap_or(body_length).to_string(),
            ),
            Framing::Chunked => push_field(&mut head, "Transfer-Encoding", "chunked"),
            Framing::UntilClose | Framing::NoBody => {}
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    fn body_length(&self) -> u64 {
        match &self.body {
            Body::Whole(bytes) => bytes.len() as u64,
            Body::Pieces(pieces) => pieces.iter().map(|piece| piece.bytes.len() as u64).sum(),
            Body::Script(_) => 0,
        }
    }
}

fn push_field(head: &mut Vec<u8>, name: &str, value: &str) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// Appends one transfer chunk.
pub(crate) fn push_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The chunk that ends a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Sends `reply` as it stands. `may_continue`: the client wants to keep the connection.
pub(crate) fn send(
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    reply: &Reply,
    may_continue: bool,
) -> io::Result<After> {
    connection.pause(reply.delay)?;
    if reply.end == End::CloseBeforeResponse {
        return Ok(After::Close);
    }
    let length = reply.body_length();
    let keep_alive = may_continue && reply.allows_next(length);
    let mut head = reply.head(length, keep_alive);
    let chunked = reply.framing == Framing::Chunked;
    match &reply.body {
        Body::Whole(bytes) => {
            if chunked && !bytes.is_empty() {
                push_chunk(&mut head, bytes);
            } else if reply.framing != Framing::NoBody {
                head.extend_from_slice(bytes);
            }
            if chunked && reply.end == End::Normal {
                head.extend_from_slice(LAST_CHUNK);
            }
            exchange.ending();
            connection.write(&head)?;
        }
        Body::Pieces(pieces) => {
            connection.write(&head)?;
            let mut wire = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                connection.pause(piece.pause)?;
                if index + 1 == pieces.len() {
                    exchange.ending();
                }
                if chunked {
                    wire.clear();
                    push_chunk(&mut wire, &piece.bytes);
                    connection.write(&wire)?;
                } else {
                    connection.write(&piece.bytes)?;
                }
            }
            exchange.ending();
            if chunked && reply.end == End::Normal {
                connection.write(LAST_CHUNK)?;
            }
        }
        Body::Script(script) => {
            connection.write(&head)?;
            run(connection, exchange, script)?;
        }
    }
    Ok(if keep_alive { After::KeepAlive } else { After::Close })
}

/// Sends a stream's events, one per transfer chunk and write; the last takes the end along.
fn run(connection: &mut Connection, exchange: &mut Exchange<'_>, script: &Script) -> io::Result<()> {
    let (mut event, mut wire) = (Vec::new(), Vec::new());
    let mut due = Instant::now();
    for (index, part) in script.parts.iter().enumerate() {
        let pause = script.pause_before(part);
        if !pause.is_zero() {
            due += pause;
            connection.pause_until(due)?;
        }
        event.clear();
        wire.clear();
        script.write_event(part, &mut event);
        push_chunk(&mut wire, &event);
        if index + 1 == script.parts.len() {
            wire.extend_from_slice(LAST_CHUNK);
            exchange.ending();
        }
        connection.write(&wire)?;
    }
    Ok(())
}

/// Sends the same content with other borders. Pauses stay where they were in the content, except
/// under [`Reframe::Whole`], which has room only for the one before the status line.
pub(crate) fn send_reframed(
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    reply: &Reply,
    reframe: Reframe,
    may_continue: bool,
) -> io::Result<After> {
    connection.pause(reply.delay)?;
    if reply.end == End::CloseBeforeResponse {
        return Ok(After::Close);
    }
    let segments = segments(reply, reframe);
    let length = segments.iter().map(|segment| segment.bytes.len() as u64).sum();
    let keep_alive = may_continue && reply.allows_next(length);
    let mut random = Random(match reframe {
        Reframe::Random(seed) => seed,
        _ => 0,
    });
    let mut wire = reply.head(length, keep_alive);
    // In the other modes the head has a write of its own.
    let mut borders = if reframe == Reframe::Events { vec![wire.len()] } else { Vec::new() };
    let chunked = reply.framing == Framing::Chunked;
    let last = segments.len().saturating_sub(1);
    for (index, segment) in segments.iter().enumerate() {
        if !segment.pause.is_zero() {
            flush(connection, &mut wire, &mut borders, reframe, &mut random)?;
            connection.pause(segment.pause)?;
        }
        for piece in cut(&segment.bytes, reframe, &mut random) {
            if chunked {
                push_chunk(&mut wire, piece);
            } else {
                wire.extend_from_slice(piece);
            }
            borders.push(wire.len());
        }
        if index == last && chunked && reply.end == End::Normal {
            wire.extend_from_slice(LAST_CHUNK);
        }
    }
    if segments.is_empty() && chunked && reply.end == End::Normal {
        wire.extend_from_slice(LAST_CHUNK);
    }
    exchange.ending();
    flush(connection, &mut wire, &mut borders, reframe, &mut random)?;
    Ok(if keep_alive { After::KeepAlive } else { After::Close })
}

/// Runs of content without a pause inside; each may have one before it.
fn segments(reply: &Reply, reframe: Reframe) -> Vec<Piece> {
    if reply.framing == Framing::NoBody {
        return Vec::new();
    }
    let pieces = match &reply.body {
        Body::Pieces(pieces) if reframe != Reframe::Whole => pieces.clone(),
        _ => vec![Piece { pause: Duration::ZERO, bytes: reply.flat() }],
    };
    let mut segments: Vec<Piece> = Vec::new();
    for piece in pieces {
        match segments.last_mut() {
            Some(segment) if piece.pause.is_zero() => segment.bytes.extend_from_slice(&piece.bytes),
            _ => segments.push(piece),
        }
    }
    segments.retain(|segment| !segment.bytes.is_empty());
    segments
}

/// Cuts a segment into transfer chunks.
fn cut<'a>(bytes: &'a [u8], reframe: Reframe, random: &mut Random) -> Vec<&'a [u8]> {
    match reframe {
        Reframe::Bytes | Reframe::Whole => vec![bytes],
        Reframe::Events => events(bytes),
        Reframe::Random(_) => {
            let mut pieces = Vec::new();
            let mut rest = bytes;
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(random.length(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces
        }
    }
}

/// Cuts after each empty line, whichever line end is used.
fn events(bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut at, mut line_start) = (0, 0, 0);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => at + 2,
            b'\r' | b'\n' => at + 1,
            _ => {
                at += 1;
                continue;
            }
        };
        if at == line_start {
            pieces.push(&bytes[start..end]);
            start = end;
        }
        at = end;
        line_start = end;
    }
    if start < bytes.len() {
        pieces.push(&bytes[start..]);
    }
    pieces
}

/// Writes what is collected, cut as the mode asks, and empties it.
fn flush(
    connection: &mut Connection,
    wire: &mut Vec<u8>,
    borders: &mut Vec<usize>,
    reframe: Reframe,
    random: &mut Random,
) -> io::Result<()> {
    match reframe {
        Reframe::Whole => connection.write(wire)?,
        Reframe::Bytes => {
            for byte in wire.chunks(1) {
                connection.write(byte)?;
            }
        }
        Reframe::Events => {
            let mut start = 0;
            for &border in borders.iter() {
                connection.write(&wire[start..border])?;
                start = border;
            }
            if start < wire.len() {
                connection.write(&wire[start..])?;
            }
        }
        Reframe::Random(_) => {
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(random.length(rest.len()));
                connection.write(piece)?;
                rest = tail;
            }
        }
    }
    wire.clear();
    borders.clear();
    Ok(())
}

/// Lengths that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    /// Between 1 and `most`: often a few bytes, sometimes hundreds, rarely thousands.
    fn length(&mut self, most: usize) -> usize {
        self.0 = mix(self.0);
        let scale = match self.0 % 10 {
            0..=4 => 8,
            5..=8 => 300,
            _ => 20_000,
        };
        (1 + (self.0 >> 8) as usize % scale).min(most)
    }
}

/// The reason phrase that usually goes with a status; `""` for one that has none.
fn usual_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::events;

    #[test]
    fn events_are_cut_after_empty_lines_of_every_kind() {
        let cut =
            |text: &'static str| events(text.as_bytes()).iter().map(|piece| piece.len()).collect::<Vec<_>>();
        assert_eq!(cut("data: a\n\ndata: b\n\n"), [9, 9]);
        assert_eq!(cut("data: a\r\n\r\ndata: b\r\n\r\n"), [11, 11]);
        assert_eq!(cut("data: a\r\rdata: b"), [9, 7]);
        assert_eq!(cut("{\"a\":1}"), [7]);
        assert_eq!(cut(""), [0usize; 0]);
    }
}
