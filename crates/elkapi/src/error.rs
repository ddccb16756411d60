//! Failures: one closed list of kinds, and an error that carries every fact known about it.
//!
//! Every other room builds its errors here, where the facts are known; nobody upstairs guesses.
//! The table below is the single source for the C constants, the names in every language and
//! `docs/errors.md`. This room does no I/O and never sees the API key.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::reply::{Headers, Reply};

/// Could the failed request have been charged?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Billed {
    /// Nothing was charged: the request never ran, or the gateway gave the money back.
    No,
    /// Unknown: the request may have run although no answer arrived.
    Maybe,
    /// The upstream did work that is charged.
    Yes,
}

impl Billed {
    /// `no`, `maybe` or `yes`.
    pub fn name(self) -> &'static str {
        match self {
            Billed::No => "no",
            Billed::Maybe => "maybe",
            Billed::Yes => "yes",
        }
    }
}

/// How a call ended; every answer and every failure has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The model finished.
    Complete,
    /// Cut off by a token limit; what arrived is a valid beginning.
    Length,
    /// Stopped by a content filter.
    Filtered,
    /// The model asks for tool calls.
    ToolCalls,
    /// The answer stopped early without saying so.
    Truncated,
    /// A limit expired while the answer was on its way.
    Stalled,
    /// The caller stopped it.
    Cancelled,
    /// There is no answer.
    Failed,
}

impl Verdict {
    /// The name used in every language.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Complete => "complete",
            Verdict::Length => "length",
            Verdict::Filtered => "filtered",
            Verdict::ToolCalls => "tool_calls",
            Verdict::Truncated => "truncated",
            Verdict::Stalled => "stalled",
            Verdict::Cancelled => "cancelled",
            Verdict::Failed => "failed",
        }
    }
}

/// What a call was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Looking up the host name.
    Dns,
    /// Opening the TCP connection.
    Connect,
    /// Talking to a proxy.
    Proxy,
    /// TLS handshake.
    Tls,
    /// Writing the request.
    Send,
    /// Waiting for the status line and headers.
    Wait,
    /// Reading the body.
    Read,
    /// Pausing before the next attempt.
    Pause,
}

impl Phase {
    /// The name used in every language.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Connect => "connect",
            Phase::Proxy => "proxy",
            Phase::Tls => "tls",
            Phase::Send => "send",
            Phase::Wait => "wait",
            Phase::Read => "read",
            Phase::Pause => "pause",
        }
    }
}

/// The limit of the client that ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `connect_timeout_ms`: name lookup, TCP, proxy and TLS together.
    Connect,
    /// `write_timeout_ms`: no byte could be written for that long.
    Write,
    /// `first_byte_timeout_ms`: from the last byte sent to the first byte received.
    FirstByte,
    /// `idle_timeout_ms`: between two bytes received.
    Idle,
    /// `total_timeout_ms`: the whole call with all attempts and pauses.
    Total,
}

impl Limit {
    /// The name used in every language.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Connect => "connect",
            Limit::Write => "write",
            Limit::FirstByte => "first_byte",
            Limit::Idle => "idle",
            Limit::Total => "total",
        }
    }
}

macro_rules! kinds {
    ($($number:literal $variant:ident $name:literal retryable=$retryable:literal billed=$billed:ident
       $meaning:literal $advice:literal;)*) => {
        /// What went wrong: the closed list, with the same names in every language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $(#[doc = $meaning] $variant,)*
        }

        impl Kind {
            /// Every kind, in the order of its numbers.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The name used in every language.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// The number in the C interface; never renumbered.
            pub const fn number(self) -> i32 {
                match self { $(Kind::$variant => $number,)* }
            }

            /// What the kind means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Kind::$variant => $meaning,)* }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Kind::$variant => $advice,)* }
            }

            /// Whether repeating helps, where nothing more is known of the failure.
            pub const fn retryable(self) -> bool {
                match self { $(Kind::$variant => $retryable,)* }
            }

            /// Whether it was charged, where nothing more is known of the failure.
            pub const fn billed(self) -> Billed {
                match self { $(Kind::$variant => Billed::$billed,)* }
            }
        }
    };
}

