//! Records: one for each attempt that has ended, with its facts, and never a key or a body.

use std::sync::{Arc, Mutex};

use elkapi::{Client, Config, Level, Recorder, Step};
use elkapi_sim::{Options, Simulator};
use serde_json::Value;

const KEY: &str = "sk-test-of-the-records";
const REQUEST: &str = r#"{"model":"m-1","messages":[{"role":"user","content":"Hello there"}]}"#;

struct Kept {
    level: Level,
    lines: Mutex<Vec<String>>,
}

impl Recorder for Kept {
    fn take(&self, json: &str) {
        self.lines.lock().expect("it works").push(json.to_owned());
    }

    fn level(&self) -> Level {
        self.level
    }
}

impl Kept {
    fn records(&self) -> Vec<Value> {
        let lines = std::mem::take(&mut *self.lines.lock().expect("it works"));
        for line in &lines {
            assert!(!line.contains(KEY) && !line.contains("Hello there"), "{line}");
        }
        lines.iter().map(|line| serde_json::from_str(line).expect("it works")).collect()
    }
}

fn simulator() -> Simulator {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire");
    Simulator::start(Options { fixtures: Some(fixtures.into()), ..Options::default() }).expect("simulator")
}

fn recorded(sim: &Simulator, path: &str, level: Level, config: Config) -> (Client, Arc<Kept>) {
    let kept = Arc::new(Kept { level, lines: Mutex::default() });
    let client =
        Client::new(config.api_key(KEY).base_url(sim.url(path)).base_delay_ms(1u64)).expect("it works");
    (client.with_recorder(Some(kept.clone())), kept)
}

#[test]
fn a_unary_answer_is_recorded_with_ids_times_bytes_and_tokens() {
    let sim = simulator();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (client, kept) = recorded(&sim, "/v1", Level::All, Config::new());
    let client = client.with(&format!("{{\"traceparent\":\"{trace}\"}}")).expect("it works");
    let answer = client.chat_completions(REQUEST, None).expect("it works");
    let usage = answer.usage().expect("it works");
    let records = kept.records();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(record["gen_ai.operation.name"], "chat");
    assert_eq!(record["gen_ai.request.model"], "m-1");
    assert_eq!(record["gen_ai.usage.input_tokens"], usage.prompt_tokens.expect("it works"));
    assert_eq!(record["gen_ai.usage.output_tokens"], usage.completion_tokens.expect("it works"));
    assert_eq!(record["gen_ai.response.finish_reasons"], serde_json::json!(["stop"]));
    assert_eq!(record["http.response.status_code"], 200);
    assert_eq!(record["request_id"].as_str(), answer.request_id());
    assert_eq!(record["verdict"], "complete");
    assert_eq!(record["traceparent"], trace);
    assert!(record["bytes_sent"].as_u64() > Some(REQUEST.len() as u64));
    assert!(record["bytes_received"].as_u64() > Some(answer.json().len() as u64));
    assert!(record["duration_ms"].as_f64() > Some(0.0));
    assert_eq!(record.get("error.type"), None);
}

#[test]
fn every_attempt_has_a_record_of_its_own() {
    let sim = simulator();
    let (client, kept) = recorded(&sim, "/wire/sequence_429_then_200/v1", Level::All, Config::new());
    client.chat_completions(REQUEST, None).expect("it works");
    let records = kept.records();
    let told: Vec<_> = records
        .iter()
        .map(|r| (r["http.request.resend_count"].as_u64(), r["error.type"].as_str(), r["billed"].as_str()))
        .collect();
    assert_eq!(told, [(Some(0), Some("rate_limit"), Some("no")), (Some(1), None, None)]);
}

#[test]
fn a_recorder_of_failures_is_spared_the_rest() {
    let sim = simulator();
    let (client, kept) = recorded(&sim, "/wire/sequence_429_then_200/v1", Level::Failures, Config::new());
    client.chat_completions(REQUEST, None).expect("it works");
    assert_eq!(kept.records().len(), 1);
}

#[test]
fn a_stream_is_recorded_at_its_end_also_when_it_is_left_or_fails() {
    let sim = simulator();
    let (client, kept) = recorded(&sim, "/v1", Level::All, Config::new());
    let mut stream = client.chat_completions_stream(REQUEST, None).expect("it works");
    while stream.poll(None).expect("it works") == Step::Chunk {
        assert!(kept.lines.lock().expect("it works").is_empty(), "recorded before its end");
    }
    drop(stream);
    let records = kept.records();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&record["verdict"], &record["gen_ai.request.stream"]), (&"complete".into(), &true.into()));
    assert!(record["gen_ai.usage.output_tokens"].as_i64() > Some(0));
    assert!(record["time_to_first_chunk_ms"].as_f64() <= record["duration_ms"].as_f64());

    let mut left = client.chat_completions_stream(REQUEST, None).expect("it works");
    assert_eq!(left.poll(None).expect("it works"), Step::Chunk);
    drop(left);
    assert_eq!(kept.records()[0]["verdict"], "cancelled");

    let (client, kept) = recorded(&sim, "/wire/stream_truncated_no_finish/v1", Level::All, Config::new());
    let (_, error) = client.chat_completions_stream(REQUEST, None).expect("it works").finish();
    assert!(error.is_some());
    let records = kept.records();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(
        (&record["verdict"], &record["error.type"]),
        (&"truncated".into(), &"stream_truncated".into())
    );
}

#[test]
fn what_a_server_says_cannot_make_a_record_large() {
    let long = "m".repeat(1 << 20);
    let choices = vec![r#"{"finish_reason":"stop","message":{"content":"x"}}"#; 10_000].join(",");
    let body = format!(r#"{{"id":"{long}","model":"{long}","choices":[{choices}]}}"#);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"}]}") {
            let mut piece = [0; 4096];
            let read = socket.read(&mut piece).expect("a request");
            request.extend_from_slice(&piece[..read]);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).expect("a reply");
    });
    let kept = Arc::new(Kept { level: Level::All, lines: Mutex::default() });
    let client = Client::new(Config::new().api_key(KEY).base_url(base_url)).expect("a client");
    let request = r#"{"model":"m-1","stream":false,"contents":[],"messages":[{"role":"user","content":"Hello there"}]}"#;
    client.with_recorder(Some(kept.clone())).chat_completions(request, None).expect("an answer");
    server.join().expect("the server");
    let records = kept.records();
    assert_eq!(records[0]["gen_ai.response.model"].as_str().map(str::len), Some(256));
    assert!(records[0].to_string().len() < 8192, "{} bytes", records[0].to_string().len());
}
