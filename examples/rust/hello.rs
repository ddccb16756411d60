//! Ask one question. The key comes from `ELKAPI_API_KEY`.
//!
//!     cargo run -p elkapi --example hello -- "Name three seas."

use elkapi::{Client, Config, Error};
use serde_json::json;

fn main() {
    // "Hello, please introduce yourself."
    let question = std::env::args().nth(1).unwrap_or_else(|| "こんにちは、自己紹介してください".to_owned());
    if let Err(error) = ask(&question) {
        eprintln!("{}: {error}", error.kind());
        std::process::exit(1);
    }
}

fn ask(question: &str) -> Result<(), Error> {
    let client = Client::new(Config::new())?;
    let request = json!({"messages": [{"role": "user", "content": question}]});
    let answer = client.chat_completions(request.to_string(), None)?;
    let tokens = answer.usage().and_then(|usage| usage.total_tokens).unwrap_or_default();
    println!("{}", answer.text());
    println!("{tokens} tokens, request {}", answer.request_id().unwrap_or("without id"));
    Ok(())
}
