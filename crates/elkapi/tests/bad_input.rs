//! What is refused before anything is sent, and that the key shows nowhere.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;

use common::{HELLO, KEY, client, client_with, config, simulator};
use elkapi::{Billed, Cancel, Client, Config, Error, Fields, Kind};
use serde_json::json;

/// Every sentence about an error that this library can be asked for.
fn words(error: &Error) -> String {
    format!("{error}\n{error:?}\n{}\n{}\n{}", error.message(), error.document(), error.call_document())
}

#[track_caller]
fn assert_nothing_was_sent(error: &Error) {
    assert_eq!((error.billed(), error.retryable()), (Billed::No, false), "{error}");
    assert_eq!((error.status(), error.bytes_sent(), error.attempts().len()), (None, 0, 0), "{error}");
}

#[test]
fn an_unusable_request_is_refused_by_name_or_place_and_nothing_is_sent() {
    let sim = simulator();
    let client = client(&sim.base_url());
    for (text, param, says) in [
        (&b""[..], None, "empty"),
        (b" \r\n\t", None, "empty"),
        (b"Hello", None, "byte 0"),
        (b"\xEF\xBB\xBF{\"messages\":[]}", None, "byte order mark"),
        (b"\xFF\xFE{\x00", None, "byte 0 (0xff)"),
        (b"{\"messages\":[{\"content\":\"caf\xe9\"}]}", None, "byte 28 (0xe9)"),
        (b"{\"messages\":[],}", None, "byte 15"),
        (b"{\"messages\":[]", None, "byte 14"),
        (b"{\"messages\":[]}{}", None, "byte 15"),
        (b"{\"messages\":[NaN]}", None, "byte 13"),
        (b"{\"messages\":['a']}", None, "byte 13"),
        (b"{\"messages\":[\"a\nb\"]}", None, "byte 15"),
        (b"{\"messages\":[]}\0", None, "byte 15"),
        (b"null", None, "must be a JSON object, but it is"),
        (b"[{\"messages\":[]}]", None, "an array"),
        (b"\"{}\"", None, "a string"),
        (b"{}", Some("messages"), "neither \"messages\" nor \"contents\""),
        (b"{\"model\":\"m\",\"Messages\":[]}", Some("messages"), "neither"),
        (
            b"{\"messages\":{}}",
            Some("messages"),
            "\"messages\" in the request (byte 12) must be of type array",
        ),
        (b"{\"messages\":null}", Some("messages"), "but it is of type null"),
        (b"{\"contents\":\"Hello\"}", Some("contents"), "\"contents\""),
        (b"{\"messages\":[],\"model\":7}", Some("model"), "\"model\""),
        (b"{\"messages\":[],\"stream\":0}", Some("stream"), "\"stream\""),
        (b"{\"messages\":[],\"stream\":true}", Some("stream"), "use the stream call"),
        (b"{\"messages\":[],\"messages\":[]}", Some("messages"), "twice"),
        (b"{\"contents\":[],\"contents\":[]}", Some("contents"), "twice"),
        (b"{\"messages\":[],\"model\":\"a\",\"mod\\u0065l\":\"b\"}", Some("model"), "twice"),
        (b"{\"messages\":[],\"stream\":false,\"stream\":false}", Some("stream"), "twice"),
    ] {
        let shown = String::from_utf8_lossy(text);
        let error = client.chat_completions(text, None).expect_err(&shown);
        assert_eq!(error.kind(), Kind::InvalidArgument, "{shown}: {error}");
        assert_eq!(error.param(), param, "{shown}: {error}");
        assert!(error.message().contains(says), "{shown}: {error}");
        assert_nothing_was_sent(&error);
    }
    assert_eq!((sim.stats().requests, sim.stats().accepted), (0, 0));
}

#[test]
fn an_unusable_path_is_refused_and_nothing_is_sent() {
    let sim = simulator();
    let client = client(&sim.base_url());
    for path in [
        "",
        "models",
        "/mod els",
        "/models\r\nX-Evil: 1",
        "/models#top",
        "/modèles",
        "/models\0",
        "//evil\\@x y",
    ] {
        let error = client.get(path, None).expect_err(path);
        assert_eq!(error.kind(), Kind::InvalidArgument, "{path}: {error}");
        assert_nothing_was_sent(&error);
    }
    assert_eq!((sim.stats().requests, sim.stats().accepted), (0, 0));
}

