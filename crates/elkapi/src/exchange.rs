//! One HTTP exchange: method, path, fields and body in; status, fields and body reader out.
//!
//! The boundary to HTTP. Calls, the models list and everything else stand on it; nothing above it
//! knows how `net` does it.

use std::borrow::Cow;
use std::io::{self, Read};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ureq_proto::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};

use crate::call::Call;
use crate::config::Settings;
use crate::error::{Billed, Error, Kind, Phase};
use crate::net::{self, Connections, Origin, Received, Sending, with_facts};
use crate::proxy::Proxy;
use crate::reply::{Body, Headers, Reply};
use crate::request::RequestBody;
use crate::secret::Secret;
use crate::sys::fork;
use crate::tls::Trust;

/// Bytes of a refusal's body that are kept; more would serve nobody.
const REFUSAL_BODY: u64 = 1 << 20;

/// The most that is reserved before bytes arrive, whatever length the server announces.
const INITIAL_RESERVE: u64 = 16 << 20;

/// What is to be sent.
pub(crate) struct Outgoing<'a> {
    pub method: Method,
    /// Below the base URL, with a leading slash.
    pub path: &'a str,
    pub accept: &'static str,
    /// Field lines of this call beside the client's.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// JSON; `None` sends no body.
    pub body: Option<&'a RequestBody<'a>>,
}

/// Sends requests and keeps connections for the next ones.
pub(crate) struct Exchange {
    origin: Origin,
    max_idle: usize,
    trust: Arc<Trust>,
    proxy: Option<Arc<Proxy>>,
    present: ArcSwap<Present>,
}

/// The connections of this process: a forked child makes its own and leaves its parent's alone.
struct Present {
    generation: u64,
    connections: Connections,
}

/// The beginning of a reply: everything but the body.
pub(crate) struct Incoming {
    call: Arc<Call>,
    status: u16,
    headers: Headers,
    body: net::Body,
}

impl Exchange {
    pub fn new(settings: &Settings) -> Exchange {
        let (host, port, https) = settings.base_url.target();
        let origin = Origin { https, host, port };
        let (max_idle, trust) = (settings.max_idle_connections, settings.trust.clone());
        Exchange::over(origin, max_idle, trust, settings.proxy.clone())
    }

