//! The ordinary gateway under `/v1`, asked through a bare socket.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::time::Duration;

use base64::Engine as _;
use common::*;
use elkapi_sim::{Options, Simulator};
use serde_json::{Value, json};

fn ask_json(sim: &Simulator, body: &Value) -> Reply {
    ask(sim, &request("POST", "/v1/chat/completions", &body.to_string()))
}

fn text_of(reply: &Reply) -> String {
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn an_answer_depends_on_the_prompt_and_on_nothing_else() {
    let sim = simulator();
    let reply = ask(&sim, &chat("/v1", "What is moss?", ""));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    let id = reply.header("x-oneapi-request-id").unwrap();
    let answer = reply.json();
    assert_eq!(answer["id"], format!("chatcmpl-{id}"));
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = &answer["usage"];
    let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], sum);
    assert!(text_of(&reply).contains("What is moss?"));
    assert_eq!(text_of(&reply), text_of(&ask(&sim, &chat("/v1", "What is moss?", ""))));
}

#[test]
fn a_japanese_prompt_gets_a_japanese_answer() {
    let sim = simulator();
    let text = text_of(&ask(&sim, &chat("/v1", "こんにちは、自己紹介してください", "")));
    assert!(text.starts_with("こんにちは！私は"), "{text}");
}

#[test]
fn a_stream_is_role_text_finish_usage_done() {
    let sim = simulator();
    let reply = ask(&sim, &chat("/v1", "What is moss?", ",\"stream\":true"));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    assert!(!reply.text().contains('\r'));
    let events = reply.events();
    assert_eq!(events[0]["choices"][0]["delta"], json!({"content": "", "role": "assistant"}));
    let (usage, finish) = (&events[events.len() - 1], &events[events.len() - 2]);
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["total_tokens"].is_u64());
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, text_of(&ask(&sim, &chat("/v1", "What is moss?", ""))));
}

#[test]
fn usage_is_left_out_of_a_stream_on_request() {
    let sim = simulator();
    let more = ",\"stream\":true,\"stream_options\":{\"include_usage\":false}";
    let events = ask(&sim, &chat("/v1", "Hi", more)).events();
    assert!(events.iter().all(|event| event["usage"].is_null()));
}

#[test]
fn a_small_max_tokens_ends_with_length() {
    let sim = simulator();
    let whole = ask(&sim, &chat("/v1", "What is moss?", ",\"max_tokens\":3"));
    assert_eq!(whole.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(whole.json()["usage"]["completion_tokens"], 3);
    let events = ask(&sim, &chat("/v1", "What is moss?", ",\"stream\":true,\"max_tokens\":3")).events();
    // Role, three words (the last with the reason), usage.
    assert_eq!(events.len(), 5);
    assert_eq!(events[3]["choices"][0]["finish_reason"], "length");
}

#[test]
fn pictures_are_real_and_have_the_asked_ratio_and_size() {
    let sim = simulator();
    for (ratio, size, expected) in [
        ("1:1", "1K", (1024, 1024)),
        ("16:9", "512", (688, 387)),
        ("21:9", "2K", (3129, 1341)),
        ("1:8", "4K", (1448, 11584)),
    ] {
        let body = json!({
            "model": "gemini-3-pro-image-preview",
            "messages": [{"role": "user", "content": "A red elk"}],
            "extra_body": {"google": {"image_config": {"aspect_ratio": ratio, "image_size": size}}}
        });
        let reply = ask_json(&sim, &body);
        assert_eq!(picture_size(&text_of(&reply)), expected, "{ratio} {size}");
        assert!(reply.json()["usage"]["completion_tokens_details"]["image_tokens"].as_u64().unwrap() > 0);
    }
}

/// Decodes every pixel row and gives back width and height.
fn picture_size(markdown: &str) -> (u32, u32) {
    let data = markdown.strip_prefix("![image](data:image/png;base64,").unwrap().strip_suffix(')').unwrap();
    let file = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut rows = 0;
    while reader.next_row().unwrap().is_some() {
        rows += 1;
    }
    assert_eq!(rows, reader.info().height);
    (reader.info().width, reader.info().height)
}

#[test]
fn a_streamed_picture_is_one_delta_and_may_be_made_large() {
    let sim = simulator();
    let body = json!({
        "model": "an-image-model", "stream": true, "messages": [{"role": "user", "content": "A red elk"}],
        "sim": {"bytes": 3_000_000}
    });
    let reply = ask_json(&sim, &body);
    let events = reply.events();
    let deltas: Vec<&str> = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(deltas.len(), 1);
    assert!(deltas[0].len() > 3_900_000, "{}", deltas[0].len());
    assert_eq!(picture_size(deltas[0]), (1024, 1024));
}

#[test]
fn wrong_picture_options_are_refused_as_the_gateway_does() {
    let sim = simulator();
    let with = |config: Value| {
        let google = json!({"google": config});
        ask_json(
            &sim,
            &json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "extra_body": google}),
        )
    };
    let reply = with(json!({"image_config": {"image_size": "2k"}}));
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["type"], "upstream_error");
    assert_eq!(reply.json()["error"]["code"], 400);
    let reply = with(json!({"imageConfig": {"aspectRatio": "1:1"}}));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (500, &json!("convert_request_failed")));
}

