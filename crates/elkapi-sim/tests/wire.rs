//! Fixtures, replayed byte for byte and in other writes.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use base64::Engine as _;
use common::*;
use elkapi_sim::{Options, Simulator};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixtures().join(format!("{name}.json"))).unwrap()).unwrap()
}

fn bytes(holder: &Value, text: &str, base64: &str) -> Vec<u8> {
    match holder[text].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(holder[base64].as_str().unwrap()).unwrap(),
    }
}

/// The pieces that the description asks for, whatever the framing.
fn pieces(response: &Value) -> Vec<Vec<u8>> {
    match response["chunks"].as_array() {
        Some(chunks) => chunks.iter().map(|chunk| bytes(chunk, "text", "base64")).collect(),
        None => vec![bytes(response, "body", "body_base64")],
    }
}

/// Every byte that the reply must consist of.
fn wire_bytes(response: &Value) -> Vec<u8> {
    let pieces = pieces(response);
    let reason = match (response["reason"].as_str(), response["status"].as_u64().unwrap()) {
        (Some(reason), _) => reason,
        (None, 200) => "OK",
        (None, 401) => "Unauthorized",
        (None, 429) => "Too Many Requests",
        (None, 500) => "Internal Server Error",
        (None, 502) => "Bad Gateway",
        (None, other) => panic!("no phrase for {other}"),
    };
    let mut wire = format!("HTTP/1.1 {} {reason}\r\n", response["status"]).into_bytes();
    for (name, value) in response["headers"].as_object().unwrap() {
        wire.extend_from_slice(format!("{name}: {}\r\n", value.as_str().unwrap()).as_bytes());
    }
    let chunked = response["framing"] == "chunked";
    if chunked {
        wire.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if response["framing"] == "content-length" {
        let length = pieces.iter().map(Vec::len).sum::<usize>() as u64;
        let length = response["declared_length"].as_u64().unwrap_or(length);
        wire.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    for piece in pieces {
        if chunked {
            wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        wire.extend_from_slice(&piece);
        if chunked {
            wire.extend_from_slice(b"\r\n");
        }
    }
    if chunked && response["end"] != "truncate" {
        wire.extend_from_slice(b"0\r\n\r\n");
    }
    wire
}

#[test]
fn replies_come_byte_for_byte_in_every_framing() {
    let sim = simulator();
    for name in [
        "unary_text",
        "unary_gzip",
        "unary_close_framing",
        "unary_chunked_framing",
        "broken_200_short_body",
        "stream_text",
        "stream_split_everywhere",
        "stream_crlf",
        "stream_truncated_socket",
        "stream_image_large_line",
        "error_401_invalid_token",
        "error_429_empty_body",
        "error_502_html",
        "error_status_no_reason",
        "error_524_from_upstream",
    ] {
        let request = chat(&format!("/wire/{name}/v1"), "Hello", "");
        let request = request.replace("Host: sim", "Host: sim\r\nConnection: close");
        let (got, outcome) = ask_to_end(&sim, &request);
        outcome.unwrap();
        let expected = wire_bytes(&fixture(name)["response"]);
        assert!(got == expected, "{name}: {}", String::from_utf8_lossy(&got));
    }
}

#[test]
fn a_status_line_without_a_reason_phrase_has_none() {
    let sim = simulator();
    let reply = ask(&sim, &chat("/wire/error_status_no_reason/v1", "Hello", ""));
    assert!(reply.raw.starts_with(b"HTTP/1.1 500 \r\n"), "{}", String::from_utf8_lossy(&reply.raw));
}

#[test]
fn every_fixture_can_be_replayed() {
    let sim = simulator();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".json").filter(|name| *name != "index") else {
            continue;
        };
        if fixture(name)["response"]["delay_ms"].as_u64().unwrap_or(0) > 100
            || pieces_pause(&fixture(name)["response"])
            || name == "broken_reset_before_response"
        {
            continue;
        }
        let request = chat(&format!("/wire/{name}/v1"), "Hello", "");
        let (got, _) = ask_to_end(&sim, &request.replace("Host: sim", "Host: sim\r\nConnection: close"));
        let got = String::from_utf8_lossy(&got);
        assert!(got.starts_with("HTTP/1.1 ") && !got.starts_with("HTTP/1.1 599"), "{name}: {got}");
    }
}

fn pieces_pause(response: &Value) -> bool {
    response["chunks"]
        .as_array()
        .is_some_and(|chunks| chunks.iter().any(|chunk| !chunk["delay_ms"].is_null()))
}

#[test]
fn a_framed_reply_leaves_the_connection_open() {
    let sim = simulator();
    let mut socket = connect(sim.address());
    for name in ["unary_text", "stream_text", "broken_204", "unary_text"] {
        let status = exchange(&mut socket, &chat(&format!("/wire/{name}/v1"), "Hello", "")).status;
        assert!(status == 200 || status == 204, "{name}: {status}");
    }
    assert_eq!((sim.stats().requests, sim.stats().connections), (4, 1));
}

#[test]
fn a_connection_closed_before_the_response_brings_no_byte() {
    let (got, outcome) =
        ask_to_end(&simulator(), &chat("/wire/broken_reset_before_response/v1", "Hello", ""));
    assert_eq!((got.len(), outcome.is_ok()), (0, true));
}

#[test]
fn pauses_are_kept() {
    let sim = simulator();
    let start = Instant::now();
    ask(&sim, &chat("/wire/stream_ping_keeps_alive/v1", "Hello", ""));
    assert!(start.elapsed() >= Duration::from_millis(1_100), "{:?}", start.elapsed());
}

#[test]
fn a_sequence_is_used_in_order_and_each_scope_has_its_own() {
    let sim = simulator();
    for scope in ["one", "two"] {
        let path = format!("/s/{scope}/wire/sequence_503_503_200/v1");
        let statuses: Vec<u16> = (0..4).map(|_| ask(&sim, &chat(&path, "Hello", "")).status).collect();
        assert_eq!(statuses, [503, 503, 200, 599], "{scope}");
        assert_eq!(sim.stats_of(scope).requests, 4);
    }
    let reset = ask(&sim, &request("POST", "/s/one/__reset", ""));
    assert_eq!(reset.status, 200);
    assert_eq!(ask(&sim, &chat("/s/one/wire/sequence_503_503_200/v1", "Hello", "")).status, 503);
    assert_eq!(ask(&sim, &chat("/s/two/wire/sequence_503_503_200/v1", "Hello", "")).status, 599);
}

#[test]
fn unknown_fixtures_and_a_missing_directory_say_so_with_599() {
    let sim = simulator();
    for name in ["nope", "..", "%2e%2e"] {
        let reply = ask(&sim, &chat(&format!("/wire/{name}/v1"), "Hello", ""));
        assert_eq!((reply.status, reply.text().contains("fixture")), (599, true), "{name}");
    }
    let bare = Simulator::start(Options::default()).unwrap();
    let reply = ask(&bare, &chat("/wire/unary_text/v1", "Hello", ""));
    assert_eq!(reply.status, 599);
    assert!(reply.text().contains("start with --fixtures DIR"), "{}", reply.text());
}

#[test]
fn reframed_replies_have_the_same_content() {
    let sim = simulator();
    for name in ["unary_text", "stream_text_japanese", "stream_crlf_split", "stream_blank_lines_and_fields"] {
        let content = pieces(&fixture(name)["response"]).concat();
        for mode in ["bytes", "events", "whole", "random-1", "random-2"] {
            let reply = ask(&sim, &chat(&format!("/reframe/{mode}/wire/{name}/v1"), "Hello", ""));
            assert!(reply.body == content, "{name} {mode}: {}", reply.text());
        }
        let read =
            |seed: u32| ask(&sim, &chat(&format!("/reframe/random-{seed}/wire/{name}/v1"), "Hello", "")).raw;
        assert_eq!(read(7), read(7));
    }
    let whole = ask(&sim, &chat("/reframe/whole/wire/stream_text/v1", "Hello", ""));
    assert_eq!(String::from_utf8_lossy(&whole.raw).matches("\r\n0\r\n").count(), 1);
    let plain = ask(&sim, &chat("/reframe/bytes/v1", "Hello", ",\"stream\":true"));
    assert!(plain.events().len() > 4);
}

#[test]
fn a_truncated_reply_stays_truncated_when_reframed() {
    let sim = simulator();
    for mode in ["bytes", "events", "whole", "random-3"] {
        let request = chat(&format!("/reframe/{mode}/wire/stream_truncated_socket/v1"), "Hello", "");
        let (got, outcome) = ask_to_end(&sim, &request);
        outcome.unwrap();
        assert!(!got.ends_with(b"0\r\n\r\n"), "{mode}");
        assert!(String::from_utf8_lossy(&got).contains("Half"), "{mode}");
    }
}

#[test]
fn what_stands_before_a_pause_arrives_before_it() {
    let sim = simulator();
    for mode in ["bytes", "events", "random-5"] {
        let mut socket = connect(sim.address());
        let request = chat(&format!("/reframe/{mode}/wire/stream_idle/v1"), "Hello", "");
        socket.write_all(request.as_bytes()).unwrap();
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains("Half") {
            let mut some = [0; 4_096];
            let count = socket.read(&mut some).unwrap();
            assert!(count > 0, "{mode}");
            got.extend_from_slice(&some[..count]);
        }
        assert!(!String::from_utf8_lossy(&got).contains("[DONE]"), "{mode}");
    }
}

#[test]
fn senseless_steering_is_answered_with_599() {
    let sim = simulator();
    for path in ["/delay/soon/v1", "/reframe/twice/v1", "/fault/nonsense/v1"] {
        let reply = ask(&sim, &chat(path, "Hello", ""));
        assert_eq!(
            (reply.status, reply.json()["error"]["type"].as_str()),
            (599, Some("simulator_error")),
            "{path}"
        );
    }
}
