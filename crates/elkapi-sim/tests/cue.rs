//! Cues: what the next calls are answered with, and the requests that came.

#![allow(clippy::unwrap_used)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::*;
use elkapi_sim::Simulator;
use serde_json::{Value, json};

fn control(sim: &Simulator, method: &str, path: &str, body: &str) -> Reply {
    ask(sim, &request(method, path, body))
}

fn cue(sim: &Simulator, scope: &str, cue: &Value) -> Reply {
    control(sim, "POST", &format!("/s/{scope}/__next"), &cue.to_string())
}

fn call(sim: &Simulator, scope: &str, more: &str) -> Reply {
    ask(sim, &chat(&format!("/s/{scope}/v1"), "Hi", more))
}

#[test]
fn calls_get_what_was_told_in_order_and_then_the_ordinary_answer() {
    let sim = simulator();
    let told = json!([{"text": "One."}, {"status": 429, "message": "Slow down", "code": 7, "headers": {"Retry-After": "3"}}]);
    assert_eq!(cue(&sim, "a", &told).json(), json!({"waiting": 2}));
    assert_eq!(call(&sim, "a", "").json()["choices"][0]["message"]["content"], "One.");
    assert_eq!(control(&sim, "GET", "/s/a/__next", "").json(), json!({"waiting": 1}));
    let refusal = call(&sim, "a", "");
    assert_eq!((refusal.status, refusal.header("retry-after")), (429, Some("3")));
    assert!(refusal.header("x-oneapi-request-id").is_some());
    let error = &refusal.json()["error"];
    assert_eq!((&error["message"], &error["code"]), (&json!("Slow down"), &json!(7)));
    assert_eq!(call(&sim, "a", "").status, 200);
}

#[test]
fn scopes_keep_their_cues_apart_and_a_reset_forgets_them() {
    let sim = simulator();
    cue(&sim, "a", &json!({"text": "For a."}));
    assert_ne!(call(&sim, "b", "").json()["choices"][0]["message"]["content"], "For a.");
    assert_eq!(control(&sim, "POST", "/s/a/__reset", "").status, 200);
    assert_ne!(call(&sim, "a", "").json()["choices"][0]["message"]["content"], "For a.");
}

#[test]
fn only_chat_calls_of_the_ordinary_gateway_take_a_cue() {
    let sim = simulator();
    cue(&sim, "a", &json!({"status": 500}));
    assert_eq!(ask(&sim, &request("GET", "/s/a/v1/models", "")).status, 200);
    assert_eq!(ask(&sim, &chat("/s/a/wire/unary_text/v1", "Hi", "")).status, 200);
    assert_eq!(call(&sim, "a", "").status, 500);
}

#[test]
fn a_cue_may_be_calls_of_tools_whole_and_streamed() {
    let sim = simulator();
    let calls = json!({"tool_calls": [
        {"name": "add", "arguments": {"a": 1}}, {"name": "now", "arguments": "not JSON", "id": "call_mine"}
    ]});
    cue(&sim, "a", &json!([calls, calls]));
    let whole = call(&sim, "a", "").json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let made = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(made[0]["function"], json!({"name": "add", "arguments": "{\"a\":1}"}));
    assert_eq!(
        (&made[1]["id"], &made[1]["function"]["arguments"]),
        (&json!("call_mine"), &json!("not JSON"))
    );
    assert_ne!(made[0]["id"], made[1]["id"]);
    let events = call(&sim, "a", ",\"stream\":true").events();
    let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array());
    let pieces: Vec<_> =
        deltas.flatten().map(|call| (call["index"].as_u64().unwrap(), call["function"].clone())).collect();
    assert_eq!(pieces[0], (0, json!({"name": "add", "arguments": ""})));
    assert_eq!(pieces[3], (1, json!({"arguments": "not JSON"})));
}

#[test]
fn a_cue_may_be_a_fault_or_a_body_of_its_own() {
    let sim = simulator();
    cue(
        &sim,
        "a",
        &json!([{"fault": "429-ms-5"}, {"body": {"x": [1]}}, {"body": "<html>", "status": 502, "headers": {"Content-Type": "text/html"}}]),
    );
    assert_eq!(call(&sim, "a", "").header("retry-after-ms"), Some("5"));
    assert_eq!(call(&sim, "a", "").json(), json!({"x": [1]}));
    let page = call(&sim, "a", "");
    assert_eq!(
        (page.status, page.header("content-type"), page.text()),
        (502, Some("text/html"), "<html>".to_owned())
    );
}

#[test]
fn a_cue_that_makes_no_sense_is_refused_with_a_sentence() {
    let sim = simulator();
    for (body, says) in [
        ("{", "not JSON"),
        ("7", "a cue is an object"),
        ("{\"txet\":\"\"}", "unknown member \\\"txet\\\""),
        ("{\"fault\":\"none\"}", "there is no fault"),
        ("{\"status\":42}", "from 200 to 599"),
        ("{\"status\":200,\"headers\":{\"a\":\"b\\nc\"}}", "one line of text"),
        ("[{\"text\":\"a\"},{\"tool_calls\":[1]}]", "tool_calls is a list"),
    ] {
        let reply = control(&sim, "POST", "/__next", body);
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(says), "{body}: {}", reply.text());
    }
    assert_eq!(control(&sim, "GET", "/__next", "").json(), json!({"waiting": 0}));
    assert_eq!(control(&sim, "DELETE", "/__next", "").header("allow"), Some("GET, POST"));
}

#[test]
fn the_requests_of_a_scope_are_told_with_their_bodies() {
    let sim = simulator();
    for more in ["", ",\"n\":1"] {
        call(&sim, "a", more);
    }
    call(&sim, "b", "");
    let requests = control(&sim, "GET", "/s/a/__requests", "").json();
    assert_eq!(requests.as_array().unwrap().len(), 2);
    let body = STANDARD.decode(requests[1]["body_base64"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["n"], 1);
    assert_eq!(requests[0]["path"], "/s/a/v1/chat/completions");
    assert_eq!(control(&sim, "GET", "/__requests", "").json().as_array().unwrap().len(), 3);
    assert_eq!(control(&sim, "GET", "/s/none/__requests", "").json(), json!([]));
    assert_eq!(sim.stats_of("a").last_request.unwrap().body, body);
}

#[test]
fn of_many_or_large_requests_only_the_last_are_kept() {
    let sim = simulator();
    for _ in 0..101 {
        ask(&sim, &request("GET", "/s/a/v1/models", ""));
    }
    assert_eq!(control(&sim, "GET", "/s/a/__requests", "").json().as_array().unwrap().len(), 100);
    let large = format!(",\"x\":\"{}\"", "x".repeat(9 << 20));
    call(&sim, "a", &large);
    call(&sim, "a", &large);
    assert_eq!(control(&sim, "GET", "/s/a/__requests", "").json().as_array().unwrap().len(), 1);
}
