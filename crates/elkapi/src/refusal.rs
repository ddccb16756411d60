//! What a refusal means: from status, header fields and body to one error with all its facts.
//!
//! `error.code` is looked at before the status, because the gateway answers permanent mistakes with
//! 500 and 503 (docs/gateway.md, "Errors"). Messages are never matched, with one exception that only
//! sets a hint. Pure: no I/O.

use std::time::{Duration, SystemTime};

use crate::error::{Billed, Error, Kind, Verdict};
use crate::json::{Document, Type, View};
use crate::reply::{Headers, Reply};
use crate::request::Contract;
use crate::secret::Secret;

/// What the gateway's own error codes mean, whatever the status beside them.
struct CodeRow {
    code: &'static str,
    kind: Kind,
    retryable: bool,
    billed: Billed,
}

const fn row(code: &'static str, kind: Kind, retryable: bool, billed: Billed) -> CodeRow {
    CodeRow { code, kind, retryable, billed }
}

/// The gateway gives its reserve back on every error it returns itself, hence `billed: no`; the two
/// exceptions are answers that a model did produce.
const CODES: &[CodeRow] = &[
    row("insufficient_user_quota", Kind::Quota, false, Billed::No),
    row("pre_consume_token_quota_failed", Kind::Quota, false, Billed::No),
    row("insufficient_quota", Kind::Quota, false, Billed::No),
    row("model_not_found", Kind::NotFound, false, Billed::No),
    row("invalid_request", Kind::InvalidRequest, false, Billed::No),
    row("convert_request_failed", Kind::InvalidRequest, false, Billed::No),
    row("model_price_error", Kind::Server, false, Billed::No),
    row("access_denied", Kind::Permission, false, Billed::No),
    row("api_not_implemented", Kind::NotFound, false, Billed::No),
    row("sensitive_words_detected", Kind::ContentFilter, false, Billed::No),
    row("prompt_blocked", Kind::ContentFilter, false, Billed::Yes),
    row("empty_response", Kind::EmptyResponse, false, Billed::Yes),
    row("bad_response_body", Kind::Server, false, Billed::No),
    row("do_request_failed", Kind::Server, true, Billed::No),
    row("get_channel_failed", Kind::Server, true, Billed::No),
];

/// The meaning of a status where no code says more.
fn kind_of_status(status: u16) -> Kind {
    match status {
        300..=399 => Kind::UnexpectedRedirect,
        401 => Kind::Authentication,
        402 => Kind::Quota,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 => Kind::Timeout,
        413 => Kind::PayloadTooLarge,
        429 => Kind::RateLimit,
        400..=499 => Kind::InvalidRequest,
        502 | 520..=523 => Kind::BadGateway,
        503 => Kind::Unavailable,
        504 | 524 => Kind::Timeout,
        529 => Kind::Overloaded,
        500..=599 => Kind::Server,
        _ => Kind::Protocol,
    }
}

/// Who speaks: decides whether the money is back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// An error object in JSON: the gateway, which refunds what it refuses.
    Gateway,
    /// HTML, plain text, a bare string or nothing: something in front of it.
    Other,
}

fn billed_of_status(status: u16, speaker: Speaker, contract: Contract) -> Billed {
    let refused_unbilled = match contract {
        // Other servers make no promise beyond the plain refusals.
        Contract::Openai => matches!(status, 300..=399 | 401 | 403 | 404 | 413 | 422 | 429),
        Contract::Elkapi => match status {
            408 => speaker == Speaker::Gateway,
            300..=499 => true,
            // The CDN never reached the gateway.
            521..=523 => true,
            _ => speaker == Speaker::Gateway,
        },
    };
    if refused_unbilled { Billed::No } else { Billed::Maybe }
}

/// Repeated by itself is only what was not charged and may go away.
fn retryable_of_status(kind: Kind, billed: Billed) -> bool {
    let passing = matches!(
        kind,
        Kind::RateLimit | Kind::Server | Kind::BadGateway | Kind::Unavailable | Kind::Overloaded
    );
    passing && billed == Billed::No
}

