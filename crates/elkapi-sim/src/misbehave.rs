//! What each fault does with a connection.
//!
//! Most take the ordinary gateway's reply to the same request and spoil it, so that a client sees
//! a good reply go bad. The names are in [`crate::fault`].

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::{Fault, Kind};
use crate::http::{Connection, Head};
use crate::json::quoted;
use crate::reply::{self, After, Body, Framing, LAST_CHUNK, Reply, push_chunk};
use crate::script::Part;
use crate::stats::Exchange;
use crate::{bomb, clock, gateway};

/// Time for the client to read what came before a reset, which may throw away what is unread.
const BEFORE_RESET: Duration = Duration::from_millis(50);
/// Endless things end here, lest a forgotten client fills its memory for ever.
const ENDLESS_BYTES: u64 = 4 << 30;
/// One write of an endless thing.
const BLOCK: usize = 64 * 1024;

/// The request a fault is applied to.
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a Head,
    /// The path after the fault's name.
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
    /// What the ordinary gateway would reply.
    pub(crate) ordinary: Reply,
}

/// Acts instead of reading the body.
pub(crate) fn act_on_head(
    fault: &Fault,
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
) -> io::Result<After> {
    if fault.kind == Kind::SlowRead {
        connection.shrink_receive_buffer();
        return stall(connection);
    }
    reply::send(connection, exchange, &gateway::body_too_large(), false)?;
    Ok(After::Linger)
}

