//! async-openai, as its documentation shows: typed requests and answers.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elkapi_bench::{AT_ONCE, Bench, KEY, MODEL};
use futures::{StreamExt, stream};

#[tokio::main]
async fn main() {
    let b = Bench::from_arguments();
    let client = Client::with_config(OpenAIConfig::new().with_api_base(&b.base_url).with_api_key(KEY));
    let prompt = b.prompt();
    let request = || -> CreateChatCompletionRequest {
        let message = ChatCompletionRequestUserMessageArgs::default().content(prompt.as_str()).build();
        CreateChatCompletionRequestArgs::default()
            .model(MODEL)
            .messages([message.expect("a message").into()])
            .build()
            .expect("a request")
    };
    let whole = async || {
        let answer = client.chat().create(request()).await.expect("an answer");
        let content = answer.choices[0].message.content.as_ref().expect("a content");
        if b.read != "bytes" {
            return content.len();
        }
        let picture = &content[content.find(',').expect("a data URL") + 1..content.len() - 1];
        STANDARD.decode(picture).expect("base64").len()
    };
    let streamed = async || {
        let mut chunks = client.chat().create_stream(request()).await.expect("a stream");
        let mut read = 0;
        while let Some(chunk) = chunks.next().await {
            for choice in &chunk.expect("a chunk").choices {
                read += b.take_text(choice.delta.content.as_deref().unwrap_or_default());
            }
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
