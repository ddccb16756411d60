//! Every fault shows the misbehaviour that its name promises.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::*;
use elkapi_sim::Simulator;

const STREAM: &str = ",\"stream\":true";

fn fault(name: &str, more: &str) -> String {
    chat(&format!("/fault/{name}/v1"), "What is moss?", more)
}

/// Sends the request, then reads whatever comes until nothing does for a while.
fn until_silence(socket: &mut TcpStream, request: &str) -> Vec<u8> {
    socket.write_all(request.as_bytes()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut got = Vec::new();
    let mut some = [0; 65_536];
    loop {
        match socket.read(&mut some) {
            Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(&got)),
            Ok(count) => got.extend_from_slice(&some[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return got;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads at least `enough` bytes, then leaves; the simulator must notice.
fn read_and_leave(sim: &Simulator, request: &str, enough: usize) -> Vec<u8> {
    let mut socket = connect(sim.address());
    socket.write_all(request.as_bytes()).unwrap();
    let mut got = vec![0; enough];
    socket.read_exact(&mut got).unwrap();
    drop(socket);
    wait_for("the simulator sees that the client left", || sim.stats().closed_by_client == 1);
    assert_eq!(sim.stats().in_flight, 0);
    assert_eq!(sim.stats().closed_by_client_at_ms.len(), 1);
    got
}

fn is_reset(outcome: &std::io::Result<()>) -> bool {
    matches!(outcome, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

fn body_of(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw).into_owned();
    text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

#[test]
fn every_fault_of_the_table_is_known_to_the_server() {
    let sim = simulator();
    let table = ask(&sim, "GET /__faults HTTP/1.1\r\nHost: sim\r\n\r\n").text();
    assert_eq!(table, elkapi_sim::fault_table());
    assert!(table.lines().count() > 40, "{table}");
    assert_eq!(sim.stats().requests, 0);
}

#[test]
fn stalls_stop_where_their_names_say() {
    let sim = simulator();
    let stall = |name: &str, more: &str| until_silence(&mut connect(sim.address()), &fault(name, more));
    assert!(stall("stall-before-headers", "").is_empty());
    let got = stall("stall-after-headers", "");
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(b"\r\n\r\n"));
    let got = stall("stall-mid-body", STREAM);
    assert!(body_of(&got).contains("data: {") && !body_of(&got).contains("[DONE]"));
    let got = stall("stall-after-done", STREAM);
    assert!(got.ends_with(b"data: [DONE]\n\n\r\n"), "{}", String::from_utf8_lossy(&got));
    let got = stall("huge-content-length", "");
    assert!(got.ends_with(b"Content-Length: 1073741824\r\n\r\n"));
}

#[test]
fn a_client_that_leaves_a_stalled_reply_is_noticed() {
    let sim = simulator();
    read_and_leave(&sim, &fault("stall-before-headers", ""), 0);
}

#[test]
fn a_drip_takes_its_time_and_one_byte_writes_do_not() {
    let sim = simulator();
    let start = Instant::now();
    let reply = ask(&sim, &fault("drip-1", ""));
    assert!(start.elapsed() >= Duration::from_millis(reply.raw.len() as u64 - 1));
    assert_eq!(reply.json()["object"], "chat.completion");
    assert!(ask(&sim, &fault("one-byte-writes", STREAM)).events().len() > 4);
}

#[test]
fn closing_and_truncating_end_without_an_error_of_the_socket() {
    let sim = simulator();
    let (got, outcome) = ask_to_end(&sim, &fault("close-before-reply", ""));
    assert_eq!((got.len(), outcome.is_ok()), (0, true));
    let (got, outcome) = ask_to_end(&sim, &fault("truncate", STREAM));
    assert!(outcome.is_ok() && !got.ends_with(b"0\r\n\r\n"));
    assert!(body_of(&got).contains("data: {"));
    let (got, outcome) = ask_to_end(&sim, &fault("half-header", ""));
    assert!(outcome.is_ok() && got.ends_with(b"Content-Ty"));
}

#[test]
fn resets_are_resets() {
    let sim = simulator();
    for name in ["reset", "reset-before-reply"] {
        let (got, outcome) = ask_to_end(&sim, &fault(name, ""));
        assert!(got.is_empty() && is_reset(&outcome), "{name}: {outcome:?}");
    }
    let (got, outcome) = ask_to_end(&sim, &fault("reset-after-headers", ""));
    assert!(got.ends_with(b"\r\n\r\n") && is_reset(&outcome), "{outcome:?}");
    let (got, outcome) = ask_to_end(&sim, &fault("reset-mid-body", STREAM));
    assert!(body_of(&got).contains("data: {") && is_reset(&outcome), "{outcome:?}");
}

#[test]
fn comments_come_before_the_events_or_for_ever() {
    let sim = simulator();
    let text = ask(&sim, &fault("ping-storm-300", STREAM)).text();
    assert_eq!(text.matches(": PING\n\n").count(), 300);
    assert!(text.ends_with("data: [DONE]\n\n"));
    let got = read_and_leave(&sim, &fault("ping-forever-1", STREAM), 1_000);
    assert!(body_of(&got).matches(": PING\n\n").count() > 10);
}

#[test]
fn a_huge_line_has_the_asked_size() {
    let sim = simulator();
    let events = ask(&sim, &fault("huge-line-2", STREAM)).events();
    let longest = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .map(str::len)
        .max();
    assert_eq!(longest, Some(2 << 20));
    let whole = ask(&sim, &fault("huge-line-1", "")).json();
    assert_eq!(whole["choices"][0]["message"]["content"].as_str().map(str::len), Some(1 << 20));
}

#[test]
fn a_slow_reader_makes_the_sender_wait() {
    let sim = simulator();
    let head = |name: &str, length: usize| {
        format!(
            "POST /fault/{name}/v1/chat/completions HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer sk-test\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut socket = connect(sim.address());
    socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let body = vec![b' '; 32 << 20];
    socket.write_all(head("slow-read", body.len()).as_bytes()).unwrap();
    let error = socket.write_all(&body).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert_eq!(sim.stats().in_flight, 1);

    let start = Instant::now();
    let request = chat("/s/slow/fault/slow-accept-150/v1", "moss", "");
    assert_eq!(ask(&sim, &request).status, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
    assert_eq!(sim.stats_of("slow").requests, 1);
}

#[test]
fn a_body_that_is_too_large_is_refused_unread() {
    let reply = ask(&simulator(), &fault("body-too-large", ""));
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
}

#[test]
fn an_ignored_expectation_gets_no_interim_reply() {
    let sim = simulator();
    let request = fault("expect-ignored", "").replace("Host: sim", "Host: sim\r\nExpect: 100-continue");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut socket = connect(sim.address());
    assert!(until_silence(&mut socket, &format!("{head}\r\n\r\n")).is_empty());
    socket.set_read_timeout(Some(BOUND)).unwrap();
    assert_eq!(exchange(&mut socket, body).status, 200);
}

#[test]
fn kept_connections_close_when_their_names_say() {
    let sim = simulator();
    let mut socket = connect(sim.address());
    let reply = exchange(&mut socket, &fault("close-after-reply", ""));
    assert_eq!((reply.status, reply.header("connection")), (200, Some("keep-alive")));
    assert!(read_to_end(&mut socket).0.is_empty());

    let mut socket = connect(sim.address());
    assert_eq!(exchange(&mut socket, &fault("close-when-idle-150", "")).status, 200);
    assert_eq!(exchange(&mut socket, &fault("close-when-idle-1", "")).status, 200);
    assert!(read_to_end(&mut socket).0.is_empty());

    for (name, reset) in [("close-on-second-request", false), ("reset-on-second-request", true)] {
        let mut socket = connect(sim.address());
        assert_eq!(exchange(&mut socket, &fault(name, "")).status, 200);
        socket.write_all(fault(name, "").as_bytes()).unwrap();
        let (got, outcome) = read_to_end(&mut socket);
        assert_eq!((got.len(), is_reset(&outcome)), (0, reset), "{name}: {outcome:?}");
    }
    let mut socket = connect(sim.address());
    assert_eq!(exchange(&mut socket, &fault("stall-on-second-request", "")).status, 200);
    assert!(until_silence(&mut socket, &fault("stall-on-second-request", "")).is_empty());
}

#[test]
fn an_extra_reply_follows_the_real_one() {
    let sim = simulator();
    let mut socket = connect(sim.address());
    assert_eq!(exchange(&mut socket, &fault("extra-reply", "")).json()["object"], "chat.completion");
    assert_eq!(read_reply(&mut socket).text(), "{\"surplus\":true}");
}

#[test]
fn rate_limits_say_when_to_come_back_in_every_form() {
    let sim = simulator();
    let limited = |name: &str| {
        let reply = ask(&sim, &fault(name, ""));
        assert_eq!(reply.status, 429, "{name}");
        assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
        (reply.header("retry-after").map(str::to_owned), reply.header("retry-after-ms").map(str::to_owned))
    };
    assert_eq!(limited("429-seconds").0.as_deref(), Some("1"));
    assert_eq!(limited("429-seconds-7").0.as_deref(), Some("7"));
    assert!(limited("429-date").0.is_some_and(|date| date.ends_with(" GMT")));
    assert_eq!(limited("429-ms-30"), (Some("20".to_owned()), Some("30".to_owned())));
    assert_eq!(limited("429-garbage").0.as_deref(), Some("-5 soon"));
    assert_eq!(limited("429-long").0.as_deref(), Some("3600"));
}

#[test]
fn lengths_are_announced_wrongly() {
    let sim = simulator();
    for (name, longer) in [("short-length", true), ("long-length", false)] {
        let (got, outcome) = ask_to_end(&sim, &fault(name, ""));
        outcome.unwrap();
        let text = String::from_utf8(got.clone()).unwrap();
        let announced = text.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap();
        assert_eq!(body_of(&got).len() > announced.parse::<usize>().unwrap(), longer, "{name}");
        assert!(body_of(&got).ends_with("}}") || body_of(&got).ends_with('}'));
    }
}

#[test]
fn heads_grow_beyond_measure() {
    let sim = simulator();
    let reply = ask(&sim, &fault("many-headers-500", ""));
    assert_eq!(reply.headers.iter().filter(|(name, _)| name.starts_with("X-Elk-")).count(), 500);
    let mut socket = connect(sim.address());
    let first = exchange(&mut socket, &fault("interim-storm-3", ""));
    let rest: Vec<u16> = (0..3).map(|_| read_reply(&mut socket).status).collect();
    assert_eq!((first.status, rest), (100, vec![100, 100, 200]));
    let got = read_and_leave(&sim, &fault("endless-header", ""), 4 << 20);
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\nX-Endless: a") && got.ends_with(b"aaaa"));
}

#[test]
fn bodies_grow_beyond_measure() {
    for more in ["", STREAM] {
        let got = read_and_leave(&simulator(), &fault("endless-body", more), 4 << 20);
        let expected = if more.is_empty() { "{\"id\":" } else { "data: {" };
        assert!(body_of(&got[..8_192]).contains(expected), "{expected}");
    }
}

#[test]
fn bytes_that_are_no_reply_are_sent() {
    let sim = simulator();
    let (got, _) = ask_to_end(&sim, &fault("bad-chunk", ""));
    assert_eq!(body_of(&got), "elk\r\n{}\r\n0\r\n\r\n");
    let (got, _) = ask_to_end(&sim, &fault("not-http", ""));
    assert!(got.starts_with(b"SSH-2.0-"));
}

#[test]
fn a_gzip_bomb_is_small_on_the_wire() {
    let reply = ask(&simulator(), &fault("gzip-bomb", ""));
    assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("gzip")));
    assert!(reply.body.starts_with(&[0x1F, 0x8B, 8]));
    assert!((1 << 20..1_100_000).contains(&reply.body.len()));
    // The last four bytes tell the length of what it decompresses to.
    let tail = reply.body[reply.body.len() - 4..].try_into().unwrap();
    assert_eq!(u32::from_le_bytes(tail), 1_082_130_433);
}

#[test]
fn error_replies_are_large_or_tell_secrets_or_lead_away() {
    let sim = simulator();
    let page = ask(&sim, &fault("error-page-2", ""));
    assert_eq!((page.status, page.body.len()), (502, 2 << 20));
    let echo = ask(&sim, &fault("echo-key", ""));
    assert_eq!((echo.status, echo.header("x-echo-authorization")), (401, Some("Bearer sk-test")));
    assert!(echo.text().contains("Bearer sk-test"));
    let redirect = ask(&sim, &fault("redirect", ""));
    assert_eq!((redirect.status, redirect.header("location")), (307, Some("http://sim/v1/chat/completions")));
}