/// Replies to a request that was read, in its own way.
pub(crate) fn act(
    fault: &Fault,
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    asked: Asked<'_>,
) -> io::Result<After> {
    connection.pause(asked.ordinary.delay)?;
    let head = asked.head;
    let mut ordinary = asked.ordinary;
    ordinary.delay = Duration::ZERO;
    let second = connection.requests > 1;
    match fault.kind {
        Kind::SlowAccept | Kind::SlowRead | Kind::BodyTooLarge | Kind::ExpectIgnored => {
            reply::send(connection, exchange, &ordinary, head.keep_alive)
        }

        Kind::StallBeforeHeaders => stall(connection),
        Kind::StallAfterHeaders => {
            connection.write(&Encoded::of(&ordinary).head)?;
            stall(connection)
        }
        Kind::StallMidBody => {
            connection.write(&Encoded::of(&ordinary).first_half())?;
            stall(connection)
        }
        Kind::StallAfterDone => {
            let whole = Encoded::of(&ordinary).whole();
            connection.write(whole.strip_suffix(LAST_CHUNK).unwrap_or(&whole))?;
            stall(connection)
        }

        Kind::Drip => byte_by_byte(connection, exchange, &ordinary, fault.milliseconds(), head.keep_alive),
        Kind::OneByteWrites => byte_by_byte(connection, exchange, &ordinary, Duration::ZERO, head.keep_alive),

        Kind::CloseBeforeReply => Ok(After::Close),
        Kind::Truncate => {
            exchange.ending();
            connection.write(&Encoded::of(&ordinary).first_half())?;
            Ok(After::Close)
        }
        Kind::ResetBeforeReply => Ok(After::Reset),
        Kind::ResetAfterHeaders => reset_after(connection, &Encoded::of(&ordinary).head),
        Kind::ResetMidBody => reset_after(connection, &Encoded::of(&ordinary).first_half()),

        Kind::CloseOnSecond if second => Ok(After::Close),
        Kind::ResetOnSecond if second => Ok(After::Reset),
        Kind::StallOnSecond if second => stall(connection),
        Kind::CloseOnSecond | Kind::ResetOnSecond | Kind::StallOnSecond => {
            reply::send(connection, exchange, &ordinary, true)
        }
        Kind::CloseAfterReply => {
            ordinary.set_header("Connection", "keep-alive");
            reply::send(connection, exchange, &ordinary, true)?;
            Ok(After::Close)
        }
        Kind::CloseWhenIdle => {
            let after = reply::send(connection, exchange, &ordinary, true)?;
            Ok(if connection.more_within(fault.milliseconds()) { after } else { After::Close })
        }
        Kind::ExtraReply => {
            let mut twice = Encoded::of(&ordinary).whole();
            let surplus = Reply::whole(200, "application/json", b"{\"surplus\":true}".to_vec());
            twice.extend_from_slice(&Encoded::of(&surplus).whole());
            exchange.ending();
            connection.write(&twice)?;
            Ok(After::KeepAlive)
        }

        Kind::PingStorm => {
            let Body::Script(_) = &ordinary.body else {
                return reply::send(connection, exchange, &ordinary, head.keep_alive);
            };
            let mut events = b": PING\n\n".repeat(fault.count().min(1 << 24));
            events.extend_from_slice(&ordinary.flat());
            ordinary.body = Body::Whole(events);
            reply::send(connection, exchange, &ordinary, head.keep_alive)
        }
        Kind::PingForever => {
            connection.write(&Encoded::of(&event_stream()).head)?;
            loop {
                connection.write(b"8\r\n: PING\n\n\r\n")?;
                connection.pause(fault.milliseconds().max(Duration::from_millis(1)))?;
            }
        }
        Kind::HugeLine => {
            let bytes = fault.number.min(1_024) << 20;
            let larger = with_wish(asked.body, "bytes", bytes);
            reply::send(
                connection,
                exchange,
                &gateway::answer(head, asked.path, &larger, None),
                head.keep_alive,
            )
        }
        Kind::EndlessBody => endless_body(connection, &ordinary),

        Kind::RateLimitSeconds | Kind::RateLimitLong => {
            let fields = [("Retry-After", fault.number.to_string())];
            rate_limit(connection, exchange, head, &fields)
        }
        Kind::RateLimitDate => {
            let fields = [("Retry-After", clock::http_date(Duration::from_secs(fault.number)))];
            rate_limit(connection, exchange, head, &fields)
        }
        Kind::RateLimitMilliseconds => {
            let fields = [("Retry-After", "20".to_owned()), ("retry-after-ms", fault.number.to_string())];
            rate_limit(connection, exchange, head, &fields)
        }
        Kind::RateLimitGarbage => {
            let fields = [("Retry-After", "-5 soon".to_owned())];
            rate_limit(connection, exchange, head, &fields)
        }

        Kind::RateLimit if exchange.is_within_rate(fault.count()) => {
            reply::send(connection, exchange, &ordinary, head.keep_alive)
        }
        Kind::RateLimit => rate_limit(connection, exchange, head, &[]),

        Kind::ShortLength => wrong_length(connection, exchange, ordinary, |length| length / 2),
        Kind::LongLength => wrong_length(connection, exchange, ordinary, |length| length + 100),
        Kind::HugeContentLength => {
            ordinary.framing = Framing::ContentLength;
            ordinary.declared_length = Some(1 << 30);
            connection.write(&ordinary.head(0, true))?;
            stall(connection)
        }
        Kind::HalfHeader => {
            exchange.ending();
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Ty")?;
            Ok(After::Close)
        }
        Kind::EndlessHeader => {
            connection.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")?;
            endless(connection, &[b'a'; BLOCK])
        }
        Kind::ManyHeaders => {
            for number in 0..fault.number.min(1_000_000) {
                ordinary.headers.push((format!("X-Elk-{number}").into(), "moss".to_owned()));
            }
            reply::send(connection, exchange, &ordinary, head.keep_alive)
        }
        Kind::InterimStorm => {
            connection.write(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(fault.count().min(1 << 20)))?;
            reply::send(connection, exchange, &ordinary, head.keep_alive)
        }
        Kind::BadChunk => {
            ordinary.framing = Framing::Chunked;
            exchange.ending();
            connection.write(&[&ordinary.head(0, true), b"elk\r\n{}\r\n0\r\n\r\n".as_slice()].concat())?;
            Ok(After::Close)
        }
        Kind::NotHttp => {
            exchange.ending();
            connection.write(b"SSH-2.0-Elk_1.0\r\n")?;
            Ok(After::Close)
        }
        Kind::GzipBomb => {
            ordinary.set_header("Content-Encoding", "gzip");
            ordinary.framing = Framing::ContentLength;
            ordinary.body = Body::Whole(bomb::gzip());
            reply::send(connection, exchange, &ordinary, head.keep_alive)
        }
        Kind::ErrorPage => {
            let bytes = (fault.count().min(1_024)) << 20;
            let mut page = b"<html><head><title>502 Bad Gateway</title></head><body>".to_vec();
            page.resize(bytes.max(page.len()), b'.');
            let page = gateway::with_common_fields(Reply::whole(502, "text/html", page));
            reply::send(connection, exchange, &page, head.keep_alive)
        }
        Kind::EchoKey => {
            let reply = echo(head.header("authorization").unwrap_or_default());
            reply::send(connection, exchange, &reply, head.keep_alive)
        }
        Kind::Redirect => {
            let mut reply = gateway::with_common_fields(Reply::whole(307, "text/html", b"Moved".to_vec()));
            let host = head.header("host").unwrap_or_default();
            reply.set_header("Location", format!("http://{host}{}", asked.path));
            reply::send(connection, exchange, &reply, head.keep_alive)
        }
    }
}

