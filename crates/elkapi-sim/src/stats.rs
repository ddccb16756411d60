//! What is counted: requests, connections, how many at once, who left early.
//!
//! One ledger for the whole simulator, with a page per scope. A request is entered once it was
//! read; it leaves just before the last bytes of its reply are sent, so that a client which has
//! its reply never finds its own request still in flight.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;

use crate::http::Head;
use crate::json::quoted;

/// How many entries of the request log and of the list of early closes are kept.
const KEPT: usize = 100;
/// Bytes of request bodies that a page keeps, unless the last one alone is larger.
const KEPT_BYTES: usize = 16 << 20;

/// Counters since the start or the last reset, of the whole simulator or of one scope.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that were read to the end (or as far as a fault reads them).
    pub requests: u64,
    /// Distinct connections on which those requests came.
    pub connections: u64,
    /// All accepted connections, also those that carried no counted request. 0 for a scope.
    pub accepted: u64,
    /// Bytes of requests that came, TLS removed, also of requests that were not counted. 0 for a scope.
    pub request_bytes: u64,
    /// TLS handshakes that were completed. 0 for a scope.
    pub tls_handshakes: u64,
    /// Those of them that resumed an earlier session. 0 for a scope.
    pub tls_resumed: u64,
    /// Requests whose reply is not finished yet.
    pub in_flight: u64,
    /// The largest number of requests in flight at once.
    pub max_in_flight: u64,
    /// Replies during which the client closed its connection.
    pub closed_by_client: u64,
    /// When that happened, in milliseconds since the start: the last 100.
    pub closed_by_client_at_ms: Vec<u64>,
    /// Requests during whose sending the client left. Counted in no scope but that of their path.
    pub incomplete_requests: u64,
    /// Milliseconds since the start, now.
    pub now_ms: u64,
    /// The latest request.
    pub last_request: Option<RecordedRequest>,
    /// The last 100 requests, oldest first.
    pub requests_log: Vec<LoggedRequest>,
}

/// A request as it came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// `POST`, say.
    pub method: String,
    /// The whole request target, steering prefixes and query included.
    pub path: String,
    /// Field lines in order, names as they were spelt.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding removed.
    pub body: Vec<u8>,
}

impl RecordedRequest {
    /// The first field of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// One line of the request log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// `POST`, say.
    pub method: String,
    /// The whole request target.
    pub path: String,
    /// Milliseconds since the start at which it was read.
    pub at_ms: u64,
    /// The number of the connection it came on.
    pub connection: u64,
}

impl Stats {
    /// The document that `/__stats` answers.
    pub fn to_json(&self) -> String {
        let mut out = format!(
            "{{\"requests\":{},\"connections\":{},\"accepted\":{},\"request_bytes\":{},\"tls_handshakes\":{},\
             \"tls_resumed\":{},\"in_flight\":{},\"max_in_flight\":{},\
             \"closed_by_client\":{},\"closed_by_client_at_ms\":{:?},\"incomplete_requests\":{},\"now_ms\":{},\
             \"last_request\":",
            self.requests,
            self.connections,
            self.accepted,
            self.request_bytes,
            self.tls_handshakes,
            self.tls_resumed,
            self.in_flight,
            self.max_in_flight,
            self.closed_by_client,
            self.closed_by_client_at_ms,
            self.incomplete_requests,
            self.now_ms
        );
        match &self.last_request {
            None => out.push_str("null"),
            Some(request) => {
                write_request(&mut out, (&request.method, &request.path), &request.headers, &request.body)
            }
        }
        let log: Vec<String> = self
            .requests_log
            .iter()
            .map(|entry| {
                format!(
                    "{{\"method\":{},\"path\":{},\"at_ms\":{},\"connection\":{}}}",
                    quoted(&entry.method),
                    quoted(&entry.path),
                    entry.at_ms,
                    entry.connection
                )
            })
            .collect();
        let _ = write!(out, ",\"requests_log\":[{}]}}", log.join(","));
        out
    }
}

