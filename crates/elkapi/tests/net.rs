//! Connections: every call ends at its limit and can be stopped at any moment, and nothing dirty is
//! ever used again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use elkapi::{Billed, Cancel, Client, Config, Error, Interrupt, Kind, Limit, Phase};
use elkapi_sim::{Options, Simulator};

const REQUEST: &str = r#"{"messages":[{"role":"user","content":"Hello"}]}"#;

/// Stalls at exactly one phase.
struct Stall {
    phase: Phase,
    base_url: String,
    request: String,
    _sim: Option<Simulator>,
    _sockets: Vec<TcpStream>,
    _listener: Option<TcpListener>,
}

impl Stall {
    fn all() -> Vec<Stall> {
        vec![Stall::connect(), Stall::tls(), Stall::sending(), Stall::waiting(), Stall::reading()]
    }

    fn new(phase: Phase, base_url: String) -> Stall {
        let request = REQUEST.to_owned();
        Stall { phase, base_url, request, _sim: None, _sockets: Vec::new(), _listener: None }
    }

    /// A listener whose accept queue is full: the kernel drops what comes next.
    fn connect() -> Stall {
        let listener = listener_without_queue();
        let address = listener.local_addr().expect("address");
        let mut sockets = Vec::new();
        while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            sockets.push(socket);
        }
        let stall = Stall::new(Phase::Connect, format!("http://{address}/v1"));
        Stall { _sockets: sockets, _listener: Some(listener), ..stall }
    }

    /// A server that takes the connection and says nothing.
    fn tls() -> Stall {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let address = listener.local_addr().expect("address");
        Stall { _listener: Some(listener), ..Stall::new(Phase::Tls, format!("https://{address}/v1")) }
    }

    fn sending() -> Stall {
        let stall = Stall::fault(Phase::Send, "slow-read");
        let text = "x".repeat(12 << 20);
        let request = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
        Stall { request, ..stall }
    }

    fn waiting() -> Stall {
        Stall::fault(Phase::Wait, "stall-before-headers")
    }

    fn reading() -> Stall {
        Stall::fault(Phase::Read, "stall-mid-body")
    }

    fn fault(phase: Phase, name: &str) -> Stall {
        let sim = Simulator::start(Options::default()).expect("simulator");
        let stall = Stall::new(phase, sim.url(&format!("/fault/{name}/v1")));
        Stall { _sim: Some(sim), ..stall }
    }

    fn client(&self, changes: Config) -> Client {
        Client::new(changes.api_key("sk-test").base_url(self.base_url.clone())).expect("client")
    }
}

fn listener_without_queue() -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    bind(&fd, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
    listen(&fd, 0).expect("listen");
    TcpListener::from(fd)
}

fn client_of(sim: &Simulator, path: &str) -> Client {
    Client::new(Config::new().api_key("sk-test").base_url(sim.url(path))).expect("client")
}

fn simulator() -> Simulator {
    Simulator::start(Options::default()).expect("simulator")
}

/// Tells when a call blocks.
struct Blocked(mpsc::Sender<()>);

impl Interrupt for Blocked {
    fn ask(&self) -> bool {
        // Nobody listens any more, from the second time on.
        let _ = self.0.send(());
        false
    }

    fn backstop(&self) -> Option<Duration> {
        Some(Duration::from_millis(20))
    }
}

/// Stops a call the third time it is asked.
struct ThirdTime {
    asked: AtomicUsize,
    every_ms: u64,
}

impl Interrupt for ThirdTime {
    fn ask(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst) == 2
    }

    fn backstop(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.every_ms))
    }
}

/// Acts while the call is under way, and says when.
fn after_a_moment(act: impl FnOnce() + Send + 'static) -> thread::JoinHandle<Instant> {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        let at = Instant::now();
        act();
        at
    })
}

/// Runs until the limit, within ten percent and some time that a busy machine may add.
fn timed(limit_ms: u64, run: impl FnOnce() -> Error) -> Error {
    let started = Instant::now();
    let error = run();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(limit_ms), "{took:?} is before the limit");
    // The sending case prepares 12 MB first.
    assert!(took < Duration::from_millis(limit_ms * 11 / 10 + 1500), "{took:?}: {error}");
    error
}

