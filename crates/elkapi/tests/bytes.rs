//! What stands on the wire: request line, field lines and body, read from the socket itself.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};

use common::{HELLO, KEY, Request, Server, answer, client, client_with, one_reply};
use serde_json::{Value, json};

/// The request that a client with these options sends for this text.
fn sent(options: &str, text: &str) -> Request {
    let server = one_reply(answer("Hi"));
    let answer = client_with(&server.base_url, options).chat_completions(text, None).unwrap();
    assert_eq!(answer.text(), "Hi");
    server.join()
}

/// The members that were added to `text`, which must stand unchanged around them.
fn added(text: &str, request: &Request) -> Value {
    let body = request.text();
    let (before, after) = text.split_at(text.rfind('}').unwrap());
    let middle = body.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let middle = middle.unwrap_or_else(|| panic!("the caller's text was changed:\n{text}\n{body}"));
    match middle.strip_prefix(',') {
        None if middle.is_empty() => json!({}),
        None => panic!("no comma before what was added: {body}"),
        Some(members) => serde_json::from_str(&format!("{{{members}}}")).unwrap(),
    }
}

/// Everything that a re-serialisation would lose: spacing, order, digits, escapes, repeated and
/// unknown members, numbers without a value in any language.
const ODD: &str = "\n{ \t\"zebra\" : [ 1,2 , 3 ],\"big\":123456789012345678901234567890,\"huge\": 1e999 , \
     \"small\":-0.10 , \"escaped\":\"\\u00e9\\/\\ud83d\\ude00 \\ud800 \\u0000\", \"plain\":\"é😀 \u{7f}\",\
     \"extra_body\":{\"google\":{\"image_config\":{\"aspect_ratio\":\"16:9\"}}},\"twice\":1,\"twice\":2,\"\":{},\r\n\
     \"messages\" :[ {\"content\":\"A \\u0062\\n\",\"role\":\"user\",\"odd\": null} ] , \"temperature\":1.0 } \n";

#[test]
fn the_callers_text_reaches_the_wire_unchanged_with_the_missing_members_behind_it() {
    let request = sent("{}", ODD);
    assert_eq!(
        added(ODD, &request),
        json!({
            "model": "gemini-3.1-pro-preview",
            "stream": false,
            "contents": [{"role": "user", "parts": [{"text": "A b\n"}]}],
        })
    );
    let contents = r#""contents":[{"role":"user","parts":[{"text":"A \u0062\n"}]}]"#;
    assert!(request.text().contains(contents), "the text's own escapes are kept: {}", request.text());
}

#[test]
fn a_complete_request_reaches_the_wire_byte_for_byte() {
    let text = ODD.replacen('{', r#"{"model":"m","stream" : false,"contents":[ "x" ],"#, 1);
    for contract in ["elkapi", "openai"] {
        let request = sent(&json!({"contract": contract}).to_string(), &text);
        assert_eq!(request.text(), text);
    }
}

#[test]
fn messages_alone_are_completed_with_model_stream_and_contents() {
    let text = r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"A"},{"type":"image_url","image_url":{"url":"data:"}},{"type":"text","text":"B"}]},{"role":"assistant","content":"C"},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"1","content":"D"}]}"#;
    assert_eq!(
        added(text, &sent("{}", text)),
        json!({
            "model": "gemini-3.1-pro-preview",
            "stream": false,
            "contents": [
                {"role": "user", "parts": [{"text": "S"}]},
                {"role": "user", "parts": [{"text": "A"}, {"text": "B"}]},
                {"role": "model", "parts": [{"text": "C"}]},
                {"role": "user", "parts": [{"text": "D"}]},
            ],
        })
    );
}

#[test]
fn contents_of_strings_become_user_messages() {
    let text = r#"{"model":"m","contents":["One \"quoted\"","Two"]}"#;
    assert_eq!(
        added(text, &sent("{}", text)),
        json!({
            "stream": false,
            "messages": [
                {"role": "user", "content": "One \"quoted\""},
                {"role": "user", "content": "Two"},
            ],
        })
    );
}

#[test]
fn contents_of_objects_become_messages_with_their_roles_and_joined_texts() {
    let text = r#"{"stream":false,"contents":[{"role":"user","parts":[{"text":"A"},{"text":"\u0062"}]},{"role":"model","parts":[{"text":"C"}]},{"parts":[{"text":"D"}]}]}"#;
    assert_eq!(
        added(text, &sent("{}", text)),
        json!({
            "model": "gemini-3.1-pro-preview",
            "messages": [
                {"role": "user", "content": "Ab"},
                {"role": "assistant", "content": "C"},
                {"role": "user", "content": "D"},
            ],
        })
    );
}

#[test]
fn where_both_forms_are_given_neither_is_touched() {
    let text = r#"{"messages":[{"role":"user","content":"A"}],"contents":["Z"]}"#;
    let members = added(text, &sent("{}", text));
    assert_eq!(members, json!({"model": "gemini-3.1-pro-preview", "stream": false}));
}

