//! Connections that break, stall, lie and overflow: each call ends, in time, with what is known.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use common::{BOUND, HELLO, Request, Server, accept, client, client_with, reply, simulator, timed, wait_for};
use elkapi::{Billed, Cancel, Error, Kind, Limit, Phase, Verdict};
use elkapi_sim::Simulator;
use serde_json::json;

/// The error of one call to a fault, which must come within the bound.
fn fault(sim: &Simulator, name: &str, options: &str) -> Error {
    let client = client_with(&sim.url(&format!("/s/{name}/fault/{name}/v1")), options);
    let (outcome, took) = timed(|| client.chat_completions(HELLO, None));
    let error = match outcome {
        Err(error) => error,
        Ok(answer) => panic!("{name} was answered: {:?}", answer.text()),
    };
    assert!(took < BOUND, "{name} took {took:?}: {error}");
    assert_eq!(error.attempts().len() as u64, sim.stats_of(name).requests, "{name}: {error}");
    error
}

/// Kind, status and bill of an error.
fn facts(error: &Error) -> (Kind, Option<u16>, Billed) {
    (error.kind(), error.status(), error.billed())
}

/// A request whose answer the simulator is told.
fn saying(text: &str) -> String {
    json!({"messages": [{"role": "user", "content": "Say it"}], "sim": {"text": text}}).to_string()
}

/// A request with a body that no socket buffer holds.
fn large() -> String {
    json!({"messages": [{"role": "user", "content": "moss ".repeat(3 << 20)}]}).to_string()
}

// ---- breaking off -------------------------------------------------------------------------------

#[test]
fn a_body_that_ends_before_its_announced_length_is_a_broken_connection_and_is_billed() {
    let sim = simulator();
    for name in ["long-length", "truncate"] {
        let error = fault(&sim, name, "{}");
        assert_eq!(facts(&error), (Kind::Connection, Some(200), Billed::Yes), "{name}: {error}");
        assert_eq!((error.phase(), error.retryable()), (Some(Phase::Read), false), "{name}: {error}");
        assert!(!error.body().is_empty(), "{name}: what arrived is kept");
        assert!(error.request_id().is_some(), "{name}: {error}");
    }
}

#[test]
fn a_body_cut_short_by_its_announced_length_cannot_be_understood() {
    let sim = simulator();
    let error = fault(&sim, "short-length", "{}");
    assert_eq!(facts(&error), (Kind::Decode, Some(200), Billed::Yes), "{error}");
    assert!(!error.body().is_empty());
}

#[test]
fn bytes_behind_the_announced_length_are_never_read_as_the_next_reply() {
    let sim = simulator();
    let client = client(&sim.url("/s/surplus/fault/extra-reply/v1"));
    for word in ["heron", "otter", "lynx"] {
        let answer = client.chat_completions(saying(word), None).unwrap();
        assert_eq!(answer.text(), word);
    }
}

#[test]
fn a_connection_closed_before_the_reply_is_not_tried_again() {
    let sim = simulator();
    for name in ["close-before-reply", "reset-before-reply"] {
        let error = fault(&sim, name, "{}");
        assert_eq!(facts(&error), (Kind::Connection, None, Billed::Maybe), "{name}: {error}");
        assert_eq!((error.phase(), error.retryable()), (Some(Phase::Wait), false), "{name}: {error}");
        assert_eq!(error.verdict(), Verdict::Failed, "{name}");
        assert_eq!(sim.stats_of(name).requests, 1, "{name}");
    }
}

#[test]
fn a_head_that_breaks_off_is_a_broken_connection_without_a_status() {
    let sim = simulator();
    let error = fault(&sim, "half-header", "{}");
    assert_eq!(facts(&error), (Kind::Connection, None, Billed::Maybe), "{error}");
}

#[test]
fn a_reset_after_the_head_is_a_broken_connection_and_is_billed() {
    let sim = simulator();
    for name in ["reset-after-headers", "reset-mid-body"] {
        let error = fault(&sim, name, "{}");
        assert_eq!(facts(&error), (Kind::Connection, Some(200), Billed::Yes), "{name}: {error}");
        assert_eq!((error.phase(), error.retryable()), (Some(Phase::Read), false), "{name}: {error}");
    }
}

