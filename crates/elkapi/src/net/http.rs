//! One exchange after the other: a request goes out over a connection, and its reply comes in.
//!
//! ureq-proto, which is sans I/O, knows what a request's head looks like and what a reply's says. The
//! bodies pass it by: they go straight from the caller's memory and into it.

use std::io::Read;
use std::sync::{Arc, Weak};
use std::time::Instant;

use ureq_proto::client::state::{RecvResponse, SendBody, SendRequest};
use ureq_proto::client::{self, Await100Result, RecvResponseResult, SendRequestResult};
use ureq_proto::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use ureq_proto::{BodyMode, Error as NotHttp};

use super::chunked::Chunked;
use super::connection::Connection;
use super::dialer::{Dialer, Origin};
use super::pool::Pool;
use super::wait::{Stop, stopped, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Phase};
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
        mut request: Request<()>,
        sending: &mut Sending<'_>,
    ) -> Result<Response<Body>, Error> {
        announce(&mut request, sending)?;
        let is_last = has_token(request.headers(), &header::CONNECTION, "close");
        let is_connect = request.method() == Method::CONNECT;
        let mut connection = match self.idle(call) {
            Some(connection) => connection,
            None => self.dialer.connect(call)?,
        };
        connection.begin();
        let reply = Sender { connection: &mut connection, call }.send(request, sending)?;
        connection.request_left(call);
        let (head, result) = receive_head(reply, &mut connection, call)?;
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
        let ends = is_last || is_connect || says_close(&head) || matches!(framing, Framing::Close);
        let home = if ends { Weak::new() } else { Arc::downgrade(&self.pool) };
        let mut body = Body { call: call.clone(), connection: Some(connection), home, framing };
        body.settle();
        Ok(head.map(|()| body))
    }

    fn idle(&self, call: &Call) -> Option<Connection> {
        if call.is_fresh_only() { None } else { self.pool.take() }
    }
}

/// Says in the head how long the body is, where the caller has not.
fn announce(request: &mut Request<()>, sending: &Sending<'_>) -> Result<(), Error> {
    let wants_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let fields = request.headers_mut();
    let length = match sending {
        Sending::Nothing if !wants_body => return Ok(()),
        Sending::Nothing => Some(0),
        Sending::Pieces(pieces) => Some(pieces.iter().map(|piece| piece.len()).sum::<usize>()),
        Sending::Reader(_) => None,
    };
    let said = fields.get(header::CONTENT_LENGTH);
    match (said, length) {
        (Some(said), Some(length)) if said.as_bytes() != length.to_string().as_bytes() => {
            let said = crate::json::quote(&String::from_utf8_lossy(said.as_bytes()));
            return Err(Error::argument(format!(
                "The header field content-length is {said}, but the request's body has {length} bytes; leave \
                 the field out"
            )));
        }
        (Some(_), _) => {}
        _ if fields.contains_key(header::TRANSFER_ENCODING) => {}
        (None, Some(length)) => {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        (None, None) => {
            fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    Ok(())
}

/// A request on its way out.
struct Sender<'a> {
    connection: &'a mut Connection,
    call: &'a Call,
}

impl Sender<'_> {
    fn send(
        mut self,
        request: Request<()>,
        sending: &mut Sending<'_>,
    ) -> Result<client::Call<RecvResponse>, Error> {
        let mut call = client::Call::new(request).map_err(unusable)?;
        call.allow_non_standard_methods(true);
        let mut head = call.proceed();
        let length = write_head(&mut head, self.connection.room_for_head()).map_err(unusable)?;
        let body = match head.proceed().map_err(unusable)? {
            Some(SendRequestResult::SendBody(body)) => body,
            // Nothing is gained by waiting for the server's consent.
            Some(SendRequestResult::Await100(waiting)) => match waiting.proceed().map_err(unusable)? {
                Await100Result::SendBody(body) => body,
                Await100Result::RecvResponse(reply) => return Ok(reply),
            },
            Some(SendRequestResult::RecvResponse(reply)) => {
                self.send_head(length, &[])?;
                return Ok(reply);
            }
            None => return Err(Error::new(Kind::Internal, "The request's head could not be written")),
        };
        match sending {
            Sending::Nothing => self.whole(length, &[], body),
            Sending::Pieces(pieces) => self.whole(length, pieces, body),
            Sending::Reader(reader) => {
                self.send_head(length, &[])?;
                self.read(reader, body)
            }
        }
    }

    fn send_head(&mut self, length: usize, more: &[&[u8]]) -> Result<(), Error> {
        self.connection.send_head(length, more, self.call).map_err(|stop| stopped(self.call, stop))
    }

    /// Sends the head and a body that is here.
    fn whole(
        mut self,
        length: usize,
        pieces: &[&[u8]],
        mut body: client::Call<SendBody>,
    ) -> Result<client::Call<RecvResponse>, Error> {
        if body.is_chunked() {
            self.send_head(length, &[])?;
            return self.read(&mut &*pieces.concat(), body);
        }
        let amount = pieces.iter().map(|piece| piece.len()).sum();
        body.consume_direct_write(amount).map_err(unusable)?;
        self.send_head(length, pieces)?;
        left(body)
    }

    /// Sends the body as it is read.
    fn read(
        &mut self,
        reader: &mut dyn Read,
        mut body: client::Call<SendBody>,
    ) -> Result<client::Call<RecvResponse>, Error> {
        let mut room = vec![0; STEP];
        // Room for the size of the chunk, its line ends, and the last chunk.
        let mut coded = vec![0; if body.is_chunked() { STEP + 64 } else { 0 }];
        while !body.can_proceed() {
            let length = match reader.read(&mut room) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(stopped(self.call, Stop::Failed(error))),
            };
            let piece = if body.is_chunked() {
                let (_, written) = body.write(&room[..length], &mut coded).map_err(unusable)?;
                &coded[..written]
            } else if length == 0 {
                let detail = "The request's body ended before the length that its header fields tell";
                return Err(with_facts(Error::argument(detail), self.call));
            } else {
                body.consume_direct_write(length).map_err(unusable)?;
                &room[..length]
            };
            self.connection.send(piece, self.call).map_err(|stop| stopped(self.call, stop))?;
        }
        left(body)
    }
}

