//! What the programs in Rust share: arguments, clocks, the prompt, rounds, one line of results; as in ../../../c/bench.h.

use std::cell::RefCell;
use std::env;
use std::fs;

pub const KEY: &str = "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567";
pub const MODEL: &str = "gemini-3.1-pro-preview";
pub const AT_ONCE: usize = 64;
const WARM_UP: usize = 3;
const UPLOAD: usize = 1 << 20;

thread_local! {
    /// Ages of events, in µs.
    static AGES: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// The command line.
pub struct Bench {
    pub scenario: String,
    pub read: String,
    pub base_url: String,
    pub calls: usize,
}

impl Bench {
    pub fn from_arguments() -> Bench {
        let mut words = env::args().skip(1);
        let mut next = || words.next().expect("SCENARIO READ BASE_URL CALLS");
        let (scenario, read, base_url) = (next(), next(), next());
        Bench { scenario, read, base_url, calls: next().parse().expect("a number of calls") }
    }

    pub fn is(&self, scenario: &str) -> bool {
        self.scenario == scenario
    }

    pub fn is_stream(&self) -> bool {
        self.is("burst") || self.is("paced")
    }

    /// What the user says: for an upload as much as makes the request in JSON 1 MiB.
    pub fn prompt(&self) -> String {
        if !self.is("upload") {
            return "Hello".to_owned();
        }
        let line = "She said \"jump\", and 13 lazy dogs jumped over it, twice a day.\n";
        let room = UPLOAD - request_json("").len();
        let escaped = line.len() + 3;
        line.repeat(room / escaped) + &".".repeat(room % escaped)
    }

    /// An event's text: counted, or where it is the time of its sending, its age noted.
    pub fn take_text(&self, text: &str) -> usize {
        if self.is("paced") && text.len() > 10 {
            let sent: f64 = text.parse().expect("a time");
            AGES.with_borrow_mut(|ages| ages.push(now_us() - sent / 1e3));
        }
        text.len()
    }

    /// Scenarios of one call after the other; `call` tells how many bytes it read.
    pub async fn one_by_one(&self, call: impl AsyncFn() -> usize) {
        if self.is("first") {
            let read = call().await;
            let started: f64 = env::var("BENCH_STARTED").expect("set").parse().expect("a time");
            return report(vec![now_us() - started / 1e3], cpu_us(), read);
        }
        let is_paced = self.is("paced");
        let mut read = 0;
        for _ in 0..if is_paced { 0 } else { WARM_UP } {
            read = call().await;
        }
        let mut times = Vec::with_capacity(self.calls);
        let cpu = cpu_us();
        for number in 0..self.calls {
            let start = now_us();
            let now = call().await;
            times.push(now_us() - start);
            assert!(now == read || is_paced && number == 0, "calls read different amounts");
            read = now;
        }
        let spent = cpu_us() - cpu;
        if is_paced {
            times = AGES.take();
        }
        let count = times.len() as f64;
        report(times, spent / count, read);
    }

    /// [`AT_ONCE`] calls at once: `all` makes that many calls and tells how many bytes all of them read.
    pub async fn at_once(&self, all: impl AsyncFn(usize) -> usize) {
        all(AT_ONCE).await;
        let (cpu, start) = (cpu_us(), now_us());
        let read = all(self.calls).await;
        let (wall, spent) = (now_us() - start, cpu_us() - cpu);
        let calls = self.calls as f64;
        report(vec![wall / calls], spent / calls, read / self.calls);
    }
}

/// The request as a program writes it that has JSON at hand; `prompt` is escaped already.
pub fn request_json(prompt: &str) -> String {
    format!(r#"{{"model":"{MODEL}","stream":false,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
}

fn clock_us(clock: libc::clockid_t) -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is ours to write.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn now_us() -> f64 {
    clock_us(libc::CLOCK_MONOTONIC)
}

fn cpu_us() -> f64 {
    clock_us(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn report(mut times: Vec<f64>, cpu: f64, read: usize) {
    times.sort_by(f64::total_cmp);
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak = peak.trim().trim_end_matches(" kB");
    println!("{:.3} {:.3} {cpu:.3} {peak} {read}", times[times.len() / 2], times[times.len() * 99 / 100]);
}
