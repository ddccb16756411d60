//! One exchange after the other: a request goes out over a connection, and its reply comes in.
//!
//! ureq-proto, which is sans I/O, knows what a request's head looks like and what a reply's says. The
//! bodies pass it by: they go straight from the caller's memory and into it.

use std::io::Read;
use std::sync::{Arc, Weak};
use std::time::Instant;

use ureq_proto::client::state::RecvResponse;
use ureq_proto::client::{self, Await100Result, RecvResponseResult, SendRequestResult};
use ureq_proto::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use ureq_proto::{BodyMode, Error as NotHttp};

use super::chunked::{Chunked, Undone};
use super::connection::Connection;
use super::dialer::{Dialer, Origin};
use super::pool::Pool;
use super::wait::{Stop, stopped, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Limit, Phase};
use crate::proxy::Proxy;
use crate::tls::Trust;

/// The reply's head at most: status line and field lines together.
const HEAD: usize = 64 * 1024;

/// Bytes of a body that are read at once from where the caller has them.
const STEP: usize = 32 * 1024;

/// What goes along with a request's head.
pub(crate) enum Sending<'a> {
    Nothing,
    /// One after the other.
    Pieces(&'a [&'a [u8]]),
    /// Read once, so it goes over a new connection, which cannot prove stale.
    Reader(&'a mut (dyn Read + Send)),
}

/// Connections to one server.
pub(crate) struct Connections {
    dialer: Dialer,
    pool: Arc<Pool>,
}

