//! Fast streams, whose receives block by themselves: they end at once and at their limits as slow ones do.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use elkapi::{Cancel, Client, Config, Interrupt, Kind, Limit, Step, Stream};

mod common;
use common::{BOUND, HELLO, KEY, Request, Server, accept, config};

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
    let client = Client::new(changes.environment(false).base_url(base_url).api_key(KEY)).unwrap();
    client.chat_completions_stream(HELLO, cancel).unwrap()
}

/// Reads what comes before the silence.
fn read(stream: &mut Stream) {
    for _ in 0..EVENTS {
        assert_eq!(stream.poll(None).unwrap(), Step::Chunk);
    }
}

/// The calling thread, as the system counts them.
fn this_thread() -> i32 {
    let place = std::fs::read_link("/proc/thread-self").unwrap();
    place.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap()
}

/// The system call in which that thread blocks, as a number; `running` otherwise.
fn place_of(thread: i32) -> String {
    let place = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).unwrap();
    place.split([' ', '\n']).next().unwrap().to_owned()
}

/// Whether that thread blocks in a receive, and not in a wait before it.
fn is_in_receive(thread: i32) -> bool {
    place_of(thread) == libc::SYS_recvfrom.to_string()
}

/// Waits for that thread to block in a receive; `false` where a busy machine let it slip.
fn is_seen_in_receive(thread: i32) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(50) {
        if is_in_receive(thread) {
            return true;
        }
        thread::sleep(Duration::from_micros(200));
    }
    false
}

/// What goes took in the middle. Those that saw no receive block give nothing and are repeated.
fn middle(mut go: impl FnMut() -> Option<Duration>) -> Duration {
    const GOES: usize = 9;
    let mut took: Vec<Duration> = (0..10 * GOES).filter_map(|_| go()).take(GOES).collect();
    assert_eq!(took.len(), GOES, "hardly any receive blocked");
    took.sort();
    took[GOES / 2]
}

#[test]
fn a_cancel_ends_a_receive_that_blocks_at_once() {
    let server = falls_silent();
    let took = middle(|| {
        let cancel = Cancel::new();
        let mut stream = opened(&server.base_url, Config::new(), Some(&cancel));
        read(&mut stream);
        let reader = this_thread();
        let signalled = thread::spawn(move || {
            let seen = is_seen_in_receive(reader);
            let at = Instant::now();
            cancel.signal();
            (seen, at)
        });
        let error = stream.poll(None).unwrap_err();
        let ended = Instant::now();
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
        assert_eq!(stream.completion().text(), "moss ".repeat(EVENTS));
        let (seen, at) = signalled.join().unwrap();
        seen.then(|| ended - at)
    });
    assert!(took < Duration::from_millis(12), "{took:?}: they ended by themselves");
}

#[test]
fn streams_that_share_a_token_are_all_stopped() {
    let server = falls_silent();
    let base_url = server.base_url.as_str();
    let took = middle(|| {
        let cancel = Cancel::new();
        let (silent, is_silent) = mpsc::channel();
        thread::scope(|scope| {
            let readers = [(); 3].map(|()| {
                let (cancel, silent) = (cancel.clone(), silent.clone());
                scope.spawn(move || {
                    let mut stream = opened(base_url, Config::new(), Some(&cancel));
                    read(&mut stream);
                    silent.send(this_thread()).unwrap();
                    assert_eq!(stream.poll(None).unwrap_err().kind(), Kind::Cancelled);
                    Instant::now()
                })
            });
            let threads = readers.each_ref().map(|_| is_silent.recv_timeout(BOUND).unwrap());
            let seen = threads.iter().any(|thread| is_in_receive(*thread));
            let at = Instant::now();
            cancel.signal();
            let last = readers.into_iter().map(|reader| reader.join().unwrap()).max().unwrap();
            seen.then(|| last - at)
        })
    });
    assert!(took < Duration::from_millis(12), "{took:?}");
}

/// Stops a call once it is set; asked when a signal comes, and else too seldom for that to matter here.
#[derive(Default)]
struct Stopping {
    set: AtomicBool,
    asked: AtomicUsize,
    every_ms: u64,
}

impl Interrupt for Stopping {
    fn ask(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.set.load(Ordering::SeqCst)
    }

    fn backstop(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.every_ms))
    }
}

#[test]
#[allow(unsafe_code)]
fn a_signal_ends_a_receive_that_blocks_where_its_hook_says_so() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, and nobody else here uses this signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
    }
    let server = falls_silent();
    let took = middle(|| {
        let hook = Arc::new(Stopping { every_ms: 1_000, ..Stopping::default() });
        let client = Client::new(config(&server.base_url)).unwrap().with_interrupt(Some(hook.clone()));
        let mut stream = client.chat_completions_stream(HELLO, None).unwrap();
        read(&mut stream);
        let reader = this_thread();
        let sent = thread::spawn(move || {
            let seen = is_seen_in_receive(reader);
            hook.set.store(true, Ordering::SeqCst);
            let at = Instant::now();
            // SAFETY: a signal to a thread of this process, which handles it.
            let status = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), reader, libc::SIGUSR2) };
            assert_eq!(status, 0);
            (seen, at)
        });
        assert_eq!(stream.poll(None).unwrap_err().kind(), Kind::Cancelled);
        let ended = Instant::now();
        let (seen, at) = sent.join().unwrap();
        seen.then(|| ended - at)
    });
    assert!(took < Duration::from_millis(12), "{took:?}");
}