#[test]
fn bytes_sent_and_received_tell_how_far_the_call_came() {
    let sim = simulator();
    let error = fault(&sim, "close-before-reply", "{}");
    assert!(error.bytes_sent() > HELLO.len() as u64, "{} sent", error.bytes_sent());
    assert_eq!(error.bytes_received(), 0);
    let error = fault(&sim, "truncate", "{}");
    assert!(error.bytes_sent() > HELLO.len() as u64, "{} sent", error.bytes_sent());
    assert!(error.bytes_received() > error.body().len() as u64, "{} received", error.bytes_received());
}

#[test]
fn a_refused_connection_was_not_billed_and_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (outcome, took) = timed(|| client(&format!("http://{address}/v1")).chat_completions(HELLO, None));
    let error = outcome.unwrap_err();
    assert_eq!(facts(&error), (Kind::Connection, None, Billed::No), "{error}");
    assert_eq!((error.phase(), error.retryable()), (Some(Phase::Connect), true), "{error}");
    assert_eq!((error.bytes_sent(), error.bytes_received()), (0, 0));
    assert!(took < BOUND);
}

#[test]
fn a_refused_connection_is_told_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(&format!("http://{address}/v1")).chat_completions(HELLO, None).unwrap_err();
    assert!(error.message().contains(&address.to_string()), "{error}");
}

// ---- other protocols ----------------------------------------------------------------------------

#[test]
fn another_protocol_is_told_as_such() {
    let sim = simulator();
    let error = fault(&sim, "not-http", "{}");
    assert_eq!((error.kind(), error.status(), error.retryable()), (Kind::Protocol, None, false), "{error}");
}

#[test]
fn a_chunk_without_a_size_breaks_the_protocol() {
    let sim = simulator();
    let error = fault(&sim, "bad-chunk", "{}");
    assert_eq!(facts(&error), (Kind::Protocol, Some(200), Billed::Yes), "{error}");
    assert_eq!(error.phase(), Some(Phase::Read));
}

#[test]
fn a_head_without_end_or_measure_is_refused() {
    let sim = simulator();
    for name in ["endless-header", "many-headers-100000"] {
        let error = fault(&sim, name, "{}");
        assert!(matches!(error.kind(), Kind::Protocol | Kind::ReplyTooLarge), "{name}: {error}");
    }
}

#[test]
fn interim_replies_are_passed_over_or_refused_but_do_not_hang() {
    let sim = simulator();
    let client = client(&sim.url("/fault/interim-storm/v1"));
    let (outcome, took) = timed(|| client.chat_completions(saying("heron"), None));
    match outcome {
        Ok(answer) => assert_eq!(answer.text(), "heron"),
        Err(error) => assert_eq!(error.kind(), Kind::Protocol, "{error}"),
    }
    assert!(took < BOUND);
}

#[test]
fn a_redirect_is_an_error_and_is_not_followed() {
    let sim = simulator();
    let error = fault(&sim, "redirect", "{}");
    assert_eq!(facts(&error), (Kind::UnexpectedRedirect, Some(307), Billed::No), "{error}");
    assert!(!error.retryable());
    assert!(error.message().contains(&sim.base_url()), "the message names the target: {error}");
    assert_eq!(sim.stats().requests, 1);
}

#[test]
fn an_interim_reply_does_not_stop_a_large_request() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let request = Request::read(&mut socket);
        socket.write_all(&common::answer("Hi")).unwrap();
        request.body.len()
    });
    let client = client_with(&server.base_url, r#"{"total_timeout_ms":8000}"#);
    let answer = client.chat_completions(large(), None).unwrap();
    assert_eq!(answer.text(), "Hi");
    assert!(server.join() >= large().len());
}

// ---- too much -----------------------------------------------------------------------------------

