//! Streams: every event at once, honest about the end, stopped at any moment, connections kept.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use common::{Request, Server, client, client_with, simulator};
use elkapi::{Billed, Cancel, Client, Kind, Limit, Phase, Step, Stream, Verdict};
use elkapi_sim::Simulator;
use serde_json::json;

const HELLO: &str = r#"{"messages":[{"role":"user","content":"Hello"}]}"#;

fn open(sim: &Simulator, path: &str) -> Stream {
    client(&sim.url(path)).chat_completions_stream(HELLO, None).unwrap()
}

#[test]
fn the_request_asks_for_a_stream_and_the_folded_answer_is_all_the_texts() {
    let sim = simulator();
    let mut stream = open(&sim, "/v1");
    let mut texts = String::new();
    while let Some(chunk) = stream.next() {
        texts.push_str(chunk.unwrap().text());
    }
    let sent = sim.stats().last_request.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!((body["stream"].clone(), sent.header("accept")), (json!(true), Some("text/event-stream")));
    let answer = stream.completion();
    assert_eq!(answer.text(), texts);
    assert_eq!((stream.verdict(), answer.verdict()), (Some(Verdict::Complete), Verdict::Complete));
    assert!(answer.usage().unwrap().total_tokens.unwrap() > 0);
    assert_eq!((answer.saw_done(), answer.body(), answer.attempts().len()), (Some(true), &b""[..], 1));
    let whole = client(&sim.base_url()).chat_completions(HELLO, None).unwrap();
    assert_eq!(answer.text(), whole.text());
    assert!(stream.next().is_none(), "done stays done");
}

#[test]
fn an_event_is_there_before_the_next_one_is_sent() {
    let sim = simulator();
    let request = json!({"messages": [{"role": "user", "content": "x"}], "sim": {"chunks": 5, "chunk_delay_us": 100_000}});
    let client = client(&sim.base_url());
    let started = Instant::now();
    let mut stream = client.chat_completions_stream(request.to_string(), None).unwrap();
    let mut first = None;
    while let Some(chunk) = stream.next() {
        if !chunk.unwrap().text().is_empty() {
            first.get_or_insert_with(|| started.elapsed());
        }
    }
    assert!(
        first.unwrap() + Duration::from_millis(250) < started.elapsed(),
        "{first:?} of {:?}",
        started.elapsed()
    );
}

