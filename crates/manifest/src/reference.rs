//! The page that describes each key, for `docs/manifest.md`.

use crate::keys::{Key, Kind, Presence, Table};
use std::fmt::Write;
use walnut_policy::{LimitDefinition, LimitUnit};

const HEAD: &str = "\
# walnut.toml

An app in one file: its components, what each may do, and which requests they answer. `cargo xtask generate` writes this
page and `walnut.schema.json`, which editors read, from the table of keys in `crates/manifest`.

Paths begin at the folder of the file. Sizes are binary: `64KiB`, `128MiB`, `1GiB`. Times are `500ms`, `2s`, `5m`, `1h`.
What the file does not know is an error, and all errors are told at once.
";

/// The reference of the manifest, in Markdown.
pub fn reference() -> String {
    let mut page = format!("{HEAD}\n```toml\n{}```\n", include_str!("example.toml"));
    for table in Table::WRITTEN {
        let _ = write!(page, "\n## {}\n\n{}\n\n", title(table), table.doc());
        page.push_str("| key | what | without it | example |\n|-|-|-|-|\n");
        for key in table.keys() {
            row(&mut page, key);
        }
    }
    page
}

fn title(table: Table) -> String {
    format!("`{}`", table.header())
}

fn row(page: &mut String, key: &Key) {
    let example = match key.kind {
        Kind::Reserved => String::new(),
        _ => format!("`{} = {}`", key.name, key.example),
    };
    let _ = writeln!(page, "| `{}` | {}{} | {} | {example} |", key.name, key.sentence(), range(key.kind), without(key));
}

fn range(kind: Kind) -> String {
    match kind {
        Kind::Integer { least, most } => format!(" From {least} to {most}."),
        Kind::Limit(limit) => {
            let LimitDefinition { unit, bounds, .. } = limit.definition();
            match unit {
                LimitUnit::Time => String::new(),
                unit => format!(" From {} to {}.", unit.format(*bounds.start()), unit.format(*bounds.end())),
            }
        }
        _ => String::new(),
    }
}

fn without(key: &Key) -> String {
    match (key.presence, key.table) {
        (Presence::Required, _) => "an error".to_owned(),
        (Presence::Preset(value), _) => format!("`{value}`"),
        (Presence::Optional, Table::Allow | Table::Deny) => "none".to_owned(),
        (Presence::Optional, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Manifest;
    use crate::keys::{KEYS, Key, Kind, Presence, Table};
    use std::path::Path;

    #[test]
    fn the_full_example_is_a_manifest() {
        let manifest = Manifest::parse(include_str!("example.toml"), "example.toml", Path::new("/srv"));
        assert_eq!(manifest.expect("no errors").components.len(), 2);
    }

    #[test]
    fn every_example_and_every_default_is_read() {
        for key in KEYS.iter().filter(|key| !matches!(key.kind, Kind::Reserved)) {
            let default = match key.presence {
                Presence::Preset(value) => Some(value),
                Presence::Required | Presence::Optional => None,
            };
            for value in [key.example].into_iter().chain(default) {
                let text = around(key, value);
                if let Err(errors) = Manifest::parse(&text, "walnut.toml", Path::new("/srv")) {
                    panic!("{text}\n{errors}");
                }
            }
        }
    }

    /// A manifest with this value for this key.
    fn around(key: &Key, value: &str) -> String {
        let mut text = String::new();
        for table in Table::WRITTEN {
            text.push_str(&table.header().replace("NAME", "api"));
            text.push('\n');
            let is_target = key.table == Table::Http && matches!(key.name, "component" | "dir");
            let needed = |other: &&Key| {
                other.presence == Presence::Required
                    || (other.table == Table::Http && other.name == "dir" && !is_target)
            };
            for other in table.keys().filter(needed).filter(|other| !std::ptr::eq(*other, key)) {
                text.push_str(&format!("{} = {}\n", other.name, other.example));
            }
            if table == key.table {
                text.push_str(&format!("{} = {value}\n", key.name));
            }
        }
        text
    }
}
