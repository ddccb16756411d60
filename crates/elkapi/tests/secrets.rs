//! The key is in nothing that a program might print, whatever a server does with it.
//!
//! Everything that is not an answer's own bytes is collected: messages, documents, `Debug` texts. A
//! checker that shares no code with the client looks for the key in every spelling.

#![allow(clippy::unwrap_used)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use std::fmt::{Debug, Write as _};
use std::net::TcpListener;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use certificates::Authority;
use common::{HELLO, client_with, one_reply, simulator};
use elkapi::{Cancel, Client, Completion, Config, Error, Fields};
use serde_json::{Value, json};

/// Distinctive, and of letters that no encoding touches.
const PLAIN: &str = "sk-MooseAntler4711Quagmire";
/// Full of characters that encodings change; with case, and with what looks like an escape itself.
const AWKWARD: &str = r#"sk-El/k+7=&"<q>%41\Moss~'Wv"#;

// ---- the checker --------------------------------------------------------------------------------

/// A part of a key this long is as bad as the key.
const PART: usize = 9;

/// How the key, or a part of it, can be read out of `text`; `None` if it cannot.
fn leak(text: &str, key: &str) -> Option<String> {
    let parts: Vec<String> = key.as_bytes().windows(PART).map(lower).collect();
    let reads = |bytes: &[u8]| {
        let bytes = lower(bytes);
        parts.iter().any(|part| bytes.contains(part))
    };
    // Escapes may be nested and mixed: everything that up to four of them may have hidden.
    let mut views = vec![("in clear".to_owned(), text.as_bytes().to_vec())];
    let mut at = 0;
    while at < views.len() {
        let (how, bytes) = views[at].clone();
        if reads(&bytes) {
            return Some(how);
        }
        if let Some(run) = base64_runs(&bytes).iter().find(|run| reads(run)) {
            return Some(format!("{how}, base64: {:?}", String::from_utf8_lossy(run)));
        }
        if how.matches(',').count() < 4 {
            for (name, undo) in UNDO {
                let undone = undo(&bytes);
                if !views.iter().any(|(_, known)| *known == undone) {
                    views.push((format!("{how}, {name}"), undone));
                }
            }
        }
        at += 1;
    }
    None
}

fn lower(bytes: &[u8]) -> String {
    // One character per byte, so that any bytes can be searched as text.
    bytes.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

type Undo = fn(&[u8]) -> Vec<u8>;
const UNDO: [(&str, Undo); 3] = [("percent", percent_undone), ("JSON", json_undone), ("HTML", html_undone)];

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok()
}

/// Replaces what `undo` recognises at the beginning: the character and the length of its spelling.
fn undone(bytes: &[u8], undo: impl Fn(&[u8]) -> Option<(u32, usize)>) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match undo(&bytes[at..]) {
            Some((character, length)) => {
                out.push(u8::try_from(character).unwrap_or(b'?'));
                at += length;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn percent_undone(bytes: &[u8]) -> Vec<u8> {
    undone(bytes, |rest| (rest[0] == b'%').then(|| hex(rest.get(1..3))).flatten().map(|c| (c, 3)))
}

fn json_undone(bytes: &[u8]) -> Vec<u8> {
    undone(bytes, |rest| match (rest[0], rest.get(1)) {
        (b'\\', Some(b'u')) => hex(rest.get(2..6)).map(|c| (c, 6)),
        (b'\\', Some(escaped)) => Some((u32::from(*escaped), 2)),
        _ => None,
    })
}

fn html_undone(bytes: &[u8]) -> Vec<u8> {
    undone(bytes, |rest| {
        if rest[0] != b'&' {
            return None;
        }
        let end = rest.iter().take(12).position(|byte| *byte == b';')?;
        let name = std::str::from_utf8(&rest[1..end]).ok()?;
        let character = match name {
            "amp" => 38,
            "lt" => 60,
            "gt" => 62,
            "quot" => 34,
            "apos" => 39,
            _ => match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => name.strip_prefix('#')?.parse().ok()?,
            },
        };
        Some((character, end + 1))
    })
}

/// What every stretch of base64 letters means, wherever its groups of four begin.
fn base64_runs(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, lenient);
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let mut means = Vec::new();
    for run in bytes.split(|byte| !is_letter(byte)).filter(|run| run.len() >= PART) {
        let run: Vec<u8> = run
            .iter()
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            })
            .collect();
        for from in 0..4 {
            let rest = &run[from..];
            // A single letter that is left over means nothing.
            let rest = if rest.len() % 4 == 1 { &rest[..rest.len() - 1] } else { rest };
            means.extend(engine.decode(rest));
        }
    }
    means
}

