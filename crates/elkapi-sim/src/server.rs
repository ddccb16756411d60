//! Listener and connections: accepts, reads a request, has it answered, counts.
//!
//! One thread with a small stack per connection. Stopping shuts every socket down, which wakes
//! every read, write and pause.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::cue::{Cue, Cues};
use crate::fault::{self, Fault};
use crate::fixture::Fixtures;
use crate::http::{Connection, Head, Plain, RequestError, Stream};
use crate::json::quoted;
use crate::reply::{self, After, Reply};
use crate::route::{self, Control, Place, Route};
use crate::stats::{Exchange, Ledger, Stats};
use crate::tls::{Acceptor, TlsOptions};
use crate::{clock, gateway, misbehave};

/// Enough for the deepest JSON that the parser takes.
const STACK_BYTES: usize = 256 * 1024;
/// Connections that may wait to be accepted; the kernel cuts it to its own limit.
const BACKLOG: libc::c_int = 4_096;
/// How long stopping waits for connection threads that were told to end.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// How a simulator is started. Fill in what differs and take the rest from `Default`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback address to listen on; anything else is refused. Default: 127.0.0.1.
    pub host: IpAddr,
    /// Port to listen on; 0 (the default) takes any free one.
    pub port: u16,
    /// Directory of the fixtures that `/wire/NAME` replays.
    pub fixtures: Option<PathBuf>,
    /// Longest request body in bytes; a longer one is refused with 413. Default: 128 MiB, as the
    /// gateway.
    pub max_body_bytes: u64,
    /// Serve over TLS, with this certificate. Default: plain HTTP.
    pub tls: Option<TlsOptions>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            fixtures: None,
            max_body_bytes: 128 << 20,
            tls: None,
        }
    }
}

/// What all connections share.
struct Shared {
    options: Options,
    ledger: Ledger,
    fixtures: Fixtures,
    cues: Cues,
    acceptor: Option<Acceptor>,
    stopping: AtomicBool,
    /// The sockets that are open, by connection number.
    sockets: Mutex<HashMap<u64, Arc<TcpStream>>>,
    /// Signalled whenever a connection has ended.
    ended: Condvar,
}

impl Shared {
    fn sockets(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The end of an exchange whose connection broke, by the client unless we are stopping.
    fn left_by_client(&self, exchange: Exchange<'_>) -> After {
        if !self.is_stopping() {
            exchange.closed_by_client();
        }
        After::Close
    }

    fn incomplete(&self, scope: Option<&str>) {
        if !self.is_stopping() {
            self.ledger.incomplete(scope);
        }
    }
}

/// A running gateway on loopback. Dropping it stops it and closes its connections.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Simulator {
    /// Binds, listens, and serves in threads of its own.
    ///
    /// # Errors
    /// When the host is not loopback, the port is taken, the TLS options cannot be used, or a thread
    /// cannot be started.
    pub fn start(options: Options) -> io::Result<Simulator> {
        if !options.host.is_loopback() {
            let sentence = format!("{} is not a loopback address", options.host);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
        }
        let tls = options.tls.as_ref().map(Acceptor::new).transpose()?;
        let listener = TcpListener::bind((options.host, options.port))?;
        // SAFETY: the descriptor is the open, listening socket that `listener` holds; listening
        // again only changes the length of its queue, which the standard library fixes at 128.
        unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            ledger: Ledger::new(),
            fixtures: Fixtures::new(options.fixtures.clone()),
            cues: Cues::default(),
            acceptor: tls,
            options,
            stopping: AtomicBool::new(false),
            sockets: Mutex::default(),
            ended: Condvar::new(),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("elkapi-sim".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || accept(&listener, &for_acceptor))?;
        Ok(Simulator { shared, address, acceptor: Some(acceptor) })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, or `https://`, without a slash at the end.
    pub fn root(&self) -> String {
        let scheme = if self.shared.acceptor.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The base URL of the ordinary gateway: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        self.url("/v1")
    }

    /// The URL of a path that starts with a slash, such as `/wire/unary_text/v1`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.root())
    }