/// The error for a reply whose status is not 2xx.
pub(crate) fn of_status(reply: Reply, contract: Contract, key: &Secret) -> Error {
    let status = reply.status();
    let document = Document::of_reply(&reply).ok();
    let words = document.as_ref().and_then(|document| Words::read(document.root()));
    let speaker = match &words {
        Some(words) if words.is_object => Speaker::Gateway,
        _ => Speaker::Other,
    };
    let code_row = words.as_ref().and_then(Words::row).filter(|_| status >= 400);
    let kind = code_row.map_or_else(|| kind_of_status(status), |row| row.kind);
    let billed = match code_row {
        Some(row) if contract == Contract::Elkapi || row.billed == Billed::Yes => row.billed,
        _ => billed_of_status(status, speaker, contract),
    };
    let retryable = match (reply.headers().get("x-should-retry"), code_row) {
        // The server knows better, but not what may be paid twice.
        (Some("false"), _) => false,
        (Some("true"), _) => billed == Billed::No,
        (_, Some(row)) => row.retryable && billed == Billed::No,
        (_, None) => retryable_of_status(kind, billed),
    };
    let detail = match status {
        300..=399 => match reply.headers().get("location") {
            Some(target) => {
                format!("The server answered HTTP {status}, a redirect to {}", without_userinfo(target))
            }
            None => format!("The server answered HTTP {status}, a redirect"),
        },
        _ => format!("The server answered HTTP {status}"),
    };
    let wait = retry_after_ms(reply.headers(), SystemTime::now());
    finish(Error::new(kind, detail), kind, words, reply, key)
        .with_billed(billed)
        .with_retryable(retryable)
        .with_retry_after_ms(wait)
}

/// The error inside a reply with status 200, if there is one: an error object, or the dashboard's
/// `"success": false`.
pub(crate) fn in_success(reply: &Reply, root: View<'_>, contract: Contract, key: &Secret) -> Option<Error> {
    let failed = root.get("success").is_some_and(|success| success.raw() == "false");
    if root.get_some("error").is_none() && !failed {
        return None;
    }
    let words = Words::read(root).unwrap_or_default();
    let code_row = words.row();
    let kind = code_row.map_or(Kind::Upstream, |row| row.kind);
    let billed = match code_row {
        Some(row) if contract == Contract::Elkapi => row.billed,
        // The dashboard's envelope comes from in front of the relay: nothing ran.
        _ if failed && contract == Contract::Elkapi => Billed::No,
        _ => Billed::Maybe,
    };
    let detail = format!("The reply has status {} but reports a failure", reply.status());
    Some(
        finish(Error::new(kind, detail), kind, Some(words), reply.clone(), key)
            .with_billed(billed)
            .with_retryable(false),
    )
}

/// The failure that a server reports inside a stream. `after_answer`: part of an answer had come, so
/// work was done.
pub(crate) fn in_stream(
    head: &Reply,
    text: &str,
    after_answer: bool,
    trusts_refusals: bool,
    key: &Secret,
) -> Error {
    let document = Document::of_text(text).ok();
    let words = document
        .as_ref()
        .and_then(|document| Words::read(document.root()))
        .unwrap_or_else(|| Words { message: Some(text.to_owned()), ..Words::default() });
    let code_row = words.row().filter(|_| !after_answer);
    let (retryable, billed) = match code_row {
        Some(row) if trusts_refusals => (row.retryable, row.billed),
        _ => (false, if after_answer { Billed::Yes } else { Billed::Maybe }),
    };
    let kind = Kind::StreamError;
    let error = finish(
        Error::new(kind, "The server reported a failure in the stream"),
        kind,
        Some(words),
        head.clone(),
        key,
    )
    .with_billed(billed)
    .with_retryable(retryable);
    let filtered = code_row.is_some_and(|row| row.kind == Kind::ContentFilter);
    if filtered { error.with_verdict(Verdict::Filtered) } else { error }
}

/// The error for a 2xx reply that holds nothing.
pub(crate) fn empty(reply: Reply) -> Error {
    let detail = format!("The server answered HTTP {} without a body", reply.status());
    Error::new(Kind::EmptyResponse, detail).with_reply(reply, None)
}

/// The error for a 2xx reply that is not the JSON it should be.
pub(crate) fn not_understood(reply: Reply, why: &str, key: &Secret) -> Error {
    let media_type = reply.headers().media_type().unwrap_or_default().to_ascii_lowercase();
    let html = media_type.contains("html");
    let json = media_type.is_empty() || media_type.contains("json");
    let excerpt = excerpt(reply.body(), html, key);
    let error = if json {
        Error::new(Kind::Decode, format!("The reply could not be understood: {why}"))
    } else {
        let status = reply.status();
        let error = Error::new(
            Kind::UnexpectedContentType,
            format!("The server answered HTTP {status} with {media_type} instead of JSON"),
        );
        // A page means that the request went past the API: a base URL without /v1 meets the dashboard.
        error.with_billed(if html { Billed::No } else { Billed::Maybe })
    };
    error.with_reply(reply, Some(excerpt))
}