impl Connections {
    /// At most so many lie idle. They are reached directly or all through the same proxy.
    pub fn new(origin: Origin, max_idle: usize, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Connections {
        Connections { dialer: Dialer::new(origin, trust, proxy), pool: Arc::new(Pool::new(max_idle)) }
    }

    /// Opens one ahead of the first call, unless one is idle already.
    pub fn open_ahead(&self, call: &Call) -> Result<(), Error> {
        if self.pool.is_empty() {
            call.set_warming();
            self.pool.put_ahead(self.dialer.connect(call)?);
        }
        Ok(())
    }

    /// Sends the request and waits for the head of the reply.
    pub fn run(
        &self,
        call: &Arc<Call>,
        request: Request<()>,
        sending: &mut Sending<'_>,
    ) -> Result<Response<Body>, Error> {
        let is_last = has_token(request.headers(), &header::CONNECTION, "close");
        let is_connect = request.method() == Method::CONNECT;
        let written = written(request, sending)?;
        let mut connection = match self.idle(call) {
            Some(connection) => connection,
            None => self.dialer.connect(call)?,
        };
        connection.begin();
        send(written.head, written.announced, sending, &mut connection, call)?;
        connection.request_left(call);
        let (head, result) = receive_head(written.reply, &mut connection, call)?;
        call.set_phase(Phase::Read);
        let framing = match result {
            RecvResponseResult::RecvBody(reply) => match reply.body_mode() {
                BodyMode::NoBody => Framing::Length(0),
                BodyMode::LengthDelimited(length) => Framing::Length(length),
                BodyMode::Chunked => Framing::Chunked(Chunked::default()),
                BodyMode::CloseDelimited => Framing::Close,
            },
            _ => Framing::Length(0),
        };
        let ends = is_last || is_connect || closes(&head) || matches!(framing, Framing::Close);
        let home = if ends { Weak::new() } else { Arc::downgrade(&self.pool) };
        let connection = Some(connection);
        let mut body = Body { call: call.clone(), connection, home, framing, failure: None };
        body.settle();
        Ok(head.map(|()| body))
    }

    fn idle(&self, call: &Call) -> Option<Connection> {
        if call.is_fresh_only() { None } else { self.pool.take() }
    }
}

/// A request's head as it goes out.
struct Written {
    head: Vec<u8>,
    announced: Announced,
    /// What understands the reply to it.
    reply: client::Call<RecvResponse>,
}

/// How the end of a request's body is told.
#[derive(Clone, Copy)]
enum Announced {
    Length(u64),
    Chunked,
}

/// Writes the head; nothing is sent yet.
fn written(mut request: Request<()>, sending: &Sending<'_>) -> Result<Written, Error> {
    let announced = announce(&mut request, sending)?;
    let mut call = client::Call::new(request).map_err(unusable)?;
    call.allow_non_standard_methods(true);
    if !matches!(announced, Announced::Length(0)) {
        call.force_send_body();
    }
    let mut call = call.proceed();
    let (mut head, mut length) = (vec![0; 2048], 0);
    while !call.can_proceed() {
        match call.write(&mut head[length..]) {
            Ok(written) => length += written,
            Err(NotHttp::OutputOverflow) => head.resize(2 * head.len(), 0),
            Err(error) => return Err(unusable(error)),
        }
    }
    head.truncate(length);
    let mut body = match call.proceed().map_err(unusable)? {
        Some(SendRequestResult::RecvResponse(reply)) => return Ok(Written { head, announced, reply }),
        Some(SendRequestResult::SendBody(body)) => body,
        // Nothing is gained by waiting for the server's consent.
        Some(SendRequestResult::Await100(waiting)) => match waiting.proceed().map_err(unusable)? {
            Await100Result::SendBody(body) => body,
            Await100Result::RecvResponse(reply) => return Ok(Written { head, announced, reply }),
        },
        None => return Err(Error::new(Kind::Internal, "The request's head could not be written")),
    };
    // The body passes it by.
    match announced {
        Announced::Length(length) => {
            body.consume_direct_write(usize::try_from(length).unwrap_or(usize::MAX)).map_err(unusable)?;
        }
        Announced::Chunked => drop(body.write(&[], &mut [0; 16]).map_err(unusable)?),
    }
    let reply = body.proceed();
    let reply = reply.ok_or_else(|| Error::new(Kind::Internal, "The request's body cannot be sent"))?;
    Ok(Written { head, announced, reply })
}

/// Says in the head how long the body is, where the caller has not.
fn announce(request: &mut Request<()>, sending: &Sending<'_>) -> Result<Announced, Error> {
    let wants_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let fields = request.headers_mut();
    let length = match sending {
        Sending::Nothing => Some(0),
        Sending::Pieces(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
        Sending::Reader(_) => None,
    };
    let refused = |name: &HeaderName, value: &HeaderValue, advice: &str| {
        let value = crate::json::quote(&String::from_utf8_lossy(value.as_bytes()));
        Err(Error::argument(format!("The header field {name} is {value}{advice}")))
    };
    let announced = fields.get(header::CONTENT_LENGTH);
    if let Some(coding) = fields.get(header::TRANSFER_ENCODING) {
        if announced.is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            let advice = "; it can only be \"chunked\", and without content-length";
            return refused(&header::TRANSFER_ENCODING, coding, advice);
        }
        return Ok(Announced::Chunked);
    }
    if let Some(announced) = announced {
        let number = announced.to_str().ok().and_then(|text| text.parse().ok());
        return match (number, length) {
            (Some(number), None) => Ok(Announced::Length(number)),
            (Some(number), Some(length)) if number == length => Ok(Announced::Length(length)),
            (_, Some(length)) => {
                let advice = format!(", but the request's body has {length} bytes; leave the field out");
                refused(&header::CONTENT_LENGTH, announced, &advice)
            }
            (None, None) => refused(&header::CONTENT_LENGTH, announced, ", which is no number of bytes"),
        };
    }
    let Some(length) = length else {
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        return Ok(Announced::Chunked);
    };
    if length > 0 || wants_body {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Announced::Length(length))
}

/// The caller's request is not one that HTTP has.
fn unusable(error: NotHttp) -> Error {
    Error::argument(format!("The request cannot be sent: {error}"))
}

/// Sends head and body.
fn send(
    head: Vec<u8>,
    announced: Announced,
    sending: &mut Sending<'_>,
    connection: &mut Connection,
    call: &Call,
) -> Result<(), Error> {
    let sent = match (sending, announced) {
        (Sending::Nothing, Announced::Chunked) => connection.send_head(head, &[LAST_CHUNK], call),
        (Sending::Nothing, Announced::Length(_)) => connection.send_head(head, &[], call),
        (Sending::Pieces(pieces), Announced::Length(_)) => connection.send_head(head, pieces, call),
        (Sending::Pieces(pieces), Announced::Chunked) => {
            let size = format!("{:x}\r\n", pieces.iter().map(|piece| piece.len()).sum::<usize>());
            let mut chunk = vec![size.as_bytes()];
            chunk.extend_from_slice(pieces);
            chunk.push(b"\r\n");
            // A chunk of no bytes would be the last one.
            let chunk = if size == "0\r\n" { &[][..] } else { &chunk };
            connection.send_head(head, &[chunk, &[LAST_CHUNK]].concat(), call)
        }
        (Sending::Reader(reader), _) => {
            let sent = connection.send_head(head, &[], call);
            sent.and_then(|()| send_as_read(*reader, announced, connection, call))
        }
    };
    sent.map_err(|stop| stopped(call, stop))
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Sends a body as it is read, until the server has heard enough.
fn send_as_read(
    reader: &mut dyn Read,
    announced: Announced,
    connection: &mut Connection,
    call: &Call,
) -> Result<(), Stop> {
    let unfit = |what: &str| {
        let detail = format!("The request's body {what} the length that its header fields tell");
        Err(Stop::from(with_facts(Error::argument(detail), call)))
    };
    let mut room = vec![0; STEP];
    let mut left = if let Announced::Length(length) = announced { Some(length) } else { None };
    // A server that refuses reads no further, and its reply is to be heard.
    while !connection.drops_output() {
        if call.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if call.left().is_some_and(|left| left.is_zero()) {
            return Err(Stop::TimedOut(Limit::Total));
        }
        let length = match reader.read(&mut room) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let detail = format!("The request's body could not be read: {error}");
                return Err(with_facts(Error::argument(detail), call).into());
            }
        };
        match &mut left {
            None if length == 0 => return connection.send(LAST_CHUNK, call),
            None => {
                let chunk = [format!("{length:x}\r\n").as_bytes(), &room[..length], b"\r\n"].concat();
                connection.send(&chunk, call)?;
            }
            Some(0) if length == 0 => return Ok(()),
            Some(_) if length == 0 => return unfit("ended before"),
            Some(left) if *left < length as u64 => return unfit("goes on behind"),
            Some(left) => {
                connection.send(&room[..length], call)?;
                *left -= length as u64;
            }
        }
    }
    Ok(())
}

