//! The queue: many calls at once, taken by whoever has time.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{BOUND, HELLO, client, client_with, config, simulator, wait_for};
use elkapi::{Cancel, Client, Completion, Error, Interrupt, Kind, Queue, Recorder, Taken, Verdict, Work};
use serde_json::Value;

/// A request with wishes for the simulator.
fn wishing(wishes: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"Hello"}}],"sim":{wishes}}}"#)
}

fn queue(client: &Client, workers: usize) -> Queue {
    Queue::new(client, workers, 4_000).unwrap()
}

/// Takes the next ending.
fn ending(queue: &Queue) -> Option<(u64, Option<Completion>, Option<Error>)> {
    loop {
        match queue.take(Some(BOUND)).unwrap() {
            Taken::Ended { tag, answer, error } => return Some((tag, answer, error)),
            Taken::Done => return None,
            Taken::Pending => panic!("nothing came"),
            _ => {}
        }
    }
}

fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

fn is_readable(queue: &Queue) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let handle = queue.handle();
    let mut fds = [PollFd::from_borrowed_fd(handle, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn answers_come_with_their_tags_and_then_the_queue_is_done() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 4);
    assert!(matches!(queue.take(None).unwrap(), Taken::Done), "an empty queue does not wait");
    for tag in 0..20 {
        let request = wishing(&format!(r#"{{"text":"answer {tag}"}}"#));
        queue.submit(Work::chat_completions(request).tag(tag)).unwrap();
    }
    queue.submit(Work::get("/models").tag(20)).unwrap();
    let mut seen = Vec::new();
    while let Some((tag, answer, error)) = ending(&queue) {
        assert!(error.is_none(), "{error:?}");
        let answer = answer.unwrap();
        match tag {
            20 => assert!(answer.pointer("/data/0/id").is_some()),
            tag => assert_eq!(answer.text(), format!("answer {tag}")),
        }
        seen.push(tag);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..=20).collect::<Vec<_>>());
    assert!(!is_readable(&queue));
}

#[test]
fn a_bad_request_arrives_as_its_own_ending() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 1);
    queue.submit(Work::chat_completions("{").tag(1)).unwrap();
    queue.submit(Work::chat_completions_stream("[]").tag(2)).unwrap();
    for tag in [1, 2] {
        let (its, answer, error) = ending(&queue).unwrap();
        assert_eq!((its, answer.is_some()), (tag, false));
        assert_eq!(error.unwrap().kind(), Kind::InvalidArgument);
    }
    assert_eq!(sim.stats().requests, 0);
}

#[test]
fn calls_begin_in_order_and_never_more_than_the_workers_are_under_way() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 3);
    for tag in 0..12 {
        let request = wishing(r#"{"delay_ms":20}"#).replace("Hello", &format!("number {tag:02}"));
        queue.submit(Work::chat_completions(request).tag(tag)).unwrap();
    }
    while ending(&queue).is_some() {}
    assert_eq!(sim.stats().max_in_flight, 3);
    assert_eq!(sim.stats().connections, 3);
}

#[test]
fn a_full_queue_says_so_and_has_room_again_when_results_are_taken() {
    let sim = simulator();
    let queue = Queue::new(&client(&sim.base_url()), 1, 2).unwrap();
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    let refused = queue.submit(Work::chat_completions(HELLO)).unwrap_err();
    assert_eq!((refused.kind(), refused.retryable()), (Kind::QueueFull, true));
    assert!(refused.message().contains("holds 2 calls"), "{refused}");
    // Results that nobody has taken count too.
    wait_for("both are answered", || sim.stats().requests == 2);
    assert_eq!(queue.submit(Work::chat_completions(HELLO)).unwrap_err().kind(), Kind::QueueFull);
    ending(&queue).unwrap();
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    while ending(&queue).is_some() {}
}

#[test]
fn the_descriptor_is_readable_while_something_waits_and_silent_when_it_is_taken() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 2);
    assert!(!is_readable(&queue));
    assert!(queue.handle().as_raw_fd() >= 0);
    queue.submit(Work::chat_completions(HELLO).tag(1)).unwrap();
    queue.submit(Work::chat_completions(HELLO).tag(2)).unwrap();
    wait_for("it is readable", || is_readable(&queue));
    assert!(is_readable(&queue), "and stays so");
    ending(&queue).unwrap();
    wait_for("the second one", || is_readable(&queue));
    ending(&queue).unwrap();
    assert!(!is_readable(&queue));
}