#[test]
fn tools_are_called_until_one_has_answered() {
    let sim = simulator();
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}});
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [tool]});
    let answer = ask_json(&sim, &body).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "get_weather", "arguments": "{\"city\":\"Tokyo\"}"}));

    body["stream"] = json!(true);
    let events = ask_json(&sim, &body).events();
    assert_eq!(events[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "get_weather");
    assert_eq!(events[1]["choices"][0]["delta"]["tool_calls"][0]["type"], Value::Null);

    body["stream"] = json!(false);
    body["messages"] = json!([{"role": "user", "content": "x"}, {"role": "tool", "content": "rain"}]);
    assert_eq!(text_of(&ask_json(&sim, &body)), "The tool answered: rain");
    body["messages"] = json!([{"role": "user", "content": "x"}]);
    body["tool_choice"] = json!("none");
    assert!(!text_of(&ask_json(&sim, &body)).is_empty());
}

#[test]
fn a_structured_answer_follows_its_schema() {
    let sim = simulator();
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}});
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": format});
    assert_eq!(text_of(&ask_json(&sim, &body)), "{\"city\":\"Tokyo\"}");
}

#[test]
fn keys_are_checked() {
    let sim = simulator();
    let with_field = |field: &str| {
        let request = chat("/v1", "Hi", "").replace("Authorization: Bearer sk-test\r\n", field);
        ask(&sim, &request)
    };
    for (field, status, part) in [
        ("", 401, "未提供令牌"),
        ("Authorization: Bearer other\r\n", 401, "Invalid token"),
        ("Authorization: Bearer sk-invalid\r\n", 401, "Invalid token"),
        ("Authorization: Bearer sk-exhausted\r\n", 401, "TokenStatusExhausted"),
        ("Authorization: Bearer sk-poor\r\n", 403, "insufficient_user_quota"),
    ] {
        let reply = with_field(field);
        assert_eq!(reply.status, status, "{field}");
        assert!(reply.text().contains(part), "{}", reply.text());
        let id = reply.header("x-oneapi-request-id").unwrap();
        assert!(reply.text().contains(&format!(" (request id: {id})")), "{}", reply.text());
    }
    assert_eq!(with_field("authorization: bearer sk-lower\r\n").status, 200);
}

