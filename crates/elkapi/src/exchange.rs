//! One HTTP exchange: method, path, fields and body in; status, fields and body reader out.
//!
//! The boundary to HTTP. Calls, the models list and everything else stand on it; nothing above it
//! knows which engine is behind.

use std::borrow::Cow;
use std::io::{self, Read};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ureq::SendBody;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::call::Call;
use crate::config::Settings;
use crate::error::{Billed, Error, Kind, Phase};
use crate::net::{Connections, with_facts};
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

/// What goes along with a request's head.
pub(crate) enum Sending<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// One after the other; the request's fields tell their length.
    Pieces([&'a [u8]; 3]),
    /// Read once, so it goes over a new connection, which cannot prove stale.
    Reader(&'a mut (dyn Read + Send)),
}

/// Sends requests and keeps connections for the next ones.
pub(crate) struct Exchange {
    max_idle: usize,
    trust: Arc<Trust>,
    proxy: Option<Arc<Proxy>>,
    present: ArcSwap<Present>,
}

/// The connections of this process: a forked child makes its own and leaves its parent's alone.
#[derive(Debug)]
struct Present {
    generation: u64,
    connections: Connections,
}

/// The beginning of a reply: everything but the body.
pub(crate) struct Incoming {
    call: Arc<Call>,
    status: u16,
    headers: Headers,
    body: ureq::Body,
}

impl Exchange {
    pub fn new(settings: &Settings) -> Exchange {
        Exchange::over(settings.max_idle_connections, settings.trust.clone(), settings.proxy.clone())
    }

    /// Connections that are made this way.
    pub fn over(max_idle: usize, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Exchange {
        let present = ArcSwap::from_pointee(Present::new(max_idle, trust.clone(), proxy.clone()));
        Exchange { max_idle, trust, proxy, present }
    }

    fn fresh(&self) -> Present {
        Present::new(self.max_idle, self.trust.clone(), self.proxy.clone())
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
    pub fn warm_up(&self, settings: &Settings, call: &Arc<Call>) -> Result<(), Error> {
        let present = self.present();
        if present.connections.has_idle() {
            return Ok(());
        }
        let out = Outgoing { method: Method::GET, path: "", accept: "", fields: Vec::new(), body: None };
        let request = request(settings, &out)?;
        call.begin_attempt();
        call.set_warming();
        let _scope = call.enter();
        // The chain puts the connection aside and ends the run before anything is sent.
        match present.connections.agent.run(request) {
            Err(_) if present.connections.has_idle() => Ok(()),
            Err(error) => Err(failed(error, call)),
            Ok(_) => Ok(()),
        }
    }

    /// Sends the request and waits for the reply's header fields, from which the key is cut.
    pub fn send(&self, settings: &Settings, call: &Arc<Call>, out: &Outgoing) -> Result<Incoming, Error> {
        let sending = out.body.map_or(Sending::Nothing, |body| Sending::Pieces(body.pieces()));
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
        request: impl Fn() -> Result<http::Request<()>, Error>,
        mut sending: Sending,
    ) -> Result<Incoming, Error> {
        let present = self.present();
        let agent = &present.connections.agent;
        let _scope = call.enter();
        if matches!(sending, Sending::Reader(_)) {
            call.set_fresh_only();
        }
        loop {
            call.begin_attempt();
            let request = request()?;
            let outcome = match &mut sending {
                Sending::Nothing => agent.run(request),
                Sending::Bytes(bytes) => agent.run(request.map(|()| *bytes)),
                Sending::Pieces(pieces) => {
                    let mut pieces = Pieces(*pieces);
                    agent.run(request.map(|()| SendBody::from_reader(&mut pieces)))
                }
                Sending::Reader(reader) => agent.run(request.map(|()| SendBody::from_reader(&mut *reader))),
            };
            let error = match outcome {
                Ok(response) => {
                    call.set_phase(Phase::Read);
                    let (parts, body) = response.into_parts();
                    let headers = Headers::new(parts.headers);
                    return Ok(Incoming { call: call.clone(), status: parts.status.as_u16(), headers, body });
                }
                Err(error) => error,
            };
            if call.is_stale() && !call.is_fresh_only() {
                call.set_fresh_only();
                continue;
            }
            return Err(failed(error, call));
        }
    }
}

impl Present {
    fn new(max_idle: usize, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Present {
        Present { generation: fork::generation(), connections: Connections::new(max_idle, trust, proxy) }
    }
}

fn request(settings: &Settings, out: &Outgoing) -> Result<http::Request<()>, Error> {
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
    if let Some(body) = out.body {
        let length: usize = body.pieces().iter().map(|piece| piece.len()).sum();
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut request = http::Request::new(());
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

/// Pieces read one after the other, each read as full as can be.
struct Pieces<'a>([&'a [u8]; 3]);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        for piece in &mut self.0 {
            filled += piece.read(&mut into[filled..])?;
        }
        Ok(filled)
    }
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
        let _scope = call.enter();
        let refusal = !(200..300).contains(&self.status);
        let keep = if refusal { REFUSAL_BODY.min(max_body) } else { max_body };
        let coding = Coding::of(&self.headers);
        let announced = self.headers.get("content-length").and_then(|length| length.parse::<u64>().ok());
        if let (Some(length), Coding::Identity, false) = (announced, &coding, refusal)
            && length > max_body
        {
            return Err(with_facts(too_large(max_body), &call)
                .with_reply(Reply::new(self.status, self.headers, Body::new(Vec::new())), None));
        }
        let mut bytes = Vec::new();
        if let (Some(length), Coding::Identity) = (announced, &coding) {
            // One more for the closing NUL, one for the read that sees the end.
            bytes.reserve_exact(length.min(keep).min(INITIAL_RESERVE) as usize + 2);
        }
        let mut wire = Wire { body: self.body.into_reader(), read: 0, failure: None };
        let outcome = match coding {
            Coding::Identity => read_up_to(&mut wire, keep, &mut bytes),
            Coding::Gzip => read_up_to(MultiGzDecoder::new(&mut wire), keep, &mut bytes),
            Coding::Deflate => read_up_to(ZlibDecoder::new(&mut wire), keep, &mut bytes),
            Coding::Unknown(ref name) => read_up_to(&mut wire, keep, &mut bytes)
                .and_then(|_| Err(io::Error::other(format!("its content coding {name} is not known")))),
        };
        let failure = wire.failure.take().map(|error| failed(error.into(), &call));
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
}

impl Incoming {
    /// Whether the body is said to be an event stream.
    pub fn is_event_stream(&self) -> bool {
        self.headers
            .media_type()
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case("text/event-stream"))
    }

    /// Status and header fields as a reply without a body, and the body to be read bit by bit.
    pub fn into_events(self) -> (Reply, Events) {
        let body = self.body.into_reader();
        let (reader, coded): (Box<dyn Read + Send>, bool) = match Coding::of(&self.headers) {
            Coding::Gzip => (Box::new(MultiGzDecoder::new(body)), true),
            Coding::Deflate => (Box::new(ZlibDecoder::new(body)), true),
            Coding::Identity | Coding::Unknown(_) => (Box::new(body), false),
        };
        let head = Reply::new(self.status, self.headers, Body::new(Vec::new()));
        (head, Events { call: self.call, reader, coded })
    }
}

impl Incoming {
    /// Header fields as they came, and the body with its content coding left on.
    pub fn into_raw(self) -> (Headers, Events) {
        let reader = Box::new(self.body.into_reader());
        (self.headers, Events { call: self.call, reader, coded: false })
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
    call: Arc<Call>,
    reader: Box<dyn Read + Send>,
    /// A decoder stands between the wire and us.
    coded: bool,
}

/// How long, and how much, is read behind what mattered of a body so that its connection can be used again.
pub(crate) const DRAIN: Duration = Duration::from_millis(100);
const DRAIN_BYTES: usize = 64 * 1024;

/// What a read brought.
pub(crate) enum Received {
    Bytes(usize),
    /// The body has ended in order.
    End,
    /// Nothing in that time; the connection is as it was.
    Nothing,
}

impl Events {
    /// Reads some bytes, waiting for the first until then at most, or as long as the limits allow.
    pub fn read(&mut self, room: &mut [u8], until: Option<Instant>) -> Result<Received, Error> {
        self.call.set_patience(until);
        let _scope = self.call.enter();
        match self.reader.read(room) {
            Ok(0) => Ok(Received::End),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(_) if self.call.is_out_of_patience() => Ok(Received::Nothing),
            Err(error)
                if self.coded
                    && matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) =>
            {
                let error =
                    Error::new(Kind::Decode, format!("The stream could not be decompressed: {error}"));
                Err(with_facts(error, &self.call))
            }
            Err(error) => Err(failed(error.into(), &self.call)),
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

/// The body as it comes from the wire; remembers a failure of the wire, which a decoder above it
/// would pass on as its own.
struct Wire<R> {
    body: R,
    read: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Wire<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.body.read(into) {
            Ok(read) => {
                self.read += read as u64;
                Ok(read)
            }
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                Err(copy)
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
        if out.capacity() == length {
            out.reserve(STEP);
        }
        out.resize(out.capacity().min(length.saturating_add(STEP)), 0);
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

/// What the engine's failure means: the one that the connection kept, or the engine's own.
fn failed(error: ureq::Error, call: &Call) -> Error {
    if let Some(error) = call.take_failure() {
        return error;
    }
    let error = match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Error::new(Kind::Connection, "The connection ended in the middle of the reply")
        }
        ureq::Error::Io(error) => Error::new(Kind::Connection, format!("The connection broke: {error}")),
        ureq::Error::LargeResponseHeader(_, limit) => Error::new(
            Kind::ReplyTooLarge,
            format!("The reply's header fields are larger than {limit} bytes"),
        ),
        // The engine's own type for this is not within reach; its words are.
        ureq::Error::Protocol(error) if error.to_string().contains("too many headers") => {
            Error::new(Kind::ReplyTooLarge, "The reply has more header fields than are taken")
        }
        ureq::Error::Protocol(error) => {
            Error::new(Kind::Protocol, format!("The server's reply is not proper HTTP: {error}"))
        }
        other => Error::new(Kind::Protocol, format!("The exchange failed: {other}")),
    };
    with_facts(error, call)
}
