//! The ordinary gateway: what is under `/v1` when nothing misbehaves.
//!
//! Checks a request in the gateway's order (key, media type, JSON, model, messages, balance,
//! options), then answers with text, a picture or a tool call. Makes replies, sends nothing.

use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::clock;
use crate::http::Head;
use crate::json::{push_quoted, quoted};
use crate::reply::{Body, Framing, Reply};
use crate::script::{Part, Script};
use crate::{answer, picture, schema};

const JSON: &str = "application/json; charset=utf-8";
/// Tokens that the gateway counts for a picture, up to 2K and for 4K.
const PICTURE_TOKENS: (u64, u64) = (1_120, 2_000);

/// Models that the list names: id, owner, endpoint types.
const MODELS: [(&str, &str, &str); 4] = [
    ("gemini-3.1-pro-preview", "google gemini", "\"gemini\",\"openai\""),
    ("gemini-3-pro-image-preview", "custom", "\"openai\""),
    ("gemini-3.1-flash-image-preview", "custom", "\"openai\""),
    ("gpt-5.5", "openai", "\"openai\""),
];

/// Answers a request whose path starts with `/v1`; `wishes` stand for the request's member `sim`.
pub(crate) fn answer(head: &Head, path: &str, body: &[u8], wishes: Option<&Value>) -> Reply {
    let id = clock::request_id();
    let mut reply = route(head, path, body, wishes, &id).unwrap_or_else(|refusal| refusal.into_reply(&id));
    add_common_fields(&mut reply, id);
    reply
}

/// The web page that answers every path outside `/v1`.
pub(crate) fn dashboard() -> Reply {
    const PAGE: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"UTF-8\"/><title>ElkAPI</title></head>\
                        <body><div id=\"root\"></div></body></html>";
    let mut reply = Reply::whole(200, "text/html; charset=utf-8", PAGE.into());
    reply.headers.push(("Cache-Control".into(), "no-cache".to_owned()));
    with_common_fields(reply)
}

/// The refusal of a body over the limit; the rest of the body is not read.
pub(crate) fn body_too_large() -> Reply {
    let id = clock::request_id();
    let refusal = Refusal::relay(413, "\"read_request_body_failed\"", "http: request body too large");
    let mut reply = refusal.into_reply(&id);
    add_common_fields(&mut reply, id);
    reply
}

/// The same with the fields that every reply of the gateway carries.
pub(crate) fn with_common_fields(mut reply: Reply) -> Reply {
    add_common_fields(&mut reply, clock::request_id());
    reply
}

fn add_common_fields(reply: &mut Reply, id: String) {
    reply.headers.splice(
        0..0,
        [("Date".into(), clock::http_date(Duration::ZERO)), ("X-Oneapi-Request-Id".into(), id)],
    );
}

/// A reply that is not an answer.
struct Refusal {
    status: u16,
    /// The error object's members, the request id still missing.
    message: String,
    form: Form,
}

/// The three forms in which the gateway writes an error object.
enum Form {
    /// Code (a JSON value), message, type: what stands before the relay.
    Middleware(&'static str),
    /// Message, type, param, code: the relay itself, or what it passes on.
    Relay { kind: &'static str, code: &'static str },
    /// Message, type, param, code without the request id: paths and models.
    Plain { param: &'static str, code: &'static str },
    /// Message and type only.
    Bare,
}

impl Refusal {
    fn middleware(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), form: Form::Middleware(code) }
    }

    fn relay(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), form: Form::Relay { kind: "new_api_error", code } }
    }

    fn upstream(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), form: Form::Relay { kind: "upstream_error", code } }
    }

    fn into_reply(self, id: &str) -> Reply {
        let with_id = quoted(&format!("{} (request id: {id})", self.message));
        let object = match self.form {
            Form::Middleware(code) => {
                format!("\"code\":{code},\"message\":{with_id},\"type\":\"new_api_error\"")
            }
            Form::Relay { kind, code } => {
                format!("\"message\":{with_id},\"type\":\"{kind}\",\"param\":\"\",\"code\":{code}")
            }
            Form::Plain { param, code } => {
                let message = quoted(&self.message);
                format!(
                    "\"message\":{message},\"type\":\"invalid_request_error\",\"param\":\"{param}\",\"code\":\"{code}\""
                )
            }
            Form::Bare => format!("\"message\":{with_id},\"type\":\"new_api_error\""),
        };
        Reply::whole(self.status, JSON, format!("{{\"error\":{{{object}}}}}").into_bytes())
    }
}

