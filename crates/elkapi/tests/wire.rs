//! The conformance runner: every wire fixture is replayed to the client, and what the client hands
//! to its caller is compared with every key that the fixture expects.
//!
//! `tests/wire/README.md` describes the files.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/sha256.rs"]
mod sha256;

use std::collections::BTreeMap;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::client_with;
use elkapi::{Completion, Error, Image, OPTIONS, Stream, Verdict};
use elkapi_sim::{Options, RecordedRequest, Simulator};
use serde_json::{Value, json};

/// Client settings that a fixture may ask for; their names are the client's own.
const SETTINGS: &[&str] = &["timeout_ms", "idle_timeout_ms", "max_retries", "base_delay_ms"];

/// Another directory than `tests/wire` to take the fixtures of the first test from.
const DIRECTORY: &str = "ELKAPI_WIRE";
/// A file that the first test writes one line of JSON to for each fixture: its name and what is wrong.
const RESULTS: &str = "ELKAPI_WIRE_RESULTS";

#[test]
fn every_fixture_gives_the_caller_what_it_expects() {
    let directory = std::env::var_os(DIRECTORY).map_or_else(common::fixtures, PathBuf::from);
    let sim = Simulator::start(Options { fixtures: Some(directory.clone()), ..Options::default() }).unwrap();
    let fixtures: Vec<_> = fixtures_in(&directory).into_iter().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((name, fixture)) = fixtures.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.push((name, caught(|| check(&sim, name, fixture, ""))));
        }
        found
    };
    // Most of the time is the fixtures' own pauses.
    let found: BTreeMap<_, _> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    if let Some(path) = std::env::var_os(RESULTS) {
        let line = |(name, wrong): (_, &Vec<String>)| json!({"fixture": name, "wrong": wrong}).to_string();
        let lines: Vec<_> = found.iter().map(line).collect();
        fs::write(path, lines.join("\n")).unwrap();
    }
    let wrong: Vec<_> = found
        .iter()
        .flat_map(|(name, wrong)| wrong.iter().map(move |mismatch| format!("{name}: {mismatch}")))
        .collect();
    assert!(wrong.is_empty(), "{} mismatches:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong; an expectation that the runner cannot even read is wrong too.
fn caught(check: impl FnOnce() -> Vec<String>) -> Vec<String> {
    std::panic::catch_unwind(AssertUnwindSafe(check))
        .unwrap_or_else(|_| vec!["the runner cannot compare this fixture".to_owned()])
}

#[test]
fn streams_are_understood_however_the_network_cuts_them() {
    let sim = common::simulator();
    let fixtures = fixtures();
    let seeds = (1..=20).map(|seed| format!("random-{seed}"));
    let modes = ["bytes", "events", "whole"].map(str::to_owned).into_iter().chain(seeds);
    // Half a million writes of one byte; and a pause that is lost when all is one write.
    let unfit = [("bytes", "stream_image_large_line"), ("whole", "stream_idle")];
    let in_mode = &|mode: &str| {
        let mut wrong = Vec::new();
        for (name, fixture) in &fixtures {
            let is_stream = fixture["request"]["body"]["stream"] == true && fixture.get("response").is_some();
            if is_stream && !unfit.contains(&(mode, name)) {
                let found = check(&sim, name, fixture, mode);
                wrong.extend(found.into_iter().map(|mismatch| format!("{name} as {mode}: {mismatch}")));
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = modes.map(|mode| scope.spawn(move || in_mode(&mode))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} mismatches:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_index_lists_exactly_the_fixtures_that_exist() {
    let index = read(&common::fixtures().join("index.json"));
    let mut listed: Vec<_> = index["fixtures"].as_array().unwrap().iter().map(|f| text(&f["name"])).collect();
    listed.sort();
    let exist: Vec<_> = fixtures().into_keys().collect();
    assert_eq!(listed, exist);
    assert_eq!(index["count"], exist.len());
}

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every fixture by name.
fn fixtures() -> BTreeMap<String, Value> {
    fixtures_in(&common::fixtures())
}

fn fixtures_in(directory: &Path) -> BTreeMap<String, Value> {
    let files = fs::read_dir(directory).unwrap();
    let names = files.filter_map(|file| {
        let file = file.unwrap().file_name().into_string().unwrap();
        file.strip_suffix(".json").map(str::to_owned)
    });
    let read = |name: String| (name.clone(), read(&directory.join(format!("{name}.json"))));
    names.filter(|name| name != "index").map(read).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// What a call came to.
struct Outcome {
    /// The answer, or what had arrived of it before a stream failed.
    answer: Option<Completion>,
    error: Option<Error>,
    /// Chunks that a stream handed out.
    events: usize,
}

fn unary(outcome: Result<Completion, Error>) -> Outcome {
    match outcome {
        Ok(answer) => Outcome { answer: Some(answer), error: None, events: 0 },
        Err(error) => Outcome { answer: None, error: Some(error), events: 0 },
    }
}

fn streamed(stream: Result<Stream, Error>, wrong: &mut Vec<String>) -> Outcome {
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return Outcome { answer: None, error: Some(error), events: 0 },
    };
    let (mut events, mut texts) = (0, String::new());
    let error = loop {
        match stream.next() {
            Some(Ok(chunk)) => {
                events += 1;
                texts.push_str(chunk.text());
                serde_json::from_str::<Value>(chunk.json()).unwrap();
            }
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    let answer = stream.completion();
    if texts != answer.text() {
        wrong.push(differs("text of the chunks", &json!(answer.text()), &json!(texts)));
    }
    if stream.verdict() != Some(error.as_ref().map_or(answer.verdict(), Error::verdict)) {
        wrong.push(format!("verdict of the stream: {:?}", stream.verdict()));
    }
    Outcome { answer: Some(answer), error, events }
}

/// What differs, one line each; nothing if the fixture passes. `mode`: how the simulator cuts it.
fn check(sim: &Simulator, name: &str, fixture: &Value, mode: &str) -> Vec<String> {
    let expect = fixture["expect"].as_object().unwrap();
    let options = match options(fixture, expect.get("client")) {
        Ok(options) => options,
        Err(mismatch) => return vec![mismatch],
    };
    // Scoped by the fixture's name, so that the counters are this fixture's own.
    let scope = format!("{name}{mode}");
    let reframe = if mode.is_empty() { String::new() } else { format!("/reframe/{mode}") };
    let prefix = format!("/s/{scope}{reframe}/wire/{name}");
    let client = client_with(&sim.url(&format!("{prefix}/v1")), &options);
    let request = &fixture["request"];
    let mut wrong = Vec::new();
    let outcome = match request["method"].as_str() {
        Some("GET") => unary(client.get(text(&request["path"]).strip_prefix("/v1").unwrap(), None)),
        _ if request["body"]["stream"] == true => {
            streamed(client.chat_completions_stream(request["body"].to_string(), None), &mut wrong)
        }
        _ => unary(client.chat_completions(request["body"].to_string(), None)),
    };

    if expect["outcome"] != if outcome.error.is_none() { "ok" } else { "error" } {
        let actual = match (&outcome.error, &outcome.answer) {
            (Some(error), _) => error.message(),
            (None, answer) => format!("ok, {:?}", answer.as_ref().map(|answer| answer.text().into_owned())),
        };
        return vec![format!("outcome: expected {} got {actual}", expect["outcome"])];
    }
    for (key, expected) in expect {
        let actual = match (key.as_str(), &outcome.error, &outcome.answer) {
            ("client" | "outcome", ..) => continue,
            ("events", ..) => Ok(json!(outcome.events)),
            ("saw_done", _, Some(answer)) => Ok(json!(answer.saw_done())),
            ("partial_text", Some(_), answer) => {
                Ok(json!(answer.as_ref().map(|answer| answer.text().into_owned()).unwrap_or_default()))
            }
            (_, None, Some(answer)) => of_answer(key, expected, answer),
            (_, Some(error), _) => of_error(key, expect, error),
            (_, None, None) => unreachable!("neither answer nor error"),
        };
        match actual {
            Ok(actual) if actual == *expected => {}
            Ok(actual) => wrong.push(differs(key, expected, &actual)),
            Err(why) => wrong.push(format!("{key}: expected {expected} {why}")),
        }
    }
    if let Some(error) = &outcome.error {
        wrong.extend(document_differs(error));
    }
    let stats = sim.stats_of(&scope);
    let attempts = match (&outcome.error, &outcome.answer) {
        (Some(error), _) => error.attempts().len(),
        (None, answer) => answer.as_ref().map_or(0, |answer| answer.attempts().len()),
    };
    if attempts as u64 != stats.requests {
        wrong.push(differs("attempts", &json!(stats.requests), &json!(attempts)));
    }
    match &stats.last_request {
        Some(sent) => wrong.extend(request_differs(request, sent, &prefix)),
        None => wrong.push("request: nothing was sent".to_owned()),
    }
    wrong
}

fn differs(key: &str, expected: &Value, actual: &Value) -> String {
    let shown = |value: &Value| {
        let text = value.to_string();
        match text.char_indices().nth(300) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    format!("{key}: expected {} got {}", shown(expected), shown(actual))
}

/// The client's options for a fixture, as JSON.
fn options(fixture: &Value, settings: Option<&Value>) -> Result<String, String> {
    let mut options = json!({});
    if let Some(key) = fixture["request"]["headers"]["Authorization"].as_str() {
        options["api_key"] =
            json!(key.strip_prefix("Bearer ").ok_or("request.headers.Authorization: no Bearer")?);
    }
    for (name, value) in settings.and_then(Value::as_object).into_iter().flatten() {
        if !SETTINGS.contains(&name.as_str()) {
            return Err(format!("client: this runner does not know the setting {name:?}"));
        }
        if !OPTIONS.iter().any(|row| row.name == name) {
            return Err(format!("client: the client has no option {name:?}"));
        }
        options[name] = value.clone();
    }
    Ok(options.to_string())
}

/// What the answer says about a key, or why it says nothing.
fn of_answer(key: &str, expected: &Value, answer: &Completion) -> Result<Value, String> {
    let member = |pointer: &str| {
        answer.pointer(pointer).map_or(Value::Null, |view| serde_json::from_str(view.raw()).unwrap())
    };
    Ok(match key {
        "text" => json!(answer.text()),
        "text_sha256" => json!(sha256::hex(answer.text().as_bytes())),
        "text_without_images" => json!(answer.text_without_images()),
        "reasoning" => json!(answer.reasoning()),
        "finish_reason" => json!(answer.finish_reason()),
        "verdict" => json!(answer.verdict().name()),
        "attempts" => json!(answer.attempts().len()),
        "request_id" => json!(answer.request_id()),
        "choices" => {
            let choice = |c: elkapi::Choice| json!({"index": c.index(), "text": c.text(), "finish_reason": c.finish_reason()});
            project(answer.choices().map(choice).collect(), expected)
        }
        "images" => project(answer.images().iter().map(image).collect(), expected),
        "image_errors" => json!(answer.image_errors()),
        "tool_calls" => {
            let calls = answer.tool_calls().into_iter();
            let call =
                |c: elkapi::ToolCall| json!({"id": c.id(), "name": c.name(), "arguments": c.arguments()});
            calls.map(call).collect()
        }
        "usage" => answer.usage().map_or(Value::Null, |usage| {
            json!({
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            })
        }),
        "model_ids" => {
            let models = answer.root().get("data").ok_or("but there is no data")?;
            models.items().map(|model| json!(model.get("id").and_then(|id| id.as_str()))).collect()
        }
        "id" => member("/id"),
        "model" => member("/model"),
        "role" => member("/choices/0/message/role"),
        "system_fingerprint" => member("/system_fingerprint"),
        "reasoning_tokens" => member("/usage/completion_tokens_details/reasoning_tokens"),
        _ => return Err("but this runner cannot compare the key for an answer".to_owned()),
    })
}

fn image(image: &Image) -> Value {
    json!({
        "source": image.source().name(),
        "media_type": image.media_type(),
        "bytes": image.bytes().map(<[u8]>::len),
        "sha256": image.bytes().map(sha256::hex),
        "url": image.url(),
    })
}

/// Each element cut down to the members that its counterpart names.
fn project(mut actual: Vec<Value>, expected: &Value) -> Value {
    for (element, wanted) in actual.iter_mut().zip(expected.as_array().into_iter().flatten()) {
        if let (Value::Object(element), Value::Object(wanted)) = (element, wanted) {
            element.retain(|name, _| wanted.contains_key(name));
        }
    }
    Value::Array(actual)
}

/// What the error says about a key, or why it says nothing.
fn of_error(key: &str, expect: &serde_json::Map<String, Value>, error: &Error) -> Result<Value, String> {
    let kind = json!(error.kind().name());
    Ok(match key {
        // Where several kinds are right, `kind` is one of them.
        "kind"
            if expect
                .get("kind_any")
                .and_then(Value::as_array)
                .is_some_and(|any| any.contains(&expect["kind"])) =>
        {
            expect["kind"].clone()
        }
        "kind" => kind,
        "kind_any" => {
            let any = expect["kind_any"].as_array().unwrap().contains(&kind);
            if any { expect["kind_any"].clone() } else { kind }
        }
        "status" => json!(error.status().unwrap_or(0)),
        "code" | "type" if expect[key].is_null() => Value::Null,
        "code" => json!(error.code()),
        "type" => json!(error.error_type()),
        "message_contains" => {
            let message = error.server_message();
            let both = [message, &error.message()].map(|text| text.contains(expect[key].as_str().unwrap()));
            if both == [true, true] { expect[key].clone() } else { json!(message) }
        }
        "retry" => json!(if error.retryable() { "yes" } else { "no" }),
        "billed" => json!(error.billed().name()),
        "retry_after_ms" => json!(error.retry_after_ms()),
        // Says how `retry_after_ms` is meant; that number is compared.
        "retry_after_base" => json!("date_header"),
        "verdict" => json!(error.verdict().name()),
        "hint" => json!(error.hint()),
        "request_id" => json!(error.request_id()),
        "attempts" => json!(error.attempts().len()),
        _ => return Err("but this runner cannot compare the key for an error".to_owned()),
    })
}

/// Where the error document and the accessors disagree.
fn document_differs(error: &Error) -> Vec<String> {
    let document: Value = serde_json::from_str(&error.document()).unwrap();
    let accessors = json!({
        "kind": error.kind().name(),
        "hint": error.hint(),
        "verdict": error.verdict().name(),
        "status": error.status(),
        "code": error.code(),
        "type": error.error_type(),
        "param": error.param(),
        "message": error.server_message(),
        "request_id": error.request_id(),
        "retryable": error.retryable(),
        "billed": error.billed().name(),
        "retry_after_ms": error.retry_after_ms(),
        "phase": error.phase().map(elkapi::Phase::name),
        "limit": error.limit().map(elkapi::Limit::name),
        "elapsed_ms": error.elapsed_ms(),
        "bytes_sent": error.bytes_sent(),
        "bytes_received": error.bytes_received(),
        "body": error.body_excerpt(),
    });
    let mut wrong = Vec::new();
    for (name, said) in accessors.as_object().unwrap() {
        if document["error"].get(name) != Some(said) {
            wrong.push(differs(&format!("document.{name}"), said, &document["error"][name]));
        }
    }
    let attempts = document["error"]["attempts"].as_array().map_or(0, Vec::len);
    if attempts != error.attempts().len() {
        wrong.push(differs("document.attempts", &json!(error.attempts().len()), &json!(attempts)));
    }
    if (error.verdict() == Verdict::Complete) || error.message().trim().is_empty() {
        wrong.push(format!("document: verdict {} and message {:?}", error.verdict().name(), error.message()));
    }
    wrong
}

/// Where the recorded request is not what the fixture expects to be sent at least.
fn request_differs(request: &Value, sent: &RecordedRequest, prefix: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |key: &str, expected: Value, actual: Value| {
        if expected != actual {
            wrong.push(differs(&format!("request.{key}"), &expected, &actual));
        }
    };
    compare("method", request["method"].clone(), json!(sent.method));
    let path = match request["method"].as_str() {
        Some("GET") => request["path"].clone(),
        // Fixtures with a mistaken path test how the reply is understood.
        _ => json!("/v1/chat/completions"),
    };
    compare("path", path, json!(sent.path.strip_prefix(prefix)));
    for (name, value) in request["headers"].as_object().unwrap() {
        compare(&format!("headers.{name}"), value.clone(), json!(sent.header(name)));
    }
    match request.get("body") {
        None => compare("body", json!(""), json!(String::from_utf8_lossy(&sent.body))),
        Some(body) => {
            let sent: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
            for (name, value) in body.as_object().unwrap() {
                compare(&format!("body.{name}"), value.clone(), sent[name].clone());
            }
        }
    }
    wrong
}
