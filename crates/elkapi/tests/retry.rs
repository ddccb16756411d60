//! Repetition: what is repeated, when the server sees it, and what a caller learns.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use elkapi::{Billed, Cancel, Client, Config, Kind, Phase};
use elkapi_sim::{Options, Simulator};

const REQUEST: &str = r#"{"messages":[{"role":"user","content":"Hello"}]}"#;

fn simulator() -> Simulator {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire");
    Simulator::start(Options { fixtures: Some(fixtures.into()), ..Options::default() }).expect("simulator")
}

fn client(sim: &Simulator, path: &str, config: Config) -> Client {
    Client::new(config.api_key("sk-test").base_url(sim.url(path))).expect("client")
}

/// Milliseconds between the requests as the server saw them.
fn gaps(sim: &Simulator) -> Vec<u64> {
    let times: Vec<u64> = sim.stats().requests_log.iter().map(|request| request.at_ms).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn pauses_grow_as_the_server_sees_them_and_every_attempt_is_told() {
    let sim = simulator();
    let client = client(&sim, "/wire/error_503_overloaded/v1", Config::new().base_delay_ms(100u64));
    let error = client.chat_completions(REQUEST, None).expect_err("overloaded");
    assert_eq!((error.kind(), error.retryable(), error.billed()), (Kind::Unavailable, true, Billed::No));
    assert_eq!(error.attempts().len(), 3);
    assert!(error.attempts().iter().all(|attempt| attempt.status == Some(503)));
    let gaps = gaps(&sim);
    assert!((50..1000).contains(&gaps[0]) && (100..1000).contains(&gaps[1]), "{gaps:?}");
}

#[test]
fn the_server_decides_the_pause_where_it_says_one() {
    for (fault, least) in [("429-ms-300", 300), ("429-seconds-1", 1000)] {
        let sim = simulator();
        let config = Config::new().base_delay_ms(1u64).max_retries(1u64);
        let error = client(&sim, &format!("/fault/{fault}/v1"), config)
            .chat_completions(REQUEST, None)
            .expect_err("rate limit");
        assert_eq!((error.kind(), error.attempts().len()), (Kind::RateLimit, 2), "{error}");
        assert!(gaps(&sim)[0] >= least, "{fault}: {:?}", gaps(&sim));
    }
}

#[test]
fn a_wish_beyond_two_minutes_or_the_deadline_ends_the_call_at_once() {
    let sim = simulator();
    for (path, config) in [
        ("/fault/429-long/v1", Config::new()),
        ("/fault/429-seconds-20/v1", Config::new().total_timeout_ms(5_000u64)),
    ] {
        let started = Instant::now();
        let error = client(&sim, path, config).chat_completions(REQUEST, None).expect_err("rate limit");
        assert_eq!((error.kind(), error.attempts().len()), (Kind::RateLimit, 1), "{error}");
        assert!(error.retry_after_ms().is_some_and(|ms| ms >= 20_000), "{error:?}");
        assert!(error.message().contains("asks to wait"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn a_pause_is_cancelled_at_once() {
    let sim = simulator();
    let client = client(&sim, "/fault/429-seconds-60/v1", Config::new());
    let cancel = Cancel::new();
    let signalled = thread::spawn({
        let cancel = cancel.clone();
        move || {
            thread::sleep(Duration::from_millis(150));
            cancel.signal();
            Instant::now()
        }
    });
    let error = client.chat_completions(REQUEST, Some(&cancel)).expect_err("cancelled");
    assert!(signalled.join().expect("thread").elapsed() < Duration::from_millis(100));
    assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, Some(Phase::Pause)), "{error}");
    assert_eq!((error.billed(), error.attempts().len()), (Billed::No, 1));
}

#[test]
fn what_may_have_been_billed_is_repeated_only_on_request() {
    for fixture in ["error_502_html", "error_524_html", "error_520_cdn"] {
        for (risky, attempts) in [(false, 1), (true, 3)] {
            let sim = simulator();
            let config = Config::new().base_delay_ms(1u64).retry_risky(risky);
            let error = client(&sim, &format!("/wire/{fixture}/v1"), config)
                .chat_completions(REQUEST, None)
                .expect_err(fixture);
            assert_eq!(error.attempts().len(), attempts, "{fixture}: {error}");
            assert_eq!((error.billed(), error.retryable()), (Billed::Maybe, false), "{fixture}");
        }
    }
}

#[test]
fn a_refused_connection_is_tried_again() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        listener.local_addr().expect("address").port()
    };
    let config = Config::new().api_key("sk-test").base_url(format!("http://127.0.0.1:{port}/v1"));
    let client = Client::new(config.base_delay_ms(1u64)).expect("client");
    let error = client.chat_completions(REQUEST, None).expect_err("refused");
    assert_eq!((error.kind(), error.phase()), (Kind::Connection, Some(Phase::Connect)), "{error}");
    assert_eq!((error.billed(), error.retryable()), (Billed::No, true));
    assert_eq!((error.attempts().len(), error.bytes_sent()), (3, 0));
}

#[test]
fn an_idempotency_header_is_the_same_in_all_attempts_and_new_for_each_call() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let port = listener.local_addr().expect("address").port();
    let server = thread::spawn(move || (0..4).map(|_| refuse_and_tell_key(&listener)).collect::<Vec<_>>());
    let config = Config::new().api_key("sk-test").base_url(format!("http://127.0.0.1:{port}/v1"));
    let config = config.idempotency_header("Idempotency-Key").base_delay_ms(1u64).max_retries(1u64);
    let client = Client::new(config).expect("client");
    for _ in 0..2 {
        client.chat_completions(REQUEST, None).expect_err("refused");
    }
    let keys = server.join().expect("server");
    assert_eq!(keys[0].len(), 32, "{keys:?}");
    assert!(keys[0] == keys[1] && keys[2] == keys[3] && keys[0] != keys[2], "{keys:?}");
}

/// Answers one request with 429 and gives its `Idempotency-Key`.
fn refuse_and_tell_key(listener: &TcpListener) -> String {
    let (socket, _) = listener.accept().expect("connection");
    let mut reader = BufReader::new(&socket);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("field line");
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("idempotency-key", value)) => key = value.to_owned(),
            Some(("content-length", value)) => length = value.parse().expect("length"),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).expect("body");
    let reply = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    (&socket).write_all(reply).expect("reply");
    key
}