#[test]
fn a_decompression_bomb_ends_at_the_limit() {
    let sim = simulator();
    let error = fault(&sim, "gzip-bomb", r#"{"max_body_bytes":1048576}"#);
    assert_eq!(facts(&error), (Kind::ReplyTooLarge, Some(200), Billed::Yes), "{error}");
    assert!(error.message().contains("max_body_bytes"), "{error}");
    assert!(error.body().len() <= 1 << 20);
}

#[test]
fn a_body_without_end_ends_at_the_limit_and_its_connection_is_closed() {
    let sim = simulator();
    let error = fault(&sim, "endless-body", r#"{"max_body_bytes":65536}"#);
    assert_eq!(facts(&error), (Kind::ReplyTooLarge, Some(200), Billed::Yes), "{error}");
    assert!(error.message().contains("65536"), "{error}");
    assert!(error.body().len() <= 65536);
    wait_for("the server sees the end", || sim.stats_of("endless-body").closed_by_client == 1);
}

#[test]
fn a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let body = br#"{"choices":[{"message":{"content":"Hi"}}]}"#;
    for (room, fits) in [(0, true), (1, false)] {
        let server = common::one_reply(reply("200 OK", &["Connection: close"], body));
        let options = json!({"max_body_bytes": body.len() - room}).to_string();
        let outcome = client_with(&server.base_url, &options).chat_completions(HELLO, None);
        server.join();
        match outcome {
            Ok(answer) => assert!(fits, "{}", answer.text()),
            Err(error) => assert!(!fits && error.kind() == Kind::ReplyTooLarge, "{error}"),
        }
    }
}

#[test]
fn of_a_huge_error_page_a_bounded_beginning_is_kept() {
    let sim = simulator();
    let error = fault(&sim, "error-page-20", "{}");
    assert_eq!(facts(&error), (Kind::BadGateway, Some(502), Billed::Maybe), "{error}");
    assert!((1..=1 << 20).contains(&error.body().len()), "{} bytes kept", error.body().len());
    assert!(error.body_excerpt().unwrap().chars().count() <= 4097);
    assert!(error.body_excerpt().unwrap().starts_with("502 Bad Gateway"), "{error}");
    assert!(error.document().len() < 16 << 10 && error.message().len() < 2 << 10);
}

#[test]
fn an_early_refusal_of_a_large_request_is_not_hidden_by_the_broken_write() {
    let sim = simulator();
    let client = client(&sim.url("/fault/body-too-large/v1"));
    let error = client.chat_completions(large(), None).unwrap_err();
    assert_eq!(facts(&error), (Kind::PayloadTooLarge, Some(413), Billed::No), "{error}");
    assert_eq!(error.code(), Some("read_request_body_failed"), "{error}");
}

#[test]
fn of_a_reply_in_an_unknown_coding_the_bytes_are_kept() {
    for (status, kind) in [("200 OK", Kind::Decode), ("400 Bad Request", Kind::InvalidRequest)] {
        let fields = ["Content-Encoding: br", "Connection: close"];
        let server = common::one_reply(reply(status, &fields, b"\x0b\x02\x80moss\x03"));
        let error = client(&server.base_url).chat_completions(HELLO, None).unwrap_err();
        server.join();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.body(), b"\x0b\x02\x80moss\x03", "{error}");
    }
}

#[test]
fn an_empty_reply_is_empty_in_every_coding() {
    for coding in ["identity", "gzip", "deflate"] {
        let fields = [&format!("Content-Encoding: {coding}"), "Connection: close"];
        let server = common::one_reply(reply("200 OK", &fields, b""));
        let error = client(&server.base_url).chat_completions(HELLO, None).unwrap_err();
        server.join();
        assert_eq!(error.kind(), Kind::EmptyResponse, "{coding}: {error}");
    }
}

// ---- limits of time -----------------------------------------------------------------------------

#[test]
fn the_total_limit_ends_a_call_that_gets_no_reply() {
    let sim = simulator();
    let error = fault(&sim, "stall-before-headers", r#"{"total_timeout_ms":300}"#);
    assert_eq!(facts(&error), (Kind::Timeout, None, Billed::Maybe), "{error}");
    assert_eq!((error.limit(), error.phase()), (Some(Limit::Total), Some(Phase::Wait)), "{error}");
    assert!(error.elapsed_ms() >= 300 && !error.retryable(), "{error:?}");
    wait_for("the server sees the end", || sim.stats_of("stall-before-headers").closed_by_client == 1);
}

#[test]
fn the_total_limit_is_a_total_against_a_server_that_drips() {
    let sim = simulator();
    // The head alone drips for some ten seconds.
    let error = fault(&sim, "drip-50", r#"{"total_timeout_ms":300}"#);
    assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(Limit::Total)), "{error}");
    assert!((300..5_000).contains(&error.elapsed_ms()), "{error:?}");
}

