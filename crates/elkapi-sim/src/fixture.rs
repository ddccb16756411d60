//! Fixtures: exchanges kept as JSON files, replayed byte for byte.
//!
//! Reads a file once, turns it into [`Reply`]s, and remembers for every scope which reply of a
//! sequence is next. The file format is described beside the fixtures.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::reply::{Body, End, Framing, Piece, Reply};

/// A file, read.
struct Fixture {
    replies: Vec<Arc<Reply>>,
    /// Whether the replies are used one after the other, or the only one again and again.
    sequence: bool,
}

/// The fixtures directory and how far each sequence has come.
pub(crate) struct Fixtures {
    directory: Option<PathBuf>,
    read: Mutex<HashMap<String, Arc<Fixture>>>,
    /// Replies given so far, by scope and fixture.
    given: Mutex<HashMap<(String, String), usize>>,
}

impl Fixtures {
    pub(crate) fn new(directory: Option<PathBuf>) -> Fixtures {
        Fixtures { directory, read: Mutex::default(), given: Mutex::default() }
    }

    /// The next reply of that fixture in that scope, or a sentence saying why there is none.
    pub(crate) fn next(&self, scope: Option<&str>, name: &str) -> Result<Arc<Reply>, String> {
        let fixture = self.find(name)?;
        if !fixture.sequence {
            return fixture.replies.first().cloned().ok_or_else(|| format!("fixture {name:?} has no reply"));
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let count = given.entry((scope.unwrap_or_default().to_owned(), name.to_owned())).or_default();
        *count += 1;
        fixture.replies.get(*count - 1).cloned().ok_or_else(|| {
            format!("fixture {name:?} has {} replies, and this is request {count}", fixture.replies.len())
        })
    }

    /// Starts the sequences anew, everywhere or in one scope.
    pub(crate) fn reset(&self, scope: Option<&str>) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        match scope {
            None => given.clear(),
            Some(scope) => given.retain(|(of, _), _| of != scope),
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Fixture>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fixture) = read.get(name) {
            return Ok(Arc::clone(fixture));
        }
        let directory = self.directory.as_deref().ok_or("start with --fixtures DIR to replay fixtures")?;
        let fixture = Arc::new(load(directory, name)?);
        read.insert(name.to_owned(), Arc::clone(&fixture));
        Ok(fixture)
    }
}

fn load(directory: &Path, name: &str) -> Result<Fixture, String> {
    // The name comes from a URL: it must not lead out of the directory.
    if name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    {
        return Err(format!("{name:?} is no name of a fixture"));
    }
    let path = directory.join(format!("{name}.json"));
    let text =
        fs::read(&path).map_err(|error| format!("no fixture {name:?}: {}: {error}", path.display()))?;
    let document: Value =
        serde_json::from_slice(&text).map_err(|error| format!("fixture {name:?} is not JSON: {error}"))?;
    let sequence = document.get("responses").is_some();
    let replies = match (document.get("responses"), document.get("response")) {
        (Some(Value::Array(replies)), _) => replies.iter().map(reply).collect::<Result<Vec<_>, _>>(),
        (None, Some(single)) => reply(single).map(|reply| vec![reply]),
        _ => Err("it has neither `response` nor a list `responses`".to_owned()),
    };
    let replies = replies.map_err(|problem| format!("fixture {name:?} is not usable: {problem}"))?;
    Ok(Fixture { replies: replies.into_iter().map(Arc::new).collect(), sequence })
}

fn reply(description: &Value) -> Result<Reply, String> {
    let status = description["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let mut headers = Vec::new();
    for (name, value) in description["headers"].as_object().ok_or("`headers` is not an object")? {
        let value = value.as_str().ok_or_else(|| format!("header {name:?} is not a string"))?;
        headers.push((name.clone().into(), value.to_owned()));
    }
    let framing = match description["framing"].as_str() {
        Some("content-length") => Framing::ContentLength,
        Some("chunked") => Framing::Chunked,
        Some("close") => Framing::UntilClose,
        Some("none") => Framing::NoBody,
        other => return Err(format!("unknown framing {other:?}")),
    };
    let body = match description["chunks"].as_array() {
        Some(chunks) => Body::Pieces(chunks.iter().map(piece).collect::<Result<_, _>>()?),
        None => Body::Whole(content(description, "body", "body_base64")?),
    };
    Ok(Reply {
        status: status.ok_or("`status` is not a number")?,
        reason: description["reason"].as_str().map(str::to_owned),
        headers,
        framing,
        body,
        declared_length: description["declared_length"].as_u64(),
        delay: milliseconds(&description["delay_ms"]),
        end: match description["end"].as_str() {
            None | Some("normal") => End::Normal,
            Some("truncate") => End::Truncate,
            Some("close_before_response") => End::CloseBeforeResponse,
            Some(other) => return Err(format!("unknown end {other:?}")),
        },
        literal: true,
    })
}

fn piece(description: &Value) -> Result<Piece, String> {
    Ok(Piece {
        pause: milliseconds(&description["delay_ms"]),
        bytes: content(description, "text", "base64")?,
    })
}

fn content(description: &Value, as_text: &str, as_base64: &str) -> Result<Vec<u8>, String> {
    if let Some(text) = description[as_text].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    let encoded =
        description[as_base64].as_str().ok_or_else(|| format!("neither `{as_text}` nor `{as_base64}`"))?;
    STANDARD.decode(encoded).map_err(|error| format!("`{as_base64}`: {error}"))
}

fn milliseconds(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().unwrap_or(0))
}