/// Every character of the key as JSON may escape it.
fn all_escaped(key: &str) -> String {
    key.chars().map(|c| format!("\\u{:04x}", c as u32)).collect()
}

/// The key in every spelling that servers use.
fn spellings(key: &str) -> Vec<(&'static str, String)> {
    let each = |spell: fn(char) -> String| key.chars().map(spell).collect::<String>();
    let odd = |spell: fn(char) -> String| {
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.into() } else { spell(c) }).collect::<String>()
    };
    let quoted = json!(key).to_string();
    let inside = quoted[1..quoted.len() - 1].to_owned();
    let twice = json!(inside).to_string();
    vec![
        ("in clear", key.to_owned()),
        ("in capitals", key.to_ascii_uppercase()),
        ("as bearer", format!("Bearer {key}")),
        ("percent", odd(|c| format!("%{:02X}", c as u32))),
        ("percent, small", odd(|c| format!("%{:02x}", c as u32))),
        ("percent, all", each(|c| format!("%{:02x}", c as u32))),
        ("JSON", inside.clone()),
        ("JSON in JSON", twice[1..twice.len() - 1].to_owned()),
        (
            "HTML",
            key.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&#39;"),
        ),
        ("HTML, decimal", each(|c| format!("&#{};", c as u32))),
        ("HTML, hexadecimal", each(|c| format!("&#x{:X};", c as u32))),
        ("base64", STANDARD.encode(key)),
        ("base64 for URLs", URL_SAFE_NO_PAD.encode(key)),
        ("base64 of the field", STANDARD.encode(format!("Bearer {key}"))),
        ("base64 behind one", STANDARD.encode(format!(":{key}"))),
        ("base64 behind two", URL_SAFE_NO_PAD.encode(format!("u:{key}@host"))),
    ]
}

#[test]
fn the_checker_finds_the_key_in_every_spelling_and_nothing_where_there_is_none() {
    for key in [PLAIN, AWKWARD] {
        for (name, spelling) in spellings(key).into_iter().chain([("JSON, all", all_escaped(key))]) {
            for text in
                [spelling.clone(), format!("refused: {spelling}, try again"), json!(spelling).to_string()]
            {
                assert!(leak(&text, key).is_some(), "{name} is not found in {text}");
            }
            let half = &spelling[..spelling.len() * 3 / 4];
            assert!(leak(half, key).is_some(), "three quarters of {name} are not found in {half}");
        }
        for innocent in ["", "Bearer ***", "sk-test", "a sentence about elks & moose <b>100%</b> \\u0041"] {
            assert_eq!(leak(innocent, key), None, "{innocent}");
        }
    }
    assert_eq!(leak(PLAIN, AWKWARD), None);
}

#[test]
fn the_checker_reports_a_planted_leak() {
    let mut seen = Seen::new(PLAIN);
    seen.note("a message", "all is well");
    seen.assert_nothing_leaked();
    seen.note("a planted leak", &format!("Incorrect API key provided: {PLAIN}"));
    let told = seen.leaks();
    assert!(told.contains("a planted leak") && told.contains("in clear"), "not seen");
}

// ---- collecting ---------------------------------------------------------------------------------

/// Everything that was seen of a client which has this key.
struct Seen {
    key: &'static str,
    texts: Vec<(String, String)>,
}

impl Seen {
    fn new(key: &'static str) -> Seen {
        Seen { key, texts: Vec::new() }
    }

    fn note(&mut self, what: &str, text: &str) {
        self.texts.push((what.to_owned(), text.to_owned()));
    }

    fn debug(&mut self, what: &str, thing: &impl Debug) {
        self.note(&format!("{what}, Debug"), &format!("{thing:?} {thing:#?}"));
    }

