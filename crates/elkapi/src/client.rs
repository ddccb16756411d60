//! The client: one per program, shared by all threads, cheap to clone.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ureq::http::{HeaderName, HeaderValue, Method};

use crate::call::{Call, Interrupt};
use crate::cancel::Cancel;
use crate::completion::{Completion, Wanted};
use crate::config::{Config, Settings};
use crate::error::{Attempt, Billed, Error, Kind};
use crate::exchange::{Exchange, Outgoing};
use crate::net;
use crate::random;
use crate::refusal;
use crate::request::{Mode, RequestBody};

/// A client of one gateway with one key. Clones share connections; any thread may call at any time.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    settings: Settings,
    exchange: Arc<Exchange>,
    interrupt: Option<Arc<dyn Interrupt>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with this configuration; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// `config`, naming the option and how to mend it.
    pub fn new(config: Config) -> Result<Client, Error> {
        let config = config.completed();
        let settings = config.settings()?;
        let exchange = Arc::new(Exchange::new(&settings));
        Ok(Client(Arc::new(Inner { config, settings, exchange, interrupt: None })))
    }

    /// A client with other limits, retries or header fields, over the same connections.
    ///
    /// `changes_json` is a JSON object of those options that can change per call.
    ///
    /// # Errors
    ///
    /// `config`, naming the option.
    pub fn with(&self, changes_json: &str) -> Result<Client, Error> {
        let config = self.0.config.clone().changed(Config::check_per_call(changes_json)?);
        let settings = config.settings()?;
        let (exchange, interrupt) = (self.0.exchange.clone(), self.0.interrupt.clone());
        Ok(Client(Arc::new(Inner { config, settings, exchange, interrupt })))
    }

    /// The same client over the same connections, which asks this hook when a signal interrupts a
    /// wait. Copies made by [`Client::with`] inherit it.
    pub fn with_interrupt(&self, interrupt: Option<Arc<dyn Interrupt>>) -> Client {
        let (config, settings) = (self.0.config.clone(), self.0.settings.clone());
        Client(Arc::new(Inner { config, settings, exchange: self.0.exchange.clone(), interrupt }))
    }

    /// Opens a connection ahead of the first call, unless one is idle already; nothing is sent.
    ///
    /// # Errors
    ///
    /// As a call's, for the phases `dns`, `connect` and `tls`.
    pub fn warm_up(&self, cancel: Option<&Cancel>) -> Result<(), Error> {
        let settings = &self.0.settings;
        let call = Call::new(&settings.unary, cancel, self.0.interrupt.as_ref());
        self.0.exchange.warm_up(settings, &call)
    }

    /// Closes connections that lie idle. Calls under way are not disturbed.
    pub fn close_idle(&self) {
        self.0.exchange.close_idle();
    }

    /// Where requests go.
    pub fn base_url(&self) -> &str {
        self.0.settings.base_url.as_str()
    }

    /// Sends a chat request, a JSON object, and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// `invalid_argument` before anything is sent; otherwise every kind that a call can end with.
    pub fn chat_completions(
        &self,
        request: impl AsRef<[u8]>,
        cancel: Option<&Cancel>,
    ) -> Result<Completion, Error> {
        let body = RequestBody::complete(request.as_ref(), self.0.settings.contract, Mode::Unary)?;
        let out = Outgoing {
            method: Method::POST,
            path: "/chat/completions",
            accept: "application/json",
            fields: self.call_fields(),
            body: Some(body.as_bytes()),
        };
        self.call(&out, Wanted::Chat, cancel)
    }

    /// Asks for the document at a path below the base URL, such as `/models`.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a path without a leading slash or with characters that a URL cannot
    /// have; otherwise every kind that a call can end with.
    pub fn get(&self, path: &str, cancel: Option<&Cancel>) -> Result<Completion, Error> {
        check_path(path)?;
        let out = Outgoing {
            method: Method::GET,
            path,
            accept: "application/json",
            fields: Vec::new(),
            body: None,
        };
        self.call(&out, Wanted::Any, cancel)
    }

    fn call(&self, out: &Outgoing, wanted: Wanted, cancel: Option<&Cancel>) -> Result<Completion, Error> {
        if cancel.is_some_and(Cancel::is_signalled) {
            return Err(
                Error::new(Kind::Cancelled, "The call was cancelled before it began").with_billed(Billed::No)
            );
        }
        let call = Call::new(&self.0.settings.unary, cancel, self.0.interrupt.as_ref());
        let mut attempts = Vec::new();
        let error = loop {
            let before = call.elapsed_ms();
            let outcome = self.attempt(&call, out, wanted);
            attempts.push(attempt_of(&outcome, call.elapsed_ms() - before));
            let error = match outcome {
                Ok(answer) => return Ok(answer.with_call(attempts, call.elapsed_ms())),
                Err(error) => error.with_traffic(call.sent(), call.received()),
            };
            let (retries, left) = (attempts.len() as u32 - 1, call.left());
            let Some(pause) = self.0.settings.retry.pause(&error, retries, random::fraction(), left) else {
                break error;
            };
            if let Err(stopped) = net::pause(&call, Instant::now() + pause) {
                // What the last attempt told of money holds; nothing was sent since.
                break stopped.with_billed(error.billed());
            }
        };
        let error = error.with_attempts(attempts).with_elapsed_ms(call.elapsed_ms());
        Err(error.without(|text| self.0.settings.key.cut_from(text)))
    }

    /// Field lines of one call: the same in all its attempts.
    fn call_fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let Some(name) = &self.0.settings.idempotency_header else { return Vec::new() };
        let value = random::token().and_then(|token| HeaderValue::try_from(token).ok());
        value.map(|value| vec![(name.clone(), value)]).unwrap_or_default()
    }

    fn attempt(&self, call: &Arc<Call>, out: &Outgoing, wanted: Wanted) -> Result<Completion, Error> {
        let settings = &self.0.settings;
        let incoming = self.0.exchange.send(settings, call, out)?;
        let success = (200..300).contains(&incoming.status());
        let reply = incoming.into_reply(settings.max_body_bytes)?;
        if success {
            Completion::read(reply, wanted, settings.contract, &settings.key)
        } else {
            Err(refusal::of_status(reply, settings.contract, &settings.key))
        }
    }
}

fn attempt_of(outcome: &Result<Completion, Error>, elapsed_ms: u64) -> Attempt {
    let (status, kind, request_id) = match outcome {
        Ok(answer) => (Some(answer.status()), None, answer.request_id()),
        Err(error) => (error.status(), Some(error.kind()), error.request_id()),
    };
    Attempt { status, kind, request_id: request_id.map(str::to_owned), elapsed_ms }
}

fn check_path(path: &str) -> Result<(), Error> {
    let quoted = crate::json::quote(path);
    if !path.starts_with('/') {
        return Err(Error::argument(format!(
            "The path {quoted} must begin with a slash, such as \"/models\""
        )));
    }
    if let Some(at) = path.bytes().position(|byte| !(0x21..=0x7e).contains(&byte) || byte == b'#') {
        return Err(Error::argument(format!(
            "The path {quoted} has a character at byte {at} that a URL cannot have; percent-encode it"
        )));
    }
    Ok(())
}
