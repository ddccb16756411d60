//! Raw exchanges: what is given goes out as it is, what comes is handed out as it is.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Cursor, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{BOUND, Request as Seen, Server, accept, one_reply, reply, simulator, wait_for};
use elkapi::raw::{Body, Limits, Reply, Request, Transport};
use elkapi::{Billed, Cancel, Config, Error, Kind, Limit};

/// A request that the gateway itself takes as it is.
const HELLO: &str = r#"{"model":"gemini-3.1-pro-preview","messages":[{"role":"user","content":"Hello"}]}"#;

fn transport() -> Transport {
    Transport::new(Config::new().environment(false)).unwrap()
}

fn limits() -> Limits {
    Limits { total: Some(BOUND * 3), ..Limits::default() }
}

fn post<'a>(url: &'a str, body: &'a str) -> Request<'a> {
    let fields: &[(&[u8], &[u8])] =
        &[(b"Content-Type", b"application/json"), (b"Authorization", b"Bearer sk-test-0000")];
    Request { method: "POST", url, fields, body: Body::Bytes(body.as_bytes()), limits: limits() }
}

fn get(url: &str) -> Request<'_> {
    Request {
        method: "GET",
        url,
        fields: &[(b"Authorization", b"Bearer sk-test-0000")],
        body: Body::None,
        limits: limits(),
    }
}

fn rest(reply: &mut Reply) -> Result<Vec<u8>, Error> {
    let (mut room, mut bytes) = (vec![0; 4096], Vec::new());
    loop {
        match reply.body.read(&mut room)? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&room[..length]),
        }
    }
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let line = reply.fields.iter().find(|(n, _)| n == name);
    line.map(|(_, value)| std::str::from_utf8(value).unwrap())
}

#[test]
fn method_target_fields_and_body_stand_on_the_wire_as_given() {
    let answer = b"HTTP/1.1 299 Odd\r\nX-A: 1\r\nX-B: \xff\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let server = one_reply(answer);
    let request = Request {
        method: "PURGE",
        url: &format!("{}/a%20b?x[]=1&y=%26", server.base_url),
        fields: &[(b"X-Two", b"one"), (b"Host", b"elsewhere.example"), (b"X-Two", b"two")],
        body: Body::None,
        limits: limits(),
    };
    let mut reply = transport().send(request, None).unwrap();
    assert_eq!(reply.status, 299);
    let lines: Vec<_> = reply.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(
        lines,
        [("x-a", &b"1"[..]), ("x-a", b"2"), ("x-b", b"\xff"), ("content-length", b"2")],
        "the lines of one name in order"
    );
    assert_eq!(rest(&mut reply).unwrap(), b"ok");
    assert_eq!(rest(&mut reply).unwrap(), b"", "an ended body stays ended");
    drop(server);
}

#[test]
fn nothing_is_added_but_what_http_needs() {
    let server = one_reply(reply("200 OK", &[], b"{}"));
    let url = format!("{}/x", server.base_url);
    let mut got = transport().send(post(&url, "{}"), None).unwrap();
    assert_eq!(rest(&mut got).unwrap(), b"{}");
    let seen = server.join();
    let mut names: Vec<_> = seen.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["authorization", "content-length", "content-type", "host"]);
    assert_eq!((seen.line.as_str(), seen.text()), ("POST /v1/x HTTP/1.1", "{}"));
}

#[test]
fn a_body_can_be_read_from_a_reader() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        let head = Seen::read(&mut socket);
        let mut chunked = Vec::new();
        while !chunked.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut socket, &mut byte).unwrap();
            chunked.push(byte[0]);
        }
        socket.write_all(&reply("200 OK", &[], b"")).unwrap();
        (head, chunked)
    });
    let url = format!("{}/x", server.base_url);
    let mut bytes = Cursor::new(b"abc".to_vec());
    let request = Request { body: Body::Reader(&mut bytes), ..post(&url, "") };
    assert_eq!(transport().send(request, None).unwrap().status, 200);
    let (head, chunked) = server.join();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(chunked, b"3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn streams_that_are_left_behind_done_keep_their_connection() {
    let sim = simulator();
    let transport = transport();
    let url = sim.url("/v1/chat/completions");
    let request = HELLO.replacen('{', r#"{"stream":true,"#, 1);
    for _ in 0..20 {
        let mut reply = transport.send(post(&url, &request), None).unwrap();
        let (mut seen, mut room) = (Vec::new(), vec![0; 4096]);
        while !String::from_utf8_lossy(&seen).contains("[DONE]") {
            let length = reply.body.read(&mut room).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&room[..length]);
        }
        reply.body.finish();
    }
    assert_eq!((sim.stats().requests, sim.stats().connections), (20, 1));
}

