//! One HTTP exchange: method, path, fields and body in; status, fields and body reader out.
//!
//! The boundary to HTTP. Calls, the models list and everything else stand on it; nothing above it
//! knows which engine is behind.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ureq::http::{self, HeaderValue, Method, header};
use ureq::{Agent, Timeout};

use crate::config::{Limits, Settings};
use crate::error::{Billed, Error, Kind, Limit, Phase};
use crate::reply::{Body, Headers, Reply};

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
    /// JSON; `None` sends no body.
    pub body: Option<&'a [u8]>,
}

/// Sends requests and keeps connections for the next ones.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    agent: Agent,
}

/// The beginning of a reply: everything but the body.
pub(crate) struct Incoming {
    status: u16,
    headers: Headers,
    body: ureq::Body,
    started: Instant,
}

impl Exchange {
    pub fn new(settings: &Settings) -> Exchange {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(settings.max_idle_connections)
            .max_idle_connections_per_host(settings.max_idle_connections)
            .max_idle_age(Duration::from_secs(55))
            .proxy(None)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .build();
        Exchange { agent: Agent::new_with_config(config) }
    }

    /// Sends the request and waits for the reply's header fields.
    pub fn send(&self, settings: &Settings, limits: &Limits, out: &Outgoing) -> Result<Incoming, Error> {
        let started = Instant::now();
        let request = request(settings, out)?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(limits.total)
            .timeout_connect(limits.connect)
            .timeout_recv_response(limits.first_byte)
            .build();
        let response = self.agent.run(request).map_err(|error| failed(error, Phase::Wait, started))?;
        let (parts, body) = response.into_parts();
        Ok(Incoming { status: parts.status.as_u16(), headers: Headers::new(parts.headers), body, started })
    }
}

fn request<'a>(settings: &Settings, out: &Outgoing<'a>) -> Result<http::Request<&'a [u8]>, Error> {
    let mut request = http::Request::builder()
        .method(out.method.clone())
        .uri(settings.base_url.join(out.path))
        .body(out.body.unwrap_or_default())
        .map_err(|_| {
            Error::argument(format!(
                "The path {} is not one that a URL can have",
                crate::json::quote(out.path)
            ))
        })?;
    let fields = request.headers_mut();
    fields.insert(header::AUTHORIZATION, settings.authorization.clone());
    fields.insert(header::ACCEPT, HeaderValue::from_static(out.accept));
    fields.insert(header::USER_AGENT, settings.user_agent.clone());
    if out.body.is_some() {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &settings.fields {
        fields.insert(name.clone(), value.clone());
    }
    Ok(request)
}

impl Incoming {
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Reads the body to its end, undoes its content coding, and lets the connection go back.
    ///
    /// Of a refusal at most [`REFUSAL_BODY`] bytes are kept.
    pub fn into_reply(self, max_body: u64) -> Result<Reply, Error> {
        let refusal = !(200..300).contains(&self.status);
        let keep = if refusal { REFUSAL_BODY.min(max_body) } else { max_body };
        let coding = Coding::of(&self.headers);
        let announced = self.headers.get("content-length").and_then(|length| length.parse::<u64>().ok());
        if let (Some(length), Coding::Identity, false) = (announced, &coding, refusal)
            && length > max_body
        {
            return Err(too_large(max_body)
                .with_reply(Reply::new(self.status, self.headers, Body::new(Vec::new())), None));
        }
        let mut bytes = Vec::new();
        if let (Some(length), Coding::Identity) = (announced, &coding) {
            // One more for the closing NUL, one for the read that sees the end.
            bytes.reserve_exact(length.min(keep).min(INITIAL_RESERVE) as usize + 2);
        }
        let mut wire = Wire { body: self.body.into_reader(), failure: None };
        let outcome = match coding {
            Coding::Identity => read_up_to(&mut wire, keep, &mut bytes),
            Coding::Gzip => read_up_to(MultiGzDecoder::new(&mut wire), keep, &mut bytes),
            Coding::Deflate => read_up_to(ZlibDecoder::new(&mut wire), keep, &mut bytes),
            Coding::Unknown(ref name) => {
                Err(io::Error::other(format!("its content coding {name} is not known")))
            }
        };
        let failure = wire.failure.take();
        let reply = Reply::new(self.status, self.headers, Body::new(bytes));
        match (outcome, failure) {
            (_, Some(error)) if !refusal => Err(failed(error.into(), Phase::Read, self.started)
                .with_billed(Billed::Yes)
                .with_reply(reply, None)),
            (Err(error), None) if !refusal => {
                Err(Error::new(Kind::Decode, format!("The reply could not be decompressed: {error}"))
                    .with_phase(Phase::Read)
                    .with_reply(reply, None))
            }
            (Ok(Fits::No), None) if !refusal => Err(too_large(max_body).with_reply(reply, None)),
            // The status of a refusal is known: a body that breaks off cannot hide it.
            _ => Ok(reply),
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
    failure: Option<io::Error>,
}

impl<R: Read> Read for Wire<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.body.read(into).map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            self.failure = Some(error);
            copy
        })
    }
}

enum Fits {
    Yes,
    No,
}

/// Reads to the end, but not more than `limit` bytes into `out`.
fn read_up_to(reader: impl Read, limit: u64, out: &mut Vec<u8>) -> io::Result<Fits> {
    let read = reader.take(limit.saturating_add(1)).read_to_end(out)?;
    if read as u64 > limit {
        out.truncate(limit as usize);
        return Ok(Fits::No);
    }
    Ok(Fits::Yes)
}

/// What the engine's failure means, in our words.
fn failed(error: ureq::Error, phase: Phase, started: Instant) -> Error {
    let elapsed = started.elapsed().as_millis() as u64;
    let error = match error {
        ureq::Error::Timeout(timeout) => timed_out(timeout, phase, elapsed),
        ureq::Error::HostNotFound => {
            Error::new(Kind::Dns, "The host name of the base URL could not be resolved")
                .with_phase(Phase::Dns)
        }
        ureq::Error::ConnectionFailed => {
            Error::new(Kind::Connection, "No connection could be made").with_phase(Phase::Connect)
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Error::new(Kind::Connection, format!("No connection could be made: {error}"))
                .with_phase(Phase::Connect)
                .with_billed(Billed::No)
                .with_retryable(true)
        }
        ureq::Error::Io(error) => {
            Error::new(Kind::Connection, format!("The connection broke: {error}")).with_phase(phase)
        }
        ureq::Error::Tls(error) => {
            Error::new(Kind::Tls, format!("TLS failed: {error}")).with_phase(Phase::Tls)
        }
        ureq::Error::Rustls(error) => {
            Error::new(Kind::Tls, format!("TLS failed: {error}")).with_phase(Phase::Tls)
        }
        other => Error::new(Kind::Protocol, format!("The server's reply is not proper HTTP: {other}"))
            .with_phase(phase),
    };
    error.with_elapsed_ms(elapsed)
}

fn timed_out(timeout: Timeout, phase: Phase, elapsed: u64) -> Error {
    let (limit, phase) = match timeout {
        Timeout::Resolve => (Limit::Connect, Phase::Dns),
        Timeout::Connect => (Limit::Connect, Phase::Connect),
        Timeout::RecvResponse => (Limit::FirstByte, Phase::Wait),
        _ => (Limit::Total, phase),
    };
    Error::new(
        Kind::Timeout,
        format!("The limit {} expired after {elapsed} ms in phase {}", limit.name(), phase.name()),
    )
    .with_limit(limit)
    .with_phase(phase)
}