#[test]
fn the_total_limit_ends_a_call_whose_body_stalls_and_what_arrived_is_kept() {
    let sim = simulator();
    for name in ["stall-after-headers", "stall-mid-body"] {
        let error = fault(&sim, name, r#"{"total_timeout_ms":300}"#);
        assert_eq!(facts(&error), (Kind::Timeout, Some(200), Billed::Yes), "{name}: {error}");
        assert_eq!(
            (error.limit(), error.phase()),
            (Some(Limit::Total), Some(Phase::Read)),
            "{name}: {error}"
        );
        assert_eq!(error.body().is_empty(), name == "stall-after-headers", "{name}");
    }
}

#[test]
fn the_total_limit_ends_a_call_whose_request_is_not_read() {
    let sim = simulator();
    let client = client_with(&sim.url("/fault/slow-read/v1"), r#"{"total_timeout_ms":500}"#);
    let (outcome, took) = timed(|| client.chat_completions(large(), None));
    let error = outcome.unwrap_err();
    // The request never arrived whole, so nothing can have run.
    assert_eq!(facts(&error), (Kind::Timeout, None, Billed::No), "{error}");
    assert_eq!((error.limit(), error.phase()), (Some(Limit::Total), Some(Phase::Send)), "{error}");
    assert!(took < BOUND, "{took:?}");
}

#[test]
fn the_write_limit_ends_a_call_whose_request_is_not_read() {
    let sim = simulator();
    let client = client_with(&sim.url("/fault/slow-read/v1"), r#"{"write_timeout_ms":300}"#);
    let (outcome, took) = timed(|| client.chat_completions(large(), None));
    let error = outcome.unwrap_err();
    assert_eq!(facts(&error), (Kind::Timeout, None, Billed::No), "{error}");
    assert_eq!((error.limit(), error.phase()), (Some(Limit::Write), Some(Phase::Send)), "{error}");
    assert!(took < BOUND, "{took:?}");
}

#[test]
fn the_first_byte_limit_ends_a_call_that_gets_no_reply() {
    let sim = simulator();
    let error = fault(&sim, "stall-before-headers", r#"{"first_byte_timeout_ms":300}"#);
    assert_eq!(facts(&error), (Kind::Timeout, None, Billed::Maybe), "{error}");
    assert_eq!((error.limit(), error.phase()), (Some(Limit::FirstByte), Some(Phase::Wait)), "{error}");
}

#[test]
fn a_changed_client_has_its_own_limits_and_leaves_the_first_ones_alone() {
    let sim = simulator();
    let first = client(&sim.url("/delay/400/v1"));
    let hasty = first.with(r#"{"total_timeout_ms":100}"#).unwrap();
    assert_eq!(hasty.chat_completions(HELLO, None).unwrap_err().limit(), Some(Limit::Total));
    first.chat_completions(HELLO, None).unwrap();
}

#[test]
fn the_total_limit_ends_a_body_that_comes_without_a_pause() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        Request::read(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = [b"400\r\n".as_slice(), &[b' '; 1024], b"\r\n"].concat();
        // Until the client leaves, and not for ever.
        (0..10_000_000).take_while(|_| socket.write_all(&chunk).is_ok()).count()
    });
    let options = r#"{"total_timeout_ms":300,"max_body_bytes":17179869184}"#;
    let (outcome, took) = timed(|| client_with(&server.base_url, options).chat_completions(HELLO, None));
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(Limit::Total)), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    server.join();
}

#[test]
fn a_refusal_says_when_to_come_back() {
    let sim = simulator();
    for (name, wait) in [
        ("429-seconds-7", Some(7_000..=7_000)),
        ("429-date-30", Some(28_000..=31_000)),
        ("429-ms-250", Some(250..=250)),
        ("429-long", Some(3_600_000..=3_600_000)),
        ("429-garbage", None),
    ] {
        let error = fault(&sim, name, "{}");
        assert_eq!(facts(&error), (Kind::RateLimit, Some(429), Billed::No), "{name}: {error}");
        assert!(error.retryable(), "{name}: {error}");
        match (wait, error.retry_after_ms()) {
            (Some(range), Some(ms)) => assert!(range.contains(&ms), "{name}: {ms}"),
            (None, None) => {}
            (_, ms) => panic!("{name}: {ms:?}"),
        }
    }
}

// ---- cancelling ---------------------------------------------------------------------------------

#[test]
fn a_cancelled_call_ends_in_whatever_phase_it_is() {
    let sim = simulator();
    let large = large();
    for (name, request, phase, billed) in [
        ("stall-before-headers", HELLO, Phase::Wait, Billed::Maybe),
        ("drip-200", HELLO, Phase::Read, Billed::Maybe),
        ("stall-after-headers", HELLO, Phase::Read, Billed::Maybe),
        ("stall-mid-body", HELLO, Phase::Read, Billed::Maybe),
        // What did not arrive whole cannot have run.
        ("slow-read", &large, Phase::Send, Billed::No),
    ] {
        let base_url = sim.url(&format!("/s/{name}/fault/{name}/v1"));
        let client = client_with(&base_url, r#"{"total_timeout_ms":20000}"#);
        let cancel = Cancel::new();
        let (outcome, took) = thread::scope(|scope| {
            let call = scope.spawn(|| timed(|| client.chat_completions(request, Some(&cancel))));
            wait_for("the request arrives", || sim.stats_of(name).in_flight == 1);
            cancel.signal();
            call.join().unwrap()
        });
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.verdict()), (Kind::Cancelled, Verdict::Cancelled), "{name}: {error}");
        assert!(took < BOUND, "{name}: {took:?}");
        // The request's arrival says little about how far the client itself has come since.
        let told = error.phase().unwrap();
        match phase {
            Phase::Send => assert_eq!((told, error.billed()), (Phase::Send, billed), "{name}: {error}"),
            Phase::Wait => {
                assert!(matches!(told, Phase::Send | Phase::Wait), "{name}: {told:?}");
                assert_eq!(error.billed(), billed, "{name}: {error}");
            }
            _ => {
                assert!(matches!(told, Phase::Send | Phase::Wait | Phase::Read), "{name}: {told:?}");
                assert_ne!(error.billed(), Billed::No, "{name}: {error}");
            }
        }
        if phase != Phase::Send {
            wait_for("the server sees the end", || sim.stats_of(name).closed_by_client == 1);
        }
    }
}

#[test]
fn a_token_cancels_all_calls_it_was_given_to_and_no_other() {
    let sim = simulator();
    let base_url = sim.url("/s/all/fault/stall-before-headers/v1");
    let stalled = client_with(&base_url, r#"{"total_timeout_ms":20000}"#);
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| timed(|| stalled.chat_completions(HELLO, Some(&cancel)))))
            .collect();
        wait_for("all requests arrive", || sim.stats_of("all").in_flight == 8);
        client(&sim.base_url()).chat_completions(HELLO, None).unwrap();
        cancel.clone().signal();
        for call in calls {
            let (outcome, took) = call.join().unwrap();
            assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
            assert!(took < BOUND, "{took:?}");
        }
    });
}