/// Reads the head of the reply, passing over interim ones.
fn receive_head(
    mut reply: client::Call<RecvResponse>,
    connection: &mut Connection,
    call: &Call,
) -> Result<(Response<()>, RecvResponseResult), Error> {
    // Bytes of interim replies, which count as well.
    let mut passed = 0;
    // Whether a line was ended since the last look: without one there is nothing new to understand.
    let mut has_news = false;
    let head = loop {
        let ahead = connection.ahead();
        let (length, head) = if has_news {
            reply.try_response(ahead, false).map_err(|error| not_http(error, call))?
        } else {
            (0, None)
        };
        if passed + if length > 0 { length } else { ahead.len() } > HEAD {
            return Err(large_head(format!("are larger than {HEAD} bytes"), call));
        }
        passed += length;
        connection.take(length);
        if let Some(head) = head {
            break head;
        }
        // Behind an interim reply the next one may be here already.
        if length == 0 {
            let received = connection.read_ahead(call).map_err(|stop| stopped(call, stop))?;
            if received == 0 {
                return Err(connection.ended(call));
            }
            let ahead = connection.ahead();
            has_news = memchr::memchr(b'\n', &ahead[ahead.len() - received..]).is_some();
        }
    };
    match reply.proceed() {
        Some(result) => Ok((head, result)),
        None => Err(Error::new(Kind::Internal, "The reply has a head and no end of it")),
    }
}

fn large_head(what: String, call: &Call) -> Error {
    with_facts(Error::new(Kind::ReplyTooLarge, format!("The reply's header fields {what}")), call)
}

fn not_http(error: NotHttp, call: &Call) -> Error {
    match error {
        NotHttp::HttpParseTooManyHeaders => large_head("are more than are taken".to_owned(), call),
        error => improper(&error.to_string(), call),
    }
}

fn improper(why: &str, call: &Call) -> Error {
    with_facts(Error::new(Kind::Protocol, format!("The server's reply is not proper HTTP: {why}")), call)
}

/// Whether the connection ends with the reply: the server says so, or it is not beyond doubt where the
/// reply's body ends.
fn closes(head: &Response<()>) -> bool {
    let says = |token| has_token(head.headers(), &header::CONNECTION, token);
    let is_old = head.version() == Version::HTTP_10;
    let keeps = !says("close") && (!is_old || says("keep-alive"));
    let is_doubtful = head.headers().get(header::TRANSFER_ENCODING).is_some_and(|coding| {
        is_old
            || head.headers().contains_key(header::CONTENT_LENGTH)
            || !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
    });
    !keeps || is_doubtful || head.status().is_informational()
}

fn has_token(fields: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = fields.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// The body of a reply, read as it comes. Dropped before its end, it closes the connection.
pub(crate) struct Body {
    call: Arc<Call>,
    /// `None` once the body has ended, in whatever way.
    connection: Option<Connection>,
    /// Where the connection goes then.
    home: Weak<Pool>,
    framing: Framing,
    /// How reading it failed.
    failure: Option<Error>,
}

/// What tells where a body ends.
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
    /// The end of the connection.
    Close,
}