#[test]
fn refusals_have_the_gateways_status_and_code() {
    let sim = simulator();
    let chat_body = |body: &str| ask(&sim, &request("POST", "/v1/chat/completions", body));
    let user = "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]";
    for (body, status, part) in [
        ("{\"model\":\"m\",", 400, "invalid JSON request body"),
        ("[]", 400, "invalid JSON request body"),
        (&format!("{{{user}}}"), 400, "Model name not specified"),
        (&format!("{{\"model\":\"\",{user}}}"), 400, "Model name not specified"),
        (&format!("{{\"model\":\"gemini-typo\",{user}}}"), 503, "model_not_found"),
        ("{\"model\":\"m\",\"messages\":[]}", 500, "invalid_request"),
        ("{\"model\":\"m\"}", 500, "invalid_request"),
        (&format!("{{\"model\":\"m\",\"stream\":\"yes\",{user}}}"), 400, "cannot unmarshal"),
    ] {
        let reply = chat_body(body);
        assert_eq!(reply.status, status, "{body}");
        assert!(reply.text().contains(part), "{}", reply.text());
    }
    let form = chat("/v1", "x", "").replace("application/json", "text/plain");
    assert_eq!(ask(&sim, &form).status, 400);
    assert_eq!(ask(&sim, &request("GET", "/v1/chat/completions", "")).status, 405);
    let reply = ask(&sim, &request("POST", "/v1/chat/completion", "{}"));
    assert_eq!(reply.json()["error"]["message"], "Invalid URL (POST /v1/chat/completion)");
    assert_eq!(reply.status, 404);
}

#[test]
fn a_path_outside_v1_gets_the_web_page() {
    let reply = ask(&simulator(), &request("POST", "/chat/completions", "{}"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(reply.text().starts_with("<!doctype html>"));
}

#[test]
fn models_are_listed_and_an_unknown_one_is_an_error_with_status_200() {
    let sim = simulator();
    let list = ask(&sim, &request("GET", "/v1/models", "")).json();
    assert_eq!(list["success"], true);
    assert_eq!(list["data"][0]["id"], "gemini-3.1-pro-preview");
    let one = ask(&sim, &request("GET", "/v1/models/gemini-3.1-pro-preview", "")).json();
    assert_eq!(one["id"], "gemini-3.1-pro-preview");
    let missing = ask(&sim, &request("GET", "/v1/models/nope", ""));
    assert_eq!(missing.status, 200);
    assert_eq!(missing.json()["error"]["code"], "model_not_found");
}

#[test]
fn a_head_request_gets_a_head_only() {
    let sim = simulator();
    let (bytes, _) = ask_to_end(&sim, "HEAD /v1/models HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn requests_may_follow_each_other_on_a_connection_also_before_the_reply() {
    let sim = simulator();
    let mut socket = connect(sim.address());
    let (one, two) = (chat("/v1", "one", ""), chat("/v1", "two", ",\"stream\":true"));
    socket.write_all(format!("{one}{two}{one}").as_bytes()).unwrap();
    assert!(text_of(&read_reply(&mut socket)).contains("one"));
    assert!(read_reply(&mut socket).text().contains("two"));
    assert!(text_of(&read_reply(&mut socket)).contains("one"));
    assert_eq!((sim.stats().requests, sim.stats().connections), (3, 1));
}

#[test]
fn connection_close_is_honoured() {
    let sim = simulator();
    let request =
        chat("/v1", "Hi", ",\"stream\":true").replace("Host: sim", "Host: sim\r\nConnection: close");
    let (bytes, outcome) = ask_to_end(&sim, &request);
    outcome.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("Connection: close\r\n") && !text.contains("keep-alive"), "{text}");
    assert!(text.ends_with("0\r\n\r\n"));
}

#[test]
fn a_chunked_request_body_is_put_together() {
    let sim = simulator();
    let body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"moss\"}]}";
    let (first, second) = body.split_at(20);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nAuthorization: sk-bare\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x};ext=1\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\nTrailer: x\r\n\r\n",
        first.len(),
        second.len()
    );
    assert!(text_of(&ask(&sim, &request)).contains("moss"));
    assert_eq!(sim.stats().last_request.unwrap().body, body.as_bytes());
}