// ---- connections --------------------------------------------------------------------------------

#[test]
fn one_connection_serves_twenty_calls() {
    let sim = simulator();
    let client = client(&sim.url("/s/reuse/v1"));
    for number in 0..20 {
        match number % 3 {
            0 => drop(client.get("/models", None).unwrap()),
            1 => drop(client.get("/nothing-here", None).unwrap_err()),
            _ => assert_eq!(client.chat_completions(saying("moss"), None).unwrap().text(), "moss"),
        }
    }
    let stats = sim.stats_of("reuse");
    assert_eq!((stats.requests, stats.connections), (20, 1));
}

#[test]
fn clones_and_changed_clients_share_the_connections() {
    let sim = simulator();
    let first = client(&sim.url("/s/shared/v1"));
    let changed = first.with(r#"{"total_timeout_ms":50000}"#).unwrap();
    for client in [&first, &first.clone(), &changed, &changed.clone()] {
        client.chat_completions(HELLO, None).unwrap();
    }
    assert_eq!(sim.stats_of("shared").connections, 1);
}

#[test]
fn thirty_two_calls_of_one_client_are_in_flight_at_once() {
    const CALLS: usize = 32;
    // Answers nobody before everybody has asked: calls that wait for each other never end well.
    let server = Server::start(|listener| {
        let mut sockets: Vec<_> = (0..CALLS).map(|_| accept(&listener)).collect();
        let requests: Vec<_> = sockets.iter_mut().map(Request::read).collect();
        for (socket, request) in sockets.iter_mut().zip(requests) {
            let text = request.json()["messages"][0]["content"].as_str().unwrap().to_owned();
            socket.write_all(&common::answer(&text)).unwrap();
        }
    });
    let client = client_with(&server.base_url, r#"{"total_timeout_ms":8000}"#);
    thread::scope(|scope| {
        for number in 0..CALLS {
            let client = &client;
            scope.spawn(move || {
                let text = format!("call {number}");
                let request = json!({"messages": [{"role": "user", "content": text}]}).to_string();
                assert_eq!(client.chat_completions(request, None).unwrap().text(), text);
            });
        }
    });
    server.join();
}

#[test]
fn thirty_two_threads_each_get_their_own_answers() {
    const THREADS: u64 = 32;
    const CALLS: u64 = 5;
    let sim = simulator();
    let client = client(&sim.url("/s/threads/delay/50/v1"));
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (client, start) = (&client, &start);
            scope.spawn(move || {
                start.wait();
                for call in 0..CALLS {
                    let text = format!("thread {number} call {call}");
                    assert_eq!(client.chat_completions(saying(&text), None).unwrap().text(), text);
                }
            });
        }
    });
    let stats = sim.stats_of("threads");
    assert_eq!(stats.requests, THREADS * CALLS);
    assert!(stats.connections <= THREADS, "{} connections", stats.connections);
    assert!(stats.max_in_flight > 1, "one call waited for the other");
}

