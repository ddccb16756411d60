//! Sample values for a JSON Schema: arguments of tool calls, and structured answers.
//!
//! Only what callers really use: types, enums, defaults, objects, arrays, alternatives and local
//! references. Deterministic and pure.

use serde_json::{Map, Value, json};

/// Deeper schemas (recursive ones, mostly) end in null.
const MAX_DEPTH: usize = 12;

/// A value that `schema` accepts, as far as this simple look at it can tell.
pub(crate) fn sample(schema: &Value) -> Value {
    value_for(schema, schema, "", MAX_DEPTH)
}

fn value_for(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(pointer) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        return root.pointer(pointer).map_or(Value::Null, |target| value_for(target, root, name, depth - 1));
    }
    for given in [&schema["const"], &schema["default"], &schema["examples"][0], &schema["enum"][0]] {
        if !given.is_null() {
            return given.clone();
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema[key].as_array() {
            let chosen = choices.iter().find(|choice| choice["type"] != "null");
            return chosen.map_or(Value::Null, |choice| value_for(choice, root, name, depth - 1));
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => object(schema, root, depth),
        None if schema["properties"].is_object() => object(schema, root, depth),
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 100);
            let item = value_for(&schema["items"], root, name, depth - 1);
            Value::Array((0..count).map(|_| item.clone()).collect())
        }
        Some("integer") => schema["minimum"].as_i64().map_or(json!(1), Value::from),
        Some("number") => schema["minimum"].as_f64().map_or(json!(1.5), Value::from),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => json!(word_for(schema, name)),
    }
}

/// The required members, or all if none is marked.
fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let required = schema["required"].as_array();
    let wanted = |name: &str| required.is_none_or(|names| names.iter().any(|one| one == name));
    let properties = schema["properties"].as_object();
    let members = properties.into_iter().flatten().filter(|(name, _)| wanted(name));
    let members: Map<String, Value> =
        members.map(|(name, member)| (name.clone(), value_for(member, root, name, depth - 1))).collect();
    Value::Object(members)
}

fn word_for(schema: &Value, name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    match schema["format"].as_str() {
        Some("date") => "2026-11-22",
        Some("date-time") => "2026-11-22T10:48:03Z",
        Some("email") => "elk@example.com",
        Some("uri") => "https://example.com/",
        _ if ["city", "location", "place"].iter().any(|word| name.contains(word)) => "Tokyo",
        _ if name.contains("country") => "Japan",
        _ if name.contains("unit") => "celsius",
        _ if name.contains("date") => "2026-11-22",
        _ if name.contains("query") => "elk",
        _ => "example",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_the_schema() {
        let schema = json!({
            "type": "object",
            "required": ["city", "days", "unit", "where", "tags", "maybe"],
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 3},
                "unit": {"enum": ["kelvin", "celsius"]},
                "where": {"$ref": "#/$defs/Point"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
                "left_out": {"type": "string"}
            },
            "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}}}
        });
        assert_eq!(
            sample(&schema),
            json!({
                "city": "Tokyo", "days": 3, "unit": "kelvin", "where": {"x": 1.5}, "tags": ["example"], "maybe": true
            })
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(sample(&schema).is_object());
    }
}
