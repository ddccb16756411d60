//! Arbitrary bytes as an answer: every view of it can be read, and what the views say agrees.

use elkapi::json::Type;
use elkapi::{Body, Completion, Headers, Image, Kind, Reply, data_url};

/// One input.
pub fn run(data: &[u8]) {
    let reply = Reply::new(200, Headers::default(), Body::new(data.to_vec()));
    let answer = match Completion::of_reply(reply) {
        Ok(answer) => answer,
        Err(error) => {
            assert!(error.kind() == Kind::EmptyResponse || error.body() == data, "the bytes are kept");
            assert!(!error.message().contains(char::is_control), "{:?}", error.message());
            serde_json::from_str::<serde_json::Value>(&error.document()).expect("the error document");
            return;
        }
    };
    assert_eq!(answer.json(), data);
    let call: serde_json::Value = serde_json::from_str(&answer.call_document()).expect("the call's facts");
    assert_eq!(call["images"].as_array().map(Vec::len), Some(answer.images().len()));
    assert_eq!(call["image_errors"], answer.image_errors());
    assert_eq!(call["text_without_images"].as_str(), Some(&*answer.text_without_images()));
    assert!(answer.text_without_images().len() <= answer.text().len());
    let _ = (answer.reasoning(), answer.finish_reason(), answer.usage(), answer.verdict().name());
    let mut last = i64::MIN;
    for choice in answer.choices() {
        assert!(choice.index() >= last, "lowest index first");
        last = choice.index();
        for call in choice.tool_calls() {
            let _ = (call.id(), call.name(), call.arguments());
        }
    }
    let choices = answer.pointer("/choices").expect("an answer has choices");
    assert_eq!((choices.kind(), choices.count()), (Type::Array, answer.choices().count()));
    answer.images().iter().for_each(check);
}

/// A picture is embedded or remote, and an embedded one can be sent back.
fn check(image: &Image) {
    assert!(!image.source().name().is_empty());
    match (image.bytes(), image.media_type(), image.url()) {
        (Some(bytes), Some(media_type), None) => {
            assert!(!bytes.is_empty());
            if let Ok(url) = data_url(bytes, None) {
                assert!(url.starts_with(&format!("data:{media_type};base64,")), "{media_type}");
            }
        }
        (None, None, Some(url)) => assert!(url.to_ascii_lowercase().starts_with("http")),
        other => panic!("neither embedded nor remote: {other:?}"),
    }
}
