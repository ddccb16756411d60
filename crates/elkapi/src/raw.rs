//! Exchanges as they are: any method, URL, fields and body in; status, fields and body bytes out.
//!
//! For programs that write requests and judge replies themselves, such as another HTTP library that
//! wants these connections under it. Nothing is completed, repeated or decoded here; limits, cancelling,
//! proxies, TLS and reuse of connections are those of every call.
//!
//! ```no_run
//! use elkapi::raw::{Body, Request, Transport};
//!
//! let transport = Transport::new(elkapi::Config::new())?;
//! let request = Request {
//!     method: "GET",
//!     url: "https://api.elkapi.com/v1/models",
//!     fields: &[(b"Accept", b"application/json")],
//!     body: Body::None,
//!     limits: elkapi::raw::Limits::default(),
//! };
//! let mut reply = transport.send(request, None)?;
//! let (mut room, mut length) = ([0; 4096], 0);
//! while let read @ 1.. = reply.body.read(&mut room)? {
//!     length += read;
//! }
//! println!("{}: {length} bytes", reply.status);
//! # Ok::<(), elkapi::Error>(())
//! ```

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ureq_proto::http::{self, HeaderName, HeaderValue, Uri};

use crate::call::{Call, Interrupt};
use crate::cancel::Cancel;
use crate::config::{Config, Network};
use crate::error::Error;
use crate::exchange::{DRAIN, Events, Exchange, decoded};
use crate::net::{Origin, Received, Sending};
use crate::refusal;
use crate::reply;
use crate::secret::Secret;

pub use crate::config::Limits;

/// So much of a refusal's body is read before it is handed out, to judge whether it was charged.
const JUDGED: usize = 64 * 1024;

/// Servers to which connections are remembered; programs talk to one or two.
const ROUTES: usize = 64;

/// Connections to any server, for [`Request`]s. Clones share them; any thread may send at any time.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    interrupt: Option<Arc<dyn Interrupt>>,
}

struct Shared {
    network: Network,
    /// Never locked, so that a fork cannot leave it locked.
    routes: ArcSwap<Vec<Route>>,
}

/// How one server is reached.
#[derive(Clone)]
struct Route {
    exchange: Arc<Exchange>,
    /// The proxy's password, which no error shows.
    secrets: Secret,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// What is to be sent, as it is.
pub struct Request<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// Absolute, `https://` or `http://`, percent-encoded.
    pub url: &'a str,
    /// Field lines in order. `Host`, and `Content-Length` or `Transfer-Encoding`, are added where absent.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// What follows the field lines.
    pub body: Body<'a>,
    /// How long each part may take.
    pub limits: Limits,
}

/// A request's body.
pub enum Body<'a> {
    /// None at all.
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// What is read from here until its end, on a new connection.
    Reader(&'a mut (dyn Read + Send)),
}

/// The beginning of a reply, and its body to be read.
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Field lines with names in lower case, the lines of one name in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body, with its content coding left on.
    pub body: BodyReader,
}

impl fmt::Debug for Reply {
    /// Names alone: a server may echo a secret in a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("Reply").field("status", &self.status).field("fields", &names).finish_non_exhaustive()
    }
}

impl Transport {
    /// Connections made as the options for TLS, proxies and idle connections say; every option is
    /// optional.
    ///
    /// # Errors
    ///
    /// `config`, naming the option: one that belongs to calls, or one that cannot be used.
    pub fn new(config: Config) -> Result<Transport, Error> {
        let shared = Shared { network: config.network()?, routes: ArcSwap::default() };
        Ok(Transport { shared: Arc::new(shared), interrupt: None })
    }

    /// The same over the same connections, which asks this hook when a signal interrupts a wait.
    pub fn with_interrupt(&self, interrupt: Option<Arc<dyn Interrupt>>) -> Transport {
        Transport { shared: self.shared.clone(), interrupt }
    }

    /// Closes connections that lie idle. Exchanges under way are not disturbed.
    pub fn close_idle(&self) {
        self.shared.routes.load().iter().for_each(|route| route.exchange.close_idle());
    }