#[test]
fn the_openai_contract_adds_only_stream() {
    for text in [HELLO, r#"{"contents":["Hello"]}"#, r#"{"model":"m","messages":[]}"#] {
        assert_eq!(added(text, &sent(r#"{"contract":"openai"}"#, text)), json!({"stream": false}), "{text}");
    }
}

#[test]
fn only_the_necessary_fields_are_sent() {
    let request = sent("{}", HELLO);
    assert_eq!(request.line, "POST /v1/chat/completions HTTP/1.1");
    let names: BTreeSet<_> = request.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let expected = ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]
        .map(str::to_owned);
    // In particular no Accept-Encoding and no Expect.
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!(request.field("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(request.field("content-type"), Some("application/json"));
    assert_eq!(request.field("accept"), Some("application/json"));
    assert_eq!(request.field("user-agent"), Some(concat!("elkapi/", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn host_names_the_address_of_the_base_url() {
    let server = one_reply(answer("Hi"));
    let host = server.base_url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap().to_owned();
    client(&server.base_url).chat_completions(HELLO, None).unwrap();
    assert_eq!(server.join().field("host"), Some(host.as_str()));
}

#[test]
fn configured_fields_are_sent_beside_the_usual_ones() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let options = json!({
        "headers": {"X-Team": "elk, moss", "Accept-Encoding": "gzip"},
        "traceparent": traceparent,
        "user_agent": "forest/2 (test)",
    });
    let request = sent(&options.to_string(), HELLO);
    assert_eq!(request.field("x-team"), Some("elk, moss"));
    assert_eq!(request.field("accept-encoding"), Some("gzip"));
    assert_eq!(request.field("traceparent"), Some(traceparent));
    assert_eq!(request.field("user-agent"), Some("forest/2 (test)"));
    assert_eq!(request.field("accept"), Some("application/json"));
}

#[test]
fn fields_of_a_changed_client_are_merged_over_those_of_the_first() {
    let server = one_reply(answer("Hi"));
    let first = client_with(&server.base_url, r#"{"headers":{"X-One":"1","X-Two":"2"}}"#);
    let changed = first.with(r#"{"headers":{"x-two":"II","X-Three":"III"}}"#).unwrap();
    changed.chat_completions(HELLO, None).unwrap();
    let request = server.join();
    assert_eq!(request.field("x-one"), Some("1"));
    assert_eq!(request.field("x-two"), Some("II"));
    assert_eq!(request.field("x-three"), Some("III"));
}

#[test]
fn the_models_list_is_asked_for_without_a_body() {
    let server = Server::start(|listener| {
        let mut socket = common::accept(&listener);
        let request = Request::read(&mut socket);
        let body = br#"{"object":"list","data":[]}"#;
        let reply = common::reply("200 OK", &["Content-Type: application/json"], body);
        socket.write_all(&reply).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut surplus = Vec::new();
        socket.read_to_end(&mut surplus).unwrap();
        (request, surplus)
    });
    // The client goes before the server is joined, so that its connection ends.
    client(&server.base_url).get("/models?limit=5&after=a%20b", None).unwrap();
    let (request, surplus) = server.join();
    assert_eq!(request.line, "GET /v1/models?limit=5&after=a%20b HTTP/1.1");
    assert_eq!(request.field("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(request.field("accept"), Some("application/json"));
    for absent in ["content-length", "content-type", "transfer-encoding"] {
        assert_eq!(request.field(absent), None, "{absent}");
    }
    assert_eq!(surplus, b"", "a body followed");
}

#[test]
fn a_request_of_many_megabytes_arrives_whole() {
    let picture = "A".repeat(16 << 20);
    let text = format!(
        r#"{{"model":"m","stream":false,"contents":[],"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}]}}]}}"#
    );
    let request = sent("{}", &text);
    assert_eq!(request.field("content-length"), Some(text.len().to_string().as_str()));
    assert_eq!(request.field("transfer-encoding"), None);
    assert!(request.body == text.as_bytes(), "{} bytes differ", request.body.len());
}

#[test]
fn a_key_with_a_line_end_behind_it_is_sent_without_it() {
    let request = sent(r#"{"api_key":"sk-from-a-file\n"}"#, HELLO);
    assert_eq!(request.field("authorization"), Some("Bearer sk-from-a-file"));
}

#[test]
fn the_answers_bytes_are_kept_as_they_came() {
    let body = "\n {\"choices\" : [{\"index\":0,\"message\":{\"content\":\"a\\u0062\\/\"},\"unknown\":1e999}],\"big\":123456789012345678901234567890 } \n";
    let fields = ["Content-Type: application/json", "Connection: close"];
    let server = one_reply(common::reply("200 OK", &fields, body.as_bytes()));
    let answer = client(&server.base_url).chat_completions(HELLO, None).unwrap();
    assert_eq!(answer.json(), body.as_bytes());
    assert_eq!(answer.text(), "ab/");
    assert_eq!(answer.pointer("/big").unwrap().raw(), "123456789012345678901234567890");
    server.join();
}
