//! elkapi's core, with its default limits.

use elkapi::{Client, Completion, Config, Queue, Taken, Work};
use elkapi_bench::{AT_ONCE, Bench, KEY, request_json};
use futures::executor::block_on;

fn main() {
    let b = Bench::from_arguments();
    let contract = if b.read == "openai" { "openai" } else { "elkapi" };
    let config = format!(
        r#"{{"base_url":"{}","api_key":"{KEY}","environment":false,"contract":"{contract}"}}"#,
        b.base_url
    );
    let client = Client::new(Config::from_json(&config).expect("a config")).expect("a client");
    let prompt = serde_json::to_string(&b.prompt()).expect("JSON");
    let mut request = request_json(&prompt[1..prompt.len() - 1]);
    if b.is_stream() {
        request = request.replace("\"stream\":false", "\"stream\":true");
    }

    let read = |answer: &Completion| match b.read.as_str() {
        "bytes" => answer.images()[0].bytes().expect("a picture").len(),
        _ => answer.text().len(),
    };
    let whole = || read(&client.chat_completions(&request, None).expect("an answer"));
    let streamed = || {
        let mut stream = client.chat_completions_stream(&request, None).expect("a stream");
        let mut read = 0;
        while let Some(chunk) = stream.next() {
            read += b.take_text(chunk.expect("a chunk").text());
        }
        read
    };
    if b.is("many") {
        let queue = Queue::new(&client, AT_ONCE, b.calls).expect("a queue");
        let all = |calls| {
            for _ in 0..calls {
                queue.submit(Work::chat_completions(request.as_str())).expect("room");
            }
            let mut sum = 0;
            loop {
                match queue.take(None).expect("an ending") {
                    Taken::Ended { answer, error: None, .. } => sum += read(&answer.expect("an answer")),
                    Taken::Ended { error, .. } => panic!("{error:?}"),
                    Taken::Done => return sum,
                    _ => {}
                }
            }
        };
        block_on(b.at_once(async |calls| all(calls)));
    } else if b.is_stream() {
        block_on(b.one_by_one(async || streamed()));
    } else {
        block_on(b.one_by_one(async || whole()));
    }
}