fn write_request(out: &mut String, target: (&str, &str), headers: &[(String, String)], body: &[u8]) {
    let headers: Vec<String> =
        headers.iter().map(|(name, value)| format!("[{},{}]", quoted(name), quoted(value))).collect();
    let _ = write!(
        out,
        "{{\"method\":{},\"path\":{},\"headers\":[{}],\"body_base64\":\"",
        quoted(target.0),
        quoted(target.1),
        headers.join(",")
    );
    base64::engine::general_purpose::STANDARD.encode_string(body, out);
    out.push_str("\"}");
}

/// The last requests with their bodies; the oldest go when there are too many or they are too large.
#[derive(Default)]
struct Recent {
    requests: VecDeque<(Arc<Head>, Arc<Vec<u8>>)>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, head: &Arc<Head>, body: &Arc<Vec<u8>>) {
        self.bytes += body.len();
        self.requests.push_back((Arc::clone(head), Arc::clone(body)));
        while self.requests.len() > KEPT || (self.bytes > KEPT_BYTES && self.requests.len() > 1) {
            if let Some((_, oldest)) = self.requests.pop_front() {
                self.bytes -= oldest.len();
            }
        }
    }
}

/// One page: the counters of everything, or of one scope.
#[derive(Default)]
struct Page {
    requests: u64,
    connections: u64,
    seen: HashSet<u64>,
    accepted: u64,
    request_bytes: u64,
    tls_handshakes: u64,
    tls_resumed: u64,
    in_flight: u64,
    max_in_flight: u64,
    closed_by_client: u64,
    closed_at: VecDeque<u64>,
    incomplete: u64,
    recent: Recent,
    log: VecDeque<LoggedRequest>,
    /// When the last requests were let through, where only some are in any second.
    let_through: VecDeque<Instant>,
}

impl Page {
    fn enter(&mut self, head: &Arc<Head>, body: &Arc<Vec<u8>>, at_ms: u64, connection: u64) {
        self.requests += 1;
        self.connections += u64::from(self.seen.insert(connection));
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
        self.recent.push(head, body);
        let entry =
            LoggedRequest { method: head.method.clone(), path: head.target.clone(), at_ms, connection };
        push_bounded(&mut self.log, entry);
    }

    /// Forgets everything but what is still going on.
    fn reset(&mut self) {
        let in_flight = self.in_flight;
        *self = Page { in_flight, max_in_flight: in_flight, ..Page::default() };
    }