#[test]
fn a_hook_is_asked_hardly_oftener_than_it_wants() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        stream_in_chunks(&mut socket, 2_000);
    });
    let hook = Arc::new(Stopping { every_ms: 10, ..Stopping::default() });
    let client = Client::new(config(&server.base_url)).unwrap().with_interrupt(Some(hook.clone()));
    let started = Instant::now();
    let (_, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    let (asked, took) = (hook.asked.load(Ordering::SeqCst), started.elapsed());
    assert!(error.is_none(), "{error:?}");
    assert!(asked > 0 && asked as u128 <= took.as_millis() / 10, "{asked} times in {took:?}");
    server.join();
}

#[test]
fn limits_end_a_stream_that_falls_silent_at_their_time() {
    let server = falls_silent();
    for (changes, limit, least) in [
        (Config::new().idle_timeout_ms(300u64), Limit::Idle, 300),
        (Config::new().total_timeout_ms(600u64), Limit::Total, 600),
    ] {
        let started = Instant::now();
        let mut stream = opened(&server.base_url, changes, None);
        read(&mut stream);
        let silent = Instant::now();
        let error = stream.poll(None).unwrap_err();
        let took = if limit == Limit::Idle { silent.elapsed() } else { started.elapsed() };
        assert_eq!(error.limit(), Some(limit), "{error}");
        // The idle limit counts from when the last bytes came, which a busy machine may have read later.
        assert!(took >= Duration::from_millis(least / 2), "{took:?} for {limit:?}");
        assert!(took < Duration::from_millis(least + 500), "{took:?} for {limit:?}");
    }
}

#[test]
fn no_receive_blocks_beyond_a_limit_or_the_patience_of_who_asks() {
    let server = falls_silent();
    let near = Duration::from_millis(5);
    let took = middle(|| {
        let mut stream = opened(&server.base_url, Config::new(), None);
        read(&mut stream);
        let started = Instant::now();
        assert_eq!(stream.poll(Some(near)).unwrap(), Step::Pending);
        assert!(started.elapsed() >= near, "{:?}", started.elapsed());
        Some(started.elapsed())
    });
    assert!(took < Duration::from_millis(17), "{took:?}");
    let took = middle(|| {
        // An idle limit that the events keep to, and the silence does not.
        let mut stream = opened(&server.base_url, Config::new().idle_timeout_ms(8u64), None);
        let mut last = Instant::now();
        loop {
            match stream.poll(None) {
                Ok(_) => last = Instant::now(),
                // One of the events may be late already.
                Err(error) => return (error.limit() == Some(Limit::Idle)).then(|| last.elapsed()),
            }
        }
    });
    assert!(took < Duration::from_millis(20), "{took:?}");
}

#[test]
fn a_connection_whose_receives_blocked_serves_the_next_calls() {
    const CALLS: usize = 5;
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        for _ in 0..CALLS {
            stream_in_chunks(&mut socket, EVENTS);
        }
    });
    let client = Client::new(config(&server.base_url)).unwrap();
    for _ in 0..CALLS {
        finish(&client);
    }
    server.join();
}

#[test]
fn a_send_on_a_connection_whose_receives_blocked_ends_at_its_limit_and_by_a_cancel() {
    for cancels in [false, true] {
        let (over, is_over) = mpsc::channel::<()>();
        let server = Server::start(move |listener| {
            let mut socket = accept(&listener);
            stream_in_chunks(&mut socket, EVENTS);
            // Reads no further.
            let _ = is_over.recv_timeout(BOUND);
        });
        let client = Client::new(config(&server.base_url).write_timeout_ms(300u64)).unwrap();
        finish(&client);
        let text = "moss ".repeat(4 << 20);
        let large = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
        let cancel = Cancel::new();
        let started = Instant::now();
        let error = thread::scope(|scope| {
            let reader = this_thread();
            if cancels {
                let cancel = &cancel;
                scope.spawn(move || {
                    common::wait_for("a send that stalls", || place_of(reader) != "running");
                    cancel.signal();
                });
            }
            client.chat_completions(&large, Some(&cancel)).unwrap_err()
        });
        let expected = if cancels { (Kind::Cancelled, None) } else { (Kind::Timeout, Some(Limit::Write)) };
        assert_eq!((error.kind(), error.limit()), expected, "{error}");
        assert!(error.bytes_sent() > 0, "{error:?}");
        assert!(started.elapsed() < BOUND / 2, "{:?}", started.elapsed());
        drop(over);
        server.join();
    }
}

fn stream_in_chunks(socket: &mut std::net::TcpStream, events: usize) {
    Request::read(socket);
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head).unwrap();
    let end =
        b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for event in std::iter::repeat_n(EVENT, events).chain([end.as_slice()]) {
        thread::sleep(Duration::from_micros(200));
        write!(socket, "{:x}\r\n", event.len()).unwrap();
        socket.write_all(event).unwrap();
        socket.write_all(b"\r\n").unwrap();
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
}

fn finish(client: &Client) {
    let (answer, error) = client.chat_completions_stream(HELLO, None).unwrap().finish();
    assert!(error.is_none(), "{error:?}");
    assert_eq!(answer.text(), "moss ".repeat(EVENTS));
}
