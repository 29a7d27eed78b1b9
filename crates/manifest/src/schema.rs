//! The JSON Schema of the manifest, for editors.

use crate::keys::{Key, Kind, MOST_PATTERNS, Presence, Table};
use serde_json::{Map, Value, json};
use walnut_policy::{LimitDefinition, LimitUnit};

const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const VERSION: &str =
    r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$";
const SIZE: &str = r"^\s*[0-9]+\s*([bB]|[kKmMgGtT]([iI]?[bB])?)?\s*$";
const TIME: &str = r"^\s*[0-9]+\s*(ms|s|m|min|h)\s*$";
const ROUTE: &str = r"^/([^*?#\s]*|([^*?#\s]*/)?\*\*)$";

/// The JSON Schema (draft 2020-12) of `walnut.toml`.
///
/// It cannot say all that [`crate::Manifest::parse`] checks: that patterns and times are valid, and that routes lead to
/// components that are there and do not clash.
pub fn schema() -> Value {
    let mut schema = table(Table::Root);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("walnut.toml");
    schema["required"] = json!(["app"]);
    schema
}

fn table(table: Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys() {
        properties.insert(key.name.to_owned(), property(key));
    }
    for (name, child) in table.children() {
        let value = match child {
            Table::Components => components(),
            Table::Http => json!({ "type": "array", "items": self::table(*child) }),
            child => self::table(*child),
        };
        properties.insert((*name).to_owned(), value);
    }
    let required: Vec<_> = table.keys().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc(),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if table == Table::Http {
        schema["oneOf"] = json!([{ "required": ["component"] }, { "required": ["dir"] }]);
    }
    schema
}

fn components() -> Value {
    json!({
        "type": "object",
        "description": Table::Components.doc(),
        "propertyNames": { "pattern": NAME },
        "additionalProperties": table(Table::Component),
    })
}

fn property(key: &Key) -> Value {
    let mut value = match key.kind {
        Kind::Name | Kind::Component => json!({ "type": "string", "pattern": NAME }),
        Kind::Version => json!({ "type": "string", "pattern": VERSION }),
        Kind::Path | Kind::Host => json!({ "type": "string", "minLength": 1 }),
        Kind::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Time => json!({ "type": "string", "pattern": TIME }),
        Kind::Limit(limit) => of_limit(limit.definition()),
        Kind::Patterns(_) => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": MOST_PATTERNS }],
        }),
        Kind::Route => json!({ "type": "string", "pattern": ROUTE }),
        Kind::Reserved => json!({ "not": {} }),
    };
    value["description"] = json!(key.sentence());
    if let Presence::Preset(preset) = key.presence {
        value["default"] = json_of(preset);
    }
    if !matches!(key.kind, Kind::Reserved) {
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

/// The TOML of the table of keys, which is JSON as well.
fn json_of(toml: &str) -> Value {
    serde_json::from_str(toml).unwrap_or_default()
}

#[cfg(test)]
mod tests;