fn left(body: client::Call<SendBody>) -> Result<client::Call<RecvResponse>, Error> {
    body.proceed().ok_or_else(|| Error::new(Kind::Internal, "The request's body was not sent whole"))
}

/// The caller's request is not one that HTTP has.
fn unusable(error: NotHttp) -> Error {
    Error::argument(format!("The request cannot be sent: {error}"))
}

/// Writes the head; its length.
fn write_head(head: &mut client::Call<SendRequest>, room: &mut Vec<u8>) -> Result<usize, NotHttp> {
    let mut length = 0;
    while !head.can_proceed() {
        match head.write(&mut room[length..]) {
            Ok(written) => length += written,
            Err(NotHttp::OutputOverflow) => room.resize(2 * room.len(), 0),
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Reads the head of the reply, passing over interim ones.
fn receive_head(
    mut reply: client::Call<RecvResponse>,
    connection: &mut Connection,
    call: &Call,
) -> Result<(Response<()>, RecvResponseResult), Error> {
    let head = loop {
        let ahead = connection.ahead();
        let (length, head) = if ahead.is_empty() {
            (0, None)
        } else {
            reply.try_response(ahead, false).map_err(|error| not_http(error, call))?
        };
        let so_far = if head.is_some() { length } else { ahead.len() };
        if so_far > HEAD {
            return Err(large_head(format!("are larger than {HEAD} bytes"), call));
        }
        connection.take(length);
        if let Some(head) = head {
            break head;
        }
        // An interim reply may have been all that was there, or not.
        if length == 0 && connection.read_ahead(call).map_err(|stop| stopped(call, stop))? == 0 {
            return Err(connection.ended(call));
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

/// Whether the server will close the connection behind its reply.
fn says_close(head: &Response<()>) -> bool {
    let says = |token| has_token(head.headers(), &header::CONNECTION, token);
    let keeps = if head.version() == Version::HTTP_10 { says("keep-alive") } else { !says("close") };
    !keeps || head.status().is_informational()
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

    /// Reads some bytes, waiting for the first until then at most, or as long as the limits allow.
    pub fn read(&mut self, room: &mut [u8], until: Option<Instant>) -> Result<Received, Error> {
        if room.is_empty() {
            return Ok(Received::Bytes(0));
        }
        self.call.set_patience(until);
        while let Some(connection) = &mut self.connection {
            let most = match self.framing {
                Framing::Length(left) => left.min(room.len() as u64) as usize,
                _ => room.len(),
            };
            let received = match connection.read(&mut room[..most], &self.call) {
                Ok(received) => received,
                Err(Stop::Impatient) => return Ok(Received::Nothing),
                Err(stop) => return Err(self.failed(stopped(&self.call, stop))),
            };
            if received == 0 {
                return self.cut_off();
            }
            let data = match &mut self.framing {
                Framing::Length(left) => {
                    *left -= received as u64;
                    received
                }
                Framing::Close => received,
                Framing::Chunked(chunked) => match chunked.undo(&mut room[..received]) {
                    Ok(undone) => {
                        if undone.surplus > 0 {
                            self.home = Weak::new();
                        }
                        undone.data
                    }
                    Err(why) => {
                        let error = improper(why, &self.call);
                        return Err(self.failed(error));
                    }
                },
            };
            self.settle();
            if data > 0 {
                return Ok(Received::Bytes(data));
            }
        }
        Ok(Received::End)
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
        error
    }
}
