//! The JSON Schema of the manifest, for editors.

use crate::keys::{Key, Kind, MOST_PATTERNS, Presence, Table};
use serde_json::{Map, Value, json};

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
        Kind::Size { .. } => json!({ "type": "string", "pattern": SIZE }),
        Kind::Time => json!({ "type": "string", "pattern": TIME }),
        Kind::Patterns(_) => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": MOST_PATTERNS }],
        }),
        Kind::Route => json!({ "type": "string", "pattern": ROUTE }),
        Kind::Reserved => json!({ "not": {} }),
    };
    value["description"] = json!(key.doc);
    if let Presence::Preset(preset) = key.presence {
        value["default"] = json_of(preset);
    }
    if !matches!(key.kind, Kind::Reserved) {
        value["examples"] = json!([json_of(key.example)]);
    }
    value
}

/// The TOML of the table of keys, which is JSON as well.
fn json_of(toml: &str) -> Value {
    serde_json::from_str(toml).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KEYS;
    use toml::de::{DeTable, DeValue};

    /// The schema of a table.
    fn schema_of(table: Table) -> Value {
        let component = &schema()["properties"]["component"]["additionalProperties"];
        match table {
            Table::Root => schema(),
            Table::App => schema()["properties"]["app"].clone(),
            Table::Components => schema()["properties"]["component"].clone(),
            Table::Component => component.clone(),
            Table::Allow => component["properties"]["allow"].clone(),
            Table::Deny => component["properties"]["deny"].clone(),
            Table::Limits => component["properties"]["limits"].clone(),
            Table::Http => schema()["properties"]["http"]["items"].clone(),
        }
    }

    #[test]
    fn every_key_is_in_the_schema() {
        for key in &KEYS {
            let schema = schema_of(key.table);
            let property = &schema["properties"][key.name];
            assert_eq!(property["description"], key.doc, "{} {}", key.table.header(), key.name);
            assert_eq!(schema["additionalProperties"], false);
            let required = schema["required"].as_array().expect("a list").contains(&json!(key.name));
            assert_eq!(required, key.presence == Presence::Required, "{}", key.name);
            if !matches!(key.kind, Kind::Reserved) {
                assert_ne!(property["examples"][0], Value::Null, "{}", key.name);
            }
        }
    }

    #[test]
    fn the_schema_has_a_place_for_all_of_the_example() {
        let example = DeTable::parse(include_str!("example.toml")).expect("the example is TOML");
        fits(&DeValue::Table(example.into_inner()), &schema());
    }

    /// Looks at types and names of keys, which is what this schema is made of beside patterns.
    fn fits(value: &DeValue<'_>, schema: &Value) {
        let schemas = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let schema = schemas.iter().find(|schema| schema["type"] == type_of(value)).expect("a schema of this type");
        match value {
            DeValue::Table(entries) => {
                for (key, value) in entries {
                    let named = schema["properties"].get(key.get_ref().as_ref());
                    fits(value.get_ref(), named.unwrap_or(&schema["additionalProperties"]));
                }
            }
            DeValue::Array(items) => items.iter().for_each(|item| fits(item.get_ref(), &schema["items"])),
            _ => {}
        }
    }

    fn type_of(value: &DeValue<'_>) -> &'static str {
        match value {
            DeValue::Table(_) => "object",
            other => other.type_str(),
        }
    }
}
