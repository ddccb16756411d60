//! reqwest with serde_json, as its documentation shows: one client, `json` both ways, `bytes_stream` for streams.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elkapi_bench::{AT_ONCE, Bench, KEY, MODEL};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

#[tokio::main]
async fn main() {
    let b = Bench::from_arguments();
    let client = reqwest::Client::new();
    let url = format!("{}/chat/completions", b.base_url);
    let prompt = b.prompt();
    let send = || {
        let messages = [json!({"role": "user", "content": prompt})];
        let request = json!({"model": MODEL, "stream": b.is_stream(), "messages": messages});
        client.post(&url).bearer_auth(KEY).json(&request).send()
    };
    let whole = async || {
        let response = send().await.expect("a reply").error_for_status().expect("status 200");
        let answer: Value = response.json().await.expect("JSON");
        let content = answer["choices"][0]["message"]["content"].as_str().expect("a content");
        if b.read != "bytes" {
            return content.len();
        }
        let picture = &content[content.find(',').expect("a data URL") + 1..content.len() - 1];
        STANDARD.decode(picture).expect("base64").len()
    };
    let streamed = async || {
        let response = send().await.expect("a reply").error_for_status().expect("status 200");
        let mut pieces = response.bytes_stream();
        let (mut rest, mut read) = (Vec::new(), 0);
        while let Some(piece) = pieces.next().await {
            rest.extend_from_slice(&piece.expect("a piece"));
            let mut taken = 0;
            while let Some(end) = rest[taken..].iter().position(|byte| *byte == b'\n') {
                let line = &rest[taken..taken + end];
                taken += end + 1;
                if let Some(event) = line.strip_prefix(b"data: ").filter(|event| event.starts_with(b"{")) {
                    let chunk: Value = serde_json::from_slice(event).expect("JSON");
                    read += b.take_text(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
                }
            }
            rest.drain(..taken);
        }
        read
    };
    if b.is("many") {
        b.at_once(async |calls| {
            let calls = stream::iter(0..calls).map(|_| whole()).buffer_unordered(AT_ONCE);
            calls.fold(0, async |sum, read| sum + read).await
        })
        .await;
    } else if b.is_stream() {
        b.one_by_one(streamed).await;
    } else {
        b.one_by_one(whole).await;
    }
}