    fn read(&self, now_ms: u64) -> Stats {
        Stats {
            requests: self.requests,
            connections: self.connections,
            accepted: self.accepted,
            request_bytes: self.request_bytes,
            tls_handshakes: self.tls_handshakes,
            tls_resumed: self.tls_resumed,
            in_flight: self.in_flight,
            max_in_flight: self.max_in_flight,
            closed_by_client: self.closed_by_client,
            closed_by_client_at_ms: self.closed_at.iter().copied().collect(),
            incomplete_requests: self.incomplete,
            now_ms,
            last_request: self.recent.requests.back().map(|(head, body)| RecordedRequest {
                method: head.method.clone(),
                path: head.target.clone(),
                headers: head.headers.clone(),
                body: body.as_ref().clone(),
            }),
            requests_log: self.log.iter().cloned().collect(),
        }
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[derive(Default)]
struct Pages {
    all: Page,
    scopes: HashMap<String, Page>,
}

impl Pages {
    /// Does the same on the common page and on the scope's.
    fn each(&mut self, scope: Option<&str>, mut change: impl FnMut(&mut Page)) {
        change(&mut self.all);
        if let Some(scope) = scope {
            if !self.scopes.contains_key(scope) {
                self.scopes.insert(scope.to_owned(), Page::default());
            }
            if let Some(page) = self.scopes.get_mut(scope) {
                change(page);
            }
        }
    }
}

/// All counters of a simulator.
pub(crate) struct Ledger {
    started: Instant,
    pages: Mutex<Pages>,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger { started: Instant::now(), pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Counts an accepted connection.
    pub(crate) fn accepted(&self) {
        self.pages().all.accepted += 1;
    }

    /// Counts a completed TLS handshake.
    pub(crate) fn shook_hands(&self, resumed: bool) {
        let all = &mut self.pages().all;
        all.tls_handshakes += 1;
        all.tls_resumed += u64::from(resumed);
    }

    /// Counts bytes of a request, whatever becomes of it.
    pub(crate) fn received(&self, bytes: usize) {
        self.pages().all.request_bytes += bytes as u64;
    }

    /// Forgets a closed connection's number, which never comes back.
    pub(crate) fn closed(&self, connection: u64) {
        self.pages().all.seen.remove(&connection);
    }

    /// Counts a request that broke off.
    pub(crate) fn incomplete(&self, scope: Option<&str>) {
        self.pages().each(scope, |page| page.incomplete += 1);
    }

    /// Enters a request; it is in flight until the returned exchange ends.
    pub(crate) fn enter(
        &self,
        scope: Option<&str>,
        connection: u64,
        head: &Arc<Head>,
        body: &Arc<Vec<u8>>,
    ) -> Exchange<'_> {
        let at_ms = self.now_ms();
        self.pages().each(scope, |page| page.enter(head, body, at_ms, connection));
        Exchange { ledger: self, scope: scope.map(str::to_owned), in_flight: true }
    }

    /// The counters of everything, or of one scope (all zero if nothing came in it).
    pub(crate) fn read(&self, scope: Option<&str>) -> Stats {
        let now_ms = self.now_ms();
        let pages = self.pages();
        match scope {
            None => pages.all.read(now_ms),
            Some(scope) => match pages.scopes.get(scope) {
                Some(page) => page.read(now_ms),
                None => Stats { now_ms, ..Stats::default() },
            },
        }
    }

    /// The last requests of everything, or of one scope, with their bodies.
    pub(crate) fn requests_json(&self, scope: Option<&str>) -> String {
        let requests: Vec<_> = {
            let pages = self.pages();
            let page = scope.map_or(Some(&pages.all), |scope| pages.scopes.get(scope));
            page.map(|page| page.recent.requests.iter().cloned().collect()).unwrap_or_default()
        };
        let mut out = String::from("[");
        for (place, (head, body)) in requests.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            write_request(&mut out, (&head.method, &head.target), &head.headers, body);
        }
        out.push(']');
        out
    }

    /// Starts counting anew, everywhere or in one scope.
    pub(crate) fn reset(&self, scope: Option<&str>) {
        let mut pages = self.pages();
        match scope {
            None => {
                pages.all.reset();
                pages.scopes.values_mut().for_each(Page::reset);
            }
            Some(scope) => {
                if let Some(page) = pages.scopes.get_mut(scope) {
                    page.reset();
                }
            }
        }
    }
}

/// One request in flight.
pub(crate) struct Exchange<'a> {
    ledger: &'a Ledger,
    scope: Option<String>,
    in_flight: bool,
}

impl Exchange<'_> {
    /// Takes the request out of flight: its last bytes are about to be sent.
    pub(crate) fn ending(&mut self) {
        if self.in_flight {
            self.in_flight = false;
            self.ledger
                .pages()
                .each(self.scope.as_deref(), |page| page.in_flight = page.in_flight.saturating_sub(1));
        }
    }

    /// Whether fewer than `most` were let through within the last second; then this one is too. Counted
    /// for the scope, where the path has one.
    pub(crate) fn is_within_rate(&self, most: usize) -> bool {
        let mut pages = self.ledger.pages();
        let pages = &mut *pages;
        let page =
            self.scope.as_ref().and_then(|scope| pages.scopes.get_mut(scope)).unwrap_or(&mut pages.all);
        let now = Instant::now();
        while page.let_through.front().is_some_and(|at| now.duration_since(*at).as_secs() >= 1) {
            page.let_through.pop_front();
        }
        let is_within = page.let_through.len() < most;
        if is_within {
            page.let_through.push_back(now);
        }
        is_within
    }

    /// Notes that the client closed while its reply was under way, which thereby ends: at once, so
    /// that nobody finds it counted as left and still in flight.
    pub(crate) fn closed_by_client(mut self) {
        let at_ms = self.ledger.now_ms();
        let was_in_flight = std::mem::take(&mut self.in_flight);
        self.ledger.pages().each(self.scope.as_deref(), |page| {
            page.in_flight = page.in_flight.saturating_sub(was_in_flight.into());
            page.closed_by_client += 1;
            push_bounded(&mut page.closed_at, at_ms);
        });
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.ending();
    }
}
