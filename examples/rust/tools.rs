//! Let the model call a function of this program. The key comes from `ELKAPI_API_KEY`.
//!
//!     cargo run -p elkapi --example tools

use std::error::Error;

use elkapi::{Client, Config};
use serde_json::{Value, json};

fn main() {
    if let Err(error) = converse() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// The arguments are what the model wrote: check them.
fn get_weather(arguments: &str) -> Value {
    match serde_json::from_str::<Value>(arguments).map(|given| given["city"].clone()) {
        Ok(Value::String(city)) => json!({"city": city, "sky": "clear", "celsius": -4}),
        _ => json!({"error": "Give the name of a city."}),
    }
}

fn converse() -> Result<(), Box<dyn Error>> {
    let client = Client::new(Config::new())?;
    let tools = json!([{"type": "function", "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }}]);
    let mut messages = vec![json!({"role": "user", "content": "Do I need a coat in Oslo today?"})];
    for _turn in 0..5 {
        let request = json!({"messages": messages, "tools": tools});
        let answer = client.chat_completions(request.to_string(), None)?;
        let calls = answer.tool_calls();
        if calls.is_empty() {
            println!("{}", answer.text());
            return Ok(());
        }
        // The calls go back as they came, and what each gave as a text.
        let as_they_came = calls.iter().map(|call| serde_json::from_str(call.json().raw()));
        let as_they_came: Vec<Value> = as_they_came.collect::<Result<_, _>>()?;
        messages.push(json!({"role": "assistant", "content": answer.text(), "tool_calls": as_they_came}));
        for call in calls {
            println!("{} {}", call.name(), call.arguments());
            let outcome = get_weather(&call.arguments()).to_string();
            messages.push(json!({"role": "tool", "tool_call_id": call.id(), "content": outcome}));
        }
    }
    Err("The model does nothing but call functions.".into())
}