#[test]
fn no_path_leads_to_another_host() {
    let sim = simulator();
    let client = client(&sim.base_url());
    for path in ["//127.0.0.2:1/x", "/@127.0.0.2:1/x", "/../../x", "/http://127.0.0.2:1/x"] {
        // What the gateway makes of it is its own affair: it must be this gateway.
        let before = sim.stats().requests;
        let _ = client.get(path, None);
        assert_eq!(sim.stats().requests, before + 1, "{path}");
    }
}

#[test]
fn a_cancelled_token_keeps_the_request_from_being_sent() {
    let sim = simulator();
    let client = client(&sim.base_url());
    let cancel = Cancel::new();
    cancel.signal();
    for outcome in [client.chat_completions(HELLO, Some(&cancel)), client.get("/models", Some(&cancel))] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
        assert_nothing_was_sent(&error);
    }
    assert_eq!((sim.stats().requests, sim.stats().accepted), (0, 0));
    client.chat_completions(HELLO, Some(&Cancel::new())).unwrap();
}

#[test]
fn an_unusable_configuration_is_refused_by_name() {
    for (options, param, says) in [
        (json!({"base_url": ""}), "base_url", "not a URL"),
        (json!({"base_url": "api.elkapi.com/v1"}), "base_url", "https://"),
        (json!({"base_url": "ftp://127.0.0.1/v1"}), "base_url", "must begin with https://"),
        (json!({"base_url": "http://api.elkapi.com/v1"}), "base_url", "allow_http"),
        (json!({"base_url": "http://localhost.example.com/v1"}), "base_url", "allow_http"),
        (json!({"base_url": "http://127.0.0.1@example.com/v1"}), "base_url", "user or password"),
        (json!({"base_url": "https://example.com/v1?a=b"}), "base_url", "query"),
        (json!({"base_url": "https://example.com/v1/chat/completions"}), "base_url", "/chat/completions"),
        (json!({"base_url": "https://exa mple.com"}), "base_url", "byte 11"),
        (json!({"base_url": "https://example.com:99999/v1"}), "base_url", "a port"),
        (json!({"api_key": ""}), "api_key", "empty"),
        (json!({"api_key": "sk-a\r\nX-Evil: 1"}), "api_key", "line end at byte 4"),
        (json!({"api_key": 7}), "api_key", "a string"),
        (json!({"contract": "gemini"}), "contract", "\"elkapi\" or \"openai\""),
        (json!({"timeout_ms": -1}), "timeout_ms", "whole number"),
        (json!({"timeout_ms": 0.5}), "timeout_ms", "whole number"),
        (json!({"connect_timeout_ms": "10s"}), "connect_timeout_ms", "whole number"),
        (json!({"allow_http": "yes"}), "allow_http", "true or false"),
        (json!({"headers": {"X Y": "1"}}), "headers", "a name that HTTP does not allow"),
        (json!({"headers": {"X-Y": "1\r\nX-Evil: 1"}}), "headers", "line end"),
        (json!({"headers": {"authorization": "Bearer x"}}), "headers", "api_key"),
        (json!({"headers": {"Transfer-Encoding": "chunked"}}), "headers", "written by the client"),
        (json!({"headers": ["X-Y: 1"]}), "headers", "an object"),
        (json!({"user_agent": "a\nb"}), "user_agent", "line end"),
        (json!({"traceparent": "a\nb"}), "traceparent", "line end"),
        (json!({"base_ulr": "x"}), "base_ulr", "did you mean \"base_url\"?"),
    ] {
        let mut all =
            json!({"environment": false, "api_key": KEY, "base_url": "https://gateway.example.com/v1"});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let error =
            Config::from_json(&all.to_string()).and_then(Client::new).expect_err(&options.to_string());
        assert_eq!(error.kind(), Kind::Config, "{options}: {error}");
        assert_eq!(error.param(), Some(param), "{options}: {error}");
        assert!(error.message().contains(says), "{options}: {error}");
        assert_nothing_was_sent(&error);
    }
}

