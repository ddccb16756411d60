//! Documents agree with the code. Those that come from its tables are written anew by
//! `UPDATE=1 cargo test -p elkapi --test docs`; the tables of `docs/gateway.md` are put to the test.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::{HELLO, client, one_reply, reply};
use elkapi::{Error, Kind, OPTIONS};

const ERRORS: &str = "\
# Errors

Every failed call gives one error, and every error is of one kind out of this closed list. The kinds
have the same names in every language; the number is the one of the C interface and never changes.

| kind | number | meaning | retryable | billed | what to do |
|---|---|---|---|---|---|
";

const AFTER_ERRORS: &str = "
`retryable` and `billed` stand here as they are where nothing more is known of a failure. Each error
carries its own two values, decided by what the server said and how far the request came, and those
count: [gateway.md](gateway.md) has the rules. `retryable` means that the same request may be repeated
without the risk of paying twice, and that repeating may help. `billed` answers whether the failed
request may have been charged: `no`, `maybe` or `yes`.

## The error document

Each error can be had as a JSON document, `{\"error\":{…}}`, with these members. What is not known is
`null`.

| member | meaning |
|---|---|
| `kind` | the kind, by its name above |
| `hint` | finer meaning: `quota` on an `authentication` error says that the key's budget is used up |
| `verdict` | how the call ended: `failed`, `filtered`, `truncated`, `stalled` or `cancelled` |
| `status` | HTTP status; `null` when no reply arrived |
| `code`, `type`, `param` | the server's own words; numbers as text. `param` also names the argument or option that this library refuses |
| `message` | the server's message where there is one, else this library's |
| `request_id` | the gateway's id of the request, to be quoted to the operator |
| `retryable`, `billed` | as above, for this failure |
| `retry_after_ms` | the pause that the server asked for |
| `phase` | what the call was doing: `dns`, `connect`, `proxy`, `tls`, `send`, `wait`, `read` or `pause` |
| `limit` | which of the client's limits expired: `connect`, `write`, `first_byte`, `idle` or `total`; `null` when it was the server that gave up |
| `elapsed_ms` | how long the call took |
| `bytes_sent`, `bytes_received` | traffic of the last attempt |
| `attempts` | the HTTP requests made, in order, each with `status`, `kind`, `request_id` and `elapsed_ms` |
| `body` | a readable beginning of the reply's body |

The reply's own bytes are beside the document: `elk_result_body` in C, `error.raw` in Python, `Error::reply` in Rust. Of a
refusal, a reply whose status is not 2xx, the first MiB is kept at most, and the rest is not read.
";

/// A cell's text; a bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn errors() -> String {
    let mut text = ERRORS.to_owned();
    for kind in Kind::ALL {
        let (name, number, billed) = (kind.name(), kind.number(), kind.billed().name());
        let (meaning, advice) = (cell(kind.meaning()), cell(kind.advice()));
        let retryable = yes_or_no(kind.retryable());
        writeln!(text, "| `{name}` | {number} | {meaning} | {retryable} | {billed} | {advice} |").unwrap();
    }
    text + AFTER_ERRORS
}

fn options() -> String {
    let mut text = "| name | takes | default | per call | meaning |\n|---|---|---|---|---|\n".to_owned();
    for row in OPTIONS {
        let [takes, default, meaning] = [row.takes, row.default, row.meaning].map(cell);
        let per_call = yes_or_no(row.per_call);
        writeln!(text, "| `{}` | {takes} | {default} | {per_call} | {meaning} |", row.name).unwrap();
    }
    text
}

/// Compares a file with what it should be, or writes it.
fn assert_written(path: &Path, expected: &str) {
    let actual = fs::read_to_string(path).unwrap_or_default();
    if actual == expected {
        return;
    }
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(path, expected).unwrap();
        return;
    }
    let number = actual.lines().zip(expected.lines()).take_while(|(a, e)| a == e).count();
    panic!(
        "{} differs from line {} on:\n  is:        {:?}\n  should be: {:?}\nUPDATE=1 cargo test -p elkapi --test docs writes it anew",
        path.display(),
        number + 1,
        actual.lines().nth(number),
        expected.lines().nth(number),
    );
}

#[test]
fn the_page_about_errors_says_what_the_code_does() {
    assert_written(&common::root().join("docs/errors.md"), &errors());
}

