//! Counters, scopes, and the end of a simulator.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use common::*;
use elkapi_sim::{Options, Simulator};

fn stats(sim: &Simulator, path: &str) -> serde_json::Value {
    ask(sim, &format!("GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n")).json()
}

#[test]
fn requests_and_connections_are_counted_in_all_and_by_scope() {
    let sim = simulator();
    let mut socket = connect(sim.address());
    exchange(&mut socket, &chat("/s/one/v1", "a", ""));
    exchange(&mut socket, &chat("/s/one/v1", "b", ""));
    exchange(&mut socket, &chat("/s/two/v1", "c", ""));
    ask(&sim, &chat("/v1", "d", ""));
    let count = |path: &str| {
        let stats = stats(&sim, path);
        (stats["requests"].as_u64(), stats["connections"].as_u64(), stats["in_flight"].as_u64())
    };
    assert_eq!(count("/s/one/__stats"), (Some(2), Some(1), Some(0)));
    assert_eq!(count("/s/two/__stats"), (Some(1), Some(1), Some(0)));
    assert_eq!(count("/s/none/__stats"), (Some(0), Some(0), Some(0)));
    assert_eq!(count("/__stats"), (Some(4), Some(2), Some(0)));
    assert_eq!(sim.stats().requests, 4);
}

#[test]
fn the_last_request_and_the_log_are_told() {
    let sim = simulator();
    ask(&sim, &request("GET", "/s/log/v1/models?x=1", ""));
    ask(&sim, &chat("/s/log/v1", "moss", ""));
    let stats = stats(&sim, "/s/log/__stats");
    let last = &stats["last_request"];
    assert_eq!(last["method"], "POST");
    assert_eq!(last["path"], "/s/log/v1/chat/completions");
    assert_eq!(last["headers"][1], serde_json::json!(["Authorization", "Bearer sk-test"]));
    assert!(!last["body_base64"].as_str().unwrap().is_empty());
    let log = stats["requests_log"].as_array().unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0]["path"], "/s/log/v1/models?x=1");
    assert_ne!(log[0]["connection"], log[1]["connection"]);
    let typed = sim.stats_of("log").last_request.unwrap();
    assert_eq!(typed.header("host"), Some("sim"));
    assert!(String::from_utf8(typed.body).unwrap().contains("moss"));
}

#[test]
fn a_reset_starts_anew_in_its_scope_only() {
    let sim = simulator();
    ask(&sim, &chat("/s/one/v1", "a", ""));
    ask(&sim, &chat("/s/two/v1", "a", ""));
    ask(&sim, &request("POST", "/s/one/__reset", ""));
    assert_eq!((sim.stats_of("one").requests, sim.stats_of("two").requests, sim.stats().requests), (0, 1, 2));
    ask(&sim, &request("POST", "/__reset", ""));
    assert_eq!((sim.stats_of("two").requests, sim.stats().requests), (0, 0));
    assert_eq!(ask(&sim, &request("GET", "/__reset", "")).status, 405);
}

#[test]
fn a_client_that_leaves_while_sending_or_waiting_is_counted() {
    let sim = simulator();
    let mut socket = connect(sim.address());
    let request = chat("/s/left/v1", "moss", "");
    socket.write_all(&request.as_bytes()[..request.len() - 5]).unwrap();
    drop(socket);
    wait_for("the broken request is counted", || sim.stats_of("left").incomplete_requests == 1);
    assert_eq!(sim.stats_of("left").requests, 0);

    let mut socket = connect(sim.address());
    socket.write_all(chat("/s/left/delay/60000/v1", "moss", "").as_bytes()).unwrap();
    wait_for("the request is in flight", || sim.stats_of("left").in_flight == 1);
    drop(socket);
    wait_for("the early close is counted", || sim.stats_of("left").closed_by_client == 1);
    assert_eq!(sim.stats_of("left").in_flight, 0);
}

#[test]
fn dropping_a_simulator_closes_its_connections_at_once() {
    let sim = simulator();
    let address = sim.address();
    let mut idle = connect(address);
    let mut waiting = connect(address);
    waiting.write_all(chat("/fault/stall-mid-body/v1", "moss", "").as_bytes()).unwrap();
    exchange(&mut idle, &chat("/v1", "moss", ""));
    wait_for("both requests are read", || sim.stats().requests == 2);
    let start = Instant::now();
    drop(sim);
    assert!(read_to_end(&mut idle).0.is_empty());
    let _ = read_to_end(&mut waiting).1;
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn only_loopback_is_served() {
    let everywhere = Options { host: [0, 0, 0, 0].into(), ..Options::default() };
    assert!(Simulator::start(everywhere).is_err());
}