#[test]
fn chunks_of_a_stream_come_in_order_and_before_its_ending() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 64);
    for tag in 0..64 {
        let text: Vec<String> = (0..50).map(|n| format!("{tag}.{n} ")).collect();
        let wishes = format!(r#"{{"text":{},"chunk_delay_us":100}}"#, serde_json::json!(text.concat()));
        queue.submit(Work::chat_completions_stream(wishing(&wishes)).tag(tag)).unwrap();
    }
    let mut texts: HashMap<u64, String> = HashMap::new();
    let mut ended = 0;
    loop {
        match queue.take(Some(BOUND)).unwrap() {
            Taken::Chunk { tag, chunk } => {
                texts.entry(tag).or_default().push_str(chunk.text().as_text().unwrap());
            }
            Taken::Ended { tag, answer, error } => {
                assert!(error.is_none(), "{error:?}");
                let answer = answer.unwrap();
                assert_eq!(answer.text(), texts[&tag], "nothing comes after the ending");
                assert!(texts[&tag].starts_with(&format!("{tag}.0 {tag}.1 ")), "{}", texts[&tag]);
                ended += 1;
            }
            Taken::Done => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, 64);
}

#[test]
fn a_stream_that_was_to_be_announced_tells_its_opening_first() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 1);
    queue.submit(Work::chat_completions_stream(HELLO).tag(7).announced()).unwrap();
    match queue.take(None).unwrap() {
        Taken::Opened { tag, head } => {
            assert_eq!((tag, head.status()), (7, 200));
            assert!(head.headers().request_id().is_some());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(queue.take(None).unwrap(), Taken::Chunk { tag: 7, .. }));
    ending(&queue).unwrap();
}