    /// All of an error but its reply's own bytes.
    fn error(&mut self, what: &str, error: &Error) {
        self.debug(what, error);
        for (part, text) in [
            ("Display", error.to_string()),
            ("message", error.message()),
            ("document", error.document()),
            ("call_document", error.call_document()),
            ("server_message", error.server_message().to_owned()),
            ("body_excerpt", error.body_excerpt().unwrap_or_default().to_owned()),
            ("request_id", error.request_id().unwrap_or_default().to_owned()),
            ("param", error.param().unwrap_or_default().to_owned()),
            ("attempts", format!("{:?}", error.attempts())),
            ("reply", format!("{:?} {:?}", error.reply(), error.headers())),
            ("source", format!("{:?}", std::error::Error::source(error))),
        ] {
            self.note(&format!("{what}, {part}"), &text);
        }
    }

    /// All of an answer but its own bytes.
    fn answer(&mut self, what: &str, answer: &Completion) {
        self.debug(what, answer);
        self.debug(what, answer.reply());
        self.debug(what, answer.headers());
        self.note(&format!("{what}, call_document"), &answer.call_document());
        self.note(&format!("{what}, request_id"), answer.request_id().unwrap_or_default());
        self.note(&format!("{what}, attempts"), &format!("{:?}", answer.attempts()));
    }

    fn outcome(&mut self, what: &str, outcome: &Result<Completion, Error>) {
        match outcome {
            Ok(answer) => self.answer(what, answer),
            Err(error) => self.error(what, error),
        }
    }

    /// A whole call, a stream and a plain question.
    fn calls(&mut self, what: &str, client: &Client) {
        self.debug(what, client);
        self.outcome(&format!("{what}, call"), &client.chat_completions(HELLO, None));
        self.outcome(&format!("{what}, get"), &client.get("/models", None));
        self.stream(&format!("{what}, stream"), client);
    }

    fn stream(&mut self, what: &str, client: &Client) {
        match client.chat_completions_stream(HELLO, None) {
            Err(error) => self.error(what, &error),
            Ok(mut stream) => {
                while let Some(chunk) = stream.next() {
                    if let Err(error) = chunk {
                        self.error(what, &error);
                        break;
                    }
                }
                self.debug(what, stream.head());
                self.answer(what, &stream.completion());
                let (answer, error) = stream.finish();
                self.answer(what, &answer);
                error.iter().for_each(|error| self.error(what, error));
            }
        }
    }

    /// Where the key stands and how; empty where it stands nowhere.
    fn leaks(&self) -> String {
        let mut leaks = String::new();
        for (what, text) in &self.texts {
            if let Some(how) = leak(text, self.key) {
                let _ = writeln!(leaks, "{what}: {how} in {}", shown(text));
            }
        }
        leaks
    }

    fn assert_nothing_leaked(&self) {
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "the key {} leaked:\n{leaks}", self.key);
        assert!(!self.texts.is_empty(), "nothing was looked at");
    }
}

fn shown(text: &str) -> String {
    text.chars().take(600).collect()
}

/// A client with this key.
fn keyed(base_url: &str, key: &str, more: Value) -> Client {
    let mut options = more;
    options["api_key"] = key.into();
    client_with(base_url, &options.to_string())
}

/// Asks a server that gives this reply: once as a call, once as a stream.
fn ask(seen: &mut Seen, what: &str, reply: &[u8]) {
    let server = one_reply(reply.to_vec());
    let client = keyed(&server.base_url, seen.key, json!({}));
    seen.outcome(what, &client.chat_completions(HELLO, None));
    server.join();
    let server = one_reply(reply.to_vec());
    seen.stream(&format!("{what}, stream"), &keyed(&server.base_url, seen.key, json!({})));
    server.join();
}

/// A reply that closes the connection.
fn reply(status: &str, fields: &[&str], body: &str) -> Vec<u8> {
    let mut all = vec!["Connection: close"];
    all.extend_from_slice(fields);
    common::reply(status, &all, body.as_bytes())
}

const JSON: &str = "Content-Type: application/json";

// ---- servers that echo the key ------------------------------------------------------------------

