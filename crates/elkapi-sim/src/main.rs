//! The program `elkapi-sim`: arguments in, base URL out, runs until it is told to stop.
//!
//! Everything else is in the library.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use elkapi_sim::{Options, Simulator, TlsOptions};

const HELP: &str = "\
elkapi-sim: a gateway on loopback that answers like ElkAPI, and misbehaves on request.
Your tests need no network and no key that costs money.

USAGE
  elkapi-sim [--port N] [--host ADDRESS] [--fixtures DIR] [--until-stdin-closes] [--quiet]
             [--tls-cert FILE --tls-key FILE [--tls-client-ca FILE]]

  --port N               port to listen on; 0, the default, takes any free one
  --host ADDRESS         loopback address to listen on (default 127.0.0.1)
  --fixtures DIR         directory of the exchanges that /wire/NAME replays
  --until-stdin-closes   stop when standard input ends, so that it never outlives its parent
  --tls-cert FILE        serve over TLS with this certificate chain in PEM, and the base URL is
                         https://127.0.0.1:PORT/v1; clients must trust whoever signed it
  --tls-key FILE         the private key of that certificate, in PEM
  --tls-client-ca FILE   serve only clients with a certificate of one of these authorities
  --quiet                print the base URL and nothing else
  --help, --version      print this, or the version

The first line on standard output is the base URL, such as http://127.0.0.1:40123/v1.
It stops on SIGTERM and SIGINT with exit status 0. Wrong arguments end with status 2.

A KEY
  Any key that begins with sk- is good. One that contains `invalid` or `exhausted` is refused
  with 401, one that contains `poor` with 403.

STEERED BY BASE URL, with any client in any language
  /v1                    the ordinary gateway
  /wire/NAME/v1          replays the fixture NAME.json byte for byte, with its timing
  /fault/NAME/v1         misbehaves; the names are below
  and before any of these:
  /s/SCOPE               counts under that name too, and keeps fixture sequences apart
  /delay/MS              waits before each reply
  /reframe/MODE          same content in other writes: bytes, events, whole, random-SEED
                         (fixtures and the ordinary gateway)

  curl $BASE/chat/completions -H 'Authorization: Bearer sk-test' \\
       -H 'Content-Type: application/json' \\
       -d '{\"model\":\"gemini-3.1-pro-preview\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'
  curl -N ... -d '{\"model\":\"m\",\"stream\":true,\"messages\":[...]}'            a stream
  curl ${BASE%/v1}/fault/drip-20/v1/chat/completions ...                   20 ms per byte
  curl ${BASE%/v1}/s/mine/delay/500/v1/models -H 'Authorization: Bearer sk-test'
  curl ${BASE%/v1}/s/mine/__stats                                          what came in

  A model whose name contains `image`, or extra_body.google.image_config, gets a picture;
  `tools` get a call of the first tool; a model name with `typo` or `unknown` is not found.

CONTROL, without key and not counted
  GET /__stats, GET /s/SCOPE/__stats        requests, connections, the last request, ...
  GET /__requests, GET /s/SCOPE/__requests  the last requests with their bodies
  POST /__next, POST /s/SCOPE/__next        what the next chat calls of that scope under /v1 get:
                                            a cue, or a list of cues, one for each call
  POST /__reset, POST /s/SCOPE/__reset      start counting anew, forget fixture sequences and cues
  GET /__faults                             the list below

