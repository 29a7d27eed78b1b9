//! Compares the schema with the reader: both accept the same files, as far as a schema can tell.

use super::*;
use crate::Manifest;
use regex::Regex;
use std::ops::RangeInclusive;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Returns the schema of the table with this header.
fn schema_of(header: &str) -> Value {
    let names = header.trim_matches(['[', ']']).split('.').filter(|name| !name.is_empty());
    names.fold(schema(), |schema, name| match name {
        "NAME" => schema["additionalProperties"].clone(),
        name if schema["properties"][name]["type"] == "array" => schema["properties"][name]["items"].clone(),
        name => schema["properties"][name].clone(),
    })
}

/// Returns every key, with its table.
fn keys() -> impl Iterator<Item = (&'static KeyTable, &'static ManifestKey)> {
    ROOT.with_descendants().into_iter().flat_map(|table| table.keys.iter().map(move |key| (table, key)))
}

#[test]
fn every_key_is_in_the_schema() {
    assert!(keys().count() > 30);
    for (table, key) in keys() {
        let schema = schema_of(table.header);
        let property = &schema["properties"][key.name];
        assert_eq!(property["description"], key.sentence(), "{} {}", table.header, key.name);
        assert_eq!(schema["additionalProperties"], false);
        let required = schema["required"].as_array().expect("a list").contains(&json!(key.name));
        assert_eq!(required, key.presence == Presence::Required, "{}", key.name);
        if !key.is_reserved() {
            assert_ne!(property["examples"][0], Value::Null, "{}", key.name);
        }
    }
}

/// Returns valid and invalid values of a kind. Errors that only the reader can tell are left out:
/// sizes out of range, invalid patterns and hosts.
fn samples(key: &ManifestKey) -> (Vec<String>, Vec<String>) {
    let sizes: (Vec<&str>, Vec<&str>) = (
        vec!["'1MiB'", "'1 MB'", "' 1m '", "'1024k'", "'1024KIB'", "'1048576'", "'1048576b'"],
        vec!["''", "'MiB'", "'1.5MiB'", "'-1MiB'", "'1 XB'", "'1 ib'", "'1MiBs'", "1048576"],
    );
    let times = (
        vec!["'500ms'", "'2 s'", "' 5m '", "'5min'", "'1h'"],
        vec!["''", "'100'", "'s'", "'1d'", "'1.5s'", "'-1s'", "'1 hour'", "5"],
    );
    let counts = (vec![], vec!["'1'", "1.5", "-1", "[1]"]);
    let (right, wrong): (Vec<&str>, Vec<&str>) = match key.kind {
        ValueKind::Name => {
            (vec!["'a'", "'a-1'", "'0'", NAME_63], vec!["''", "'-a'", "'a-'", "'A'", "'a_b'", "'a b'", NAME_64, "7"])
        }
        ValueKind::Component => (vec!["'a'"], vec!["''", "'A'", "'a '", "7", "['a']"]),
        ValueKind::Version => (
            vec!["'1.2.0'", "'0.0.1-rc.1+build.5'", "'1.2.0+a-b'", "'10.20.30-x'"],
            vec!["'1.2'", "'v1.2.0'", "'1.2.0-'", "'1.2.0 '", "'1.2.0.1'", "'1.2.0+'", "''", "1.2"],
        ),
        ValueKind::Path => (vec!["'a'", "'./a'", "'/a/b'"], vec!["''", "7", "['a']"]),
        ValueKind::Host => (vec!["'shop.example'", "'*.shop.example'"], vec!["''", "7"]),
        ValueKind::Route => (
            vec!["'/'", "'/**'", "'/api'", "'/api/'", "'/api/**'", "'/%61/.b'"],
            vec!["''", "'api'", "'api/**'", "'/a*b'", "'/a**'", "'/a/*'", "'/**/a'", "'/a?b'", "'/a#b'", "'/a b'", "7"],
        ),
        ValueKind::Time => times,
        ValueKind::Limit(limit) => match limit.definition().unit {
            LimitUnit::Bytes => sizes,
            LimitUnit::Time => times,
            LimitUnit::Count => counts,
        },
        ValueKind::Patterns(_) => (vec![key.example], vec!["7", "[7]", "{ a = 'b' }", "true"]),
        ValueKind::Integer { .. } => counts,
        ValueKind::Reserved => (vec![], vec!["{}", "'a'"]),
    };
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let (mut right, mut wrong) = (owned(right), owned(wrong));
    let bounds = match key.kind {
        ValueKind::Integer { min, max } => Some(min..=max),
        ValueKind::Limit(limit) => {
            Some(limit.definition()).filter(|l| l.unit == LimitUnit::Count).map(|l| l.bounds.clone())
        }
        _ => None,
    };
    if let Some((min, max)) = bounds.map(RangeInclusive::into_inner) {
        right.extend([min.to_string(), max.to_string()]);
        wrong.extend([(max + 1).to_string()].into_iter().chain(min.checked_sub(1).map(|less| less.to_string())));
    }
    if let ValueKind::Patterns(_) = key.kind {
        let pattern = key.example.trim_matches(['[', ']']).split(", ").next().unwrap_or_default();
        let list = |count: usize| format!("[{}]", vec![pattern; count].join(", "));
        right.extend([pattern.to_owned(), list(0), list(MAX_PATTERNS)]);
        wrong.push(list(MAX_PATTERNS + 1));
    }
    (right, wrong)
}

const NAME_63: &str = "'a23456789-123456789-123456789-123456789-123456789-123456789-123'";
const NAME_64: &str = "'a23456789-123456789-123456789-123456789-123456789-123456789-1234'";