/// What a read brought.
pub(crate) enum Received {
    Bytes(usize),
    /// The body has ended in order.
    End,
    /// Nothing in that time; the connection is as it was.
    Nothing,
}

impl Body {
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// How many bytes are still to come, where that is known.
    pub fn length(&self) -> Option<u64> {
        if let Framing::Length(left) = self.framing { Some(left) } else { None }
    }

    /// Reads some bytes, waiting for the first until then at most, or as long as the limits allow.
    pub fn read(&mut self, room: &mut [u8], until: Option<Instant>) -> Result<Received, Error> {
        if room.is_empty() {
            return Ok(Received::Bytes(0));
        }
        loop {
            let most = self.length().map_or(room.len(), |left| left.min(room.len() as u64) as usize);
            self.check_framing()?;
            let Some(connection) = &mut self.connection else { return self.ended() };
            let received = connection.read(&mut room[..most], &self.call, until);
            if let Some(received) = self.understood(received, room)? {
                return Ok(received);
            }
        }
    }

    /// The same behind what the vector holds, which grows where it has little room.
    pub fn read_into(&mut self, out: &mut Vec<u8>) -> Result<Received, Error> {
        let length = out.len();
        loop {
            self.check_framing()?;
            let Some(connection) = &mut self.connection else { return self.ended() };
            if out.capacity() - length < STEP / 2 {
                out.reserve(STEP);
            }
            let received = connection.read_into(out, &self.call, None);
            let received = self.understood(received, &mut out[length..]);
            let data = if let Ok(Some(Received::Bytes(data))) = &received { *data } else { 0 };
            out.truncate(length + data);
            if let Some(received) = received? {
                return Ok(received);
            }
        }
    }

    /// Fails where what came last was no chunk.
    fn check_framing(&mut self) -> Result<(), Error> {
        match &self.framing {
            Framing::Chunked(chunked) if self.connection.is_some() => match chunked.broken() {
                Some(why) => Err(self.failed(improper(why, &self.call))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn ended(&self) -> Result<Received, Error> {
        self.failure.clone().map_or(Ok(Received::End), Err)
    }

    /// What came of a read, its framing taken off; `None` where it was nothing but framing.
    fn understood(
        &mut self,
        received: Result<usize, Stop>,
        bytes: &mut [u8],
    ) -> Result<Option<Received>, Error> {
        let received = match received {
            Ok(0) => return self.cut_off().map(Some),
            Ok(received) => received,
            Err(Stop::Impatient) => return Ok(Some(Received::Nothing)),
            Err(stop) => return Err(self.failed(stopped(&self.call, stop))),
        };
        let undone = match &mut self.framing {
            Framing::Close => Undone { data: received, surplus: 0 },
            Framing::Length(left) => {
                let data = (*left).min(received as u64) as usize;
                *left -= data as u64;
                Undone { data, surplus: received - data }
            }
            Framing::Chunked(chunked) => match chunked.undo(&mut bytes[..received]) {
                Ok(undone) => undone,
                Err(why) => return Err(self.failed(improper(why, &self.call))),
            },
        };
        if undone.surplus > 0 {
            // Nobody asked for what follows; the connection serves nobody else.
            self.home = Weak::new();
        }
        self.settle();
        Ok((undone.data > 0).then_some(Received::Bytes(undone.data)))
    }

    /// Lets the connection go back once the body has ended.
    fn settle(&mut self) {
        let is_over = match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.is_over(),
            Framing::Close => false,
        };
        if is_over
            && let Some(connection) = self.connection.take()
            && let Some(pool) = self.home.upgrade()
        {
            pool.put(connection);
        }
    }

    /// The connection ended.
    fn cut_off(&mut self) -> Result<Received, Error> {
        match &self.framing {
            Framing::Close => {}
            // Some servers leave out the last line.
            Framing::Chunked(chunked) if chunked.is_last() => {}
            _ => {
                let detail = "The connection ended in the middle of the reply";
                let error = with_facts(Error::new(Kind::Connection, detail), &self.call);
                return Err(self.failed(error));
            }
        }
        self.connection = None;
        Ok(Received::End)
    }

    fn failed(&mut self, error: Error) -> Error {
        self.connection = None;
        self.failure = Some(error.clone());
        error
    }
}
