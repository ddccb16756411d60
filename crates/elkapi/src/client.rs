//! The client: one per program, shared by all threads, cheap to clone.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ureq_proto::http::{HeaderName, HeaderValue, Method};

use crate::call::{Call, Interrupt};
use crate::cancel::Cancel;
use crate::completion::{Completion, Wanted};
use crate::config::{Config, RequestHead, Settings};
use crate::error::{Attempt, Billed, Error, Kind};
use crate::exchange::{Exchange, Outgoing};
use crate::net;
use crate::pacing::{self, Outcome, Pacer, Turn};
use crate::random;
use crate::record::{Attempted, Recorder, Recording};
use crate::refusal;
use crate::reply::Reply;
use crate::request::{Contract, Mode, RequestBody};
use crate::stream::{Opened, Source, Stream, Terms};

/// A client of one gateway with one key. Clones share connections; any thread may call at any time.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    settings: Settings,
    exchange: Arc<Exchange>,
    /// Where calls are paced.
    pacer: Option<Arc<Pacer>>,
    hooks: Hooks,
}

/// What the embedder wants to be asked and told.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub interrupt: Option<Arc<dyn Interrupt>>,
    pub recorder: Option<Arc<dyn Recorder>>,
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
        let pacer = settings.pacing.then(Arc::default);
        Ok(Client(Arc::new(Inner { config, settings, exchange, pacer, hooks: Hooks::default() })))
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
        let (exchange, pacer) = (self.0.exchange.clone(), self.0.pacer.clone());
        Ok(Client(Arc::new(Inner { config, settings, exchange, pacer, hooks: self.0.hooks.clone() })))
    }

    /// The same client over the same connections, whose requests have this head.
    ///
    /// # Errors
    ///
    /// `config`, naming the field, or for a key that cannot be used.
    pub fn with_head(&self, head: &RequestHead) -> Result<Client, Error> {
        let settings = self.0.settings.clone().with_head(head)?;
        let (config, hooks) = (self.0.config.clone(), self.0.hooks.clone());
        let (exchange, pacer) = (self.0.exchange.clone(), self.0.pacer.clone());
        Ok(Client(Arc::new(Inner { config, settings, exchange, pacer, hooks })))
    }

    /// The same client over the same connections, which asks this hook when a signal interrupts a
    /// wait. Copies made by [`Client::with`] inherit it.
    pub fn with_interrupt(&self, interrupt: Option<Arc<dyn Interrupt>>) -> Client {
        self.with_hooks(Hooks { interrupt, ..self.0.hooks.clone() })
    }

    /// The same client over the same connections, which hands a record of every attempt to this one.
    /// Copies made by [`Client::with`] inherit it.
    pub fn with_recorder(&self, recorder: Option<Arc<dyn Recorder>>) -> Client {
        self.with_hooks(Hooks { recorder, ..self.0.hooks.clone() })
    }

    /// The same client without its hooks, and the hooks: a queue hands them what they are to have.
    pub(crate) fn without_hooks(&self) -> (Client, Hooks) {
        let hooks = self.0.hooks.clone();
        let client = match hooks {
            Hooks { interrupt: None, recorder: None } => self.clone(),
            _ => self.with_hooks(Hooks::default()),
        };
        (client, hooks)
    }

    fn with_hooks(&self, hooks: Hooks) -> Client {
        let (config, settings) = (self.0.config.clone(), self.0.settings.clone());
        let (exchange, pacer) = (self.0.exchange.clone(), self.0.pacer.clone());
        Client(Arc::new(Inner { config, settings, exchange, pacer, hooks }))
    }

    /// Opens a connection ahead of the first call, unless one is idle already; nothing is sent.
    ///
    /// # Errors
    ///
    /// As a call's, for the phases `dns`, `connect` and `tls`.
    pub fn warm_up(&self, cancel: Option<&Cancel>) -> Result<(), Error> {
        let settings = &self.0.settings;
        let call = Call::new(&settings.unary, cancel.cloned(), self.0.hooks.interrupt.as_ref());
        self.0.exchange.warm_up(&call)
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
        self.answer(&self.call(Mode::Unary, cancel), request.as_ref())
    }

    /// Asks for the document at a path below the base URL, such as `/models`.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a path without a leading slash or with characters that a URL cannot
    /// have; otherwise every kind that a call can end with.
    pub fn get(&self, path: &str, cancel: Option<&Cancel>) -> Result<Completion, Error> {
        self.document(&self.call(Mode::Unary, cancel), path)
    }

    /// Sends a chat request and gives the answer bit by bit, as it is written. `"stream": true` is added
    /// where it is absent. Waits for the reply's header fields, so a refusal comes from here.
    ///
    /// # Errors
    ///
    /// `invalid_argument` before anything is sent; otherwise every kind that a call can end with.
    pub fn chat_completions_stream(
        &self,
        request: impl AsRef<[u8]>,
        cancel: Option<&Cancel>,
    ) -> Result<Stream, Error> {
        let own = Cancel::new();
        let call = self.call(Mode::Stream, cancel.into_iter().chain([&own]));
        self.stream(&call, own, request.as_ref())
    }

    /// A call that begins now and that these tokens may stop.
    pub(crate) fn call<'a>(&self, mode: Mode, cancels: impl IntoIterator<Item = &'a Cancel>) -> Arc<Call> {
        let limits = match mode {
            Mode::Unary => &self.0.settings.unary,
            Mode::Stream => &self.0.settings.stream,
        };
        Call::new(limits, cancels.into_iter().cloned(), self.0.hooks.interrupt.as_ref())
    }

    /// Sends a chat request and waits for the whole answer.
    pub(crate) fn answer(&self, call: &Arc<Call>, request: &[u8]) -> Result<Completion, Error> {
        let body = RequestBody::complete(request, self.0.settings.contract, Mode::Unary)?;
        let out = Outgoing {
            method: Method::POST,
            path: "/chat/completions",
            accept: "application/json",
            fields: self.call_fields(),
            body: Some(&body),
        };
        self.whole(call, &out, Wanted::Chat)
    }

    /// Asks for a document below the base URL.
    pub(crate) fn document(&self, call: &Arc<Call>, path: &str) -> Result<Completion, Error> {
        check_path(path)?;
        let out = Outgoing {
            method: Method::GET,
            path,
            accept: "application/json",
            fields: Vec::new(),
            body: None,
        };
        self.whole(call, &out, Wanted::Any)
    }

    fn whole(&self, call: &Arc<Call>, out: &Outgoing, wanted: Wanted) -> Result<Completion, Error> {
        call.check_start()?;
        let mut attempts = Vec::new();
        let recording = self.recording((out.method.as_str(), out.path), out.body, false);
        let recording = recording.as_ref();
        let once = || self.attempt(call, out, wanted);
        let answer = self.repeated(call, recording, &mut attempts, None, once)?;
        Ok(answer.with_call(attempts, call.elapsed_ms()))
    }

    /// Opens a stream. `own`: the token, among the call's, that stops this stream alone.
    pub(crate) fn stream(&self, call: &Arc<Call>, own: Cancel, request: &[u8]) -> Result<Stream, Error> {
        let body = RequestBody::complete(request, self.0.settings.contract, Mode::Stream)?.into_owned();
        call.check_start()?;
        let recording = self.recording(("POST", "/chat/completions"), Some(&body), true).map(Arc::new);
        let (client, fields, its_call) = (self.clone(), self.call_fields(), call.clone());
        let its_recording = recording.clone();
        let open = move |attempts: &mut Vec<Attempt>, before: Option<Error>| {
            let out = Outgoing {
                method: Method::POST,
                path: "/chat/completions",
                accept: "text/event-stream",
                fields: fields.clone(),
                body: Some(&body),
            };
            let recording = its_recording.as_deref();
            client.repeated(&its_call, recording, attempts, before, || client.open(&its_call, &out))
        };
        Stream::open(call.clone(), own, self.terms(), recording, Box::new(open))
    }

    /// Tries until it succeeds or may not be repeated. `before`: how the last attempt ended, where one
    /// was made already.
    fn repeated<T: Reached>(
        &self,
        call: &Arc<Call>,
        recording: Option<&Recording>,
        attempts: &mut Vec<Attempt>,
        before: Option<Error>,
        mut once: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut ended = before;
        let mut billed = Billed::No;
        loop {
            if let Some(error) = ended {
                let mut retries = (attempts.len() as u32).saturating_sub(1);
                // Where calls are paced, one that is refused for the rate gets another turn.
                if self.0.pacer.is_some() && error.kind() == Kind::RateLimit && retries < pacing::REPEATS {
                    retries = 0;
                }
                let pause = self.0.settings.retry.pause(&error, retries, random::fraction(), call.left());
                let Some(pause) = pause else { return Err(self.told(error, call, attempts)) };
                billed = error.billed();
                if let Err(stopped) = net::pause(call, Instant::now() + pause) {
                    // What the last attempt told of money holds; nothing was sent since.
                    return Err(self.told(stopped.with_billed(billed), call, attempts));
                }
            }
            let turn = match self.wait_for_turn(call) {
                Ok(turn) => turn,
                Err(stopped) => return Err(self.told(stopped.with_billed(billed), call, attempts)),
            };
            let began = Instant::now();
            let outcome = once();
            let took = began.elapsed();
            self.learn(turn, &outcome);
            attempts.push(attempt_of(&outcome, took.as_millis() as u64));
            let (answer, error) = (outcome.as_ref().ok().and_then(Reached::answer), outcome.as_ref().err());
            if let Some(recording) = recording
                && (answer.is_some() || error.is_some())
            {
                let number = attempts.len() - 1;
                recording.take(call, Attempted { number, took, first_chunk: None, answer, error });
            }
            match outcome {
                Ok(reached) => return Ok(reached),
                Err(error) => ended = Some(error.with_traffic(call.sent(), call.received())),
            }
        }
    }

    /// Waits until the pace lets the next request start.
    fn wait_for_turn(&self, call: &Call) -> Result<Option<Turn>, Error> {
        let Some(pacer) = &self.0.pacer else { return Ok(None) };
        let asked = Instant::now();
        let mut turn = pacer.turn(asked);
        while turn.waits {
            if let Err(stopped) = net::pause(call, turn.at) {
                pacer.forgo(turn);
                return Err(stopped);
            }
            let Some(later) = pacer.put_off(Instant::now(), turn) else { break };
            turn = later;
        }
        call.set_paced(asked.elapsed(), turn.rate);
        Ok(Some(turn))
    }

    fn learn<T: Reached>(&self, turn: Option<Turn>, outcome: &Result<T, Error>) {
        let (Some(pacer), Some(turn)) = (&self.0.pacer, turn) else { return };
        let (what, reply) = match outcome {
            Ok(reached) => (Outcome::Taken, Some(reached.head())),
            Err(error) => (Outcome::of(error), error.reply()),
        };
        pacer.learn(Instant::now(), turn, what, reply.map(Reply::headers));
    }

    /// The error with the facts of the whole call, and without the key.
    fn told(&self, error: Error, call: &Call, attempts: &[Attempt]) -> Error {
        let error = error.with_attempts(attempts.to_vec()).with_elapsed_ms(call.elapsed_ms());
        error.without(|text| self.0.settings.key.cut_from(text))
    }

    /// Only where somebody takes records.
    fn recording(
        &self,
        target: (&str, &str),
        body: Option<&RequestBody<'_>>,
        streams: bool,
    ) -> Option<Recording> {
        let recorder = self.0.hooks.recorder.as_ref()?;
        Some(Recording::new(recorder, &self.0.settings, target, body, streams))
    }

    fn terms(&self) -> Terms {
        let settings = &self.0.settings;
        Terms {
            key: settings.key.clone(),
            max_event_bytes: settings.max_event_bytes,
            trusts_refusals: settings.contract == Contract::Elkapi,
        }
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
        let success = is_success(incoming.status());
        if success && wanted == Wanted::Chat && incoming.is_event_stream() {
            // A stream although none was asked for: it is read to its end.
            let (head, events) = incoming.into_events();
            let opened = Opened { began: Instant::now(), head, source: Source::Events(events) };
            let (answer, error) = Stream::over(call.clone(), Cancel::new(), self.terms(), opened).finish();
            return error.map_or(Ok(answer), Err);
        }
        let reply = incoming.into_reply(settings.max_body_bytes)?;
        if success {
            Completion::read(reply, wanted, settings.contract, &settings.key)
        } else {
            Err(refusal::of_status(reply, settings.contract, &settings.key))
        }
    }

    /// One attempt at a stream. The status decides, not the media type: gateways refuse with both.
    fn open(&self, call: &Arc<Call>, out: &Outgoing) -> Result<Opened, Error> {
        let settings = &self.0.settings;
        let began = Instant::now();
        let incoming = self.0.exchange.send(settings, call, out)?;
        if is_success(incoming.status()) && incoming.is_event_stream() {
            let (head, events) = incoming.into_events();
            return Ok(Opened { began, head, source: Source::Events(events) });
        }
        let success = is_success(incoming.status());
        let reply = incoming.into_reply(settings.max_body_bytes)?;
        if !success {
            return Err(refusal::of_status(reply, settings.contract, &settings.key));
        }
        let whole = Completion::read(reply, Wanted::Chat, settings.contract, &settings.key)?;
        Ok(Opened { began, head: whole.reply().clone(), source: Source::Whole(whole) })
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// What an attempt that succeeded has reached.
trait Reached {
    fn head(&self) -> &Reply;

    /// The answer, where it is here already.
    fn answer(&self) -> Option<&Completion>;
}

impl Reached for Completion {
    fn head(&self) -> &Reply {
        self.reply()
    }

    fn answer(&self) -> Option<&Completion> {
        Some(self)
    }
}

impl Reached for Opened {
    fn head(&self) -> &Reply {
        &self.head
    }

    fn answer(&self) -> Option<&Completion> {
        None
    }
}

fn attempt_of<T: Reached>(outcome: &Result<T, Error>, elapsed_ms: u64) -> Attempt {
    let (status, kind, request_id) = match outcome {
        Ok(reached) => (Some(reached.head().status()), None, reached.head().headers().request_id()),
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