    /// Connections to that server that are made this way.
    pub fn over(origin: Origin, max_idle: usize, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Exchange {
        let fresh = Present::new(origin.clone(), max_idle, trust.clone(), proxy.clone());
        Exchange { origin, max_idle, trust, proxy, present: ArcSwap::from_pointee(fresh) }
    }

    fn fresh(&self) -> Present {
        Present::new(self.origin.clone(), self.max_idle, self.trust.clone(), self.proxy.clone())
    }

    /// The server that everything is sent to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The connections of this process.
    fn present(&self) -> Arc<Present> {
        let present = self.present.load_full();
        if present.generation == fork::generation() {
            return present;
        }
        let fresh = Arc::new(self.fresh());
        let before = arc_swap::Guard::into_inner(self.present.compare_and_swap(&present, fresh.clone()));
        if Arc::ptr_eq(&before, &present) {
            // A thread of the parent may have been in the middle of changing it when the fork copied
            // it: it is neither looked at nor dropped. Its sockets belong to the parent.
            mem::forget(before);
            mem::forget(present);
            fresh
        } else {
            before
        }
    }

    /// Closes connections that lie idle; calls under way go on.
    pub fn close_idle(&self) {
        let _ = self.present();
        self.present.store(Arc::new(self.fresh()));
    }

    /// Opens a connection ahead of the first call, unless one is idle already.
    pub fn warm_up(&self, call: &Call) -> Result<(), Error> {
        call.begin_attempt();
        self.present().connections.open_ahead(call)
    }

    /// Sends the request and waits for the reply's header fields, from which the key is cut.
    pub fn send(&self, settings: &Settings, call: &Arc<Call>, out: &Outgoing) -> Result<Incoming, Error> {
        let pieces = out.body.map(RequestBody::pieces);
        let sending = pieces.as_deref().map_or(Sending::Nothing, Sending::Pieces);
        let mut incoming = self.run(call, || request(settings, out), sending)?;
        incoming.headers = incoming.headers.map(|fields| without_key(fields, &settings.key));
        Ok(incoming)
    }

    /// Sends the request as it stands, made anew for each connection, and waits for the reply's header
    /// fields.
    ///
    /// A reused connection that proves stale is replaced by a new one, once and silently: nothing of
    /// the request had reached the server.
    pub fn run(
        &self,
        call: &Arc<Call>,
        request: impl Fn() -> Result<Request<()>, Error>,
        mut sending: Sending,
    ) -> Result<Incoming, Error> {
        let present = self.present();
        if matches!(sending, Sending::Reader(_)) {
            call.set_fresh_only();
        }
        loop {
            call.begin_attempt();
            match present.connections.run(call, request()?, &mut sending) {
                Ok(reply) => {
                    let (parts, body) = reply.into_parts();
                    let headers = Headers::new(parts.headers);
                    return Ok(Incoming { call: call.clone(), status: parts.status.as_u16(), headers, body });
                }
                Err(_) if call.is_stale() && !call.is_fresh_only() => call.set_fresh_only(),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Present {
    fn new(origin: Origin, max_idle: usize, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Present {
        let connections = Connections::new(origin, max_idle, trust, proxy);
        Present { generation: fork::generation(), connections }
    }
}

fn request(settings: &Settings, out: &Outgoing) -> Result<Request<()>, Error> {
    let uri = target(settings, out.path).try_into().map_err(|_| {
        let path = crate::json::quote(out.path);
        Error::argument(format!("The path {path} is not one that a URL can have"))
    })?;
    let mut fields = HeaderMap::with_capacity(8);
    fields.insert(header::AUTHORIZATION, settings.authorization.clone());
    fields.insert(header::ACCEPT, HeaderValue::from_static(out.accept));
    fields.insert(header::USER_AGENT, settings.user_agent.clone());
    if out.body.is_some() {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in settings.fields.iter().chain(&out.fields) {
        fields.insert(name.clone(), value.clone());
    }
    for name in &settings.left_out {
        fields.remove(name);
    }
    let mut request = Request::new(());
    *request.method_mut() = out.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    Ok(request)
}

/// The address of a path, with the call's query behind it.
fn target(settings: &Settings, path: &str) -> String {
    let mut target = settings.base_url.join(path);
    if !settings.query.is_empty() {
        target.push(if path.contains('?') { '&' } else { '?' });
        target.push_str(&settings.query);
    }
    target
}

/// A server may echo the key in any field: the value is shown without it, and a field that is named
/// by it is left out. Bodies stay as they came.
fn without_key(fields: HeaderMap, key: &Secret) -> HeaderMap {
    let echoes = |text: &str| matches!(key.cut_from(text), Cow::Owned(_));
    fn text(value: &HeaderValue) -> Cow<'_, str> {
        String::from_utf8_lossy(value.as_bytes())
    }
    let may_echo = |bytes: &[u8]| key.fits_into(bytes.len());
    let is_echo = |(name, value): (&HeaderName, &HeaderValue)| {
        may_echo(name.as_ref()) && echoes(name.as_str()) || may_echo(value.as_bytes()) && echoes(&text(value))
    };
    if !fields.iter().any(is_echo) {
        return fields;
    }
    let mut clean = HeaderMap::new();
    for (name, value) in fields.iter().filter(|(name, _)| !echoes(name.as_str())) {
        let value = match key.cut_from(&text(value)) {
            Cow::Owned(cut) => HeaderValue::try_from(cut).ok(),
            Cow::Borrowed(_) => Some(value.clone()),
        };
        value.map(|value| clean.append(name, value));
    }
    clean
}

impl Incoming {
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Reads the body to its end, undoes its content coding, and lets the connection go back.
    ///
    /// Of a refusal at most [`REFUSAL_BODY`] bytes are kept.
    pub fn into_reply(self, max_body: u64) -> Result<Reply, Error> {
        let call = self.call;
        let refusal = !(200..300).contains(&self.status);
        let keep = if refusal { REFUSAL_BODY.min(max_body) } else { max_body };
        let coding = Coding::of(&self.headers);
        let announced = self.body.length();
        if let (Some(length), Coding::Identity, false) = (announced, &coding, refusal)
            && length > max_body
        {
            return Err(with_facts(too_large(max_body), &call)
                .with_reply(Reply::new(self.status, self.headers, Body::new(Vec::new())), None));
        }
        let mut bytes = Vec::new();
        if let (Some(length), Coding::Identity) = (announced, &coding) {
            let reserved = length.min(keep).min(INITIAL_RESERVE) as usize;
            // Room for the closing NUL, and more that is never touched: glibc gives memory back to the system,
            // and takes every page of it anew for the next call, when what is free exceeds twice the largest
            // block that it ever had. With this one it keeps what an answer, its text or picture, and a copy
            // of those take together.
            bytes.reserve_exact(reserved + reserved / 8 * 5 + 2);
        }
        let mut wire = Wire::new(self.body);
        let outcome = match coding {
            Coding::Identity => wire.read_whole(keep, &mut bytes),
            Coding::Gzip => read_up_to(MultiGzDecoder::new(&mut wire), keep, &mut bytes),
            Coding::Deflate => read_up_to(ZlibDecoder::new(&mut wire), keep, &mut bytes),
            Coding::Unknown(ref name) => wire
                .read_whole(keep, &mut bytes)
                .and_then(|_| Err(io::Error::other(format!("its content coding {name} is not known")))),
        };
        let failure = wire.failure.take();
        // Of nothing, nothing needs to be undone.
        let outcome = if wire.read == 0 { Ok(Fits::Yes) } else { outcome };
        let reply = Reply::new(self.status, self.headers, Body::new(bytes));
        match (outcome, failure) {
            (_, Some(error)) if error.kind() == Kind::Cancelled => Err(error.with_reply(reply, None)),
            // A reply had begun: the work was done.
            (_, Some(error)) if !refusal => Err(error.with_billed(Billed::Yes).with_reply(reply, None)),
            (Err(error), None) if !refusal => {
                let error = Error::new(Kind::Decode, format!("The reply could not be decompressed: {error}"));
                Err(with_facts(error, &call).with_reply(reply, None))
            }
            (Ok(Fits::No), None) if !refusal => {
                Err(with_facts(too_large(max_body), &call).with_reply(reply, None))
            }
            // The status of a refusal is known: a body that breaks off cannot hide it.
            _ => Ok(reply),
        }
    }

    /// Whether the body is said to be an event stream.
    pub fn is_event_stream(&self) -> bool {
        self.headers
            .media_type()
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case("text/event-stream"))
    }

    /// Status and header fields as a reply without a body, and the body to be read bit by bit.
    pub fn into_events(self) -> (Reply, Events) {
        let wire = Wire::new(self.body);
        let source = match Coding::of(&self.headers) {
            Coding::Gzip => Source::Gzip(Box::new(MultiGzDecoder::new(wire))),
            Coding::Deflate => Source::Deflate(Box::new(ZlibDecoder::new(wire))),
            Coding::Identity | Coding::Unknown(_) => Source::Plain(wire.body),
        };
        let head = Reply::new(self.status, self.headers, Body::new(Vec::new()));
        (head, Events { source })
    }

    /// Header fields as they came, and the body with its content coding left on.
    pub fn into_raw(self) -> (Headers, Events) {
        (self.headers, Events { source: Source::Plain(self.body) })
    }
}

/// What the beginning of a body says without its content coding, as far as it can be undone.
pub(crate) fn decoded(headers: &Headers, bytes: Vec<u8>, limit: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = match Coding::of(headers) {
        Coding::Gzip => read_up_to(MultiGzDecoder::new(&*bytes), limit, &mut out),
        Coding::Deflate => read_up_to(ZlibDecoder::new(&*bytes), limit, &mut out),
        Coding::Identity | Coding::Unknown(_) => return bytes,
    };
    out
}

/// A body that is read as it comes.
pub(crate) struct Events {
    source: Source,
}

/// What stands between the wire and us.
enum Source {
    Plain(net::Body),
    Gzip(Box<MultiGzDecoder<Wire>>),
    Deflate(Box<ZlibDecoder<Wire>>),
}

/// How long, and how much, is read behind what mattered of a body so that its connection can be used again.
pub(crate) const DRAIN: Duration = Duration::from_millis(100);
const DRAIN_BYTES: usize = 64 * 1024;

impl Events {
    /// Reads some bytes, waiting for the first until then at most, or as long as the limits allow.
    pub fn read(&mut self, room: &mut [u8], until: Option<Instant>) -> Result<Received, Error> {
        match &mut self.source {
            Source::Plain(body) => body.read(room, until),
            Source::Gzip(decoder) => {
                decoder.get_mut().until = until;
                let outcome = decoder.read(room);
                decoder.get_mut().judge(outcome)
            }
            Source::Deflate(decoder) => {
                decoder.get_mut().until = until;
                let outcome = decoder.read(room);
                decoder.get_mut().judge(outcome)
            }
        }
    }

    /// Reads what is left until then, if it is little, so that the connection can be used again. Whether
    /// the time alone kept it from the end.
    pub fn drain(&mut self, until: Instant) -> bool {
        let mut rest = [0; 4096];
        let mut drained = 0;
        loop {
            match self.read(&mut rest, Some(until)) {
                Ok(Received::Bytes(bytes)) if drained + bytes <= DRAIN_BYTES => drained += bytes,
                Ok(Received::Nothing) => return true,
                _ => return false,
            }
        }
    }
}

fn too_large(max_body: u64) -> Error {
    Error::new(Kind::ReplyTooLarge, format!("The reply is larger than max_body_bytes, which is {max_body}"))
        .with_phase(Phase::Read)
}

enum Coding {
    Identity,
    Gzip,
    Deflate,
    Unknown(String),
}

impl Coding {
    fn of(headers: &Headers) -> Coding {
        let value = headers.get("content-encoding").unwrap_or_default().trim().to_ascii_lowercase();
        match value.as_str() {
            "" | "identity" => Coding::Identity,
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            _ => Coding::Unknown(value),
        }
    }
}

/// The body as it comes from the wire, below a decoder; remembers why reading ended, which the decoder
/// would pass on as its own.
struct Wire {
    body: net::Body,
    read: u64,
    /// How long a read waits at most.
    until: Option<Instant>,
    failure: Option<Error>,
}

impl Wire {
    fn new(body: net::Body) -> Wire {
        Wire { body, read: 0, until: None, failure: None }
    }

    /// Reads to the end, but not more than `limit` bytes into `out`.
    fn read_whole(&mut self, limit: u64, out: &mut Vec<u8>) -> io::Result<Fits> {
        loop {
            match self.body.read_into(out) {
                Ok(Received::Bytes(read)) => self.read += read as u64,
                Ok(Received::End | Received::Nothing) => return Ok(Fits::Yes),
                Err(failure) => {
                    self.failure = Some(failure);
                    return Err(io::Error::other("the connection failed"));
                }
            }
            if out.len() as u64 > limit {
                out.truncate(limit as usize);
                return Ok(Fits::No);
            }
        }
    }

    /// What a read of the decoder above came to.
    fn judge(&mut self, outcome: io::Result<usize>) -> Result<Received, Error> {
        match outcome {
            Ok(0) => Ok(Received::End),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(error) => match self.failure.take() {
                Some(failure) => Err(failure),
                None if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
                None => {
                    let detail = format!("The stream could not be decompressed: {error}");
                    Err(with_facts(Error::new(Kind::Decode, detail), self.body.call()))
                }
            },
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.body.read(into, self.until) {
            Ok(Received::Bytes(read)) => {
                self.read += read as u64;
                Ok(read)
            }
            Ok(Received::End) => Ok(0),
            Ok(Received::Nothing) => Err(io::ErrorKind::WouldBlock.into()),
            Err(failure) => {
                self.failure = Some(failure);
                Err(io::Error::other("the connection failed"))
            }
        }
    }
}

enum Fits {
    Yes,
    No,
}

/// Bytes made ready for one read: they are still in the processor's cache when they are written.
const STEP: usize = 64 * 1024;

/// Reads to the end, but not more than `limit` bytes into `out`.
fn read_up_to(mut reader: impl Read, limit: u64, out: &mut Vec<u8>) -> io::Result<Fits> {
    let mut length = out.len();
    loop {
        out.reserve(STEP);
        out.resize(length + STEP, 0);
        match reader.read(&mut out[length..]) {
            Ok(0) => {
                out.truncate(length);
                return Ok(Fits::Yes);
            }
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                out.truncate(length);
                return Err(error);
            }
        }
        if length as u64 > limit {
            out.truncate(limit as usize);
            return Ok(Fits::No);
        }
    }
}
