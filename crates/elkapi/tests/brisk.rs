//! Fast streams, whose receives block by themselves: they end at once and at their limits as slow ones do.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use elkapi::{Cancel, Client, Config, Kind, Limit, Step, Stream};

mod common;
use common::{HELLO, Request, Server, accept, config};

const EVENT: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"moss \"}}]}\n\n";

/// So many that the receives block by themselves long before the last.
const EVENTS: usize = 20;

/// A server that sends events fast and then falls silent, on every connection until the receiver is gone.
fn falls_silent() -> Server<()> {
    Server::start(|listener| {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                Request::read(&mut socket);
                socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").unwrap();
                for _ in 0..EVENTS {
                    thread::sleep(Duration::from_micros(500));
                    socket.write_all(EVENT).unwrap();
                }
                // An end or a reset: it left.
                let _ = socket.read(&mut [0]);
            });
        }
    })
}

fn opened(base_url: &str, changes: Config, cancel: Option<&Cancel>) -> Stream {
    let client = Client::new(changes.environment(false).base_url(base_url).api_key(common::KEY)).unwrap();
    client.chat_completions_stream(HELLO, cancel).unwrap()
}

/// Reads what comes before the silence.
fn read(stream: &mut Stream) {
    for _ in 0..EVENTS {
        assert_eq!(stream.poll(None).unwrap(), Step::Chunk);
    }
}

/// The least of what several goes took: a busy machine delays some.
fn quickest(goes: usize, mut go: impl FnMut() -> Duration) -> Duration {
    (0..goes).map(|_| go()).min().unwrap()
}

#[test]
fn a_cancel_ends_a_receive_that_blocks_at_once() {
    let server = falls_silent();
    let took = quickest(10, || {
        let cancel = Cancel::new();
        let mut stream = opened(&server.base_url, Config::new(), Some(&cancel));
        read(&mut stream);
        let signalled = thread::spawn(move || {
            // Soon enough that the receive still blocks.
            thread::sleep(Duration::from_millis(2));
            let at = Instant::now();
            cancel.signal();
            at
        });
        let error = stream.poll(None).unwrap_err();
        let took = signalled.join().unwrap().elapsed();
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
        assert_eq!(stream.completion().text(), "moss ".repeat(EVENTS));
        took
    });
    assert!(took < Duration::from_millis(5), "{took:?}: it ended by itself");
}

#[test]
fn streams_that_share_a_token_are_all_stopped() {
    let server = falls_silent();
    let took = quickest(5, || {
        let cancel = Cancel::new();
        let base_url = server.base_url.as_str();
        let (silent, is_silent) = mpsc::channel();
        thread::scope(|scope| {
            let readers = [(); 3].map(|()| {
                let (cancel, silent) = (cancel.clone(), silent.clone());
                scope.spawn(move || {
                    let mut stream = opened(base_url, Config::new(), Some(&cancel));
                    read(&mut stream);
                    silent.send(()).unwrap();
                    assert_eq!(stream.poll(None).unwrap_err().kind(), Kind::Cancelled);
                    Instant::now()
                })
            });
            for _ in &readers {
                is_silent.recv_timeout(common::BOUND).unwrap();
            }
            thread::sleep(Duration::from_millis(2));
            let at = Instant::now();
            cancel.signal();
            readers.into_iter().map(|reader| reader.join().unwrap() - at).max().unwrap()
        })
    });
    assert!(took < Duration::from_millis(10), "{took:?}");
}

#[test]
fn limits_end_a_stream_that_falls_silent_at_their_time() {
    let server = falls_silent();
    for (changes, limit) in [
        (Config::new().idle_timeout_ms(100u64), Limit::Idle),
        (Config::new().total_timeout_ms(200u64), Limit::Total),
    ] {
        let started = Instant::now();
        let mut stream = opened(&server.base_url, changes, None);
        read(&mut stream);
        let silent = Instant::now();
        let error = stream.poll(None).unwrap_err();
        let since = if limit == Limit::Idle { silent } else { started };
        let (least, took) = (if limit == Limit::Idle { 100 } else { 200 }, since.elapsed());
        assert_eq!(error.limit(), Some(limit), "{error}");
        // The idle limit counts from when the last bytes came, a moment before they were read.
        assert!(took >= Duration::from_millis(least - 5), "{took:?} for {limit:?}");
        assert!(took < Duration::from_millis(least + 500), "{took:?} for {limit:?}");
    }
}

#[test]
fn patience_ends_a_receive_that_blocks_and_the_stream_goes_on() {
    let server = falls_silent();
    let mut stream = opened(&server.base_url, Config::new(), None);
    read(&mut stream);
    for patience in [60, 0, 30] {
        let started = Instant::now();
        let patience = Duration::from_millis(patience);
        assert_eq!(stream.poll(Some(patience)).unwrap(), Step::Pending);
        assert!(started.elapsed() >= patience, "{:?} of {patience:?}", started.elapsed());
    }
    stream.close();
}

#[test]
fn a_connection_whose_receives_blocked_serves_the_next_calls() {
    const CALLS: usize = 5;
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        for _ in 0..CALLS {
            Request::read(&mut socket);
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            socket.write_all(head).unwrap();
            let end = b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
            for event in std::iter::repeat_n(EVENT, EVENTS).chain([end.as_slice()]) {
                thread::sleep(Duration::from_micros(200));
                write!(socket, "{:x}\r\n", event.len()).unwrap();
                socket.write_all(event).unwrap();
                socket.write_all(b"\r\n").unwrap();
            }
            socket.write_all(b"0\r\n\r\n").unwrap();
        }
    });
    let client = Client::new(config(&server.base_url)).unwrap();
    for _ in 0..CALLS {
        let (answer, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
        assert!(error.is_none(), "{error:?}");
        assert_eq!(answer.text(), "moss ".repeat(EVENTS));
    }
    server.join();
}