/// A reply as bytes on the wire, with keep-alive.
struct Encoded {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Encoded {
    fn of(reply: &Reply) -> Encoded {
        let flat = reply.flat();
        let head = reply.head(flat.len() as u64, true);
        let mut body = Vec::with_capacity(flat.len() + 64);
        match (&reply.body, reply.framing) {
            (Body::Script(script), _) => {
                for part in &script.parts {
                    let mut event = Vec::new();
                    script.write_event(part, &mut event);
                    push_chunk(&mut body, &event);
                }
                body.extend_from_slice(LAST_CHUNK);
            }
            (_, Framing::Chunked) => {
                push_chunk(&mut body, &flat);
                body.extend_from_slice(LAST_CHUNK);
            }
            _ => body = flat,
        }
        Encoded { head, body }
    }

    fn whole(mut self) -> Vec<u8> {
        self.head.append(&mut self.body);
        self.head
    }

    fn first_half(mut self) -> Vec<u8> {
        self.body.truncate(self.body.len() / 2);
        self.whole()
    }
}

fn stall(connection: &Connection) -> io::Result<After> {
    connection.stall()?;
    Ok(After::Close)
}

fn byte_by_byte(
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    ordinary: &Reply,
    pause: Duration,
    keep_alive: bool,
) -> io::Result<After> {
    let whole = Encoded::of(ordinary).whole();
    for (index, byte) in whole.chunks(1).enumerate() {
        connection.pause(pause)?;
        if index + 1 == whole.len() {
            exchange.ending();
        }
        connection.write(byte)?;
    }
    Ok(if keep_alive { After::KeepAlive } else { After::Close })
}

fn reset_after(connection: &mut Connection, bytes: &[u8]) -> io::Result<After> {
    connection.write(bytes)?;
    connection.pause(BEFORE_RESET)?;
    Ok(After::Reset)
}

fn event_stream() -> Reply {
    let mut reply = gateway::with_common_fields(Reply::whole(200, "text/event-stream", Vec::new()));
    reply.framing = Framing::Chunked;
    reply
}

/// The request with one member of `sim` set; unreadable ones stay as they are.
fn with_wish(body: &[u8], name: &str, value: u64) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut request)) => {
            request.insert("sim".to_owned(), json!({ name: value }));
            Value::Object(request).to_string().into_bytes()
        }
        _ => body.to_vec(),
    }
}

fn endless(connection: &mut Connection, block: &[u8]) -> io::Result<After> {
    let mut sent = 0;
    while sent < ENDLESS_BYTES {
        connection.write(block)?;
        sent += block.len() as u64;
    }
    Ok(After::Close)
}

fn endless_body(connection: &mut Connection, ordinary: &Reply) -> io::Result<After> {
    let mut block = Vec::with_capacity(2 * BLOCK);
    if let Body::Script(script) = &ordinary.body {
        connection.write(&ordinary.head(0, true))?;
        let text = script.parts.iter().find(|part| matches!(part, Part::Text(..)));
        let mut event = Vec::new();
        match text {
            Some(part) => script.write_event(part, &mut event),
            None => event.extend_from_slice(b": PING\n\n"),
        }
        while block.len() < BLOCK {
            push_chunk(&mut block, &event);
        }
        return endless(connection, &block);
    }
    let mut reply =
        gateway::with_common_fields(Reply::whole(200, "application/json; charset=utf-8", Vec::new()));
    reply.framing = Framing::Chunked;
    let mut start = reply.head(0, true);
    push_chunk(
        &mut start,
        b"{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
    );
    connection.write(&start)?;
    push_chunk(&mut block, &[b'a'; BLOCK]);
    endless(connection, &block)
}

fn rate_limit(
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    head: &Head,
    fields: &[(&'static str, String)],
) -> io::Result<After> {
    let body = "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\",\"param\":null,\
                \"code\":\"rate_limit_exceeded\"}}";
    let mut reply =
        gateway::with_common_fields(Reply::whole(429, "application/json; charset=utf-8", body.into()));
    for (name, value) in fields {
        reply.set_header(name, value.clone());
    }
    reply::send(connection, exchange, &reply, head.keep_alive)
}

fn wrong_length(
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    mut ordinary: Reply,
    announce: fn(u64) -> u64,
) -> io::Result<After> {
    let body = ordinary.flat();
    ordinary.declared_length = Some(announce(body.len() as u64));
    ordinary.framing = Framing::ContentLength;
    ordinary.body = Body::Whole(body);
    // Nothing in the head betrays that the connection will close.
    ordinary.literal = true;
    reply::send(connection, exchange, &ordinary, true)
}

fn echo(authorization: &str) -> Reply {
    let message = quoted(&format!("Incorrect API key provided: {authorization}"));
    let body = format!(
        "{{\"error\":{{\"message\":{message},\"type\":\"invalid_request_error\",\"param\":null,\
         \"code\":\"invalid_api_key\"}}}}"
    );
    let mut reply =
        gateway::with_common_fields(Reply::whole(401, "application/json; charset=utf-8", body.into_bytes()));
    reply.set_header("X-Echo-Authorization", authorization);
    reply
}