fn route(head: &Head, path: &str, body: &[u8], wishes: Option<&Value>, id: &str) -> Result<Reply, Refusal> {
    let allowed = match path {
        "/v1/chat/completions" => "POST",
        _ if path == "/v1/models" || path.starts_with("/v1/models/") => "GET",
        _ => {
            return Err(Refusal {
                status: 404,
                message: format!("Invalid URL ({} {path})", head.method),
                form: Form::Plain { param: "", code: "" },
            });
        }
    };
    if head.method != allowed {
        let refusal = Refusal {
            status: 405,
            message: format!("Method not allowed ({} {path})", head.method),
            form: Form::Plain { param: "", code: "method_not_allowed" },
        };
        let mut reply = refusal.into_reply(id);
        reply.headers.push(("Allow".into(), allowed.to_owned()));
        return Ok(reply);
    }
    let key = check_key(head)?;
    match path.strip_prefix("/v1/models") {
        Some("" | "/") => Ok(models()),
        Some(model) => model_or_error(&model[1..]),
        None => chat(head, key, body, wishes, id),
    }
}

fn check_key(head: &Head) -> Result<&str, Refusal> {
    let Some(field) = head.header("authorization").filter(|field| !field.is_empty()) else {
        return Err(Refusal { status: 401, message: "未提供令牌".to_owned(), form: Form::Bare });
    };
    let key = field.strip_prefix("Bearer ").or_else(|| field.strip_prefix("bearer ")).unwrap_or(field).trim();
    if !key.starts_with("sk-") || key.contains("invalid") {
        return Err(Refusal::middleware(401, "\"\"", "Invalid token"));
    }
    if key.contains("exhausted") {
        return Err(Refusal::middleware(401, "\"\"", "该令牌额度已用尽 TokenStatusExhausted[sk-***]"));
    }
    Ok(key)
}

fn model_object((id, owner, endpoints): (&str, &str, &str)) -> String {
    format!(
        "{{\"id\":\"{id}\",\"object\":\"model\",\"created\":1626777600,\"owned_by\":\"{owner}\",\
         \"supported_endpoint_types\":[{endpoints}]}}"
    )
}

fn models() -> Reply {
    let list = MODELS.map(model_object).join(",");
    Reply::whole(
        200,
        JSON,
        format!("{{\"data\":[{list}],\"object\":\"list\",\"success\":true}}").into_bytes(),
    )
}

fn model_or_error(id: &str) -> Result<Reply, Refusal> {
    match MODELS.into_iter().find(|(known, ..)| *known == id) {
        Some(model) => Ok(Reply::whole(200, JSON, model_object(model).into_bytes())),
        // Status 200, as the gateway does.
        None => Err(Refusal {
            status: 200,
            message: format!("The model '{id}' does not exist"),
            form: Form::Plain { param: "model", code: "model_not_found" },
        }),
    }
}

/// What a test asks for, most often in the request's member `sim`.
struct Wishes {
    delay: Duration,
    text: Option<String>,
    /// The calls of an answer that asks for tools.
    calls: Vec<Call>,
    chunks: Option<usize>,
    chunk_delay: Duration,
    bytes: Option<usize>,
    stamp: bool,
}

impl Wishes {
    fn of(sim: &Value) -> Wishes {
        let number = |name: &str| sim[name].as_u64();
        let count = |name: &str| number(name).and_then(|count| usize::try_from(count).ok());
        Wishes {
            delay: Duration::from_millis(number("delay_ms").unwrap_or(0)),
            text: sim["text"].as_str().map(str::to_owned),
            calls: sim["tool_calls"].as_array().into_iter().flatten().filter_map(Call::wished).collect(),
            chunks: count("chunks").map(|chunks| chunks.clamp(1, 10_000_000)),
            chunk_delay: Duration::from_micros(number("chunk_delay_us").unwrap_or(0)),
            bytes: count("bytes").map(|bytes| bytes.min(1 << 30)),
            stamp: sim["stamp"].as_bool().unwrap_or(false),
        }
    }
}

