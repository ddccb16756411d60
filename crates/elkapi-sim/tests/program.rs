//! The program `elkapi-sim`, started as users start it.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use common::*;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_elkapi-sim"))
}

/// A started program that is ended in any case.
struct Running {
    child: Child,
    base_url: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut child = program()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut base_url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut base_url).unwrap();
        Running { child, base_url: base_url.trim_end().to_owned() }
    }

    fn address(&self) -> SocketAddr {
        let authority = self.base_url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1"));
        authority.unwrap_or_else(|| panic!("{:?}", self.base_url)).parse().unwrap()
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

#[test]
fn the_first_line_is_the_base_url_and_it_answers() {
    let directory = fixtures();
    let running = Running::start(&["--port", "0", "--fixtures", directory.to_str().unwrap(), "--quiet"]);
    let mut socket = connect(running.address());
    assert_eq!(exchange(&mut socket, &chat("/v1", "Hello", "")).status, 200);
    assert_eq!(exchange(&mut socket, &chat("/wire/unary_text/v1", "Hello", "")).status, 200);
}

#[test]
fn signals_end_it_with_success_even_during_a_reply() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut running = Running::start(&[]);
        let mut socket = connect(running.address());
        assert_eq!(exchange(&mut socket, &chat("/v1", "Hello", "")).status, 200);
        std::io::Write::write_all(&mut socket, chat("/fault/stall-mid-body/v1", "Hello", "").as_bytes())
            .unwrap();
        // SAFETY: the process is our own child, which was not waited for yet.
        unsafe { libc::kill(running.child.id() as libc::pid_t, signal) };
        assert!(running.ended().success());
        let _ = read_to_end(&mut socket).1;
    }
}

#[test]
fn the_end_of_standard_input_ends_it_if_asked() {
    let mut running = Running::start(&["--until-stdin-closes"]);
    assert!(running.child.try_wait().unwrap().is_none());
    drop(running.child.stdin.take());
    assert!(running.ended().success());
}

#[test]
fn a_closed_standard_output_does_not_end_it() {
    // `start` closes its end of the pipe as soon as the first line was read.
    let mut running = Running::start(&[]);
    assert_eq!(exchange(&mut connect(running.address()), &chat("/v1", "Hello", "")).status, 200);
    assert!(running.child.try_wait().unwrap().is_none());
}

#[test]
fn wrong_arguments_end_with_2_and_one_sentence() {
    for arguments in [
        &["--port", "many"][..],
        &["--port"],
        &["--host", "0.0.0.0"],
        &["--host=example.com"],
        &["--fixtures", "/does/not/exist"],
        &["--quiet=yes"],
        &["--nonsense"],
        &["extra"],
    ] {
        let output = run(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.contains("--help"), "{message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_port_that_is_taken_is_named_as_the_reason() {
    let running = Running::start(&["--port=0"]);
    let output = run(&["--port", &running.address().port().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot start"));
}

#[test]
fn help_explains_steering_and_lists_every_fault() {
    let output = run(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["/fault/NAME/v1", "/wire/NAME/v1", "curl ", "/__stats", "--until-stdin-closes"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.ends_with(&elkapi_sim::fault_table()));
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert_eq!(version.trim_end(), format!("elkapi-sim {}", env!("CARGO_PKG_VERSION")));
}