#[test]
fn refusals_that_echo_the_key_in_any_spelling_do_not_show_it() {
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        for (name, spelling) in spellings(key) {
            let told = format!("Incorrect API key provided: {spelling}. Try again.");
            let quoted = json!(told).to_string();
            let words = [
                json!({ "error": { "message": told, "type": "invalid_request_error", "code": "invalid_api_key" } }),
                json!({ "error": { "message": "no", "type": spelling, "code": spelling, "param": spelling } }),
                json!({ "error": told }),
                json!({ "error": { "message": { "inner": told } } }),
                json!({ "detail": [{ "msg": told }] }),
                json!({ "success": false, "message": told }),
                json!([{ "error": { "message": told, "status": spelling } }]),
                json!(told),
            ];
            for (number, words) in words.iter().enumerate() {
                let what = format!("{name}, words {number}");
                ask(&mut seen, &what, &reply("401 Unauthorized", &[JSON], &words.to_string()));
            }
            // A success that is none.
            ask(&mut seen, &format!("{name}, in 200"), &reply("200 OK", &[JSON], &words[0].to_string()));
            for (kind, text) in [
                ("text/plain", told.clone()),
                ("text/html; charset=utf-8", format!("<html><body><p>{told}</p></body></html>")),
                ("application/json", format!("{{\"broken\": {quoted}")),
                ("application/json", told.clone()),
                ("application/octet-stream", format!("\u{FEFF}\0\u{1}{told}")),
            ] {
                let field = format!("Content-Type: {kind}");
                for status in ["502 Bad Gateway", "200 OK"] {
                    ask(&mut seen, &format!("{name}, {kind}, {status}"), &reply(status, &[&field], &text));
                }
            }
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn a_key_in_escapes_of_json_is_not_shown() {
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        let quoted = json!(key).to_string();
        for spelling in [quoted[1..quoted.len() - 1].to_owned(), all_escaped(key)] {
            let words = format!(r#"{{"error":{{"message":"key {spelling} is wrong","code":"{spelling}"}}}}"#);
            for (kind, status) in [
                ("application/json", "401 Unauthorized"),
                ("application/json", "200 OK"),
                ("text/plain", "502 Bad"),
            ] {
                let field = format!("Content-Type: {kind}");
                ask(&mut seen, &format!("{spelling}, {kind}, {status}"), &reply(status, &[&field], &words));
            }
            let event = format!("data: {words}\n\n");
            ask(&mut seen, &spelling, &reply("200 OK", &["Content-Type: text/event-stream"], &event));
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn a_key_escaped_by_one_server_and_again_by_the_next_is_not_shown() {
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        let escaped = all_escaped(key);
        // As a gateway passes on what stood behind it: JSON as text in JSON.
        for words in [
            json!({ "error": { "message": format!("upstream: {{\"error\":\"{escaped}\"}}"), "code": escaped } }),
            json!({ "error": { "message": json!({ "error": escaped }).to_string() } }),
        ] {
            ask(&mut seen, "JSON in JSON", &reply("401 Unauthorized", &[JSON], &words.to_string()));
            ask(
                &mut seen,
                "JSON in JSON, as text",
                &reply("502 Bad", &["Content-Type: text/plain"], &words.to_string()),
            );
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn a_key_across_the_place_where_a_text_is_cut_is_not_shown_in_part() {
    let mut seen = Seen::new(PLAIN);
    let cuts = [256, 300, 4_096, 60 * 1024, 64 * 1024, 1 << 20];
    for (name, spelling) in [("clear", PLAIN.to_owned()), ("base64", STANDARD.encode(PLAIN))] {
        for cut in cuts {
            for before in [2, spelling.len() / 2, spelling.len() - 1] {
                let what = format!("{name}, {before} before {cut}");
                let text = format!("{} {spelling} and more", "m".repeat(cut - before - 1));
                let words = json!({ "error": { "message": text, "code": text } }).to_string();
                for (kind, body) in [("application/json", &words), ("text/plain", &text)] {
                    let field = format!("Content-Type: {kind}");
                    ask(&mut seen, &what, &reply("400 Bad Request", &[&field], body));
                }
            }
        }
    }
    seen.assert_nothing_leaked();
}

#[test]
fn header_fields_that_echo_the_key_do_not_show_it() {
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        for (name, spelling) in spellings(key) {
            for field in [
                "X-Oneapi-Request-Id",
                "X-Request-Id",
                "X-Echo-Authorization",
                "Location",
                "Content-Encoding",
                "Content-Type",
                "Retry-After",
                "WWW-Authenticate",
            ] {
                let line = format!("{field}: {spelling}");
                let error = r#"{"error":{"message":"no","code":"x"}}"#;
                for (status, body) in
                    [("401 Unauthorized", error), ("302 Found", ""), ("200 OK", "{}"), ("200 OK", "")]
                {
                    // Asked for on its own below.
                    if (name, field) == ("HTML", "Content-Type") {
                        continue;
                    }
                    let what = format!("{name}, {field}, {status}");
                    let more = if field == "Content-Type" { "X-Other: 1" } else { JSON };
                    ask(&mut seen, &what, &reply(status, &[&line, more], body));
                }
            }
            for target in ["https://example.com/?key=", "https://u:", "//"] {
                let line = format!("Location: {target}{spelling}@host/");
                ask(&mut seen, &format!("{name}, to {target}"), &reply("307 Moved", &[&line], ""));
            }
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn a_media_type_that_echoes_the_key_with_a_semicolon_does_not_show_its_beginning() {
    let mut seen = Seen::new(AWKWARD);
    let html = spellings(AWKWARD).into_iter().find(|(name, _)| *name == "HTML").unwrap().1;
    ask(&mut seen, "media type", &reply("200 OK", &[&format!("Content-Type: {html}")], "x"));
    seen.assert_nothing_leaked();
}

#[test]
fn a_field_whose_name_is_the_key_is_not_shown() {
    let mut seen = Seen::new(PLAIN);
    for status in ["200 OK", "401 Unauthorized"] {
        ask(&mut seen, status, &reply(status, &[&format!("{PLAIN}: x")], ""));
    }
    seen.assert_nothing_leaked();
}

#[test]
fn answers_whose_fields_echo_the_key_keep_it_to_themselves() {
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        for (name, spelling) in spellings(key) {
            for field in ["X-Oneapi-Request-Id", "X-Request-Id", "X-Echo-Authorization"] {
                let whole = String::from_utf8(common::answer("elk")).unwrap();
                let bytes = whole.replacen("\r\n", &format!("\r\n{field}: {spelling}\r\n"), 1);
                ask(&mut seen, &format!("{name}, {field}"), bytes.as_bytes());
            }
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn what_is_no_proper_reply_does_not_show_the_key_it_echoes() {
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        for (name, spelling) in spellings(key) {
            for bytes in [
                format!("HTTP/1.1 401 {spelling}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
                format!("HTTP/1.1 200 OK\r\n{spelling}\r\n\r\n"),
                format!("{spelling}\r\n\r\n"),
                format!("HTTP/1.1 {spelling}\r\n\r\n"),
                format!("HTTP/1.1 200 OK\r\nContent-Length: {spelling}\r\n\r\n"),
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{spelling}\r\n"),
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {spelling}\r\n\r\n"),
                format!("HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: 900\r\n\r\n{{\"a\":\"{spelling}"),
            ] {
                ask(&mut seen, &format!("{name}: {bytes:?}"), bytes.as_bytes());
            }
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn streams_that_echo_the_key_do_not_show_it_outside_of_what_they_said() {
    const EVENTS: &str = "Content-Type: text/event-stream";
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        let begin = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"elk\"}}]}\n\n";
        for (name, spelling) in spellings(key) {
            let error = json!({ "error": { "message": format!("key {spelling}"), "code": spelling, "type": spelling } });
            for (what, event) in [
                ("error", format!("data: {error}\n\n")),
                ("named error", format!("event: error\ndata: {error}\n\n")),
                ("no JSON", format!("data: {spelling}\n\n")),
                ("broken JSON", format!("data: {{\"choices\":[{{\"{spelling}\n\n")),
                ("comment", format!(": {spelling}\n\n")),
                ("other field", format!("{spelling}: {spelling}\n\n")),
                ("name", format!("event: {spelling}\ndata: {{}}\n\n")),
            ] {
                for before in ["", begin] {
                    let body = format!("{before}{event}");
                    let what = format!("{name}, {what}, behind {} bytes", before.len());
                    ask(&mut seen, &what, &reply("200 OK", &[EVENTS], &body));
                    let refused = reply("429 Too Many Requests", &[EVENTS], &body);
                    ask(&mut seen, &format!("{what}, refused"), &refused);
                }
            }
        }
        seen.assert_nothing_leaked();
    }
}

#[test]
fn credentials_in_header_fields_of_the_callers_own_are_shown_as_little_as_the_key() {
    for (name, around) in [
        ("X-Api-Key", ["", ""]),
        ("Proxy-Authorization", ["Bearer ", ""]),
        ("X-Auth-Token", ["Token ", ""]),
        ("Cookie", ["theme=dark; session=", "; lang=en"]),
    ] {
        let mut seen = Seen::new(PLAIN);
        let value = format!("{}{PLAIN}{}", around[0], around[1]);
        let told = json!({ "error": { "message": format!("{PLAIN} is no key: {value}"), "code": PLAIN } });
        let echo = format!("X-Request-Id: {PLAIN}");
        let refusal = reply("401 Unauthorized", &[JSON, &echo], &told.to_string());
        let server = one_reply(refusal);
        let client = client_with(&server.base_url, &json!({ "headers": { name: value } }).to_string());
        seen.debug(name, &client);
        seen.outcome(name, &client.chat_completions(HELLO, None));
        // Sent is what the caller gave.
        assert_eq!(server.join().field(name), Some(&*value));
        // So does a client made of another with such a field.
        let server = one_reply(reply("401 Unauthorized", &[JSON, &echo], &told.to_string()));
        let more = json!({ "headers": { name: value } }).to_string();
        let client = client_with(&server.base_url, "{}").with(&more).unwrap();
        seen.outcome(&format!("{name}, per call"), &client.chat_completions(HELLO, None));
        server.join();
        seen.assert_nothing_leaked();
    }
}

#[test]
fn other_header_fields_of_the_callers_own_stay_readable() {
    let told = json!({ "error": { "message": "tenant-blue and order-4711 are unknown" } }).to_string();
    let server = one_reply(reply("400 Bad Request", &[JSON], &told));
    let options = json!({ "headers": { "X-Tenant": "tenant-blue", "Idempotency-Key": "order-4711" } });
    let error =
        client_with(&server.base_url, &options.to_string()).chat_completions(HELLO, None).unwrap_err();
    assert_eq!(error.server_message(), "tenant-blue and order-4711 are unknown");
    server.join();
}

// ---- everything else that can happen ------------------------------------------------------------

#[test]
fn faults_of_every_kind_show_no_key() {
    let sim = simulator();
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        let names = [
            "echo-key",
            "redirect",
            "truncate",
            "half-header",
            "not-http",
            "bad-chunk",
            "close-before-reply",
            "reset-before-reply",
            "reset-mid-body",
            "short-length",
            "long-length",
            "429-seconds-0",
            "429-date-0",
            "429-garbage",
            "error-page-1",
            "body-too-large",
            "extra-reply",
            "many-headers-1000",
        ];
        for name in names {
            let client = keyed(&sim.url(&format!("/fault/{name}/v1")), key, json!({ "max_retries": 0 }));
            seen.calls(name, &client);
        }
        for name in ["stall-before-headers", "stall-mid-body", "drip-20"] {
            let limits =
                json!({ "total_timeout_ms": 150, "first_byte_timeout_ms": 100, "idle_timeout_ms": 100 });
            seen.calls(name, &keyed(&sim.url(&format!("/fault/{name}/v1")), key, limits));
        }
        let retried = json!({ "max_retries": 2, "base_delay_ms": 1, "retry_risky": true });
        seen.calls("retried", &keyed(&sim.url("/fault/close-before-reply/v1"), key, retried));
        seen.calls("answered", &keyed(&sim.base_url(), key, json!({})));
        assert_eq!(
            sim.stats().last_request.unwrap().header("authorization"),
            Some(&*format!("Bearer {key}"))
        );
        seen.assert_nothing_leaked();
    }
}

#[test]
fn connections_that_cannot_be_made_show_no_key() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let untrusted = Authority::new("elk").server().serve();
    for key in [PLAIN, AWKWARD] {
        let mut seen = Seen::new(key);
        for base_url in [
            format!("http://{closed}/v1"),
            "https://no-such-host.invalid/v1".to_owned(),
            untrusted.base_url(),
            format!("https://{closed}/v1"),
        ] {
            let client = keyed(&base_url, key, json!({}));
            seen.calls(&base_url, &client);
            if let Err(error) = client.warm_up(None) {
                seen.error(&base_url, &error);
            }
        }
        assert_eq!(untrusted.stats().request_bytes, 0);
        seen.assert_nothing_leaked();
    }
}

#[test]
fn arguments_and_options_that_are_refused_show_no_key() {
    let mut seen = Seen::new(PLAIN);
    let client = keyed("http://127.0.0.1:9/v1", PLAIN, json!({}));
    for request in ["", "{", "[]", "{}", "\u{FF}", r#"{"messages":1}"#, r#"{"messages":[],"model":7}"#] {
        seen.outcome(request, &client.chat_completions(request, None));
    }
    seen.outcome("path", &client.get("models", None));
    let cancel = Cancel::new();
    cancel.signal();
    seen.outcome("cancelled", &client.chat_completions(HELLO, Some(&cancel)));
    seen.debug("token", &cancel);
    for changes in ["{", r#"{"api_key":"sk-other"}"#, r#"{"max_retries":-1}"#] {
        seen.error(changes, &client.with(changes).unwrap_err());
    }
    // Keys that cannot be sent, and options beside a good one.
    for bad in [
        format!(" {PLAIN}"),
        format!("{PLAIN} "),
        format!("\"{PLAIN}\"ł"),
        format!("{PLAIN}\n\n"),
        format!("a\0{PLAIN}"),
    ] {
        let config = Config::new().environment(false).api_key(bad.as_str());
        seen.debug("config with a bad key", &config);
        seen.error("bad key", &Client::new(config).unwrap_err());
        let text = json!({ "environment": false, "api_key": bad }).to_string();
        seen.error("bad key", &Config::from_json(&text).and_then(Client::new).unwrap_err());
    }
    for wrong in [
        json!({ "api_key": [PLAIN] }),
        json!({ "api_key": { "key": PLAIN } }),
        json!({ "api_key": PLAIN, "base_url": "nonsense" }),
        json!({ "api_key": PLAIN, "contract": "elk" }),
        json!({ "api_key": PLAIN, "ca_file": "/does/not/exist" }),
        json!({ "api_key": PLAIN, "headers": { "X-Key": format!("{PLAIN}\n") } }),
        json!({ "api_key": PLAIN, "headers": { "bad name": PLAIN } }),
        json!({ "api_key": PLAIN, "headers": { "X-Key": 7 } }),
        json!({ "api_key": PLAIN, "headers": PLAIN }),
        json!({ "api_key": PLAIN, "headers": { "Authorization": format!("Bearer {PLAIN}") } }),
        json!({ "api_key": PLAIN, "user_agent": format!("{PLAIN}\n") }),
        json!({ "api_key": PLAIN, "traceparent": format!("{PLAIN}\n") }),
        json!({ "api_key": PLAIN, "max_retries": "many" }),
        json!({ "api_key": PLAIN, "no_such_option": PLAIN }),
        json!({ "api_key": PLAIN, "base_url": format!("https://user:{PLAIN}@example.com/v1") }),
        json!([PLAIN]),
        json!(PLAIN),
    ] {
        let mut wrong = wrong;
        if let Some(members) = wrong.as_object_mut() {
            members.insert("environment".to_owned(), false.into());
        }
        let text = wrong.to_string();
        match Config::from_json(&text).and_then(Client::new) {
            Err(error) => seen.error(&text.replace(PLAIN, "KEY"), &error),
            Ok(client) => seen.debug(&text.replace(PLAIN, "KEY"), &client),
        }
    }
    seen.error("broken JSON", &Config::from_json(&format!("{{\"api_key\":\"{PLAIN}\",}}")).unwrap_err());
    seen.error(
        "twice",
        &Config::from_json(&format!(r#"{{"api_key":"{PLAIN}","api_key":"{PLAIN}"}}"#)).unwrap_err(),
    );
    let config = Config::new().api_key(PLAIN).headers(Fields::from_iter([("X-Api-Key", PLAIN)]));
    seen.debug("config", &config);
    seen.debug("client", &client);
    seen.assert_nothing_leaked();
}

#[test]
fn a_key_that_stands_in_the_address_is_not_shown_when_the_address_is_refused() {
    let mut seen = Seen::new(PLAIN);
    for address in [
        format!("https://example.com/v1?key={PLAIN}"),
        format!("https://example.com/v1#{PLAIN}"),
        format!("https://example.com:{PLAIN}/v1"),
        PLAIN.to_owned(),
        format!("https://example.com/{PLAIN}/v1/chat/completions"),
    ] {
        let config = Config::new().environment(false).api_key(PLAIN).base_url(address.as_str());
        seen.error(&address.replace(PLAIN, "KEY"), &Client::new(config).unwrap_err());
    }
    seen.assert_nothing_leaked();
}