/// What the model made of a request.
enum Content {
    Text(String),
    Picture { markdown: String, tokens: u64 },
    ToolCalls(Vec<Call>),
}

/// One call of a tool.
#[derive(Clone)]
struct Call {
    id: String,
    name: String,
    /// JSON, as a model writes it.
    arguments: String,
}

impl Call {
    /// A call with an id that depends on what it is.
    fn made(name: String, arguments: String, seed: &str) -> Call {
        let number = clock::fingerprint(&format!("{name}\n{seed}"));
        Call { id: format!("call_{number:016x}{:016x}", clock::mix(number)), name, arguments }
    }

    /// `{"name": …, "arguments": object or text}`, with an id if it matters.
    fn wished(call: &Value) -> Option<Call> {
        let arguments = match &call["arguments"] {
            Value::Null => "{}".to_owned(),
            Value::String(text) => text.clone(),
            arguments => arguments.to_string(),
        };
        let mut made = Call::made(call["name"].as_str()?.to_owned(), arguments.clone(), &arguments);
        if let Some(id) = call["id"].as_str() {
            made.id = id.to_owned();
        }
        Some(made)
    }
}

fn chat(head: &Head, key: &str, body: &[u8], wishes: Option<&Value>, id: &str) -> Result<Reply, Refusal> {
    const NO_MODEL: &str = "Model name not specified, model name cannot be empty";
    let media_type = head.header("content-type").unwrap_or_default();
    if !media_type.to_ascii_lowercase().starts_with("application/json") {
        // The gateway reads such a body as a form, in which it finds no model.
        return Err(Refusal::middleware(400, "\"\"", NO_MODEL));
    }
    let request: Value = match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Value::Object(members),
        _ => {
            let message = "Invalid request: Invalid request: invalid JSON request body";
            return Err(Refusal::middleware(400, "\"\"", message));
        }
    };
    let model = text_member(&request, "model")?.unwrap_or_default();
    if model.is_empty() {
        return Err(Refusal::middleware(400, "\"\"", NO_MODEL));
    }
    if model.contains("typo") || model.contains("unknown") {
        let message = format!("No available channel for model {model} under group default (distributor)");
        return Err(Refusal::middleware(503, "\"model_not_found\"", message));
    }
    check_types(&request)?;
    let messages = match request["messages"].as_array() {
        Some(messages) if !messages.is_empty() => messages,
        _ => {
            return Err(Refusal::relay(500, "\"invalid_request\"", "field messages is required"));
        }
    };
    if key.contains("poor") {
        let message = "用户额度不足, 剩余额度: ＄-0.002400";
        return Err(Refusal::relay(403, "\"insufficient_user_quota\"", message));
    }
    let picture = picture_options(&request, model)?;
    let wishes = Wishes::of(wishes.unwrap_or(&request["sim"]));
    let content = make_content(&request, messages, picture, &wishes)?;
    let prompt_tokens =
        messages.iter().map(|message| 1 + answer::tokens(&answer::text_of(&message["content"]))).sum();
    let limit = ["max_completion_tokens", "max_tokens"]
        .iter()
        .find_map(|name| request[name].as_u64().filter(|n| *n > 0));
    let answered = Answered { id, model, content, prompt_tokens, limit, wishes: &wishes };
    let mut reply = if request["stream"] == true {
        answered.streamed(request["stream_options"]["include_usage"] != false)
    } else {
        answered.whole()
    };
    reply.delay = wishes.delay;
    Ok(reply)
}

fn text_member<'a>(request: &'a Value, name: &str) -> Result<Option<&'a str>, Refusal> {
    match &request[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(wrong_type(name)),
    }
}

fn wrong_type(name: &str) -> Refusal {
    let message = format!("json: cannot unmarshal value into Go struct field GeneralOpenAIRequest.{name}");
    Refusal::relay(400, "\"invalid_request\"", message)
}

/// Members which the gateway decodes into typed fields: a wrong type is refused.
fn check_types(request: &Value) -> Result<(), Refusal> {
    type Accepts = fn(&Value) -> bool;
    let rules: [(&str, Accepts); 7] = [
        ("stream", Value::is_boolean),
        ("messages", Value::is_array),
        ("tools", Value::is_array),
        ("max_tokens", Value::is_u64),
        ("max_completion_tokens", Value::is_u64),
        ("temperature", Value::is_number),
        ("response_format", Value::is_object),
    ];
    match rules.iter().find(|(name, accepts)| !request[name].is_null() && !accepts(&request[name])) {
        Some((name, _)) => Err(wrong_type(name)),
        None => Ok(()),
    }
}