#[test]
fn twenty_streams_use_one_connection_also_when_the_end_comes_a_little_later() {
    let sim = simulator();
    let client = client(&sim.base_url());
    for _ in 0..20 {
        let (_, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
        assert!(error.is_none());
    }
    assert_eq!(sim.stats().connections, 1);

    let server = late_terminator(3);
    let client = common::client(&server.base_url);
    for _ in 0..3 {
        let (answer, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
        assert_eq!((answer.text().as_ref(), error.is_none()), ("Hi", true));
    }
    server.join();
}

/// A server of one connection with so many requests, which ends each chunked body 20 ms after `[DONE]`.
fn late_terminator(requests: usize) -> Server<()> {
    Server::start(move |listener| {
        let mut socket = common::accept(&listener);
        for _ in 0..requests {
            Request::read(&mut socket);
            let event = r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
            let body = format!("{event}\n\ndata: [DONE]\n\n");
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            write!(socket, "{head}{:x}\r\n{body}\r\n", body.len()).unwrap();
            thread::sleep(Duration::from_millis(20));
            write!(socket, "0\r\n\r\n").unwrap();
        }
    })
}

#[test]
fn a_poll_that_finds_nothing_loses_nothing() {
    let sim = simulator();
    let request = json!({"messages": [{"role": "user", "content": "x"}], "sim": {"chunks": 5, "chunk_delay_us": 30_000}});
    let mut stream = client(&sim.base_url()).chat_completions_stream(request.to_string(), None).unwrap();
    let (mut pending, mut texts) = (0, String::new());
    loop {
        let started = Instant::now();
        let step = stream.poll(Some(Duration::ZERO)).unwrap();
        assert!(started.elapsed() < Duration::from_millis(500));
        match step {
            Step::Chunk => texts.push_str(stream.chunk().unwrap().text()),
            Step::Pending => {
                pending += 1;
                thread::sleep(Duration::from_millis(1));
            }
            Step::Done => break,
        }
    }
    assert!(pending > 5, "{pending}");
    assert_eq!(stream.completion().text(), texts);
}

#[test]
fn a_stream_that_falls_silent_ends_at_the_idle_limit_and_keeps_what_came() {
    let sim = simulator();
    let client = client_with(&sim.url("/fault/stall-mid-body/v1"), r#"{"idle_timeout_ms":300}"#);
    let (answer, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    let error = error.unwrap();
    assert_eq!(
        (error.kind(), error.limit(), error.verdict()),
        (Kind::Timeout, Some(Limit::Idle), Verdict::Stalled)
    );
    assert_eq!(error.phase(), Some(Phase::Read));
    assert_eq!(answer.verdict(), Verdict::Stalled);
}

#[test]
fn a_refusal_comes_when_the_stream_is_opened() {
    let sim = simulator();
    let error = client_with(&sim.base_url(), r#"{"api_key":"sk-invalid"}"#)
        .chat_completions_stream(HELLO, None)
        .unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Authentication, Some(401)));
    let error = client(&sim.base_url())
        .chat_completions_stream(r#"{"messages":[],"stream":false}"#, None)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

#[test]
fn a_failure_before_any_event_is_repeated_where_it_was_not_billed() {
    let sim = simulator();
    let options = r#"{"max_retries":2,"base_delay_ms":1}"#;
    let client = client_with(&sim.url("/wire/stream_ping_then_bare_json_error/v1"), options);
    let (_, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    let error = error.unwrap();
    assert_eq!((error.kind(), error.billed()), (Kind::StreamError, Billed::No));
    // The fixture has one reply; the repeated request meets the end of the sequence.
    assert!(error.attempts().len() >= 2, "{error:?}");
    assert!(sim.stats().requests >= 2);
}

#[test]
fn a_poll_of_little_patience_does_not_end_a_request_that_is_repeated_in_it() {
    let server = Server::start(|listener| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
        let events = [
            ": PING\n\n{\"error\":{\"message\":\"x\",\"type\":\"new_api_error\",\"code\":\"do_request_failed\"}}\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        ];
        for events in events {
            let mut socket = common::accept(&listener);
            Request::read(&mut socket);
            // Longer than the caller waits for an event.
            thread::sleep(Duration::from_millis(80));
            socket.write_all(format!("{head}{events}").as_bytes()).unwrap();
        }
    });
    let client = client_with(&server.base_url, r#"{"max_retries":2,"base_delay_ms":30}"#);
    let mut stream = client.chat_completions_stream(HELLO, None).unwrap();
    let mut text = String::new();
    loop {
        match stream.poll(Some(Duration::from_millis(10))).unwrap() {
            Step::Chunk => text.push_str(stream.chunk().unwrap().text()),
            Step::Pending => {}
            Step::Done => break,
        }
    }
    assert_eq!((text.as_str(), stream.completion().attempts().len()), ("Hi", 2));
    server.join();
}

#[test]
fn a_token_and_the_streams_own_handle_stop_it_at_once() {
    for own in [false, true] {
        let sim = simulator();
        let token = Cancel::new();
        let client = client(&sim.url("/fault/stall-mid-body/v1"));
        let mut stream = client.chat_completions_stream(HELLO, Some(&token)).unwrap();
        let stop = if own { stream.canceller() } else { token.clone() };
        let signalled = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            stop.signal();
            Instant::now()
        });
        let error = loop {
            match stream.next() {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("it cannot end well"),
            }
        };
        assert!(signalled.join().unwrap().elapsed() < Duration::from_millis(100));
        assert_eq!((error.kind(), error.verdict()), (Kind::Cancelled, Verdict::Cancelled));
        assert_eq!(stream.verdict(), Some(Verdict::Cancelled));
        assert_eq!(token.is_signalled(), !own);
        common::wait_for("the closed connection", || sim.stats().closed_by_client == 1);
    }
}

#[test]
fn a_stream_that_is_dropped_or_closed_closes_its_connection_and_the_client_stays_usable() {
    let sim = simulator();
    let client: Client = client(&sim.base_url());
    let request = json!({"messages": [{"role": "user", "content": "x"}], "sim": {"chunks": 500, "chunk_delay_us": 2_000}});
    for taken in 0..50 {
        let mut stream = client.chat_completions_stream(request.to_string(), None).unwrap();
        for _ in 0..taken % 7 {
            stream.next().unwrap().unwrap();
        }
        let started = Instant::now();
        if taken % 2 == 0 {
            stream.close();
            assert_eq!(stream.verdict(), Some(Verdict::Cancelled));
            assert!(stream.next().is_none());
        }
        drop(stream);
        assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    }
    common::wait_for("fifty closed connections", || sim.stats().closed_by_client == 50);
    client.chat_completions(HELLO, None).unwrap();
}

#[test]
fn an_event_beyond_the_limit_is_refused() {
    let sim = simulator();
    let client = client_with(&sim.url("/fault/huge-line-4/v1"), r#"{"max_event_bytes":1000000}"#);
    let (_, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    let error = error.unwrap();
    assert_eq!(error.kind(), Kind::ReplyTooLarge, "{error}");
    assert!(error.message().contains("max_event_bytes"), "{error}");
    let (answer, error) = common::client(&sim.url("/fault/huge-line-4/v1"))
        .chat_completions_stream(HELLO, None)
        .unwrap()
        .finish();
    assert!(error.is_none(), "{error:?}");
    assert!(answer.json().len() > 4_000_000);
}

#[test]
fn storms_of_keep_alives_are_life_and_nothing_more() {
    let sim = simulator();
    let client = client_with(&sim.url("/fault/ping-storm-100000/v1"), r#"{"idle_timeout_ms":2000}"#);
    let (answer, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    assert!(error.is_none(), "{error:?}");
    assert!(!answer.text().is_empty());
}

#[test]
fn a_reset_in_the_middle_is_a_truncated_answer_never_a_success() {
    let sim = simulator();
    for fault in ["reset-mid-body", "truncate"] {
        let (answer, error) = open(&sim, &format!("/fault/{fault}/v1")).finish();
        let error = error.unwrap_or_else(|| panic!("{fault} looked like a success: {}", answer.text()));
        assert_eq!(
            (error.kind(), error.verdict()),
            (Kind::StreamTruncated, Verdict::Truncated),
            "{fault}: {error}"
        );
        assert_eq!((error.billed(), error.retryable()), (Billed::Yes, false), "{fault}");
    }
}
