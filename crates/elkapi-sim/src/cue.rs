//! Cues: what a test wants the next chat calls to be answered with, told while the simulator runs.
//!
//! Taken by the server when a chat call comes, one for each, in the order in which they were given.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::json::quoted;
use crate::reply::Reply;

/// What one call gets.
#[derive(Debug)]
pub(crate) enum Cue {
    /// The ordinary gateway's answer with these wishes, as if the request's member `sim` held them.
    Answer(Value),
    /// A reply of the test's own.
    Reply(Told),
    /// The fault of that name.
    Fault(String),
}

/// A reply of the test's own: a refusal with a message, or any body.
#[derive(Debug)]
pub(crate) struct Told {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
    delay: Duration,
}

impl Told {
    pub(crate) fn reply(&self) -> Reply {
        let mut reply =
            Reply::whole(self.status, "application/json; charset=utf-8", self.body.clone().into_bytes());
        for (name, value) in self.fields.iter().cloned() {
            if name.eq_ignore_ascii_case("content-type") {
                reply.set_header("Content-Type", value);
            } else {
                reply.headers.push((name.into(), value));
            }
        }
        reply.delay = self.delay;
        reply
    }
}

impl Cue {
    /// Reads one cue; a sentence says what is wrong with it.
    fn read(value: &Value) -> Result<Cue, String> {
        let Some(cue) = value.as_object() else { return Err(format!("a cue is an object, not {value}")) };
        let known: &[&str] = if cue.contains_key("fault") {
            &["fault"]
        } else if cue.contains_key("status") || cue.contains_key("body") {
            &["status", "message", "code", "type", "param", "headers", "body", "delay_ms"]
        } else {
            &["text", "tool_calls", "delay_ms", "bytes", "chunks", "chunk_delay_us", "stamp"]
        };
        if let Some(name) = cue.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("unknown member {name:?}; here there are {}", known.join(", ")));
        }
        match known {
            ["fault"] => match cue["fault"].as_str().filter(|name| Fault::find(name).is_some()) {
                Some(name) => Ok(Cue::Fault(name.to_owned())),
                None => Err(format!("there is no fault {}; GET /__faults lists them", cue["fault"])),
            },
            ["status", ..] => told(cue).map(Cue::Reply),
            _ => {
                let calls = &value["tool_calls"];
                let named = |calls: &Vec<Value>| calls.iter().all(|call| call["name"].is_string());
                if !calls.is_null() && !calls.as_array().is_some_and(named) {
                    return Err("tool_calls is a list of objects with a name and arguments".to_owned());
                }
                Ok(Cue::Answer(value.clone()))
            }
        }
    }
}

fn told(cue: &Map<String, Value>) -> Result<Told, String> {
    let status = match cue.get("status") {
        None => 200,
        Some(status) => match status.as_u64() {
            Some(status @ 200..=599) => status as u16,
            _ => return Err(format!("status is a number from 200 to 599, not {status}")),
        },
    };
    let mut fields = Vec::new();
    for (name, value) in cue.get("headers").and_then(Value::as_object).into_iter().flatten() {
        match value.as_str().filter(|text| !text.contains(['\r', '\n'])) {
            Some(text) => fields.push((name.clone(), text.to_owned())),
            None => return Err(format!("the value of header {name:?} is one line of text, not {value}")),
        }
    }
    let text = |name: &str, absent: &str| cue.get(name).and_then(Value::as_str).unwrap_or(absent).to_owned();
    let body = match cue.get("body") {
        Some(Value::String(text)) => text.clone(),
        Some(body) => body.to_string(),
        None => format!(
            "{{\"error\":{{\"message\":{},\"type\":{},\"param\":{},\"code\":{}}}}}",
            quoted(&text("message", "scripted by the test")),
            quoted(&text("type", "new_api_error")),
            quoted(&text("param", "")),
            cue.get("code").unwrap_or(&Value::Null),
        ),
    };
    let delay = Duration::from_millis(cue.get("delay_ms").and_then(Value::as_u64).unwrap_or(0));
    Ok(Told { status, fields, body, delay })
}

/// The cues that wait, by scope.
#[derive(Default)]
pub(crate) struct Cues(Mutex<HashMap<String, VecDeque<Cue>>>);

impl Cues {
    /// Takes in a cue, or a list of them, behind those that wait; tells how many wait now.
    pub(crate) fn add(&self, scope: Option<&str>, body: &[u8]) -> Result<usize, String> {
        let value: Value = serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
        let list = match &value {
            Value::Array(list) => list.iter().map(Cue::read).collect::<Result<Vec<_>, _>>()?,
            one => vec![Cue::read(one)?],
        };
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = waiting.entry(scope.unwrap_or_default().to_owned()).or_default();
        queue.extend(list);
        Ok(queue.len())
    }

    /// The next one of that scope.
    pub(crate) fn take(&self, scope: Option<&str>) -> Option<Cue> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get_mut(scope.unwrap_or_default())?.pop_front()
    }

    /// How many wait in that scope.
    pub(crate) fn waiting(&self, scope: Option<&str>) -> usize {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(scope.unwrap_or_default()).map_or(0, VecDeque::len)
    }

    /// Forgets those that wait, everywhere or in one scope.
    pub(crate) fn reset(&self, scope: Option<&str>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match scope {
            None => waiting.clear(),
            Some(scope) => {
                waiting.remove(scope);
            }
        }
    }
}