/// The size of the picture to draw, if one is asked for, and whether it is a 4K one.
fn picture_options(request: &Value, model: &str) -> Result<Option<(picture::Size, bool)>, Refusal> {
    let google = &request["extra_body"]["google"];
    let options = &google["image_config"];
    let camel = [(google, "imageConfig", "image_config"), (google, "thinkingConfig", "thinking_config")];
    let camel_options = [(options, "aspectRatio", "aspect_ratio"), (options, "imageSize", "image_size")];
    if let Some((_, wrong, right)) =
        camel.iter().chain(&camel_options).find(|(holder, wrong, _)| !holder[*wrong].is_null())
    {
        let within =
            if wrong.starts_with("aspect") || wrong.starts_with("imageS") { "image_config." } else { "" };
        let message = format!(
            "extra_body.google.{within}{wrong} is not supported, use extra_body.google.{within}{right} instead"
        );
        return Err(Refusal::relay(500, "\"convert_request_failed\"", message));
    }
    if !model.contains("image") && options.is_null() {
        return Ok(None);
    }
    let invalid = |name: &str| {
        let message = format!("Invalid value at 'generation_config.image_config.{name}'");
        Refusal::upstream(400, "400", message)
    };
    let option = |name: &'static str, default: &'static str| match &options[name] {
        Value::Null => Ok(default.to_owned()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(invalid(name)),
    };
    let image_size = option("image_size", "1K")?;
    match picture::size(&option("aspect_ratio", "1:1")?, &image_size) {
        Ok(size) => Ok(Some((size, image_size == "4K"))),
        Err(picture::Unknown::AspectRatio) => Err(invalid("aspect_ratio")),
        Err(picture::Unknown::ImageSize) => Err(invalid("image_size")),
    }
}

fn make_content(
    request: &Value,
    messages: &[Value],
    picture: Option<(picture::Size, bool)>,
    wishes: &Wishes,
) -> Result<Content, Refusal> {
    let empty = Value::Null;
    let from_user = messages.iter().rev().find(|message| message["role"] == "user");
    let prompt_content = from_user.map_or(&empty, |message| &message["content"]);
    let prompt = answer::text_of(prompt_content);
    if !wishes.calls.is_empty() {
        return Ok(Content::ToolCalls(wishes.calls.clone()));
    }
    if let Some(text) = &wishes.text {
        return Ok(Content::Text(match wishes.bytes {
            Some(bytes) => answer::stretched(text, bytes),
            None => text.clone(),
        }));
    }
    if let Some((size, large)) = picture {
        let drawn = picture::draw(clock::fingerprint(&prompt), size, wishes.bytes.unwrap_or(0));
        let file = drawn.ok_or_else(|| Refusal::relay(500, "\"empty_response\"", "no picture was made"))?;
        let mut markdown = String::with_capacity(file.len() * 4 / 3 + 64);
        markdown.push_str("![image](data:image/png;base64,");
        STANDARD.encode_string(&file, &mut markdown);
        markdown.push(')');
        let tokens = if large { PICTURE_TOKENS.1 } else { PICTURE_TOKENS.0 };
        return Ok(Content::Picture { markdown, tokens });
    }
    let last = messages.last().unwrap_or(&empty);
    let tool_answered = last["role"] == "tool";
    if !tool_answered && let Some(call) = tool_call(request, &prompt) {
        return Ok(Content::ToolCalls(vec![call]));
    }
    let text = match (&wishes.bytes, request["response_format"]["type"].as_str()) {
        (Some(bytes), _) => answer::stretched(&answer::answer_to(&prompt, 0), *bytes),
        (None, Some("json_schema")) => {
            schema::sample(&request["response_format"]["json_schema"]["schema"]).to_string()
        }
        (None, Some("json_object")) => {
            format!("{{\"answer\":{}}}", quoted(&answer::answer_to(&prompt, 0)))
        }
        _ if tool_answered => answer::answer_to_tool(&answer::text_of(&last["content"])),
        _ => answer::answer_to(&prompt, answer::attachments_of(prompt_content)),
    };
    Ok(Content::Text(text))
}

/// A call of the tool that the request prescribes, or of the first.
fn tool_call(request: &Value, prompt: &str) -> Option<Call> {
    if request["tool_choice"] == "none" {
        return None;
    }
    let tools = request["tools"].as_array()?;
    let prescribed = request["tool_choice"]["function"]["name"].as_str();
    let function = tools.iter().map(|tool| &tool["function"]).find(|function| {
        function["name"].is_string() && prescribed.is_none_or(|name| function["name"] == name)
    })?;
    let name = function["name"].as_str()?.to_owned();
    let arguments = match &function["parameters"] {
        Value::Null => "{}".to_owned(),
        parameters => schema::sample(parameters).to_string(),
    };
    Some(Call::made(name, arguments, prompt))
}

fn tokens_of(calls: &[Call]) -> u64 {
    calls.iter().map(|call| answer::tokens(&call.arguments)).sum()
}

/// Everything that a reply is written from.
struct Answered<'a> {
    id: &'a str,
    model: &'a str,
    content: Content,
    prompt_tokens: u64,
    /// `max_tokens`.
    limit: Option<u64>,
    wishes: &'a Wishes,
}

