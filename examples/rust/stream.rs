//! Print an answer while it is written. The key comes from `ELKAPI_API_KEY`.
//!
//!     cargo run -p elkapi --example stream

use std::io::Write;

use elkapi::{Client, Config, Error};

const REQUEST: &str = r#"{"messages":[{"role":"user","content":"Tell me a short story."}]}"#;

fn main() {
    if let Err(error) = tell() {
        eprintln!("\n{}: {error}", error.kind());
        std::process::exit(1);
    }
}

fn tell() -> Result<(), Error> {
    let client = Client::new(Config::new())?;
    let mut stream = client.chat_completions_stream(REQUEST, None)?;
    while let Some(chunk) = stream.next() {
        print!("{}", chunk?.text());
        let _ = std::io::stdout().flush();
    }
    // The whole answer, put together; after a failure it is what had arrived.
    let (answer, error) = stream.finish();
    println!("\n{}, {} bytes", answer.verdict().name(), answer.text().len());
    error.map_or(Ok(()), Err)
}