#[test]
fn a_stream_that_is_left_in_its_middle_is_closed_without_a_wait() {
    let sim = simulator();
    let transport = transport();
    let url = sim.url("/fault/stall-mid-body/v1/chat/completions");
    let mut reply = transport.send(post(&url, HELLO), None).unwrap();
    assert!(reply.body.read(&mut [0; 64]).unwrap() > 0);
    let started = Instant::now();
    assert!(reply.body.finish_now(), "its end is not due");
    reply.body.finish();
    assert!(started.elapsed() < Duration::from_millis(80), "{:?}", started.elapsed());
    assert_eq!(reply.body.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn a_body_is_left_without_a_wait_once_its_end_is_here() {
    let (tell, told) = mpsc::channel::<()>();
    let server = Server::start(move |listener| {
        let mut socket = accept(&listener);
        Seen::read(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        socket.write_all(b"e\r\ndata: [DONE]\n\n\r\n").unwrap();
        told.recv().unwrap();
        socket.write_all(b"0\r\n\r\n").unwrap();
        Seen::read(&mut socket);
        socket.write_all(&reply("200 OK", &[], b"again")).unwrap();
    });
    let (transport, url) = (transport(), format!("{}/x", server.base_url));
    let mut first = transport.send(get(&url), None).unwrap();
    assert!(first.body.read(&mut [0; 64]).unwrap() > 0);
    assert!(!first.body.finish_now(), "its end is due");
    tell.send(()).unwrap();
    wait_for("the end is here", || first.body.finish_now());
    assert_eq!(rest(&mut transport.send(get(&url), None).unwrap()).unwrap(), b"again");
    server.join();
}

/// What a client that listens to `x-should-retry` hears.
#[test]
fn refusals_that_may_have_been_charged_say_that_they_are_not_to_be_repeated() {
    let error = r#"{"error":{"message":"m","code":"c"}}"#;
    let quota = r#"{"error":{"message":"m","code":"insufficient_user_quota"}}"#;
    for (status, extra, body, said) in [
        ("500 X", "X-A: b", error, None),
        ("429 X", "Retry-After: 1", error, None),
        ("502 X", "X-A: b", "<html>", Some("false")),
        ("429 X", "X-A: b", quota, Some("false")),
        ("524 X", "X-A: b", error, Some("false")),
        ("502 X", "X-Should-Retry: true", "<html>", Some("true")),
        ("200 X", "X-A: b", "<html>", None),
    ] {
        let server = one_reply(reply(status, &[extra], body.as_bytes()));
        let url = format!("{}/x", server.base_url);
        let mut reply = transport().send(post(&url, "{}"), None).unwrap();
        assert_eq!(field(&reply, "x-should-retry"), said, "{status} {extra} {body}");
        assert_eq!(rest(&mut reply).unwrap(), body.as_bytes(), "what was judged is still handed out");
    }
    let risky = Transport::new(Config::new().environment(false).retry_risky(true)).unwrap();
    let server = one_reply(reply("502 X", &[], b"<html>"));
    let url = format!("{}/x", server.base_url);
    assert_eq!(field(&risky.send(post(&url, "{}"), None).unwrap(), "x-should-retry"), None);
    let server = one_reply(reply("502 X", &[], b"<html>"));
    let url = format!("{}/x", server.base_url);
    assert_eq!(field(&transport().send(get(&url), None).unwrap(), "x-should-retry"), None, "costs nothing");
}

#[test]
fn a_refusal_that_breaks_off_is_handed_out_before_its_failure() {
    let server = one_reply(b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\nhalf".to_vec());
    let url = format!("{}/x", server.base_url);
    let mut reply = transport().send(post(&url, "{}"), None).unwrap();
    assert_eq!(field(&reply, "x-should-retry"), Some("false"));
    let mut room = [0; 64];
    assert_eq!(reply.body.read(&mut room).unwrap(), 4);
    assert_eq!(reply.body.read(&mut room).unwrap_err().kind(), Kind::Connection);
}

#[test]
fn limits_hold_and_say_which_they_were() {
    let sim = simulator();
    let short = Some(Duration::from_millis(150));
    for (path, limits, which) in [
        ("stall-before-headers", Limits { first_byte: short, ..limits() }, Limit::FirstByte),
        ("stall-mid-body", Limits { idle: short, ..limits() }, Limit::Idle),
        ("drip", Limits { total: short, ..Limits::default() }, Limit::Total),
    ] {
        let url = sim.url(&format!("/fault/{path}/v1/chat/completions"));
        let request = Request { limits, ..post(&url, HELLO) };
        let outcome = transport().send(request, None).and_then(|mut reply| rest(&mut reply));
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(which)), "{path}");
    }
}

#[test]
fn a_token_stops_the_wait_and_the_reading() {
    let sim = simulator();
    let url = sim.url("/fault/stall-before-headers/v1/chat/completions");
    let stop = Cancel::new();
    let signalled = stop.clone();
    let signaller = thread::spawn(move || {
        thread::park_timeout(Duration::from_millis(100));
        signalled.signal();
    });
    let error = transport().send(post(&url, HELLO), Some(&stop)).unwrap_err();
    assert_eq!((error.kind(), error.billed()), (Kind::Cancelled, Billed::Maybe));
    signaller.join().unwrap();
    let error = transport().send(post(&url, HELLO), Some(&stop)).unwrap_err();
    assert_eq!((error.kind(), error.billed()), (Kind::Cancelled, Billed::No), "nothing was sent");

    let url = sim.url("/fault/stall-mid-body/v1/chat/completions");
    let mut reply = transport().send(post(&url, HELLO), None).unwrap();
    let signalled = reply.body.cancel();
    let signaller = thread::spawn(move || {
        thread::park_timeout(Duration::from_millis(100));
        signalled.signal();
    });
    assert_eq!(rest(&mut reply).unwrap_err().kind(), Kind::Cancelled);
    signaller.join().unwrap();
}

#[test]
fn what_http_does_not_allow_is_refused_before_anything_is_sent() {
    let transport = transport();
    for (method, url, name, value, says) in [
        ("G T", "http://127.0.0.1:1/", "x", "y", "method"),
        ("GET", "ftp://127.0.0.1/", "x", "y", "https://"),
        ("GET", "/relative", "x", "y", "https://"),
        ("GET", "http://me:secret@127.0.0.1:1/", "x", "y", "password"),
        ("GET", "http://127.0.0.1:1/", "x y", "y", "name"),
        ("GET", "http://127.0.0.1:1/", "x", "y\r\nz: 1", "line end"),
        ("GET", "http://example.com/", "x", "y", "unencrypted"),
    ] {
        let fields = &[(name.as_bytes(), value.as_bytes())];
        let request = Request { method, url, fields, body: Body::None, limits: limits() };
        let error = transport.send(request, None).unwrap_err();
        assert!(matches!(error.kind(), Kind::InvalidArgument | Kind::Config), "{error}");
        assert!(error.message().contains(says), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
    }
    let error = Transport::new(Config::new().max_retries(1u64)).unwrap_err();
    assert_eq!((error.kind(), error.param()), (Kind::Config, Some("max_retries")));
}

#[test]
fn a_stale_connection_is_replaced_silently() {
    let sim = simulator();
    let transport = transport();
    let url = sim.url("/fault/close-when-idle-10/v1/models");
    for _ in 0..3 {
        let mut reply = transport.send(get(&url), None).unwrap();
        assert_eq!(reply.status, 200);
        rest(&mut reply).unwrap();
        thread::park_timeout(Duration::from_millis(40));
    }
    assert_eq!(sim.stats().requests, 3);
}

#[test]
fn fields_that_contradict_the_body_are_refused_before_anything_is_sent() {
    let transport = transport();
    for (method, fields, body, says) in [
        ("GET", &[("Content-Length", "5")][..], "", "has 0 bytes"),
        ("POST", &[("content-length", "5")], "abc", "has 3 bytes"),
        ("POST", &[("Transfer-Encoding", "gzip")], "abc", "can only be \"chunked\""),
        (
            "POST",
            &[("Transfer-Encoding", "chunked"), ("Content-Length", "3")],
            "abc",
            "without content-length",
        ),
    ] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let body = if body.is_empty() { Body::None } else { Body::Bytes(body.as_bytes()) };
        let request = Request { method, url: "http://127.0.0.1:1/", fields: &fields, body, limits: limits() };
        let error = transport.send(request, None).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn a_reader_has_to_give_what_the_length_says() {
    for (bytes, says) in [(&b"abc"[..], "ended before"), (b"abcdefg", "goes on behind")] {
        let server = Server::start(|listener| drop(Seen::read_head(&mut accept(&listener))));
        let fields: &[(&[u8], &[u8])] = &[(b"Content-Length", b"5")];
        let (url, mut bytes) = (server.base_url.clone(), Cursor::new(bytes.to_vec()));
        let request =
            Request { method: "POST", url: &url, fields, body: Body::Reader(&mut bytes), limits: limits() };
        let error = transport().send(request, None).unwrap_err();
        assert_eq!((error.kind(), error.billed()), (Kind::InvalidArgument, Billed::No), "{error}");
        assert!(error.message().contains(says), "{error}");
        server.join();
    }
}

#[test]
fn an_endless_upload_hears_a_refusal_a_cancel_and_its_limit() {
    let upload = |url: &str, total: Duration, cancel: Option<&Cancel>| {
        let mut endless = std::io::repeat(b'x');
        let limits = Limits { total: Some(total), ..Limits::default() };
        let fields: &[(&[u8], &[u8])] = &[];
        let body = Body::Reader(&mut endless);
        transport().send(Request { method: "POST", url, fields, body, limits }, cancel)
    };
    // It says no and reads no further.
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        Seen::read_head(&mut socket);
        socket.write_all(&reply("413 Too Large", &[], b"no")).unwrap();
        socket
    });
    let mut refused = upload(&server.base_url, BOUND * 3, None).unwrap();
    assert_eq!((refused.status, rest(&mut refused).unwrap()), (413, b"no".to_vec()));
    drop(server.join());
    // It reads everything, however much it is.
    let reads_on =
        || Server::start(|listener| std::io::copy(&mut accept(&listener), &mut std::io::sink()).map(drop));
    let server = reads_on();
    let error = upload(&server.base_url, Duration::from_millis(200), None).unwrap_err();
    assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(Limit::Total)), "{error}");
    let _ = server.join();
    let (server, cancel) = (reads_on(), Cancel::new());
    let signal = cancel.clone();
    let signaller = thread::spawn(move || {
        thread::park_timeout(Duration::from_millis(100));
        signal.signal();
    });
    let error = upload(&server.base_url, BOUND * 3, Some(&cancel)).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    signaller.join().unwrap();
    let _ = server.join();
}

