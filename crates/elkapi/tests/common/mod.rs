//! What the integration tests share: a simulator, clients of it, and a server that is a bare socket.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use elkapi::{Client, Completion, Config, Error};
use elkapi_sim::{Options, Simulator};
use serde_json::Value;

/// Nothing that is expected to end takes nearly as long; whatever does is stuck.
pub const BOUND: Duration = Duration::from_secs(10);

/// The key of every client made here.
pub const KEY: &str = "sk-test-0000";

/// A request that every gateway answers.
pub const HELLO: &str = r#"{"messages":[{"role":"user","content":"Hello"}]}"#;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory of the wire fixtures.
pub fn fixtures() -> PathBuf {
    root().join("tests/wire")
}

/// A gateway of this test's own.
pub fn simulator() -> Simulator {
    Simulator::start(Options { fixtures: Some(fixtures()), ..Options::default() }).unwrap()
}

/// The options that every test sets: nothing from the environment, no repetitions.
///
/// No test waits for the defaults' ten minutes: what does not end by itself ends here.
pub fn config(base_url: &str) -> Config {
    let config = Config::new().environment(false).base_url(base_url).api_key(KEY);
    config.total_timeout_ms(60_000u64).max_retries(0u64)
}

/// A client with those options.
pub fn client(base_url: &str) -> Client {
    Client::new(config(base_url)).unwrap()
}

/// A client with more options, a JSON object, than the usual ones.
pub fn client_with(base_url: &str, options: &str) -> Client {
    let mut all: Value = serde_json::from_str(options).unwrap();
    let members = all.as_object_mut().unwrap();
    members.insert("environment".to_owned(), false.into());
    members.insert("base_url".to_owned(), base_url.into());
    members.entry("api_key").or_insert(KEY.into());
    members.entry("max_retries").or_insert(0.into());
    if !members.contains_key("timeout_ms") {
        members.entry("total_timeout_ms").or_insert(60_000.into());
    }
    Client::new(Config::from_json(&all.to_string()).unwrap()).unwrap()
}

/// What a call ended with, and how long it took.
pub fn timed(call: impl FnOnce() -> Result<Completion, Error>) -> (Result<Completion, Error>, Duration) {
    let start = Instant::now();
    let outcome = call();
    (outcome, start.elapsed())
}

/// Waits until `fact` holds.
pub fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < BOUND, "never happened: {what}");
        // Looks again soon, without taking the processor from those it waits for.
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A good reply that closes the connection.
pub fn answer(text: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}]}}"#
    );
    reply("200 OK", &["Content-Type: application/json", "Connection: close"], body.as_bytes())
}

/// A reply with that status line, these field lines, and a `Content-Length`.
pub fn reply(status: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for field in fields {
        bytes.extend_from_slice(field.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A server on a bare socket.
pub struct Server<T> {
    /// `http://127.0.0.1:PORT/v1`
    pub base_url: String,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Runs `serve` with the listening socket in a thread of its own.
    pub fn start(serve: impl FnOnce(TcpListener) -> T + Send + 'static) -> Server<T> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        Server { base_url, thread: std::thread::spawn(move || serve(listener)) }
    }

    /// What `serve` returned, once it is done.
    pub fn join(self) -> T {
        self.thread.join().unwrap()
    }
}

/// A server that takes one request, gives one reply, closes, and tells the request.
pub fn one_reply(reply: Vec<u8>) -> Server<Request> {
    Server::start(move |listener| {
        let mut socket = accept(&listener);
        let request = Request::read(&mut socket);
        socket.write_all(&reply).unwrap();
        request
    })
}

/// The next connection, with bounds on every wait.
pub fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket.set_write_timeout(Some(BOUND)).unwrap();
    socket
}

/// A request as it stood on the wire.
#[derive(Debug)]
pub struct Request {
    /// `POST /v1/chat/completions HTTP/1.1`
    pub line: String,
    /// Field names, as they were spelt, and values, in order.
    pub fields: Vec<(String, String)>,
    /// As many bytes as `Content-Length` says.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads one request.
    pub fn read(socket: &mut impl Read) -> Request {
        let mut request = Request::read_head(socket);
        if let Some(length) = request.field("content-length") {
            request.body.resize(length.parse().unwrap(), 0);
            socket.read_exact(&mut request.body).unwrap();
        }
        request
    }

    /// Reads a request up to its body.
    pub fn read_head(socket: &mut impl Read) -> Request {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let fields = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Request { line, fields, body: Vec::new() }
    }

    /// The value of the only field of that name, whatever its case; `None` if there is none.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "the field {name} stands twice: {:?}", self.fields);
        value
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body's JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Xorshift: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}
