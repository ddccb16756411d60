//! A stream is stopped at random points, between two events and inside one: its connection ends at once,
//! nothing stays behind, and the client goes on. In a program of its own, because it counts what the whole
//! process holds.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::{BOUND, HELLO, Random, Request, Server, client, wait_for};
use elkapi::{Cancel, Client, Kind, Step, Stream, Verdict};

const POINTS: usize = 50;
const EVENTS: usize = 40;
/// Usual: well below a millisecond.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How the stream is stopped.
#[derive(Clone, Copy, Debug)]
enum Way {
    Close,
    Drop,
    /// By a token that is signalled before the next event is asked for.
    TokenBefore,
    /// By a token, from another thread, while the next event is awaited.
    TokenWhile,
    /// By the stream's own handle, likewise.
    OwnWhile,
}

/// How much of a stream the server sends before it waits for the client to leave.
#[derive(Clone, Copy, Debug)]
struct Point {
    events: usize,
    /// Of the bytes of the next one, its chunk framing included.
    bytes: usize,
}

fn event(number: usize) -> String {
    let data = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"é{number} \"}},\"finish_reason\":{}}}]}}\n\n",
        if number + 1 == EVENTS { "\"stop\"" } else { "null" }
    );
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Answers each request with a stream: up to the point that it is told, or to the end. Tells when the
/// client had left a stream that was not at its end.
fn serve(plans: Receiver<Option<Point>>, closed: Sender<Instant>) -> Server<()> {
    Server::start(move |listener| {
        loop {
            let mut socket = common::accept(&listener);
            while socket.peek(&mut [0]).is_ok_and(|there| there > 0) {
                Request::read(&mut socket);
                let plan = plans.recv().unwrap();
                let Point { events, bytes } = plan.unwrap_or(Point { events: EVENTS, bytes: 0 });
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut sent: String = head.into();
                sent.extend((0..events).map(event));
                let next = if events < EVENTS { event(events) } else { String::new() };
                let mut sent = sent.into_bytes();
                sent.extend(&next.as_bytes()[..bytes]);
                if plan.is_none() {
                    sent.extend(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
                }
                socket.write_all(&sent).unwrap();
                if plan.is_some() {
                    closed.send(left(&mut socket)).unwrap();
                }
            }
        }
    })
}

fn left(socket: &mut TcpStream) -> Instant {
    match socket.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("the client did not leave: {other:?}"),
    }
    Instant::now()
}

/// Descriptors and threads of this process.
fn held() -> (usize, usize) {
    let count = |folder| fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Stops the stream in that way; tells when it began to.
fn stop(mut stream: Stream, way: Way, token: &Cancel, wait: Duration) -> Instant {
    let (begun, error) = match way {
        Way::Close => {
            let begun = Instant::now();
            stream.close();
            assert_eq!(stream.verdict(), Some(Verdict::Cancelled));
            assert!(stream.next().is_none());
            return begun;
        }
        Way::Drop => {
            let begun = Instant::now();
            drop(stream);
            return begun;
        }
        Way::TokenBefore => {
            token.signal();
            (Instant::now(), stream.next().unwrap().unwrap_err())
        }
        Way::TokenWhile | Way::OwnWhile => {
            let cancel = if matches!(way, Way::OwnWhile) { stream.canceller() } else { token.clone() };
            let stopper = thread::spawn(move || {
                thread::park_timeout(wait);
                let begun = Instant::now();
                cancel.signal();
                begun
            });
            let error = stream.next().unwrap().unwrap_err();
            (stopper.join().unwrap(), error)
        }
    };
    assert_eq!((error.kind(), error.verdict()), (Kind::Cancelled, Verdict::Cancelled), "{error}");
    begun
}

fn texts(events: usize) -> String {
    (0..events).map(|number| format!("é{number} ")).collect()
}

fn whole(client: &Client) {
    let (answer, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    assert!(error.is_none(), "{error:?}");
    assert_eq!(answer.text(), texts(EVENTS));
}

#[test]
fn a_stream_that_is_stopped_at_any_point_leaves_nothing_behind() {
    let (plan, plans) = channel();
    let (closed, left) = channel();
    let server = serve(plans, closed);
    let client = client(&server.base_url);
    plan.send(None).unwrap();
    whole(&client);
    let open = held();
    client.close_idle();
    wait_for("both ends of the connection closed", || held().0 == open.0 - 2);
    let before = held();

    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for way in [Way::Close, Way::Drop, Way::TokenBefore, Way::TokenWhile, Way::OwnWhile] {
        let mut took = Vec::new();
        for turn in 0..POINTS {
            let events = random.below(EVENTS);
            // Every fourth one lies between two events.
            let bytes = if turn % 4 == 0 { 0 } else { random.below(event(events).len() - "\n\r\n".len()) };
            let point = Point { events, bytes };
            plan.send(Some(point)).unwrap();
            let token = Cancel::new();
            let mut stream = client.chat_completions_stream(HELLO, Some(&token)).unwrap();
            let mut text = String::new();
            for _ in 0..events {
                let step = stream.poll(Some(BOUND)).unwrap();
                assert!(matches!(step, Step::Chunk), "{way:?} at {point:?}");
                text.push_str(stream.chunk().unwrap().text());
            }
            assert_eq!(text, texts(events), "{way:?} at {point:?}");
            // Half of the streams have taken in the piece of an event when they are stopped.
            if turn % 2 == 0 {
                let step = stream.poll(Some(Duration::from_millis(2))).unwrap();
                assert!(matches!(step, Step::Pending), "{way:?} at {point:?}");
            }
            let wait = Duration::from_micros(random.below(3000) as u64);
            let begun = stop(stream, way, &token, wait);
            let ended =
                left.recv_timeout(BOUND).unwrap_or_else(|_| panic!("{way:?} at {point:?}: still open"));
            took.push(ended.saturating_duration_since(begun));
            assert!(*took.last().unwrap() < AT_ONCE, "{way:?} at {point:?}: {took:?}");
            if turn % 10 == 0 {
                plan.send(None).unwrap();
                whole(&client);
                client.close_idle();
            }
        }
        client.close_idle();
        wait_for("as many descriptors and threads as before", || held() == before);
        took.sort();
        println!(
            "{way:?}: the server sees the end after {:?}, at most {:?}",
            took[POINTS / 2],
            took[POINTS - 1]
        );
    }
    plan.send(None).unwrap();
    whole(&client);
}