#[test]
fn a_length_beside_chunks_means_nothing_and_ends_the_connection() {
    for length in [1u64, 1 << 40] {
        let text = "x".repeat(3_000_000);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\
             Content-Type: application/json\r\n\r\n"
        );
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"{text}"}},"finish_reason":"stop"}}]}}"#
        );
        let bytes = [head.as_bytes(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()].concat();
        let server = Server::start(move |listener| {
            let mut connections = Vec::new();
            for _ in 0..2 {
                let mut socket = accept(&listener);
                Seen::read(&mut socket);
                socket.write_all(&bytes).unwrap();
                connections.push(socket);
            }
        });
        let client = common::client(&server.base_url);
        for _ in 0..2 {
            let start = Instant::now();
            let answer = client.chat_completions(r#"{"messages":[]}"#, None).unwrap();
            assert_eq!(answer.text().len(), text.len());
            // Byte by byte it would take many times as long.
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        }
        server.join();
    }
}

#[test]
fn what_came_before_a_bad_chunk_is_handed_out_and_the_failure_stays() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n".to_vec();
    let server = one_reply(bytes);
    let mut reply = transport().send(get(&server.base_url), None).unwrap();
    let mut room = [0; 64];
    assert_eq!(reply.body.read(&mut room).unwrap(), 5);
    assert_eq!(&room[..5], b"hello");
    let error = reply.body.read(&mut room).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    server.join();
}

#[test]
fn interim_replies_without_end_are_refused() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        Seen::read(&mut socket);
        while socket.write_all(&b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n".repeat(100)).is_ok() {}
    });
    let error = transport().send(get(&server.base_url), None).unwrap_err();
    assert_eq!(error.kind(), Kind::ReplyTooLarge, "{error}");
    server.join();
}