WISHES: the request's member \"sim\", all parts optional
  {\"delay_ms\":N, \"text\":\"...\", \"bytes\":N, \"chunks\":N, \"chunk_delay_us\":N, \"stamp\":true}
  pause before the reply, its text, its size, number of a stream's text events and the pause
  before each, and CLOCK_MONOTONIC nanoseconds at sending in place of each event's text.

CUES: one of these forms
  any of the wishes above, and {\"tool_calls\":[{\"name\":\"...\",\"arguments\":{...}}]}
  {\"status\":429, \"message\":\"...\", \"code\":..., \"type\":\"...\", \"headers\":{\"Retry-After\":\"2\"}}
  {\"body\":any JSON or text, \"status\":200, \"headers\":{...}, \"delay_ms\":N}
  {\"fault\":\"NAME\"}

FAULTS: a number may follow where [-N] stands
";

/// What the command line asks for.
enum Task {
    Serve { options: Options, until_stdin_closes: bool, quiet: bool },
    Help,
    Version,
}

/// A command line that makes no sense.
struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn main() -> ExitCode {
    let task =
        match parse(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())) {
            Ok(task) => task,
            Err(error) => {
                return fail(2, &format!("{error}; `elkapi-sim --help` explains the arguments."));
            }
        };
    match task {
        Task::Help => print(&format!("{HELP}{}", elkapi_sim::fault_table())),
        Task::Version => print(&format!("elkapi-sim {}\n", env!("CARGO_PKG_VERSION"))),
        Task::Serve { options, until_stdin_closes, quiet } => {
            // Before any thread is started, so that all inherit it and none is interrupted.
            let signals = block_stop_signals();
            raise_descriptor_limit();
            let simulator = match Simulator::start(options) {
                Ok(simulator) => simulator,
                Err(error) => return fail(1, &format!("cannot start: {error}.")),
            };
            print(&format!("{}\n", simulator.base_url()));
            if !quiet {
                eprint_line("elkapi-sim is listening; SIGTERM or Ctrl-C stops it.");
            }
            wait_for_the_end(signals, until_stdin_closes);
        }
    }
    ExitCode::SUCCESS
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Task, UsageError> {
    let mut options = Options::default();
    let (mut until_stdin_closes, mut quiet) = (false, false);
    let (mut cert, mut key, mut client_ca) = (None, None, None);
    while let Some(argument) = arguments.next() {
        let (name, mut inline) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (argument, None),
        };
        let mut value = |what: &str| {
            inline
                .take()
                .or_else(|| arguments.next())
                .ok_or_else(|| UsageError(format!("{name} needs {what}")))
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--version" | "-V" => return Ok(Task::Version),
            "--port" => {
                let text = value("a port number")?;
                let wrong = |_| UsageError(format!("--port takes a number from 0 to 65535, not {text:?}"));
                options.port = text.parse().map_err(wrong)?;
            }
            "--host" => {
                let text = value("a loopback address")?;
                let host = if text == "localhost" {
                    Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
                } else {
                    text.parse().ok()
                };
                let loopback = host.filter(IpAddr::is_loopback);
                let wrong =
                    || UsageError(format!("--host takes a loopback address such as 127.0.0.1, not {text:?}"));
                options.host = loopback.ok_or_else(wrong)?;
            }
            "--fixtures" => {
                let directory = PathBuf::from(value("a directory")?);
                if !directory.is_dir() {
                    return Err(UsageError(format!(
                        "--fixtures: {} is not a directory",
                        directory.display()
                    )));
                }
                options.fixtures = Some(directory);
            }
            "--tls-cert" => cert = Some(read_pem("--tls-cert", &value("a file of certificates in PEM")?)?),
            "--tls-key" => key = Some(read_pem("--tls-key", &value("a file with a key in PEM")?)?),
            "--tls-client-ca" => {
                client_ca = Some(read_pem("--tls-client-ca", &value("a file of certificates in PEM")?)?);
            }
            "--until-stdin-closes" => until_stdin_closes = true,
            "--quiet" => quiet = true,
            _ => return Err(UsageError(format!("unknown argument {name:?}"))),
        }
        if inline.is_some() {
            return Err(UsageError(format!("{name} takes no value")));
        }
    }
    options.tls = match (cert, key) {
        (Some(cert_chain_pem), Some(key_pem)) => {
            Some(TlsOptions { cert_chain_pem, key_pem, client_ca_pem: client_ca, ..TlsOptions::default() })
        }
        (None, None) if client_ca.is_none() => None,
        _ => return Err(UsageError("TLS takes both --tls-cert and --tls-key".to_owned())),
    };
    Ok(Task::Serve { options, until_stdin_closes, quiet })
}

fn read_pem(name: &str, path: &str) -> Result<String, UsageError> {
    std::fs::read_to_string(path)
        .map_err(|error| UsageError(format!("{name}: {path} cannot be read: {error}")))
}

/// Whoever reads may be gone already: that is no reason to end.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn eprint_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn fail(status: u8, sentence: &str) -> ExitCode {
    eprint_line(&format!("elkapi-sim: {sentence}"));
    ExitCode::from(status)
}

/// Keeps SIGTERM and SIGINT from interrupting anything; they are waited for instead.
fn block_stop_signals() -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before anything reads it, both signal numbers
    // exist, and the old mask is not asked for.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGTERM);
        libc::sigaddset(&mut signals, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut());
        signals
    }
}

/// One descriptor per connection: the usual soft limit of 1,024 is soon reached.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for both calls; a refusal leaves the limit as it is.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Returns on SIGTERM, on SIGINT, and if so asked when standard input ends.
fn wait_for_the_end(signals: libc::sigset_t, until_stdin_closes: bool) {
    let (told, end) = mpsc::channel();
    if until_stdin_closes {
        let told = told.clone();
        thread::spawn(move || {
            let mut ignored = [0; 4_096];
            while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
            let _ = told.send(());
        });
    }
    thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: `signals` is an initialised set and `signal` a valid place for the number.
        unsafe { libc::sigwait(&signals, &mut signal) };
        let _ = told.send(());
    });
    let _ = end.recv();
}
