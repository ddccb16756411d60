//! The programs of `examples/rust`, run against the simulator. `cargo test` builds them; with
//! `--test examples` alone they want `cargo build --examples` before.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use elkapi_sim::{Options, Simulator};

fn gateway() -> Simulator {
    Simulator::start(Options::default()).expect("the simulator starts")
}

/// They stand beside the folder of this test's program.
fn example(name: &str, base_url: &str) -> Command {
    let test = std::env::current_exe().expect("a path");
    let built = test.parent().and_then(|deps| deps.parent()).map(|debug| debug.join("examples").join(name));
    let mut command = Command::new(built.expect("a folder above"));
    command.env("ELKAPI_BASE_URL", base_url).env("ELKAPI_API_KEY", "sk-test");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; cargo build --examples?"))
}

/// What it says; it must end well.
fn said(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?} ended with {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn says_what_went_wrong(name: &str, sim: &Simulator) {
    let output = run(example(name, &sim.url("/v1")).env("ELKAPI_API_KEY", "sk-invalid"));
    assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
    assert!(output.stdout.is_empty() && output.stderr.len() > 20, "{name}: {output:?}");
}

#[test]
fn hello_asks_what_it_was_given() {
    let sim = gateway();
    assert!(said(&mut example("hello", &sim.url("/v1"))).contains("こんにちは"));
    let answer = said(example("hello", &sim.url("/v1")).arg("x \"y\" z"));
    assert!(answer.contains("x \"y\" z") && answer.contains(" tokens, request "), "{answer}");
    says_what_went_wrong("hello", &sim);
}

#[test]
fn stream_prints_the_answer_and_its_verdict() {
    let sim = gateway();
    let answer = said(&mut example("stream", &sim.url("/v1")));
    assert!(answer.contains("short story") && answer.contains("\ncomplete, "), "{answer}");
    let cut = run(&mut example("stream", &sim.url("/fault/truncate/v1")));
    assert_eq!(cut.status.code(), Some(1), "{cut:?}");
    assert!(String::from_utf8_lossy(&cut.stderr).contains("stream_truncated: "), "{cut:?}");
    says_what_went_wrong("stream", &sim);
}

#[test]
fn cancel_stops_on_enter_and_not_at_the_end_of_the_input() {
    let sim = gateway();
    assert!(said(example("cancel", &sim.url("/v1")).stdin(Stdio::null())).len() > 10);
    let mut stalls = example("cancel", &sim.url("/s/cancel/fault/stall-before-headers/v1"));
    let piped = stalls.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("the example starts");
    let give_up = Instant::now() + Duration::from_secs(60);
    while sim.stats_of("cancel").in_flight == 0 {
        assert!(Instant::now() < give_up, "no request came");
        std::thread::yield_now();
    }
    running.stdin.take().expect("a pipe").write_all(b"\n").expect("it reads");
    let stopped = running.wait_with_output().expect("it ends");
    assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
    let words = String::from_utf8_lossy(&stopped.stderr);
    assert!(words.starts_with("Stopped after ") && words.contains("Billed: maybe."), "{words}");
    says_what_went_wrong("cancel", &sim);
}

#[test]
fn picture_saves_one_of_the_ratio_that_it_asks_for() {
    let sim = gateway();
    let path: PathBuf = std::env::temp_dir().join(format!("elkapi-example-{}.png", std::process::id()));
    let words = said(example("picture", &sim.url("/v1")).arg(&path));
    let file = std::fs::read(&path).expect("the picture is there");
    std::fs::remove_file(&path).expect("it can be removed");
    assert!(words.contains("image/png") && words.contains(&file.len().to_string()), "{words}");
    let side = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes"));
    assert!(
        (f64::from(side(16)) / f64::from(side(20)) - 16.0 / 9.0).abs() < 0.02,
        "{}x{}",
        side(16),
        side(20)
    );
    says_what_went_wrong("picture", &sim);
}

#[test]
fn tools_answers_a_call_and_prints_the_text_that_follows() {
    let sim = gateway();
    let words = said(&mut example("tools", &sim.url("/s/tools/v1")));
    assert!(words.starts_with("get_weather {\"city\":") && words.contains("The tool answered: {"), "{words}");
    assert_eq!(sim.stats_of("tools").requests, 2);
    says_what_went_wrong("tools", &sim);
}