    /// Sends the request and waits for the reply's header fields.
    ///
    /// A refusal of a `POST` that the client would not repeat by itself, because it may have been charged
    /// or because repeating cannot help, gets the field `x-should-retry: false`, unless the server
    /// sent that field itself or the option `retry_risky` is set.
    ///
    /// # Errors
    ///
    /// `invalid_argument` or `config` before anything is sent; otherwise the kinds that connections end
    /// with.
    pub fn send(&self, request: Request<'_>, cancel: Option<&Cancel>) -> Result<Reply, Error> {
        let head = head(&request)?;
        let route = self.route(head.uri())?;
        let hidden = |error: Error| error.without(|text| route.secrets.cut_from(text));
        let own = Cancel::new();
        let cancels = cancel.cloned().into_iter().chain([own.clone()]);
        let call = Call::new(&request.limits, cancels, self.interrupt.as_ref());
        call.check_start()?;
        let whole;
        let sending = match request.body {
            Body::None => Sending::Nothing,
            Body::Bytes(bytes) => {
                whole = [bytes];
                Sending::Pieces(&whole)
            }
            Body::Reader(reader) => Sending::Reader(reader),
        };
        let incoming = route.exchange.run(&call, || Ok(head.clone()), sending).map_err(hidden)?;
        let status = incoming.status();
        let (headers, events) = incoming.into_raw();
        let body = BodyReader {
            events: Some(events),
            ahead: Vec::new(),
            failure: None,
            cancel: own,
            is_refusal: status >= 400,
            tail: Vec::new(),
        };
        let fields = headers.lines().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut reply = Reply { status, fields, body };
        if status >= 400 && head.method() == http::Method::POST {
            self.advise(&mut reply, headers);
        }
        Ok(reply)
    }

    /// Says whether a refusal may be repeated, to whoever listens to `x-should-retry`.
    fn advise(&self, reply: &mut Reply, headers: reply::Headers) {
        if self.shared.network.retry_risky || headers.get("x-should-retry").is_some() {
            return;
        }
        reply.body.read_ahead();
        let bytes = decoded(&headers, reply.body.ahead.clone(), JUDGED as u64);
        let judged = reply::Reply::new(reply.status, headers, reply::Body::new(bytes));
        let error = refusal::of_status(judged, self.shared.network.contract, &Secret::of_text(""));
        if !error.retryable() {
            reply.fields.push(("x-should-retry".to_owned(), b"false".to_vec()));
        }
    }

    /// The connections to the server of that URL.
    fn route(&self, uri: &Uri) -> Result<Route, Error> {
        let (https, host) = (uri.scheme_str() == Some("https"), uri.host().unwrap_or_default());
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let origin = Origin { https, host: host.to_owned(), port };
        let leads = |route: &&Route| *route.exchange.origin() == origin;
        let find = |routes: &Vec<Route>| routes.iter().find(leads).cloned();
        if let Some(route) = find(&self.shared.routes.load()) {
            return Ok(route);
        }
        let network = &self.shared.network;
        let proxy = network.proxy_to(https, host, port)?.map(Arc::new);
        let secrets = Secret::of_text("").beside(proxy.iter().flat_map(|proxy| proxy.secrets()));
        let (max_idle, trust) = (network.max_idle_connections, network.trust.clone());
        let exchange = Exchange::over(origin.clone(), max_idle, trust, proxy);
        let fresh = Route { exchange: Arc::new(exchange), secrets };
        self.shared.routes.rcu(|routes| {
            // Another thread may have been faster.
            if find(routes).is_some() {
                return routes.clone();
            }
            let kept = routes.iter().skip(routes.len().saturating_sub(ROUTES - 1)).cloned();
            Arc::new(kept.chain([fresh.clone()]).collect())
        });
        Ok(find(&self.shared.routes.load()).unwrap_or(fresh))
    }
}

/// The request's first lines, checked.
fn head(request: &Request<'_>) -> Result<http::Request<()>, Error> {
    let refused = |what: String| Error::argument(what);
    let uri: Uri = request
        .url
        .parse()
        .map_err(|_| refused(format!("{} is not a URL", crate::json::quote(&shown(request.url)))))?;
    let has_userinfo = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none_or(str::is_empty) {
        let url = crate::json::quote(&shown(request.url));
        return Err(refused(format!("The URL {url} must begin with https:// or http:// and a host")));
    }
    if has_userinfo {
        return Err(refused("The URL has a user or password in it; send them as a header field".to_owned()));
    }
    let mut head = http::Request::builder().method(request.method).uri(uri).body(()).map_err(|_| {
        refused(format!("{} is not a method that HTTP allows", crate::json::quote(request.method)))
    })?;
    for (name, value) in request.fields {
        let shown = || crate::json::quote(&String::from_utf8_lossy(name));
        let name = HeaderName::from_bytes(name).map_err(|_| {
            refused(format!("The header field {} has a name that HTTP does not allow", shown()))
        })?;
        let mut value = HeaderValue::from_bytes(value).map_err(|_| {
            refused(format!("The header field {} has a line end or a control character in it", shown()))
        })?;
        value.set_sensitive(matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie"));
        head.headers_mut().append(name, value);
    }
    Ok(head)
}

/// A URL for a message: without what may be secret.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => url.to_owned(),
    }
}

