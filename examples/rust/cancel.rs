//! Ask a question; Enter takes it back. The key comes from `ELKAPI_API_KEY`.
//!
//!     cargo run -p elkapi --example cancel

use elkapi::{Cancel, Client, Config, Error, Kind};

const REQUEST: &str = r#"{"messages":[{"role":"user","content":"Write a long tale of an elk."}]}"#;

fn main() {
    match ask() {
        Ok(text) => println!("{text}"),
        Err(error) if error.kind() == Kind::Cancelled => {
            eprintln!("Stopped after {} ms. Billed: {}.", error.elapsed_ms(), error.billed().name());
            std::process::exit(1);
        }
        Err(error) => {
            eprintln!("{}: {error}", error.kind());
            std::process::exit(1);
        }
    }
}

fn ask() -> Result<String, Error> {
    let client = Client::new(Config::new())?;
    let stop = Cancel::new();
    let on_enter = stop.clone();
    std::thread::spawn(move || {
        // Enter, and not the end of the input.
        if matches!(std::io::stdin().read_line(&mut String::new()), Ok(1..)) {
            on_enter.signal();
        }
    });
    Ok(client.chat_completions(REQUEST, Some(&stop))?.text().into_owned())
}
