//! Ask for a picture and save it. The key comes from `ELKAPI_API_KEY`.
//!
//!     cargo run -p elkapi --example picture -- cat.png

use std::error::Error;

use elkapi::{Client, Config};
use serde_json::json;

fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| "cat.png".to_owned());
    if let Err(error) = draw(&path) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn draw(path: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::new(Config::new())?;
    let request = json!({
        "model": "gemini-3-pro-image-preview",
        "messages": [{"role": "user", "content": "A cat on a windowsill"}],
        "extra_body": {"google": {"image_config": {"aspect_ratio": "16:9", "image_size": "1K"}}},
    });
    let answer = client.chat_completions(request.to_string(), None)?;
    // Of several pictures the last is the final one.
    let Some(picture) = answer.images().last() else {
        return Err(format!("There is no picture in the answer: {}", answer.text()).into());
    };
    picture.save(path)?;
    let size = picture.bytes().map_or(0, <[u8]>::len);
    println!("{path}: {}, {size} bytes", picture.media_type().unwrap_or("a picture"));
    Ok(())
}