/// Writes a manifest that is valid if `value` is valid for `key` of `table`.
fn manifest(table: &KeyTable, key: &ManifestKey, value: &str) -> String {
    let name = key.name;
    let mut lines = vec![("app.name", "'a'"), ("component.a.source", "'a.wasm'")];
    let own = format!("{}.{name}", table.header.trim_matches(['[', ']']).replace("NAME", "a"));
    let others = [("route", "'/'"), ("component", "'a'")];
    let is_kept = |other: &str| other != name && !(other == "component" && name == "dir");
    let others: String = others
        .iter()
        .filter(|(other, _)| is_kept(other))
        .map(|(other, value)| format!(", {other} = {value}"))
        .collect();
    let route = format!("[{{ {name} = {value}{others} }}]");
    lines.retain(|(other, _)| *other != own);
    lines.push(if table.header == "[[http]]" { ("http", &route) } else { (&own, value) });
    lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

#[test]
fn the_schema_takes_and_refuses_what_the_reader_does() {
    for (table, key) in keys() {
        let (right, wrong) = samples(key);
        assert!(right.is_empty() == key.is_reserved() && !wrong.is_empty());
        for (values, is_right) in [(right, true), (wrong, false)] {
            for text in values.iter().map(|value| manifest(table, key, value)) {
                let read = Manifest::parse(&text, "walnut.toml", Path::new("/srv"));
                assert_eq!(read.is_ok(), is_right, "the reader: {text:.200}{read:?}");
                assert_eq!(fits(&json_of_toml(&text), &schema()), is_right, "the schema: {text:.200}");
            }
        }
    }
}

#[test]
fn the_schema_knows_what_must_be_there_and_what_must_not() {
    let rest = "app.name = 'a'\ncomponent.a.source = 'a'\n";
    for (text, is_right) in [
        (rest.to_owned(), true),
        (include_str!("../example.toml").to_owned(), true),
        ("component.a.source = 'a'\n".to_owned(), false),
        ("app.version = '1.2.0'\ncomponent.a.source = 'a'\n".to_owned(), false),
        ("app.name = 'a'\ncomponent.a.limits.stack = '1MiB'\n".to_owned(), false),
        ("app.name = 'a'\ncomponent.a_b.source = 'a'\n".to_owned(), false),
        ("app = 'a'\ncomponent.a.source = 'a'\n".to_owned(), false),
        (format!("{rest}colour = 'red'\n"), false),
        (format!("{rest}component.a.colour = 'red'\n"), false),
        (format!("{rest}component.a.limits.colour = 'red'\n"), false),
        (format!("{rest}http = {{ route = '/', component = 'a' }}\n"), false),
        (format!("{rest}http = [{{ route = '/' }}]\n"), false),
        (format!("{rest}http = [{{ component = 'a' }}]\n"), false),
        (format!("{rest}http = [{{ route = '/', component = 'a', dir = 'b' }}]\n"), false),
    ] {
        assert_eq!(Manifest::parse(&text, "walnut.toml", Path::new("/srv")).is_ok(), is_right, "the reader: {text}");
        assert_eq!(fits(&json_of_toml(&text), &schema()), is_right, "the schema: {text}");
    }
}

fn json_of_toml(text: &str) -> Value {
    json_of_value(&DeValue::Table(DeTable::parse(text).expect("it is TOML").into_inner()))
}

fn json_of_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Table(entries) => {
            entries.iter().map(|(key, value)| (key.get_ref().to_string(), json_of_value(value.get_ref()))).collect()
        }
        DeValue::Array(items) => items.iter().map(|item| json_of_value(item.get_ref())).collect(),
        DeValue::String(text) => json!(text),
        DeValue::Boolean(is_so) => json!(is_so),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().expect("a number")),
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().expect("a number")),
        DeValue::Datetime(time) => json!(time.to_string()),
    }
}

/// Returns whether `schema` describes `value`. Knows the keywords of JSON Schema that the schema of
/// the manifest uses, and panics at any other keyword.
fn fits(value: &Value, schema: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return schema.as_bool().expect("a schema or a truth") };
    let each = |list: &Value| list.as_array().expect("a list of schemas").iter().filter(|one| fits(value, one)).count();
    let (object, list) = (value.as_object(), value.as_array());
    rules.iter().all(|(keyword, rule)| match keyword.as_str() {
        "type" => is_a(value, rule.as_str().expect("a type")),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().expect("a pattern")).expect("it is a pattern");
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "minLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().expect("a length"))
        }
        "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().expect("a number")),
        "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().expect("a number")),
        "maxItems" => list.is_none_or(|items| items.len() as u64 <= rule.as_u64().expect("a length")),
        "items" => list.is_none_or(|items| items.iter().all(|item| fits(item, rule))),
        "anyOf" => each(rule) > 0,
        "oneOf" => each(rule) == 1,
        "not" => !fits(value, rule),
        "required" => object.is_none_or(|object| {
            rule.as_array().expect("names").iter().all(|name| object.contains_key(name.as_str().expect("a name")))
        }),
        "propertyNames" => object.is_none_or(|object| object.keys().all(|name| fits(&json!(name), rule))),
        "properties" => object.is_none_or(|object| {
            object.iter().all(|(name, value)| rule.get(name).is_none_or(|schema| fits(value, schema)))
        }),
        "additionalProperties" => object.is_none_or(|object| {
            let is_named = |name: &str| rules.get("properties").is_some_and(|named| named.get(name).is_some());
            object.iter().all(|(name, value)| is_named(name) || fits(value, rule))
        }),
        "$schema" | "title" | "description" | "default" | "examples" => true,
        other => panic!("`{other}` is not known to this test"),
    })
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("`{other}` is not known to this test"),
    }
}