#[test]
fn a_stream_whose_chunks_nobody_takes_stops_reading_and_others_go_on() {
    let sim = simulator();
    let queue = queue(&client(&sim.base_url()), 2);
    // Far more than the window and the buffers of the sockets hold.
    let bytes = 64 << 20;
    let large = wishing(&format!(r#"{{"bytes":{bytes},"chunks":20000}}"#));
    queue.submit(Work::chat_completions_stream(large).tag(1)).unwrap();
    let mut held = Vec::new();
    // What fits into the window comes; then nothing, as long as these are held.
    while let Taken::Chunk { chunk, .. } = queue.take(Some(Duration::from_millis(500))).unwrap() {
        held.push(chunk);
        assert!(held.len() <= 200, "the stream runs on");
    }
    assert!(held.len() > 10, "only {} came", held.len());
    let out: usize = held.iter().map(size).sum();
    assert!(out < 2 * 256 * 1024, "{out} bytes are out");
    // Another call is not held up.
    queue.submit(Work::chat_completions(HELLO).tag(2)).unwrap();
    assert_eq!(ending(&queue).unwrap().0, 2);
    held.clear();
    let (tag, answer, error) = ending(&queue).unwrap();
    assert!(error.is_none(), "{error:?}");
    assert_eq!((tag, answer.unwrap().text().len()), (1, bytes));
}

fn size(chunk: &elkapi::HeldChunk) -> usize {
    chunk.json().as_bytes().len()
}

#[test]
fn a_resting_stream_is_stopped_at_once_and_by_its_total() {
    let sim = simulator();
    let patient = client(&sim.base_url());
    let limited = patient.with(r#"{"total_timeout_ms":3000}"#).unwrap();
    let queue = queue(&patient, 1);
    // More than the window takes, and little enough to be made at once.
    let large = wishing(r#"{"bytes":4194304,"chunks":2000}"#);
    let stop = Cancel::new();
    for (client, token, kind) in
        [(&patient, stop.clone(), Kind::Cancelled), (&limited, Cancel::new(), Kind::Timeout)]
    {
        let work = Work::chat_completions_stream(large.as_str()).client(client).cancel(&token);
        queue.submit(work).unwrap();
        let mut held = Vec::new();
        let mut wait = BOUND;
        while let Taken::Chunk { chunk, .. } = queue.take(Some(wait)).unwrap() {
            held.push(chunk);
            wait = Duration::from_millis(200);
        }
        stop.signal();
        let (_, answer, error) = ending(&queue).unwrap();
        assert_eq!(error.unwrap().kind(), kind);
        assert!(!answer.unwrap().text().is_empty(), "what arrived is kept");
    }
}

#[test]
fn a_waiting_call_ends_at_its_limit_and_at_once_when_it_is_cancelled() {
    let sim = simulator();
    let patient = client(&sim.url("/fault/stall-before-headers/v1"));
    let queue = queue(&patient, 1);
    queue.submit(Work::chat_completions(HELLO).tag(0)).unwrap();
    wait_for("the worker is busy", || sim.stats().in_flight == 1);

    let hasty = patient.with(r#"{"total_timeout_ms":80}"#).unwrap();
    let (start, stop) = (Instant::now(), Cancel::new());
    queue.submit(Work::chat_completions(HELLO).tag(1).client(&hasty)).unwrap();
    queue.submit(Work::chat_completions_stream(HELLO).tag(2).cancel(&stop)).unwrap();
    queue.submit(Work::chat_completions(HELLO).tag(3).cancel(&stop)).unwrap();
    let (tag, _, error) = ending(&queue).unwrap();
    let error = error.unwrap();
    assert_eq!((tag, error.kind(), error.billed().name()), (1, Kind::Timeout, "no"));
    assert!(error.message().contains("before the call's turn came"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(80));
    assert!(start.elapsed() < BOUND / 2, "{:?}", start.elapsed());

    stop.signal();
    for tag in [2, 3] {
        let (its, _, error) = ending(&queue).unwrap();
        let error = error.unwrap();
        assert_eq!((its, error.kind(), error.billed().name()), (tag, Kind::Cancelled, "no"));
        assert_eq!(error.verdict(), Verdict::Cancelled);
    }
    assert_eq!(sim.stats().requests, 1, "none of them was sent");
}

#[test]
fn more_waiting_tokens_than_descriptors_are_spent_on_are_all_heard() {
    let sim = simulator();
    let queue = queue(&client(&sim.url("/fault/stall-before-headers/v1")), 1);
    let stops: Vec<_> = (0..200).map(|_| Cancel::new()).collect();
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    for (tag, stop) in stops.iter().enumerate() {
        queue.submit(Work::chat_completions(HELLO).tag(tag as u64).cancel(stop)).unwrap();
    }
    wait_for("the worker is busy", || sim.stats().in_flight == 1);
    let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(after < before + 150, "{before} {after}");
    for stop in stops.iter().rev() {
        stop.signal();
    }
    let mut ended = 0;
    while let Some((_, _, error)) = ending(&queue) {
        assert_eq!(error.unwrap().kind(), Kind::Cancelled);
        ended += 1;
    }
    assert_eq!(ended, 200);
}

#[test]
fn cancelling_all_ends_what_waits_and_what_runs_and_the_queue_stays_usable() {
    let sim = simulator();
    let stalling = client(&sim.url("/fault/stall-mid-body/v1"));
    let queue = queue(&stalling, 8);
    for tag in 0..20 {
        let work =
            if tag % 2 == 0 { Work::chat_completions(HELLO) } else { Work::chat_completions_stream(HELLO) };
        queue.submit(work.tag(tag)).unwrap();
    }
    wait_for("eight are under way", || sim.stats().in_flight == 8);
    queue.cancel_all();
    let mut ended = 0;
    while let Some((_, _, error)) = ending(&queue) {
        assert_eq!(error.unwrap().kind(), Kind::Cancelled);
        ended += 1;
    }
    assert_eq!(ended, 20);
    wait_for("their sockets are closed", || sim.stats().in_flight == 0);
    queue.submit(Work::chat_completions(HELLO).client(&client(&sim.base_url()))).unwrap();
    assert!(ending(&queue).unwrap().1.is_some());
}

#[test]
fn closing_ends_everything_within_a_moment_and_closes_the_sockets() {
    let sim = simulator();
    let queue = queue(&client(&sim.url("/fault/stall-before-headers/v1")), 8);
    for _ in 0..20 {
        queue.submit(Work::chat_completions(HELLO)).unwrap();
    }
    wait_for("eight are under way", || sim.stats().in_flight == 8);
    let start = Instant::now();
    queue.close();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(queue.submit(Work::chat_completions(HELLO)).unwrap_err().kind(), Kind::Closed);
    assert!(matches!(queue.take(None).unwrap(), Taken::Done));
    drop(queue);
    wait_for("their sockets are closed", || sim.stats().in_flight == 0);
}

#[test]
fn a_task_is_done_by_a_worker_and_its_ending_says_nothing_more() {
    let queue = Queue::without_client(2, 8).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let task = move || tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
    queue.submit(Work::task(task).tag(7)).unwrap();
    assert!(matches!(ending(&queue), Some((7, None, None))));
    assert_eq!(told.recv().unwrap().as_deref(), Some("elkapi-queue"));
    queue.submit(Work::task(|| panic!("a defect")).tag(8)).unwrap();
    let (tag, _, error) = ending(&queue).unwrap();
    assert_eq!((tag, error.unwrap().kind()), (8, Kind::Internal));
    assert_eq!(queue.submit(Work::chat_completions(HELLO)).unwrap_err().kind(), Kind::InvalidArgument);
    let sim = simulator();
    queue.submit(Work::chat_completions(HELLO).client(&client(&sim.base_url()))).unwrap();
    assert!(ending(&queue).unwrap().1.is_some());
}

#[test]
fn a_task_that_is_stopped_before_its_turn_never_runs() {
    let queue = Queue::without_client(1, 8).unwrap();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    queue.submit(Work::task(move || gone.recv().unwrap()).tag(1)).unwrap();
    let (ran, stop) = (Arc::new(AtomicBool::new(false)), Cancel::new());
    let seen = ran.clone();
    queue.submit(Work::task(move || seen.store(true, Ordering::SeqCst)).cancel(&stop).tag(2)).unwrap();
    stop.signal();
    let (tag, _, error) = ending(&queue).unwrap();
    assert_eq!((tag, error.unwrap().kind()), (2, Kind::Cancelled));
    go.send(()).unwrap();
    assert!(matches!(ending(&queue), Some((1, None, None))));
    assert!(!ran.load(Ordering::SeqCst));
}

#[test]
fn whoever_waits_learns_that_nothing_will_come() {
    let sim = simulator();
    let queue = Arc::new(queue(&client(&sim.url("/delay/100/v1")), 1));
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let mut taken = 0;
                while !matches!(queue.take(None).unwrap(), Taken::Done) {
                    taken += 1;
                }
                taken
            })
        })
        .collect();
    let taken: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
    assert_eq!(taken, 1);
    assert!(!is_readable(&queue));
}

#[test]
fn a_wait_ends_in_its_time_and_loses_nothing() {
    let sim = simulator();
    let queue = queue(&client(&sim.url("/delay/150/v1")), 1);
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    assert!(matches!(queue.take(Some(Duration::ZERO)).unwrap(), Taken::Pending));
    let start = Instant::now();
    assert!(matches!(queue.take(Some(Duration::from_millis(20))).unwrap(), Taken::Pending));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(ending(&queue).unwrap().1.is_some());
}

struct Kept(Mutex<Vec<(std::thread::ThreadId, String)>>);

impl Recorder for Kept {
    fn take(&self, json: &str) {
        self.0.lock().unwrap().push((std::thread::current().id(), json.to_owned()));
    }
}

#[test]
fn records_are_handed_out_on_the_thread_that_takes() {
    let sim = simulator();
    let kept = Arc::new(Kept(Mutex::default()));
    let recorded = Client::new(config(&sim.base_url())).unwrap().with_recorder(Some(kept.clone()));
    let queue = queue(&recorded, 2);
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    queue.submit(Work::chat_completions_stream(HELLO)).unwrap();
    let changed = recorded.with(r#"{"headers":{"x-a":"b"}}"#).unwrap();
    queue.submit(Work::chat_completions(HELLO).client(&changed)).unwrap();
    while ending(&queue).is_some() {}
    let records = kept.0.lock().unwrap();
    assert_eq!(records.len(), 3);
    for (thread, json) in &*records {
        assert_eq!(*thread, std::thread::current().id());
        let record: Value = serde_json::from_str(json).unwrap();
        assert_eq!(record["verdict"], "complete");
    }
}

#[test]
fn the_records_of_calls_that_closing_stopped_are_handed_out_by_it() {
    let sim = simulator();
    let kept = Arc::new(Kept(Mutex::default()));
    let stalling = Client::new(config(&sim.url("/fault/stall-before-headers/v1"))).unwrap();
    let queue = queue(&stalling.with_recorder(Some(kept.clone())), 1);
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    wait_for("it is under way", || sim.stats().in_flight == 1);
    drop(queue);
    let records = kept.0.lock().unwrap();
    assert_eq!(records.len(), 1);
    assert!(records[0].1.contains("\"cancelled\""), "{}", records[0].1);
}

/// Asked only now and then: in place of a signal.
struct Stopping;

impl Interrupt for Stopping {
    fn ask(&self) -> bool {
        true
    }

    fn backstop(&self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }
}

#[test]
fn the_interrupt_hook_ends_the_wait_of_who_takes_and_no_call() {
    let sim = simulator();
    let interrupted = client(&sim.url("/delay/300/v1")).with_interrupt(Some(Arc::new(Stopping)));
    let queue = queue(&interrupted, 1);
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    let error = queue.take(None).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(error.message().contains("its calls go on"), "{error}");
    wait_for("the call ends well", || is_readable(&queue));
    assert!(ending(&queue).unwrap().1.is_some());
}

#[test]
fn the_workers_end_when_there_is_nothing_to_do() {
    let sim = simulator();
    let queue = queue(&client(&sim.url("/delay/50/v1")), 16);
    for _ in 0..16 {
        queue.submit(Work::chat_completions(HELLO)).unwrap();
    }
    while ending(&queue).is_some() {}
    // Others of these tests have workers too; all of them end.
    let start = Instant::now();
    while threads_named("elkapi-queue") > 0 {
        assert!(start.elapsed() < 6 * BOUND, "they stay");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    queue.submit(Work::chat_completions(HELLO)).unwrap();
    assert!(ending(&queue).unwrap().1.is_some());
}

#[test]
fn a_paced_client_finds_the_servers_rate_and_loses_no_call() {
    let sim = simulator();
    let kept = Arc::new(Kept(Mutex::default()));
    let paced = client_with(&sim.url("/fault/rate-limit-50/v1"), r#"{"pacing":true,"max_retries":2}"#);
    let queue = queue(&paced.with_recorder(Some(kept.clone())), 64);
    let start = std::time::SystemTime::now();
    for tag in 0..500 {
        queue.submit(Work::chat_completions(wishing(r#"{"delay_ms":20}"#)).tag(tag)).unwrap();
    }
    let mut answered = 0;
    while let Some((_, answer, error)) = ending(&queue) {
        assert!(answer.is_some(), "{error:?}");
        answered += 1;
    }
    assert_eq!(answered, 500);
    let begun = start.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let records = kept.0.lock().unwrap();
    let records: Vec<Value> = records.iter().map(|(_, json)| serde_json::from_str(json).unwrap()).collect();
    let later = |record: &&Value| record["started_unix_ms"].as_u64().unwrap() > begun + 1_000;
    let refused = |record: &&Value| record["http.response.status_code"] == 429;
    let (later, all) = (records.iter().filter(later).collect::<Vec<_>>(), records.len());
    let refused_later = later.iter().copied().filter(refused).count();
    println!("{all} attempts, {} after the first second, {refused_later} of them refused", later.len());
    assert!(refused_later * 10 < later.len(), "{refused_later} of {}", later.len());
    let paces: Vec<f64> =
        later.iter().filter_map(|record| record["pace_calls_per_second"].as_f64()).collect();
    assert!(paces.len() * 2 > later.len() && paces.iter().all(|pace| *pace < 100.0), "{paces:?}");
    assert!(later.iter().any(|record| record["paced_ms"].as_f64() > Some(0.0)));
}

#[test]
fn a_servers_wish_to_wait_holds_up_the_other_calls_of_a_paced_client_too() {
    let sim = simulator();
    let paced = client_with(&sim.url("/fault/429-ms-400/v1"), r#"{"pacing":true}"#);
    paced.chat_completions(HELLO, None).unwrap_err();
    let start = Instant::now();
    paced.chat_completions(HELLO, None).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    let hasty = paced.with(r#"{"total_timeout_ms":50}"#).unwrap();
    let error = hasty.chat_completions(HELLO, None).unwrap_err();
    assert_eq!((error.kind(), error.billed().name()), (Kind::Timeout, "no"), "{error}");
}