#[test]
fn a_cancel_from_another_thread_ends_the_call_in_every_phase() {
    for stall in Stall::all() {
        let (blocks, blocked) = mpsc::channel();
        let client = stall.client(Config::new()).with_interrupt(Some(Arc::new(Blocked(blocks))));
        let cancel = Cancel::new();
        let signal = cancel.clone();
        let signalled = thread::spawn(move || {
            blocked.recv_timeout(Duration::from_secs(10)).expect("the call blocks");
            after_a_moment(move || signal.signal()).join().expect("thread")
        });
        let error = client.chat_completions(&stall.request, Some(&cancel)).expect_err("cancelled");
        let took = signalled.join().expect("thread").elapsed();
        assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, Some(stall.phase)), "{error}");
        assert_eq!(error.verdict().name(), "cancelled");
        assert!(took < Duration::from_millis(100), "{:?} took {took:?}", stall.phase);
        let sent_whole = matches!(stall.phase, Phase::Wait | Phase::Read);
        assert_eq!(error.billed(), if sent_whole { Billed::Maybe } else { Billed::No }, "{error}");
    }
}

#[test]
fn the_total_ends_the_call_in_every_phase() {
    for stall in Stall::all() {
        // It counts from before the request is checked, which for 12 MB takes a busy machine a while.
        let client = stall.client(Config::new().total_timeout_ms(600u64));
        let error = timed(600, || client.chat_completions(&stall.request, None).expect_err("timeout"));
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(stall.phase)), "{error}");
        assert_eq!(error.limit(), Some(Limit::Total), "{error}");
    }
}

#[test]
fn each_limit_ends_its_own_phase_and_is_named() {
    for (stall, config, limit) in [
        (Stall::connect(), Config::new().connect_timeout_ms(300u64), Limit::Connect),
        (Stall::tls(), Config::new().connect_timeout_ms(300u64), Limit::Connect),
        (Stall::sending(), Config::new().write_timeout_ms(300u64), Limit::Write),
        (Stall::waiting(), Config::new().first_byte_timeout_ms(300u64), Limit::FirstByte),
        (Stall::reading(), Config::new().idle_timeout_ms(300u64), Limit::Idle),
    ] {
        let client = stall.client(config.max_retries(0u64));
        let error = timed(300, || client.chat_completions(&stall.request, None).expect_err("timeout"));
        assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(limit)), "{error}");
        assert_eq!(error.phase(), Some(stall.phase), "{error}");
    }
}

#[test]
fn a_total_also_ends_a_server_that_drips() {
    let stall = Stall::fault(Phase::Read, "drip-50");
    let client = stall.client(Config::new().total_timeout_ms(500u64).idle_timeout_ms(400u64));
    let error = timed(500, || client.chat_completions(REQUEST, None).expect_err("timeout"));
    assert_eq!(error.limit(), Some(Limit::Total), "{error}");
    assert!(error.bytes_received() > 2 && error.bytes_sent() > 100, "{error:?}");
}

#[test]
fn an_interrupt_hook_is_asked_after_a_while_and_stops_the_call() {
    let stall = Stall::waiting();
    let hook = Arc::new(ThirdTime { asked: AtomicUsize::new(0), every_ms: 20 });
    let client = stall.client(Config::new()).with_interrupt(Some(hook.clone()));
    let error = client.with("{}").expect("copy").chat_completions(REQUEST, None).expect_err("stopped");
    assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    assert_eq!(hook.asked.load(Ordering::SeqCst), 3);
}