/// A reply's body, read as it comes. Dropped before its end, it closes the connection.
pub struct BodyReader {
    /// `None` once it has ended.
    events: Option<Events>,
    /// Bytes that were read already, to be handed out first.
    ahead: Vec<u8>,
    /// What ended the body while it was read ahead.
    failure: Option<Error>,
    cancel: Cancel,
    is_refusal: bool,
    /// The last few bytes handed out.
    tail: Vec<u8>,
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReader").field("has_ended", &self.events.is_none()).finish_non_exhaustive()
    }
}

impl BodyReader {
    /// Reads some bytes, waiting for the first; 0 at the end, after which the connection serves the next
    /// request.
    ///
    /// # Errors
    ///
    /// The kinds that connections end with.
    pub fn read(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        Ok(self.read_until(room, None)?.unwrap_or_default())
    }

    /// The same without waiting: `None` where nothing is here yet.
    ///
    /// # Errors
    ///
    /// The kinds that connections end with.
    pub fn read_now(&mut self, room: &mut [u8]) -> Result<Option<usize>, Error> {
        self.read_until(room, Some(Instant::now()))
    }

    fn read_until(&mut self, room: &mut [u8], until: Option<Instant>) -> Result<Option<usize>, Error> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(room.len());
            room[..length].copy_from_slice(&self.ahead[..length]);
            self.ahead.drain(..length);
            return Ok(Some(length));
        }
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let read = self.receive(room, until)?;
        let last = &room[..read.unwrap_or_default()];
        self.tail.extend_from_slice(&last[last.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Ok(read)
    }

    /// `None` when nothing came until then.
    fn receive(&mut self, room: &mut [u8], until: Option<Instant>) -> Result<Option<usize>, Error> {
        let Some(events) = &mut self.events else { return Ok(Some(0)) };
        match events.read(room, until) {
            Ok(Received::Bytes(bytes)) => Ok(Some(bytes)),
            Ok(Received::End) => {
                self.events = None;
                Ok(Some(0))
            }
            Ok(Received::Nothing) => Ok(None),
            Err(error) => {
                self.events = None;
                Err(error)
            }
        }
    }

    /// Reads the beginning of the body, to be handed out later as it came.
    fn read_ahead(&mut self) {
        let mut room = vec![0; JUDGED];
        while self.ahead.len() < JUDGED {
            match self.receive(&mut room, None) {
                Ok(None | Some(0)) => return,
                Ok(Some(length)) => self.ahead.extend_from_slice(&room[..length]),
                Err(error) => {
                    self.failure = Some(error);
                    return;
                }
            }
        }
    }

    /// Leaves the body: what little is missing of it is read, so that the connection serves the next
    /// request, and otherwise it is closed.
    ///
    /// Waits at most 100 ms, and only where the end is due: behind `[DONE]`, and in a refusal.
    pub fn finish(&mut self) {
        if !self.finish_now()
            && let Some(mut events) = self.events.take()
        {
            events.drain(Instant::now() + DRAIN);
        }
    }

    /// The same without waiting: whether the body is left. Where it is not, [`BodyReader::finish`] waits
    /// for the end, or dropping this closes the connection.
    pub fn finish_now(&mut self) -> bool {
        self.ahead.clear();
        let is_due = self.is_refusal || self.tail.trim_ascii_end().ends_with(b"[DONE]");
        let goes_on = self.events.as_mut().is_some_and(|events| events.drain(Instant::now()));
        if !(goes_on && is_due) {
            self.events = None;
        }
        self.events.is_none()
    }

    /// A token that stops the reading, from any thread.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

/// `[DONE]` and what may follow it.
const TAIL: usize = 16;