fn finish(error: Error, kind: Kind, words: Option<Words>, reply: Reply, key: &Secret) -> Error {
    let html = reply.headers().media_type().is_some_and(|media_type| media_type.contains("html"));
    let excerpt = excerpt(reply.body(), html, key);
    let short = |text: String| shortened(&key.cut_from(&text), 256);
    let spoken = words.is_some();
    let words = words.unwrap_or_default();
    let exhausted = words.message.as_deref().is_some_and(|text| text.contains("TokenStatusExhausted"));
    let request_id = reply.headers().request_id().map(str::to_owned).or_else(|| words.request_id());
    let message = words
        .message
        .filter(|text| !without_request_id(text).trim().is_empty())
        .or_else(|| (!spoken && !excerpt.is_empty()).then(|| shortened(&excerpt, 300)));
    let mut error = error
        .with_server_words(
            message.map(|text| shortened(&key.cut_from(&text), crate::error::BODY_EXCERPT)),
            words.code.map(short),
            words.r#type.map(short),
            words.param.map(short),
        )
        .with_reply(reply, (!excerpt.is_empty()).then_some(excerpt))
        .with_request_id(request_id);
    if kind == Kind::Authentication && exhausted {
        error = error.with_hint("quota");
    }
    if kind == Kind::ContentFilter {
        error = error.with_verdict(Verdict::Filtered);
    }
    error
}

/// What a server says about its failure, read from every envelope that gateways let through.
#[derive(Default)]
struct Words {
    message: Option<String>,
    code: Option<String>,
    r#type: Option<String>,
    param: Option<String>,
    is_object: bool,
}

impl Words {
    fn read(root: View<'_>) -> Option<Words> {
        // Google wraps its envelope in a list.
        let root = if root.kind() == Type::Array { root.at(0)? } else { root };
        if root.kind() != Type::Object {
            return None;
        }
        if let Some(error) = root.get_some("error") {
            return match error.kind() {
                Type::Object => Some(Words::of_object(error)),
                Type::String => Some(Words { message: text(error), ..Words::default() }),
                _ => Some(Words { message: Some(error.raw().to_owned()), ..Words::default() }),
            };
        }
        if let Some(detail) = root.get_some("detail") {
            let message = match detail.kind() {
                Type::Array => {
                    let texts: Vec<_> =
                        detail.items().filter_map(|item| item.get("msg").and_then(text)).collect();
                    (!texts.is_empty()).then(|| texts.join("; "))
                }
                _ => text(detail),
            };
            return Some(Words { message, ..Words::default() });
        }
        root.get_some("message")
            .or_else(|| root.get_some("code"))
            .map(|_| Words { is_object: false, ..Words::of_object(root) })
    }

    fn of_object(error: View<'_>) -> Words {
        let member = |name: &str| error.get(name).and_then(View::as_text_or_number);
        Words {
            message: error.get("message").and_then(text),
            code: member("code"),
            r#type: member("type").or_else(|| member("status")),
            param: member("param").filter(|param| !param.is_empty()),
            is_object: true,
        }
    }

    fn row(&self) -> Option<&'static CodeRow> {
        let code = self.code.as_deref()?;
        CODES.iter().find(|row| row.code == code)
    }

    /// The gateway ends its own messages with ` (request id: ID)`.
    fn request_id(&self) -> Option<String> {
        let message = self.message.as_deref()?;
        let (_, rest) = message.rsplit_once("(request id: ")?;
        rest.strip_suffix(')').map(str::to_owned)
    }
}

fn text(view: View<'_>) -> Option<String> {
    view.as_str().map(|text| text.into_owned())
}

fn without_request_id(message: &str) -> &str {
    message.rsplit_once("(request id: ").map_or(message, |(before, _)| before)
}

/// A readable beginning of a body: one text, tags cut out of HTML. The key is cut out first, because
/// of half a key nobody could tell what it is.
fn excerpt(body: &[u8], html: bool, key: &Secret) -> String {
    // Looking at more than this cannot change what is shown of any sensible page. What a longer body
    // has at the cut is left out too: a key might stand across it.
    const LOOKED_AT: usize = 64 * 1024;
    let head = if body.len() > LOOKED_AT { &body[..LOOKED_AT - 4096] } else { body };
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    // Before tags are taken off, which a key may look like in part, and after.
    let text = if html { without_tags(&key.cut_from(text)) } else { text.to_owned() };
    shortened(&key.cut_from(&text), crate::error::BODY_EXCERPT)
}

fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The words of a page: no tags, scripts or styles, white space folded.
fn without_tags(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        out.push(' ');
        rest = &rest[open..];
        let skipped = ["script", "style"].iter().find_map(|name| {
            let starts = rest.get(1..=name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name));
            starts.then(|| rest.to_ascii_lowercase().find(&format!("</{name}"))).flatten()
        });
        rest = &rest[skipped.unwrap_or(0)..];
        rest = rest.find('>').map_or("", |close| &rest[close + 1..]);
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An address without user and password.
fn without_userinfo(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", &rest[end..])
        }
        None => url.to_owned(),
    }
}

/// The pause that the server asks for: `retry-after-ms`, else `Retry-After` in seconds or as a date
/// relative to the reply's own `Date`. Unreadable and negative values are ignored.
pub(crate) fn retry_after_ms(headers: &Headers, now: SystemTime) -> Option<u64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    if let Some(ms) = headers.get("retry-after-ms").and_then(number) {
        return Some(ms.ceil() as u64);
    }
    let value = headers.get("retry-after")?.trim();
    if let Some(seconds) = number(value) {
        return Some((seconds * 1000.0).ceil() as u64);
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let since = headers.get("date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    let wait = until.duration_since(since).unwrap_or(Duration::ZERO);
    Some(wait.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Body;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn error(status: u16, fields: &[(&str, &str)], body: &str, contract: Contract) -> Error {
        let reply = Reply::new(status, headers(fields), Body::new(body.as_bytes().to_vec()));
        of_status(reply, contract, &Secret::new("sk-KEY").unwrap())
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 10:00:00 GMT").unwrap();
        let date = "Sun, 22 Nov 2026 10:48:06 GMT";
        for (fields, wait) in [
            (&[("retry-after", "2")][..], Some(2000)),
            (&[("retry-after", "0.25")], Some(250)),
            (&[("retry-after", "20"), ("retry-after-ms", "150")], Some(150)),
            (&[("retry-after", date), ("date", "Sun, 22 Nov 2026 10:48:03 GMT")], Some(3000)),
            (&[("retry-after", date)], Some(48 * 60_000 + 6_000)),
            (&[("retry-after", "Sun, 22 Nov 2020 10:48:06 GMT")], Some(0)),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after-ms", "x"), ("retry-after", "1")], Some(1000)),
            (&[], None),
        ] {
            assert_eq!(retry_after_ms(&headers(fields), now), wait, "{fields:?}");
        }
    }

    #[test]
    fn under_the_openai_contract_only_plain_refusals_count_as_unbilled() {
        let body = r#"{"error":{"message":"x","type":"y","code":"do_request_failed"}}"#;
        for status in [401, 403, 404, 413, 422, 429] {
            assert_eq!(error(status, &[], body, Contract::Openai).billed(), Billed::No, "{status}");
        }
        for status in [400, 402, 409, 500, 502, 503, 521] {
            let error = error(status, &[], body, Contract::Openai);
            assert_eq!((error.billed(), error.retryable()), (Billed::Maybe, false), "{status}");
        }
        assert_eq!(error(521, &[], "", Contract::Elkapi).billed(), Billed::No);
    }

    #[test]
    fn the_servers_word_on_repetition_holds_where_nothing_was_charged() {
        let says = |status, word| error(status, &[("x-should-retry", word)], "{}", Contract::Openai);
        for (status, word, retryable) in [
            (429, "false", false),
            (429, "true", true),
            (404, "true", true),
            (500, "true", false),
            (429, "x", true),
        ] {
            assert_eq!(says(status, word).retryable(), retryable, "{status} {word}");
        }
    }

    #[test]
    fn a_page_is_shown_as_its_words() {
        let page = "<html><head><style>p{}</style><script>if (a<b) x()</script></head><body><h1>502</h1>Bad\n gateway</body>";
        let key = Secret::new("sk-KEY").unwrap();
        assert_eq!(excerpt(page.as_bytes(), true, &key), "502 Bad gateway");
        assert_eq!(excerpt("é".repeat(5000).as_bytes(), false, &key).chars().count(), 4097);
    }

    #[test]
    fn a_redirect_names_its_target_without_password() {
        let error = error(302, &[("location", "https://u:p@other.example.com/x?y")], "", Contract::Elkapi);
        assert_eq!(error.kind(), Kind::UnexpectedRedirect);
        assert!(error.message().contains("https://other.example.com/x?y"), "{error}");
    }
}
