//! Records: one JSON object per attempt, for logs and telemetry, under the names of OpenTelemetry's
//! conventions for generative AI. Never a body, never a key.
//!
//! Made by `client` and `stream` where an attempt ends, and only where somebody takes them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::call::Call;
use crate::completion::Completion;
use crate::config::Settings;
use crate::error::{Billed, Error, Kind, Limit, Phase, Verdict};
use crate::reply::Reply;
use crate::request::RequestBody;
use crate::secret::Secret;

/// Takes the records of a client's calls, on the thread that calls and under no lock.
pub trait Recorder: Send + Sync {
    /// One record: a JSON object.
    fn take(&self, json: &str);

    /// Which attempts are wanted.
    fn level(&self) -> Level {
        Level::All
    }
}

/// Which attempts are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Those that failed.
    Failures,
    /// Every one.
    All,
}

/// What is common to the records of one call.
pub(crate) struct Recording {
    recorder: Arc<dyn Recorder>,
    key: Secret,
    host: String,
    port: u16,
    traceparent: Option<String>,
    method: String,
    path: String,
    /// The request's, of a chat call.
    model: Option<String>,
    is_chat: bool,
    streams: bool,
}

/// One attempt that has ended.
#[derive(Clone, Copy)]
pub(crate) struct Attempted<'a> {
    /// How many came before it in this call.
    pub number: usize,
    pub took: Duration,
    /// How long after its beginning the first chunk of a stream came.
    pub first_chunk: Option<Duration>,
    /// What was answered; of a stream that failed, what had arrived.
    pub answer: Option<&'a Completion>,
    pub error: Option<&'a Error>,
}

#[derive(Serialize)]
struct Line<'a> {
    record: &'static str,
    started_unix_ms: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_first_chunk_ms: Option<f64>,
    #[serde(rename = "gen_ai.operation.name", skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(rename = "gen_ai.provider.name")]
    provider: &'static str,
    #[serde(rename = "gen_ai.request.model", skip_serializing_if = "Option::is_none")]
    request_model: Option<&'a str>,
    #[serde(rename = "gen_ai.request.stream", skip_serializing_if = "std::ops::Not::not")]
    streams: bool,
    #[serde(rename = "gen_ai.response.id", skip_serializing_if = "Option::is_none")]
    response_id: Option<String>,
    #[serde(rename = "gen_ai.response.model", skip_serializing_if = "Option::is_none")]
    response_model: Option<String>,
    #[serde(rename = "gen_ai.response.finish_reasons", skip_serializing_if = "Vec::is_empty")]
    finish_reasons: Vec<String>,
    #[serde(rename = "gen_ai.usage.input_tokens", skip_serializing_if = "Option::is_none")]
    input_tokens: Option<i64>,
    #[serde(rename = "gen_ai.usage.output_tokens", skip_serializing_if = "Option::is_none")]
    output_tokens: Option<i64>,
    #[serde(rename = "server.address")]
    host: &'a str,
    #[serde(rename = "server.port")]
    port: u16,
    #[serde(rename = "http.request.method")]
    method: &'a str,
    #[serde(rename = "url.path")]
    path: &'a str,
    #[serde(rename = "http.request.resend_count")]
    number: usize,
    #[serde(rename = "http.response.status_code", skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    billed: Option<Billed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    bytes_sent: u64,
    bytes_received: u64,
    connection_reused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    paced_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pace_calls_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

impl Recording {
    /// `body`: the request of a chat call; `None` for other documents.
    pub fn new(
        recorder: &Arc<dyn Recorder>,
        settings: &Settings,
        (method, path): (&str, &str),
        body: Option<&RequestBody<'_>>,
        streams: bool,
    ) -> Recording {
        let (host, port, _) = settings.base_url.target();
        let traceparent = settings.fields.iter().find(|(name, _)| name == "traceparent");
        Recording {
            recorder: recorder.clone(),
            key: settings.key.clone(),
            host,
            port,
            traceparent: traceparent.and_then(|(_, value)| Some(value.to_str().ok()?.to_owned())),
            method: method.to_owned(),
            path: path.to_owned(),
            model: body.and_then(RequestBody::model).map(Cow::into_owned),
            is_chat: body.is_some(),
            streams,
        }
    }

    /// Hands out the record of one attempt, where such are wanted.
    pub fn take(&self, call: &Call, attempted: Attempted) {
        if attempted.error.is_none() && self.recorder.level() == Level::Failures {
            return;
        }
        let line = serde_json::to_string(&self.line(call, attempted)).unwrap_or_default();
        self.recorder.take(&self.key.cut_from(&line));
    }

    fn line<'a>(&'a self, call: &Call, attempted: Attempted<'a>) -> Line<'a> {
        let Attempted { answer, error, took, .. } = attempted;
        let text = |name: &str| answer?.root().get(name)?.as_str().map(bounded);
        let reasons = |answer: &Completion| {
            answer.choices().filter_map(|choice| choice.finish_reason().map(bounded)).take(MOST).collect()
        };
        let usage = answer.and_then(Completion::usage);
        let reply = error.and_then(Error::reply).or(answer.map(Completion::reply));
        let began = SystemTime::now().checked_sub(took).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Line {
            record: "elkapi.attempt",
            started_unix_ms: began.map_or(0, |began| began.as_millis() as u64),
            duration_ms: milliseconds(took),
            time_to_first_chunk_ms: attempted.first_chunk.map(milliseconds),
            operation: self.is_chat.then_some("chat"),
            provider: "elkapi",
            request_model: self.model.as_deref(),
            streams: self.streams,
            response_id: text("id").filter(|_| self.is_chat),
            response_model: text("model").filter(|_| self.is_chat),
            finish_reasons: answer.map(reasons).unwrap_or_default(),
            input_tokens: usage.and_then(|usage| usage.prompt_tokens),
            output_tokens: usage.and_then(|usage| usage.completion_tokens),
            host: &self.host,
            port: self.port,
            method: &self.method,
            path: &self.path,
            number: attempted.number,
            status: reply.map(Reply::status).filter(|status| *status != 0),
            kind: error.map(Error::kind),
            verdict: match (error, answer) {
                (Some(error), _) => error.verdict(),
                (None, Some(answer)) => answer.verdict(),
                (None, None) => Verdict::Failed,
            },
            billed: error.map(Error::billed),
            retryable: error.map(Error::retryable),
            retry_after_ms: error.and_then(Error::retry_after_ms),
            phase: error.and_then(Error::phase),
            limit: error.and_then(Error::limit),
            request_id: reply.and_then(|reply| reply.headers().request_id()),
            bytes_sent: call.sent(),
            bytes_received: call.received(),
            connection_reused: call.is_reused(),
            paced_ms: call.paced().map(|paced| milliseconds(paced.waited)),
            pace_calls_per_second: call
                .paced()
                .and_then(|paced| paced.rate)
                .map(|rate| (rate * 10.0).round() / 10.0),
            traceparent: self.traceparent.as_deref(),
        }
    }
}

/// Characters of a text, and texts of a list, that a server may put into a record.
const MOST: usize = 256;

fn bounded(text: Cow<'_, str>) -> String {
    text.chars().take(MOST).collect()
}

/// With three digits behind the point.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