    /// The counters of all requests.
    pub fn stats(&self) -> Stats {
        self.shared.ledger.read(None)
    }

    /// The counters of the requests under `/s/SCOPE`.
    pub fn stats_of(&self, scope: &str) -> Stats {
        self.shared.ledger.read(Some(scope))
    }

    /// Starts counting, and all fixture sequences, anew.
    pub fn reset(&self) {
        self.shared.ledger.reset(None);
        self.shared.fixtures.reset(None);
        self.shared.cues.reset(None);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the acceptor, which then sees the flag and closes the listening socket.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let sockets = self.shared.sockets();
        for socket in sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let _ = self.shared.ended.wait_timeout_while(sockets, STOP_WAIT, |sockets| !sockets.is_empty());
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut last_id = 0;
    loop {
        let accepted = listener.accept();
        if shared.is_stopping() {
            return;
        }
        match accepted {
            Ok((socket, _)) => {
                last_id += 1;
                start_connection(last_id, socket, shared);
            }
            // Out of descriptors, or a client that was gone already: neither ends the simulator.
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn start_connection(id: u64, socket: TcpStream, shared: &Arc<Shared>) {
    let _ = socket.set_nodelay(true);
    let socket = Arc::new(socket);
    shared.ledger.accepted();
    shared.sockets().insert(id, Arc::clone(&socket));
    let for_thread = Arc::clone(shared);
    let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _leaving = Leaving { id, shared: &for_thread };
        // A handshake that fails is the end of the connection: nothing came that could be counted.
        if let Ok(stream) = shake_hands(&for_thread, Plain(Arc::clone(&socket))) {
            let stream = Box::new(Counted { stream, shared: Arc::clone(&for_thread) });
            serve(&mut Connection::new(id, stream, socket), &for_thread);
        }
    });
    if spawned.is_err() {
        shared.sockets().remove(&id);
    }
}

fn shake_hands(shared: &Shared, socket: Plain) -> io::Result<Box<dyn Stream>> {
    let Some(acceptor) = &shared.acceptor else { return Ok(Box::new(socket)) };
    let (stream, resumed) = acceptor.accept(socket)?;
    shared.ledger.shook_hands(resumed);
    Ok(Box::new(stream))
}

/// Counts what a client sends once TLS, if there is any, is taken off.
struct Counted {
    stream: Box<dyn Stream>,
    shared: Arc<Shared>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.shared.ledger.received(read);
        Ok(read)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for Counted {
    fn end(&mut self) {
        self.stream.end();
    }
}

/// Takes a connection off the list when its thread ends, also by a panic.
struct Leaving<'a> {
    id: u64,
    shared: &'a Shared,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.shared.ledger.closed(self.id);
        self.shared.sockets().remove(&self.id);
        self.shared.ended.notify_all();
    }
}

fn serve(connection: &mut Connection, shared: &Shared) {
    loop {
        let head = match connection.read_head() {
            Ok(Some(head)) => Arc::new(head),
            Ok(None) => return,
            Err(RequestError::Malformed(status, sentence)) => {
                return refuse(connection, status, sentence);
            }
            Err(RequestError::TooLarge | RequestError::Gone) => {
                shared.incomplete(None);
                return;
            }
        };
        match respond(connection, shared, &head) {
            After::KeepAlive => {}
            After::Close => return connection.end(),
            After::Linger => return connection.linger(),
            After::Reset => return connection.reset_on_close(),
        }
    }
}

/// Refuses bytes that are no request, as Go's server does.
fn refuse(connection: &mut Connection, status: u16, sentence: &str) {
    let mut reply = Reply::whole(status, "text/plain; charset=utf-8", sentence.into());
    reply.set_header("Connection", "close");
    let _ = connection.write(&[reply.head(sentence.len() as u64, false), sentence.into()].concat());
    connection.linger();
}

fn respond(connection: &mut Connection, shared: &Shared, head: &Arc<Head>) -> After {
    let mut route = route::steer(&head.target);
    let cue = match route.place {
        Place::Gateway("/v1/chat/completions") if head.method == "POST" => shared.cues.take(route.scope),
        _ => None,
    };
    if let (Some(Cue::Fault(name)), Place::Gateway(path)) = (&cue, &route.place) {
        route.place = Place::Fault { name, path };
    }
    let fault = match &route.place {
        Place::Fault { name, .. } => Fault::find(name),
        _ => None,
    };
    if let Some(fault) = fault.as_ref().filter(|fault| fault.leaves_body_unread()) {
        let mut exchange = shared.ledger.enter(route.scope, connection.id, head, &Arc::default());
        let outcome = misbehave::act_on_head(fault, connection, &mut exchange);
        return outcome.unwrap_or_else(|_| shared.left_by_client(exchange));
    }
    if let Some(delay) = fault.as_ref().and_then(Fault::delay_of_body) {
        connection.shrink_receive_buffer();
        // A client that left meanwhile shows itself when the body is read.
        let _ = connection.pause(delay);
    }
    let answers_expect = !fault.as_ref().is_some_and(Fault::ignores_expect);
    let body = match connection.read_body(head, shared.options.max_body_bytes, answers_expect) {
        Ok(body) => Arc::new(body),
        Err(RequestError::TooLarge) => return refuse_body(connection, shared, &route, head),
        Err(RequestError::Malformed(status, sentence)) => {
            refuse(connection, status, sentence);
            return After::Close;
        }
        Err(RequestError::Gone) => {
            shared.incomplete(route.scope);
            return After::Close;
        }
    };
    if let Place::Control(control) = route.place {
        return answer_control(connection, shared, control, route.scope, (head, &body));
    }
    let mut exchange = shared.ledger.enter(route.scope, connection.id, head, &body);
    let sent = match (&route.place, fault) {
        (Place::Fault { path, .. }, Some(fault)) => {
            let mut ordinary = gateway::answer(head, path, &body, None);
            ordinary.delay += route.delay;
            let asked = misbehave::Asked { head, path, body: &body, ordinary };
            misbehave::act(&fault, connection, &mut exchange, asked)
        }
        (place, _) => {
            let mut made = None;
            let fixture = match place {
                Place::Wire(name) => shared.fixtures.next(route.scope, name).map(Some),
                _ => Ok(None),
            };
            let reply: &Reply = match &fixture {
                Ok(Some(fixture)) => fixture,
                Ok(None) => made.insert(make_reply(head, place, &body, cue.as_ref())),
                Err(sentence) => made.insert(cannot_answer(sentence)),
            };
            deliver(connection, &mut exchange, reply, &route, head)
        }
    };
    sent.unwrap_or_else(|_| shared.left_by_client(exchange))
}

fn make_reply(head: &Head, place: &Place<'_>, body: &[u8], cue: Option<&Cue>) -> Reply {
    match place {
        Place::Gateway(path) => match cue {
            Some(Cue::Reply(told)) => gateway::with_common_fields(told.reply()),
            Some(Cue::Answer(wishes)) => gateway::answer(head, path, body, Some(wishes)),
            Some(Cue::Fault(_)) | None => gateway::answer(head, path, body, None),
        },
        Place::Fault { name, .. } => {
            cannot_answer(&format!("there is no fault {name:?}; GET /__faults lists them"))
        }
        Place::Wrong(sentence) => cannot_answer(sentence),
        Place::Dashboard | Place::Wire(_) | Place::Control(_) => gateway::dashboard(),
    }
}

fn deliver(
    connection: &mut Connection,
    exchange: &mut Exchange<'_>,
    reply: &Reply,
    route: &Route<'_>,
    head: &Head,
) -> io::Result<After> {
    connection.pause(route.delay)?;
    if head.method == "HEAD" {
        exchange.ending();
        let bytes = reply.head(reply.flat().len() as u64, head.keep_alive);
        connection.write(&bytes)?;
        return Ok(if head.keep_alive { After::KeepAlive } else { After::Close });
    }
    match route.reframe {
        None => reply::send(connection, exchange, reply, head.keep_alive),
        Some(reframe) => reply::send_reframed(connection, exchange, reply, reframe, head.keep_alive),
    }
}

/// Status 599: the simulator itself does not know what to do.
fn cannot_answer(sentence: &str) -> Reply {
    let body = format!(
        "{{\"error\":{{\"message\":{},\"type\":\"simulator_error\",\"param\":\"\",\"code\":\"simulator_error\"}}}}",
        quoted(&format!("elkapi-sim: {sentence}"))
    );
    let mut reply = Reply::whole(599, "application/json; charset=utf-8", body.into_bytes());
    reply.reason = Some("Simulator Error".to_owned());
    reply.headers.push(("X-Oneapi-Request-Id".into(), clock::request_id()));
    reply
}

fn refuse_body(connection: &mut Connection, shared: &Shared, route: &Route<'_>, head: &Arc<Head>) -> After {
    let mut exchange = shared.ledger.enter(route.scope, connection.id, head, &Arc::default());
    match reply::send(connection, &mut exchange, &gateway::body_too_large(), false) {
        Ok(_) => After::Linger,
        Err(_) => After::Close,
    }
}

fn answer_control(
    connection: &mut Connection,
    shared: &Shared,
    control: Control,
    scope: Option<&str>,
    (head, body): (&Head, &[u8]),
) -> After {
    let (media_type, text) = match (control, head.method.as_str()) {
        (Control::Stats, "GET") => ("application/json", shared.ledger.read(scope).to_json()),
        (Control::Reset, "POST") => {
            shared.ledger.reset(scope);
            shared.fixtures.reset(scope);
            shared.cues.reset(scope);
            ("application/json", "{\"reset\":true}".to_owned())
        }
        (Control::Requests, "GET") => ("application/json", shared.ledger.requests_json(scope)),
        (Control::Next, "GET") => {
            ("application/json", format!("{{\"waiting\":{}}}", shared.cues.waiting(scope)))
        }
        (Control::Next, "POST") => match shared.cues.add(scope, body) {
            Ok(waiting) => ("application/json", format!("{{\"waiting\":{waiting}}}")),
            Err(sentence) => {
                let mut reply = cannot_answer(&sentence);
                (reply.status, reply.reason) = (400, None);
                return send_uncounted(connection, &reply, head);
            }
        },
        (Control::Faults, "GET") => ("text/plain; charset=utf-8", fault::table()),
        _ => return refuse_method(connection, control, head),
    };
    let reply = Reply::whole(200, media_type, text.into_bytes());
    send_uncounted(connection, &reply, head)
}

fn refuse_method(connection: &mut Connection, control: Control, head: &Head) -> After {
    let allowed = match control {
        Control::Reset => "POST",
        Control::Next => "GET, POST",
        Control::Stats | Control::Faults | Control::Requests => "GET",
    };
    let mut reply = cannot_answer(&format!("{} takes {allowed}, not {}", head.target, head.method));
    (reply.status, reply.reason) = (405, None);
    reply.set_header("Allow", allowed);
    send_uncounted(connection, &reply, head)
}

fn send_uncounted(connection: &mut Connection, reply: &Reply, head: &Head) -> After {
    let body = reply.flat();
    let mut bytes = reply.head(body.len() as u64, head.keep_alive);
    if head.method != "HEAD" {
        bytes.extend_from_slice(&body);
    }
    match connection.write(&bytes) {
        Ok(()) if head.keep_alive => After::KeepAlive,
        _ => After::Close,
    }
}