kinds! {
    -10 InvalidArgument "invalid_argument" retryable=false billed=No
        "An argument or the request text is not usable; nothing was sent."
        "Mend the argument that the message names.";
    -11 Config "config" retryable=false billed=No
        "The configuration is not usable; nothing was sent."
        "Mend the option that the message names.";
    -12 Authentication "authentication" retryable=false billed=No
        "The gateway does not accept the API key."
        "Check the API key (ELKAPI_API_KEY or api_key).";
    -13 Permission "permission" retryable=false billed=No
        "The key may not do this: the model, group or address is not allowed."
        "Check which models and addresses the key allows.";
    -14 Quota "quota" retryable=false billed=No
        "The balance or the key's budget is used up."
        "Top up the account or raise the key's budget.";
    -15 NotFound "not_found" retryable=false billed=No
        "The model or the path does not exist."
        "Check the model name (the models list tells them) and the base URL.";
    -16 InvalidRequest "invalid_request" retryable=false billed=No
        "The gateway or the model refuses the request as it is."
        "Change the request as the message says.";
    -17 PayloadTooLarge "payload_too_large" retryable=false billed=No
        "The request body is larger than the gateway takes."
        "Send fewer or smaller pictures.";
    -18 RateLimit "rate_limit" retryable=true billed=No
        "Too many requests."
        "Wait and send fewer at once.";
    -19 ContentFilter "content_filter" retryable=false billed=No
        "A content filter refused the prompt."
        "Rephrase the prompt.";
    -20 Server "server" retryable=false billed=Maybe
        "The gateway or the model failed."
        "Try again later; quote the request id if it goes on.";
    -21 BadGateway "bad_gateway" retryable=false billed=Maybe
        "Something between here and the model failed."
        "Try again later.";
    -22 Unavailable "unavailable" retryable=false billed=Maybe
        "The service is not available at the moment."
        "Try again later.";
    -23 Overloaded "overloaded" retryable=false billed=Maybe
        "The model is overloaded."
        "Try again later.";
    -24 Timeout "timeout" retryable=false billed=Maybe
        "A limit expired, the client's own or one of a server."
        "For long answers use a stream, or raise the limit that the message names.";
    -25 Connection "connection" retryable=false billed=Maybe
        "The connection could not be made or broke."
        "Check the network and the address.";
    -26 StreamError "stream_error" retryable=false billed=Yes
        "The server reported a failure in the middle of a stream."
        "What arrived before it is kept.";
    -27 StreamTruncated "stream_truncated" retryable=false billed=Yes
        "The stream ended before the answer did."
        "What arrived is kept; ask again for the rest.";
    -28 EmptyResponse "empty_response" retryable=false billed=Maybe
        "The reply holds no answer."
        "Try again or rephrase the prompt.";
    -29 Decode "decode" retryable=false billed=Yes
        "The reply could not be understood; its bytes are kept."
        "Look at the body; quote the request id.";
    -30 UnexpectedContentType "unexpected_content_type" retryable=false billed=Maybe
        "The reply is not JSON."
        "Check the base URL: it usually ends in /v1.";
    -31 UnexpectedRedirect "unexpected_redirect" retryable=false billed=No
        "The server answered with a redirect, which is never followed because it could carry the key elsewhere."
        "Set the base URL to the final address.";
    -32 Upstream "upstream" retryable=false billed=Maybe
        "The reply has status 200 but reports a failure."
        "Read the server's message.";
    -33 Dns "dns" retryable=true billed=No
        "The host name could not be resolved."
        "Check the base URL and the name service.";
    -34 Tls "tls" retryable=false billed=No
        "No trusted TLS connection could be made."
        "Check the certificate, the clock, and the CA settings.";
    -35 Proxy "proxy" retryable=false billed=No
        "The proxy refused or failed."
        "Check the proxy's address and login.";
    -36 Protocol "protocol" retryable=false billed=Maybe
        "The server does not speak proper HTTP/1.1."
        "Check the base URL and what stands in front of the server.";
    -37 ReplyTooLarge "reply_too_large" retryable=false billed=Yes
        "The reply is larger than the client's limit."
        "Raise the limit that the message names.";
    -38 Cancelled "cancelled" retryable=false billed=Maybe
        "The caller stopped the call."
        "Nothing to do.";
    -39 Forked "forked" retryable=false billed=No
        "The object was made before a fork and is of no use in the child."
        "Open it in the process that uses it.";
    -40 Closed "closed" retryable=false billed=No
        "The object was closed."
        "Close it after its last use, or open another.";
    -41 Internal "internal" retryable=false billed=Maybe
        "A defect in this library."
        "Please report it with the message.";
    -42 QueueFull "queue_full" retryable=true billed=No
        "The queue holds as many calls as it may."
        "Take results before submitting more.";
    -43 File "file" retryable=false billed=No
        "A file could not be read or written."
        "Check the path that the message names.";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One HTTP request made for a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// HTTP status; `None` when no status line arrived.
    pub status: Option<u16>,
    /// What went wrong; `None` for the attempt that succeeded.
    pub kind: Option<Kind>,
    /// The gateway's id of this request.
    pub request_id: Option<String>,
    /// How long the attempt took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Everything known about a failure, as the error document shows it.
#[derive(Clone, Debug, Serialize)]
struct Facts {
    kind: Kind,
    /// Finer meaning of the kind, such as `quota` for a refused key.
    hint: Option<&'static str>,
    verdict: Verdict,
    status: Option<u16>,
    code: Option<String>,
    r#type: Option<String>,
    param: Option<String>,
    message: String,
    request_id: Option<String>,
    retryable: bool,
    billed: Billed,
    retry_after_ms: Option<u64>,
    phase: Option<Phase>,
    limit: Option<Limit>,
    elapsed_ms: u64,
    bytes_sent: u64,
    bytes_received: u64,
    attempts: Vec<Attempt>,
    /// A readable beginning of the reply's body.
    body: Option<String>,
    /// Our own sentence about what happened, without advice.
    #[serde(skip)]
    detail: String,
    /// What the server answered, where it answered.
    #[serde(skip)]
    reply: Option<Reply>,
}

/// A failed call or a refused argument. Cheap to move; `Display` gives one sentence with advice.
#[derive(Clone)]
pub struct Error(Box<Facts>);

/// Characters of a reply's body shown in the error document.
pub(crate) const BODY_EXCERPT: usize = 4096;

impl Error {
    /// An error of that kind with the kind's own defaults; `detail` says what, where and how to
    /// mend it, as a sentence without the final full stop.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Error {
        let detail = detail.into();
        Error(Box::new(Facts {
            kind,
            hint: None,
            verdict: if kind == Kind::Cancelled { Verdict::Cancelled } else { Verdict::Failed },
            status: None,
            code: None,
            r#type: None,
            param: None,
            message: detail.clone(),
            request_id: None,
            retryable: kind.retryable(),
            billed: kind.billed(),
            retry_after_ms: None,
            phase: None,
            limit: None,
            elapsed_ms: 0,
            bytes_sent: 0,
            bytes_received: 0,
            attempts: Vec::new(),
            body: None,
            detail,
            reply: None,
        }))
    }

    /// An argument or request text that cannot be used.
    pub(crate) fn argument(detail: impl Into<String>) -> Error {
        Error::new(Kind::InvalidArgument, detail)
    }

    /// A configuration that cannot be used.
    pub(crate) fn config(detail: impl Into<String>) -> Error {
        Error::new(Kind::Config, detail)
    }

    pub(crate) fn with_phase(mut self, phase: Phase) -> Error {
        self.0.phase = Some(phase);
        self
    }

    pub(crate) fn with_limit(mut self, limit: Limit) -> Error {
        self.0.limit = Some(limit);
        self
    }

    pub(crate) fn with_retryable(mut self, retryable: bool) -> Error {
        self.0.retryable = retryable;
        self
    }

    pub(crate) fn with_billed(mut self, billed: Billed) -> Error {
        self.0.billed = billed;
        self
    }

    pub(crate) fn with_verdict(mut self, verdict: Verdict) -> Error {
        self.0.verdict = verdict;
        self
    }

    pub(crate) fn with_hint(mut self, hint: &'static str) -> Error {
        self.0.hint = Some(hint);
        self
    }

    pub(crate) fn with_retry_after_ms(mut self, wait: Option<u64>) -> Error {
        self.0.retry_after_ms = wait;
        self
    }

    /// Names the argument or member that is wrong.
    pub fn with_param(mut self, param: impl Into<String>) -> Error {
        self.0.param = Some(param.into());
        self
    }

    /// What the server itself said: its message, code, type and parameter.
    pub(crate) fn with_server_words(
        mut self,
        message: Option<String>,
        code: Option<String>,
        r#type: Option<String>,
        param: Option<String>,
    ) -> Error {
        if let Some(message) = message {
            self.0.message = message;
        }
        self.0.code = code;
        self.0.r#type = r#type;
        self.0.param = param;
        self
    }

    /// The reply that led to this error; its bytes stay readable.
    pub(crate) fn with_reply(mut self, reply: Reply, excerpt: Option<String>) -> Error {
        self.0.status = Some(reply.status());
        if self.0.request_id.is_none() {
            self.0.request_id = reply.headers().request_id().map(str::to_owned);
        }
        self.0.body = excerpt;
        self.0.reply = Some(reply);
        self
    }

    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Error {
        if id.is_some() {
            self.0.request_id = id;
        }
        self
    }

    pub(crate) fn with_traffic(mut self, sent: u64, received: u64) -> Error {
        self.0.bytes_sent = sent;
        self.0.bytes_received = received;
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: Vec<Attempt>) -> Error {
        self.0.attempts = attempts;
        self
    }

    pub(crate) fn with_elapsed_ms(mut self, elapsed: u64) -> Error {
        self.0.elapsed_ms = elapsed;
        self
    }

    /// Every text in it, but not the reply's own bytes, rewritten by `cut`.
    pub(crate) fn without<'a>(mut self, cut: impl Fn(&str) -> Cow<'_, str> + 'a) -> Error {
        let rewrite = |text: &mut String| {
            if let Cow::Owned(clean) = cut(text) {
                *text = clean;
            }
        };
        let facts = &mut *self.0;
        rewrite(&mut facts.message);
        rewrite(&mut facts.detail);
        let optional =
            [&mut facts.code, &mut facts.r#type, &mut facts.param, &mut facts.request_id, &mut facts.body];
        optional.into_iter().flatten().for_each(rewrite);
        facts.attempts.iter_mut().filter_map(|attempt| attempt.request_id.as_mut()).for_each(rewrite);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Finer meaning, such as `quota` for a refused key.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint
    }

    /// How the call ended.
    pub fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// HTTP status; `None` when no reply arrived.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The server's error code; numbers as text.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The server's error type.
    pub fn error_type(&self) -> Option<&str> {
        self.0.r#type.as_deref()
    }

    /// The member that the server, or this library, complains about.
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// The server's own text where there is one, else ours.
    pub fn server_message(&self) -> &str {
        &self.0.message
    }

    /// The gateway's id of the request; quote it to the operator.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Whether the same request may be repeated without risk of paying twice, and may help.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// Whether the failed request may have been charged.
    pub fn billed(&self) -> Billed {
        self.0.billed
    }

    /// The pause that the server asked for, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.0.retry_after_ms
    }

    /// What the call was doing.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// The client's limit that expired; `None` when it was the server that gave up.
    pub fn limit(&self) -> Option<Limit> {
        self.0.limit
    }

    /// How long the call took, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.0.elapsed_ms
    }

    /// Bytes of the last attempt that the kernel took; 0 means that nothing reached the server.
    pub fn bytes_sent(&self) -> u64 {
        self.0.bytes_sent
    }

    /// Bytes of the last attempt that arrived.
    pub fn bytes_received(&self) -> u64 {
        self.0.bytes_received
    }

    /// The HTTP requests made, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// A readable beginning of the reply's body.
    pub fn body_excerpt(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// The reply's bytes as they came; empty where there is no reply.
    pub fn body(&self) -> &[u8] {
        self.0.reply.as_ref().map_or(&[], |reply| reply.body())
    }

    /// The reply's header fields, where a reply arrived.
    pub fn headers(&self) -> Option<&Headers> {
        self.0.reply.as_ref().map(Reply::headers)
    }

    /// The reply behind the error, where one arrived.
    pub fn reply(&self) -> Option<&Reply> {
        self.0.reply.as_ref()
    }

    /// The client's own facts about the call as a JSON document, as for answers.
    pub fn call_document(&self) -> String {
        #[derive(Serialize)]
        struct Call<'a> {
            attempts: &'a [Attempt],
            status: Option<u16>,
            request_id: Option<&'a str>,
            elapsed_ms: u64,
        }
        let call = Call {
            attempts: self.attempts(),
            status: self.status(),
            request_id: self.request_id(),
            elapsed_ms: self.elapsed_ms(),
        };
        serde_json::to_string(&call).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The error document: `{"error": {…}}`.
    pub fn document(&self) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a Facts,
        }
        serde_json::to_string(&Document { error: &self.0 })
            .unwrap_or_else(|_| r#"{"error":{"kind":"internal"}}"#.to_owned())
    }

    /// One sentence for a person: what happened, the server's words, and what to do.
    pub fn message(&self) -> String {
        let facts = &*self.0;
        let mut text = facts.detail.clone();
        if facts.message != facts.detail && !facts.message.trim().is_empty() {
            text.push_str(": ");
            // One line, whatever a page or a terminal's control characters would make of it.
            text.push_str(&facts.message.trim().replace(char::is_control, " "));
        }
        if !text.ends_with(['.', '!', '?', '。']) {
            text.push('.');
        }
        let advice = match (facts.hint, facts.limit) {
            (Some("quota"), _) => Kind::Quota.advice(),
            (_, Some(Limit::Connect)) => Kind::Connection.advice(),
            (_, None) if facts.kind == Kind::Timeout => {
                "A server gave up waiting; ask for a stream instead, whose first bytes come soon."
            }
            _ => facts.kind.advice(),
        };
        text.push(' ');
        text.push_str(advice);
        if let Some(wait @ 1..) = facts.retry_after_ms {
            text.push_str(&format!(" The server asks to wait {} s.", wait.div_ceil(1000)));
        }
        match facts.billed {
            Billed::Maybe => text.push_str(" The request may have been billed."),
            Billed::Yes => text.push_str(" The request was probably billed."),
            Billed::No => {}
        }
        if let Some(id) = &facts.request_id
            && !text.contains(id.as_str())
        {
            text.push_str(" (request id: ");
            text.push_str(id);
            text.push(')');
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Error").field(&self.document()).finish()
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_kinds_are_unique_and_start_at_minus_ten() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(kind.number(), -10 - index as i32, "{kind}");
            assert_eq!(Kind::ALL.iter().filter(|k| k.name() == kind.name()).count(), 1);
        }
    }

    #[test]
    fn the_message_has_what_happened_the_servers_words_and_advice() {
        let error = Error::new(Kind::Authentication, "The gateway answered 401")
            .with_server_words(Some("Invalid token".into()), None, None, None)
            .with_request_id(Some("abc".into()));
        assert_eq!(
            error.message(),
            "The gateway answered 401: Invalid token. Check the API key (ELKAPI_API_KEY or api_key). (request id: abc)"
        );
    }
}