#[test]
fn an_interrupt_hook_is_asked_also_where_no_wait_lasts() {
    // A byte every few milliseconds, for half a minute and more.
    let stall = Stall::fault(Phase::Read, "drip-5");
    let hook = Arc::new(ThirdTime { asked: AtomicUsize::new(0), every_ms: 50 });
    let client = stall.client(Config::new()).with_interrupt(Some(hook.clone()));
    let text = "moss ".repeat(2_000);
    let request = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let started = Instant::now();
    let error = client.chat_completions(&request, None).expect_err("stopped");
    assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    assert_eq!(hook.asked.load(Ordering::SeqCst), 3);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_signalled_token_stops_later_calls_before_anything_is_sent() {
    let sim = simulator();
    let client = client_of(&sim, "/v1");
    let cancel = Cancel::new();
    client.chat_completions(REQUEST, Some(&cancel)).expect("answer");
    cancel.signal();
    let error = client.chat_completions(REQUEST, Some(&cancel)).expect_err("cancelled");
    assert_eq!((error.kind(), error.billed()), (Kind::Cancelled, Billed::No));
    assert_eq!(sim.stats().requests, 1);
}

#[test]
fn a_cancelled_connection_is_not_used_again() {
    let sim = simulator();
    let client = client_of(&sim, "/v1");
    let cancel = Cancel::new();
    let signalled = after_a_moment({
        let cancel = cancel.clone();
        move || cancel.signal()
    });
    let slow = r#"{"messages":[{"role":"user","content":"Hello"}],"sim":{"delay_ms":5000}}"#;
    client.chat_completions(slow, Some(&cancel)).expect_err("cancelled");
    signalled.join().expect("thread");
    for _ in 0..5 {
        client.chat_completions(REQUEST, None).expect("answer");
    }
    assert_eq!(sim.stats().connections, 2, "one was thrown away, one serves all the rest");
}

#[test]
fn sixty_four_threads_share_one_client_and_keep_their_connections() {
    let sim = simulator();
    let client = client_of(&sim, "/delay/200/v1");
    let round = || {
        let barrier = std::sync::Barrier::new(64);
        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    barrier.wait();
                    client.chat_completions(REQUEST, None).expect("answer");
                });
            }
        });
    };
    round();
    let first = sim.stats();
    assert_eq!(first.max_in_flight, 64);
    assert_eq!(first.connections, 64);
    round();
    assert_eq!(sim.stats().connections, 64, "no new connection in the second round");
}

#[test]
fn warm_up_opens_the_connection_that_the_first_call_uses() {
    let sim = simulator();
    let client = client_of(&sim, "/v1");
    client.warm_up(None).expect("connected");
    client.warm_up(None).expect("already there");
    assert_eq!(sim.stats().requests, 0);
    client.chat_completions(REQUEST, None).expect("answer");
    client.warm_up(None).expect("already there");
    client.chat_completions(REQUEST, None).expect("answer");
    assert_eq!(sim.stats().accepted, 1);
    client.close_idle();
    client.chat_completions(REQUEST, None).expect("answer");
    assert_eq!(sim.stats().accepted, 2);
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_replaced_silently() {
    let sim = simulator();
    let client = client_of(&sim, "/fault/close-when-idle-20/v1");
    for _ in 0..3 {
        client.chat_completions(REQUEST, None).expect("answer");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sim.stats().connections, 3);
}

#[test]
fn a_reset_after_the_request_was_read_is_not_repeated() {
    for fault in ["reset-on-second-request", "close-on-second-request"] {
        let sim = simulator();
        let client = client_of(&sim, &format!("/fault/{fault}/v1"));
        client.chat_completions(REQUEST, None).expect("answer");
        let error = client.chat_completions(REQUEST, None).expect_err(fault);
        assert_eq!((error.kind(), error.billed()), (Kind::Connection, Billed::Maybe), "{error}");
        assert!(!error.retryable(), "{error}");
        assert_eq!(sim.stats().requests, 2, "{fault}");
    }
}

#[test]
fn the_reply_of_a_server_that_stops_reading_is_not_hidden_by_the_broken_write() {
    let stall = Stall::fault(Phase::Send, "body-too-large");
    let request = Stall::sending().request;
    let error = stall.client(Config::new()).chat_completions(&request, None).expect_err("refused");
    assert_eq!((error.kind(), error.status()), (Kind::PayloadTooLarge, Some(413)), "{error}");
}

#[test]
fn addresses_of_ipv6_and_names_of_this_machine_are_reached() {
    for (host, address) in [("[::1]", "[::1]:0"), ("localhost", "127.0.0.1:0")] {
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) if host == "[::1]" => {
                eprintln!("this machine has no IPv6: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let port = listener.local_addr().expect("address").port();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("connection");
            // All of it: what is left unread at the end would reset the connection.
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).expect("request");
                seen.push(byte[0]);
            }
            let body = r#"{"data":[]}"#;
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("reply");
        });
        let config = Config::new().api_key("sk-test").base_url(format!("http://{host}:{port}/v1"));
        Client::new(config).expect("client").get("/models", None).expect("reply");
        server.join().expect("server");
    }
}

#[test]
fn a_name_without_address_is_a_dns_error_that_was_not_billed() {
    let config = Config::new().api_key("sk-test").base_url("https://no-such-host.invalid/v1");
    let error = Client::new(config).expect("client").get("/models", None).expect_err("dns");
    assert_eq!((error.kind(), error.phase()), (Kind::Dns, Some(Phase::Dns)), "{error}");
    assert_eq!((error.billed(), error.retryable()), (Billed::No, true));
    assert!(error.message().contains("no-such-host.invalid"), "{error}");
}