#[test]
fn the_table_of_options_in_the_readme_says_what_the_code_does() {
    const BEGIN: &str = "<!-- options:begin -->\n";
    const END: &str = "<!-- options:end -->";
    let path = common::root().join("README.md");
    let Ok(readme) = fs::read_to_string(&path) else { return };
    let Some((before, rest)) = readme.split_once(BEGIN) else { return };
    let (_, after) = rest.split_once(END).expect("README.md begins the table of options and never ends it");
    assert_written(&path, &format!("{before}{BEGIN}{}{END}{after}", options()));
}

#[test]
fn every_kind_and_option_has_its_words() {
    for kind in Kind::ALL {
        for text in [kind.meaning(), kind.advice()] {
            assert!(text.ends_with('.') && !text.contains('\n'), "{kind}: {text:?}");
        }
    }
    for row in OPTIONS {
        assert!(row.meaning.ends_with('.') && !row.meaning.contains('\n'), "{}: {:?}", row.name, row.meaning);
        assert!(!row.takes.is_empty(), "{}", row.name);
    }
}

/// The rows of the table between two markers of `docs/gateway.md`, as cells without back quotes.
fn gateway_table(name: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(common::root().join("docs/gateway.md")).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- {name}:begin -->\n")).unwrap();
    let (table, _) = rest.split_once(&format!("<!-- {name}:end -->")).unwrap();
    let cells = |row: &str| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    };
    table.lines().skip(2).map(cells).collect()
}

/// The client's error for a reply.
fn error_for(status: u16, media_type: &str, body: &str) -> Error {
    let fields = [&format!("Content-Type: {media_type}"), "Connection: close"];
    let server = one_reply(reply(&format!("{status} Elk"), &fields, body.as_bytes()));
    let error = client(&server.base_url).chat_completions(HELLO, None).unwrap_err();
    server.join();
    error
}

fn words(error: &Error) -> [String; 3] {
    [error.kind().name(), yes_or_no(error.retryable()), error.billed().name()].map(str::to_owned)
}

#[test]
fn what_the_page_about_the_gateway_says_of_codes_holds() {
    let rows = gateway_table("codes");
    assert!(rows.len() > 10);
    for row in rows {
        let body = format!(r#"{{"error":{{"message":"m","type":"t","code":"{}"}}}}"#, row[0]);
        // Whatever the status beside it.
        for status in [400, 429, 500, 503] {
            assert_eq!(
                words(&error_for(status, "application/json", &body)),
                row[1..4],
                "{} {status}",
                row[0]
            );
        }
    }
}

#[test]
fn what_the_page_about_the_gateway_says_of_statuses_holds() {
    const SPOKEN: &str = r#"{"error":{"message":"m","type":"t","code":""}}"#;
    let rows = gateway_table("statuses");
    assert!(rows.len() > 10);
    for row in rows {
        let [statuses, kind, retryable, billed, retryable_page, billed_page] = &row[..] else {
            panic!("{row:?}")
        };
        for status in statuses.split(", ").map(|status| status.parse().unwrap()) {
            let from_gateway = error_for(status, "application/json", SPOKEN);
            assert_eq!(words(&from_gateway), [kind, retryable, billed].map(String::clone), "{status}");
            for (media_type, body) in
                [("text/html", "<h1>Sorry</h1>"), ("text/plain", ""), ("application/json", "{}")]
            {
                let page = error_for(status, media_type, body);
                let said = [kind, retryable_page, billed_page].map(String::clone);
                assert_eq!(words(&page), said, "{status} {media_type}");
            }
        }
    }
}

#[test]
fn what_the_page_about_the_gateway_says_of_status_200_holds() {
    let rows = gateway_table("success");
    let replies = [
        ("application/json", ""),
        ("application/json", r#"{"choices":[]}"#),
        ("application/json", r#"{"error":{"message":"m","type":"t"}}"#),
        ("application/json", r#"{"success":false,"message":"m"}"#),
        ("text/html", "<html></html>"),
        ("text/plain", "Hello"),
        ("application/json", "{"),
        ("application/json", r#"{"object":"list"}"#),
    ];
    assert_eq!(rows.len(), replies.len());
    for (row, (media_type, body)) in rows.iter().zip(replies) {
        assert_eq!(words(&error_for(200, media_type, body)), row[1..4], "{}", row[0]);
    }
}