#[test]
fn a_client_that_expects_100_continue_is_told_to_go_on() {
    let sim = simulator();
    let request = chat("/v1", "Hi", "").replace("Host: sim", "Host: sim\r\nExpect: 100-continue");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut socket = connect(sim.address());
    let interim = exchange(&mut socket, &format!("{head}\r\n\r\n"));
    assert_eq!(interim.status, 100);
    assert_eq!(exchange(&mut socket, body).status, 200);
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let sim = simulator();
    for (request, status) in [
        ("GET /v1/models HTTP/1.1\r\n\r\n", "400"),
        ("GET /v1/models\r\n\r\n", "400"),
        ("GET /v1/models HTTP/3.0\r\nHost: sim\r\n\r\n", "505"),
        ("POST /v1/x HTTP/1.1\r\nHost: sim\r\nContent-Length: x\r\n\r\n", "400"),
        (
            "POST /v1/x HTTP/1.1\r\nHost: sim\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
    ] {
        let mut socket = connect(sim.address());
        let reply = exchange(&mut socket, request);
        assert_eq!(reply.status.to_string(), status, "{request}");
        assert_eq!(reply.header("connection"), Some("close"));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let sim = Simulator::start(Options { max_body_bytes: 1_000, ..Options::default() }).unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nContent-Length: 1001\r\n\r\n";
    let reply = ask(&sim, head);
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    assert_eq!(reply.json()["error"]["code"], "read_request_body_failed");
}

#[test]
fn wishes_decide_text_size_and_number_of_chunks() {
    let sim = simulator();
    let wish = |sim_member: &str, stream: bool| {
        ask(&sim, &chat("/v1", "Hi", &format!(",\"stream\":{stream},\"sim\":{sim_member}")))
    };
    assert_eq!(text_of(&wish("{\"text\":\"as told\"}", false)), "as told");
    assert_eq!(text_of(&wish("{\"bytes\":5000}", false)).len(), 5_000);
    // Role, chunks, finish, usage.
    assert_eq!(wish("{\"chunks\":40,\"chunk_delay_us\":100}", true).events().len(), 43);
    let events = wish("{\"chunks\":4,\"text\":\"abcdefgh\"}", true).events();
    assert_eq!(events[2]["choices"][0]["delta"]["content"], "cd");
}

/// The stamps of a stream of `chunks` events with a pause before each.
fn stamps(sim: &Simulator, chunks: usize, pause: Duration) -> Vec<u64> {
    let wishes = format!("{{\"stamp\":true,\"chunks\":{chunks},\"chunk_delay_us\":{}}}", pause.as_micros());
    let events = ask(sim, &chat("/v1", "Hi", &format!(",\"stream\":true,\"sim\":{wishes}"))).events();
    let text = |event: &Value| event["choices"][0]["delta"]["content"].as_str()?.parse().ok();
    events.iter().filter_map(text).collect()
}

#[test]
fn a_stamped_event_tells_when_it_was_sent_and_is_never_early() {
    let sim = simulator();
    let pause = Duration::from_millis(20);
    let before = stamps(&sim, 1, Duration::ZERO)[0];
    let paced = stamps(&sim, 5, pause);
    let after = stamps(&sim, 1, Duration::ZERO)[0];
    assert_eq!(paced.len(), 5);
    // An event that a busy machine held up does not put off the others, so two may be close together.
    for (due, stamp) in (1..).map(|number| before + number * pause.as_nanos() as u64).zip(&paced) {
        assert!(*stamp >= due, "{stamp} is earlier than {due}: {paced:?}");
    }
    assert!(paced.is_sorted() && paced[4] <= after, "{paced:?}, {after}");
}

#[test]
fn sixty_four_clients_are_served_at_once() {
    let sim = simulator();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| assert_eq!(ask(&sim, &chat("/s/many/delay/200/v1", "Hi", "")).status, 200));
        }
    });
    let stats = sim.stats_of("many");
    assert_eq!((stats.requests, stats.connections, stats.in_flight), (64, 64, 0));
    assert!(stats.max_in_flight >= 32, "{}", stats.max_in_flight);
}