#[test]
fn a_kept_connection_that_the_server_closed_is_replaced_unnoticed() {
    let (to_close, answered) = std::sync::mpsc::channel();
    let server = Server::start(move |listener| {
        let body = br#"{"choices":[{"message":{"content":"Hi"}}]}"#;
        let mut socket = accept(&listener);
        Request::read(&mut socket);
        socket.write_all(&reply("200 OK", &["Connection: keep-alive"], body)).unwrap();
        // Closed by the test once the client has its answer, so that the end stands behind it.
        to_close.send(socket).unwrap();
        let mut socket = accept(&listener);
        Request::read(&mut socket);
        socket.write_all(&reply("200 OK", &["Connection: close"], body)).unwrap();
    });
    let client = client(&server.base_url);
    client.chat_completions(HELLO, None).unwrap();
    drop(answered.recv().unwrap());
    let answer = client.chat_completions(HELLO, None).unwrap();
    assert_eq!(answer.text(), "Hi");
    server.join();
}

#[test]
fn a_request_that_a_kept_connection_took_is_never_sent_again() {
    let sim = simulator();
    for name in ["close-on-second-request", "reset-on-second-request"] {
        let client = client(&sim.url(&format!("/s/{name}/fault/{name}/v1")));
        client.chat_completions(HELLO, None).unwrap();
        let error = client.chat_completions(HELLO, None).unwrap_err();
        assert_eq!(facts(&error), (Kind::Connection, None, Billed::Maybe), "{name}: {error}");
        assert!(!error.retryable(), "{name}: {error}");
        assert_eq!(sim.stats_of(name).requests, 2, "{name}");
    }
}

#[test]
fn a_connection_is_not_used_again_after_a_call_that_broke_off() {
    let sim = simulator();
    let client = client(&sim.url("/s/again/fault/stall-mid-body/v1"));
    let hasty = client.with(r#"{"total_timeout_ms":100}"#).unwrap();
    for _ in 0..3 {
        assert_eq!(hasty.chat_completions(HELLO, None).unwrap_err().kind(), Kind::Timeout);
    }
    assert_eq!(sim.stats_of("again").connections, 3);
}

#[test]
fn the_connections_are_closed_when_the_last_clone_is_dropped() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        Request::read(&mut socket);
        let body = br#"{"choices":[{"message":{"content":"Hi"}}]}"#;
        socket.write_all(&reply("200 OK", &[], body)).unwrap();
        socket.read(&mut [0]).unwrap()
    });
    let first = client(&server.base_url);
    let clone = first.clone();
    first.chat_completions(HELLO, None).unwrap();
    drop(first);
    drop(clone);
    assert_eq!(server.join(), 0, "the end of the connection");
}

#[test]
fn a_reply_sent_before_the_server_closes_is_read_to_its_end() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        Request::read(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"choices\":[{\"message\":{\"content\":\"Hi\"}}]}")
            .unwrap();
        socket.shutdown(Shutdown::Both).unwrap();
    });
    let answer = client(&server.base_url).chat_completions(HELLO, None).unwrap();
    assert_eq!(answer.text(), "Hi");
    server.join();
}

#[test]
fn a_reply_in_single_bytes_is_read_like_any_other() {
    let sim = simulator();
    let client = client(&sim.url("/s/bytes/fault/one-byte-writes/v1"));
    for word in ["heron", "otter"] {
        assert_eq!(client.chat_completions(saying(word), None).unwrap().text(), word);
    }
    assert_eq!(sim.stats_of("bytes").connections, 1);
}