impl Answered<'_> {
    /// Cuts a text where the limit says; tells the reason why it ended and how many tokens it has.
    fn limited(&self, text: &mut String) -> (&'static str, u64) {
        let Some(limit) = self.limit else {
            return ("stop", answer::tokens(text));
        };
        let pieces = answer::pieces(text);
        match usize::try_from(limit).ok().and_then(|limit| pieces.get(limit)) {
            Some(beyond) => {
                text.truncate(beyond.start);
                ("length", limit)
            }
            None => ("stop", pieces.len() as u64),
        }
    }

    fn usage(&self, completion: u64, picture: u64) -> String {
        let prompt = self.prompt_tokens;
        let pictures = if picture > 0 { format!(",\"image_tokens\":{picture}") } else { String::new() };
        format!(
            "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":0,\"text_tokens\":{prompt},\"audio_tokens\":0,\
             \"image_tokens\":0}},\"completion_tokens_details\":{{\"text_tokens\":0,\"audio_tokens\":0,\
             \"reasoning_tokens\":0{pictures}}},\"input_tokens\":0,\"output_tokens\":0,\
             \"input_tokens_details\":null}}",
            prompt + completion
        )
    }

    /// `{id, model, object, created, choices, usage}` in one piece.
    fn whole(mut self) -> Reply {
        let created = clock::unix_seconds();
        let content = std::mem::replace(&mut self.content, Content::Text(String::new()));
        let mut out = Vec::with_capacity(1_024 + content.length());
        out.extend_from_slice(
            format!("{{\"id\":\"chatcmpl-{}\",\"model\":{},", self.id, quoted(self.model)).as_bytes(),
        );
        out.extend_from_slice(format!("\"object\":\"chat.completion\",\"created\":{created},").as_bytes());
        out.extend_from_slice(b"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
        let (finish, usage) = match content {
            Content::Text(mut text) => {
                let (finish, tokens) = self.limited(&mut text);
                push_quoted(&mut out, &text);
                (finish, self.usage(tokens, 0))
            }
            Content::Picture { markdown, tokens } => {
                out.push(b'"');
                out.extend_from_slice(markdown.as_bytes());
                out.push(b'"');
                ("stop", self.usage(tokens, tokens))
            }
            Content::ToolCalls(calls) => {
                let list: Vec<_> = calls
                    .iter()
                    .map(|Call { id, name, arguments }| {
                        format!(
                            "{{\"id\":{},\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":{}}}}}",
                            quoted(id),
                            quoted(name),
                            quoted(arguments)
                        )
                    })
                    .collect();
                out.extend_from_slice(format!("\"\",\"tool_calls\":[{}]", list.join(",")).as_bytes());
                ("tool_calls", self.usage(tokens_of(&calls), 0))
            }
        };
        out.extend_from_slice(format!("}},\"finish_reason\":\"{finish}\"}}],\"usage\":{usage}}}").as_bytes());
        Reply::whole(200, JSON, out)
    }

    /// Role, deltas, finish, usage, `[DONE]`.
    fn streamed(mut self, with_usage: bool) -> Reply {
        let content = std::mem::replace(&mut self.content, Content::Text(String::new()));
        let mut parts = Vec::new();
        let mut text = String::new();
        let role = "{\"content\":\"\",\"role\":\"assistant\"}".to_owned();
        let usage = match content {
            Content::Text(whole) => {
                text = whole;
                let (finish, tokens) = self.limited(&mut text);
                parts.push(Part::Delta(role, None));
                let pieces = self.cut(&mut text);
                let last = pieces.len().saturating_sub(1);
                for (index, piece) in pieces.into_iter().enumerate() {
                    // `length` rides in the last text chunk, `stop` has a chunk of its own.
                    parts.push(Part::Text(piece, (finish == "length" && index == last).then_some("length")));
                }
                if finish == "stop" {
                    parts.push(Part::Delta("{}".to_owned(), Some("stop")));
                }
                self.usage(tokens, 0)
            }
            Content::Picture { markdown, tokens } => {
                text = markdown;
                parts.push(Part::Delta(role, None));
                parts.push(Part::Text(0..text.len(), None));
                parts.push(Part::Delta("{}".to_owned(), Some("stop")));
                self.usage(tokens, tokens)
            }
            Content::ToolCalls(calls) => {
                for (index, Call { id, name, arguments }) in calls.iter().enumerate() {
                    parts.push(Part::Delta(
                        format!(
                            "{{\"content\":\"\",\"role\":\"assistant\",\"tool_calls\":[{{\"index\":{index},\
                             \"id\":{},\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":\"\"}}}}]}}",
                            quoted(id),
                            quoted(name)
                        ),
                        None,
                    ));
                    parts.push(Part::Delta(
                        format!(
                            "{{\"content\":\"\",\"tool_calls\":[{{\"index\":{index},\"type\":null,\"function\":\
                             {{\"arguments\":{}}}}}]}}",
                            quoted(arguments)
                        ),
                        None,
                    ));
                }
                parts.push(Part::Delta("{}".to_owned(), Some("tool_calls")));
                self.usage(tokens_of(&calls), 0)
            }
        };
        if with_usage {
            parts.push(Part::Usage(usage));
        }
        parts.push(Part::Done);
        let opening = format!(
            "data: {{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\
             \"system_fingerprint\":null,\"choices\":[",
            self.id,
            clock::unix_seconds(),
            quoted(self.model)
        );
        let mut reply = Reply::whole(200, "text/event-stream", Vec::new());
        for (name, value) in
            [("Cache-Control", "no-cache"), ("Connection", "keep-alive"), ("X-Accel-Buffering", "no")]
        {
            reply.headers.push((name.into(), value.to_owned()));
        }
        reply.framing = Framing::Chunked;
        reply.body = Body::Script(Script {
            opening,
            text,
            parts,
            pace: self.wishes.chunk_delay,
            stamped: self.wishes.stamp,
        });
        reply
    }

    /// The pieces of a streamed text: words, or as many as the test asks for.
    fn cut(&self, text: &mut String) -> Vec<Range<usize>> {
        match self.wishes.chunks {
            // A text of the test's own, or of a length of its own, is cut as it is.
            Some(chunks)
                if self.wishes.text.is_some() || self.wishes.bytes.is_some() || self.limit.is_some() =>
            {
                answer::equal_pieces(text, chunks)
            }
            Some(chunks) => {
                let words: Vec<String> =
                    answer::pieces(text).into_iter().map(|word| text[word].to_owned()).collect();
                text.clear();
                let mut pieces = Vec::with_capacity(chunks);
                for word in words.iter().cycle().take(chunks) {
                    pieces.push(text.len()..text.len() + word.len());
                    text.push_str(word);
                }
                pieces
            }
            None if self.wishes.bytes.is_some() => answer::equal_pieces(text, 1),
            None => answer::pieces(text),
        }
    }
}

impl Content {
    fn length(&self) -> usize {
        match self {
            Content::Text(text) => text.len(),
            Content::Picture { markdown, .. } => markdown.len(),
            Content::ToolCalls(calls) => calls.iter().map(|call| call.arguments.len()).sum(),
        }
    }
}