#[test]
fn without_a_key_the_message_says_where_to_put_it() {
    let error = Client::new(Config::new().environment(false)).unwrap_err();
    assert_eq!((error.kind(), error.param()), (Kind::Config, Some("api_key")));
    assert!(error.message().contains("ELKAPI_API_KEY"), "{error}");
}

#[test]
fn options_of_the_client_cannot_change_per_call() {
    let client = client("http://127.0.0.1:1/v1");
    for row in elkapi::OPTIONS {
        let value = match row.takes {
            takes if takes.starts_with("object") => json!({}),
            "boolean" => json!(true),
            takes if takes.starts_with("milliseconds") => json!(1),
            "number" | "bytes" => json!(1),
            _ => json!("text"),
        };
        let outcome = client.with(&json!({ row.name: value }).to_string());
        match outcome {
            Ok(_) => assert!(row.per_call, "{} was taken", row.name),
            Err(error) if row.per_call => panic!("{}: {error}", row.name),
            Err(error) => {
                assert_eq!((error.kind(), error.param()), (Kind::Config, Some(row.name)), "{error}");
            }
        }
    }
}

#[test]
fn the_environment_gives_key_and_address_unless_it_is_switched_off() {
    let child = |environment: bool| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "child_that_says_where_it_would_go"])
            .env("ELKAPI_API_KEY", "sk-of-the-environment")
            .env("ELKAPI_BASE_URL", "https://of-the-environment.example.com/v1")
            .env("CHILD_ENVIRONMENT", environment.to_string())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = child(true);
    assert!(said.contains("goes to https://of-the-environment.example.com/v1"), "{said}");
    let said = child(false);
    assert!(said.contains("fails with config: "), "{said}");
}

#[test]
#[ignore = "started by another test, with an environment of its own"]
fn child_that_says_where_it_would_go() {
    let environment = std::env::var("CHILD_ENVIRONMENT").is_ok_and(|value| value == "true");
    match Client::new(Config::new().environment(environment)) {
        Ok(client) => println!("goes to {}", client.base_url()),
        Err(error) => println!("fails with {}: {error}", error.kind()),
    }
}

#[test]
fn debug_output_of_configuration_and_client_hides_the_key() {
    let config = config("http://127.0.0.1:1/v1").headers(Fields::from_iter([("X-Api-Key", KEY)]));
    assert!(!format!("{config:?}").contains(KEY), "{config:?}");
    assert!(!format!("{config:#?}").contains(KEY), "{config:#?}");
    let client = Client::new(config).unwrap();
    assert!(!format!("{client:?}").contains(KEY), "{client:?}");
}

#[test]
fn an_error_about_the_key_never_shows_it() {
    for key in ["sk-SECRET SECRET", "sk-SECRET\nSECRET", "\"sk-SECRET\u{e9}\""] {
        let error =
            Client::new(config("http://127.0.0.1:1/v1").api_key(key)).expect_err("the key is not usable");
        assert!(!words(&error).contains("SECRET"), "{}", words(&error));
    }
    for json in [r#"{"api_key":["sk-SECRET"]}"#, r#"{"api_key":"sk-SECRET","api_key":"sk-SECRET"}"#] {
        let error = Config::from_json(json).unwrap_err();
        assert!(!words(&error).contains("SECRET"), "{}", words(&error));
    }
}

#[test]
fn a_key_that_the_server_echoes_is_shown_in_no_word_about_the_error() {
    let sim = simulator();
    let error = client(&sim.url("/fault/echo-key/v1")).chat_completions(HELLO, None).unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Authentication, Some(401)));
    assert!(error.server_message().starts_with("Incorrect API key provided"), "{error}");
    assert!(!words(&error).contains(KEY), "{}", words(&error));
    assert!(!error.body_excerpt().unwrap().contains(KEY));
    // The reply's own bytes stay as they came.
    assert!(String::from_utf8_lossy(error.body()).contains(KEY));
    assert_eq!(error.headers().unwrap().get("x-echo-authorization"), Some("Bearer ***"));
}

