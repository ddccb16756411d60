//! A client made of a bare socket: sends bytes, reads bytes, understands just enough HTTP.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use elkapi_sim::{Options, Simulator};
use serde_json::Value;

/// Nothing here takes nearly as long; whatever does is stuck.
pub const BOUND: Duration = Duration::from_secs(10);

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire")
}

pub fn simulator() -> Simulator {
    Simulator::start(Options { fixtures: Some(fixtures()), ..Options::default() }).unwrap()
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket.set_write_timeout(Some(BOUND)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// A request with a key and, if it has a body, a media type.
pub fn request(method: &str, path: &str, body: &str) -> String {
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer sk-test\r\n{content}\r\n{body}")
}

/// A chat request with one user message; `more` is put behind it (`,"stream":true`).
pub fn chat(path: &str, prompt: &str, more: &str) -> String {
    let body =
        format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]{more}}}");
    request("POST", &format!("{path}/chat/completions"), &body)
}

/// A reply as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Transfer coding removed.
    pub body: Vec<u8>,
    /// Every byte, from the status line on.
    pub raw: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The data of each event, `[DONE]` left out.
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        text.split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

/// Sends and reads one reply by its framing, leaving the connection open.
pub fn exchange(socket: &mut TcpStream, request: &str) -> Reply {
    socket.write_all(request.as_bytes()).unwrap();
    read_reply(socket)
}

/// The same on a connection of its own.
pub fn ask(sim: &Simulator, request: &str) -> Reply {
    exchange(&mut connect(sim.address()), request)
}

/// Everything that comes until the server ends (`Ok`) or breaks (`Err`) the connection.
pub fn read_to_end(socket: &mut TcpStream) -> (Vec<u8>, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let outcome = socket.read_to_end(&mut bytes).map(|_| ());
    (bytes, outcome)
}

/// Everything a request brings until the connection ends.
pub fn ask_to_end(sim: &Simulator, request: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut socket = connect(sim.address());
    socket.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut socket)
}

pub fn read_reply(socket: &mut TcpStream) -> Reply {
    let mut raw = Vec::new();
    while !raw.ends_with(b"\r\n\r\n") {
        read_some(socket, &mut raw, 1);
    }
    let head = String::from_utf8(raw.clone()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut reply = Reply { status, headers, body: Vec::new(), raw };
    if reply.header("transfer-encoding") == Some("chunked") {
        read_chunks(socket, &mut reply);
    } else if let Some(length) = reply.header("content-length") {
        let length = length.parse().unwrap();
        read_some(socket, &mut reply.body, length);
        reply.raw.extend_from_slice(&reply.body);
    }
    reply
}

fn read_chunks(socket: &mut TcpStream, reply: &mut Reply) {
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            read_some(socket, &mut line, 1);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let mut chunk = Vec::new();
        read_some(socket, &mut chunk, size + 2);
        reply.raw.extend_from_slice(&line);
        reply.raw.extend_from_slice(&chunk);
        if size == 0 {
            return;
        }
        reply.body.extend_from_slice(&chunk[..size]);
    }
}

fn read_some(socket: &mut TcpStream, into: &mut Vec<u8>, count: usize) {
    let start = into.len();
    into.resize(start + count, 0);
    socket.read_exact(&mut into[start..]).unwrap_or_else(|error| {
        panic!("{error} after {:?}", String::from_utf8_lossy(&into[..start]));
    });
}

/// Waits until `fact` holds.
pub fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < BOUND, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
