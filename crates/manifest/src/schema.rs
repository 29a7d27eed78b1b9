//! Makes the JSON Schema of the manifest, which editors read.

use crate::keys::ROOT;
use crate::table::{KeyTable, MAX_PATTERNS, ManifestKey, Presence, TableShape, ValueKind};
use serde_json::{Map, Value, json};
use walnut_policy::{LimitDefinition, LimitUnit};

const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const VERSION: &str =
    r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$";
const SIZE: &str = r"^\s*[0-9]+\s*([bB]|[kKmMgGtT]([iI]?[bB])?)?\s*$";
const TIME: &str = r"^\s*[0-9]+\s*(ms|s|m|min|h)\s*$";
const ROUTE: &str = r"^/([^*?#\s]*|([^*?#\s]*/)?\*\*)$";

/// Returns the JSON Schema (draft 2020-12) of `walnut.toml`.
///
/// A schema cannot express every check of [`crate::Manifest::parse`]: that patterns and times are
/// valid, and that routes lead to existing components and do not clash.
pub fn schema() -> Value {
    let mut schema = table(&ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("walnut.toml");
    schema["required"] = json!(["app"]);
    schema
}

fn table(table: &KeyTable) -> Value {
    match table.shape {
        TableShape::Single => object(table),
        TableShape::List => json!({ "type": "array", "items": object(table) }),
        TableShape::Named(named) => json!({
            "type": "object",
            "description": table.doc,
            "propertyNames": { "pattern": NAME },
            "additionalProperties": self::table(named),
        }),
    }
}

fn object(table: &KeyTable) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        properties.insert(key.name.to_owned(), property(key));
    }
    for (name, child) in (table.children)() {
        properties.insert(name.to_owned(), self::table(child));
    }
    let required: Vec<_> =
        table.keys.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if !table.exactly_one_of.is_empty() {
        schema["oneOf"] = table.exactly_one_of.iter().map(|name| json!({ "required": [name] })).collect();
    }
    schema
}

fn property(key: &ManifestKey) -> Value {
    let mut value = match key.kind {
        ValueKind::Name | ValueKind::Component => json!({ "type": "string", "pattern": NAME }),
        ValueKind::Version => json!({ "type": "string", "pattern": VERSION }),
        ValueKind::Path | ValueKind::Host => json!({ "type": "string", "minLength": 1 }),
        ValueKind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        ValueKind::Time => json!({ "type": "string", "pattern": TIME }),
        ValueKind::Limit(limit) => of_limit(limit.definition()),
        ValueKind::Patterns(_) => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": MAX_PATTERNS }],
        }),
        ValueKind::Route => json!({ "type": "string", "pattern": ROUTE }),
        ValueKind::Reserved => json!({ "not": {} }),
    };
    value["description"] = json!(key.sentence());
    if let Presence::Preset(preset) = key.presence {
        value["default"] = json_of(preset);
    }
    if !matches!(key.kind, ValueKind::Reserved) {
        value["examples"] = json!([json_of(key.example)]);
    }
    value
}

fn of_limit(limit: &LimitDefinition) -> Value {
    match limit.unit {
        LimitUnit::Bytes => json!({ "type": "string", "pattern": SIZE }),
        LimitUnit::Time => json!({ "type": "string", "pattern": TIME }),
        LimitUnit::Count => {
            json!({ "type": "integer", "minimum": limit.bounds.start(), "maximum": limit.bounds.end() })
        }
    }
}

/// Parses TOML of the table of keys, which is JSON as well.
fn json_of(toml: &str) -> Value {
    serde_json::from_str(toml).unwrap_or_default()
}

#[cfg(test)]
mod tests;