#[test]
fn debug_output_of_a_reply_that_echoes_the_key_hides_it() {
    let sim = simulator();
    let error = client(&sim.url("/fault/echo-key/v1")).chat_completions(HELLO, None).unwrap_err();
    let debug = format!("{:?} {:?}", error.reply().unwrap(), error.headers().unwrap());
    assert!(!debug.contains(KEY), "{debug}");
    let request =
        json!({"messages": [{"role": "user", "content": "x"}], "sim": {"text": format!("echo {KEY}")}});
    let answer = client(&sim.base_url()).chat_completions(request.to_string(), None).unwrap();
    assert!(answer.text().contains(KEY));
    assert!(!format!("{answer:?}").contains(KEY), "{answer:?}");
}

#[test]
fn an_echoed_key_is_not_shown_by_halves_where_a_long_text_is_cut() {
    // The beginning of a body that is shown has 4,096 characters: the key stands across its end.
    for before in 4096 - KEY.len() + 1..4096 {
        let body = format!("{}{KEY} and more", "x".repeat(before));
        let fields = ["Content-Type: text/plain", "Connection: close"];
        let server = common::one_reply(common::reply("500 Internal Server Error", &fields, body.as_bytes()));
        let error = client(&server.base_url).chat_completions(HELLO, None).unwrap_err();
        server.join();
        let shown = words(&error);
        let half = &KEY[..(4096 - before).max(4)];
        assert!(!shown.contains(&format!("xx{half}")), "{before}: …{}", &shown[shown.len() - 200..]);
    }
}

#[test]
fn an_echoed_key_is_not_shown_in_the_escapes_of_json_or_html() {
    let key = "sk-a/b+c&d";
    for (media_type, body) in [
        ("application/json", r#"{"error":{"message":"bad sk-a\/b+c\u0026d","type":"x"}}"#),
        ("text/html", "<html><body>bad sk-a/b+c&amp;d</body></html>"),
    ] {
        let fields = [&format!("Content-Type: {media_type}"), "Connection: close"];
        let server = common::one_reply(common::reply("401 Unauthorized", &fields, body.as_bytes()));
        let options = json!({"api_key": key}).to_string();
        let error = client_with(&server.base_url, &options).chat_completions(HELLO, None).unwrap_err();
        server.join();
        for part in [key, r"a\/b+c", "a/b+c", r"a\\/b+c"] {
            assert!(!words(&error).contains(part), "{media_type}: {}", words(&error));
        }
    }
}

#[test]
fn a_key_echoed_in_the_replys_fields_is_shown_in_no_word_about_the_error() {
    let echoes = [
        ("200 OK", format!("Content-Type: text/{KEY}")),
        ("200 OK", format!("X-Request-Id: {KEY}")),
        ("200 OK", format!("Content-Encoding: {KEY}")),
        ("302 Found", format!("Location: https://example.com/{KEY}")),
        ("500 Internal Server Error", format!("X-Oneapi-Request-Id: {KEY}")),
    ];
    for (status, field) in echoes {
        let server = common::one_reply(common::reply(status, &[&field, "Connection: close"], b"moss"));
        let error = client(&server.base_url).chat_completions(HELLO, None).unwrap_err();
        server.join();
        assert!(!words(&error).to_ascii_lowercase().contains(KEY), "{field}: {}", words(&error));
    }
}

#[test]
fn a_redirect_takes_the_key_nowhere() {
    let elsewhere = simulator();
    let target = elsewhere.url("/v1/chat/completions");
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = format!("Location: {target}");
        let server = common::one_reply(common::reply(status, &[&location, "Connection: close"], b""));
        let error = client(&server.base_url).chat_completions(HELLO, None).unwrap_err();
        server.join();
        assert_eq!(
            (error.kind(), error.billed()),
            (Kind::UnexpectedRedirect, Billed::No),
            "{status}: {error}"
        );
        assert!(error.message().contains(&target), "{status}: {error}");
    }
    assert_eq!((elsewhere.stats().requests, elsewhere.stats().accepted), (0, 0));
}
