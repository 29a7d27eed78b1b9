//! Writes `docs/manifest.md`, the page that describes each key.

use crate::keys::ROOT;
use crate::table::{KeyTable, ManifestKey, Presence, ValueKind};
use std::fmt::Write;
use walnut_policy::{LimitDefinition, LimitUnit};

const HEAD: &str = "\
# walnut.toml

An app in one file: its components, their grants, and the requests that they answer.
`cargo xtask generate` writes this page and `walnut.schema.json`, which editors read, from the table
of keys in `crates/manifest`.

Relative paths begin at the folder of the file. Sizes are binary: `64KiB`, `128MiB`, `1GiB`. Times
are `500ms`, `2s`, `5m`, `1h`. An unknown key is an error, and all errors are reported at once.
";

/// Returns the reference of the manifest, in Markdown.
pub fn reference() -> String {
    let mut page = format!("{HEAD}\n```toml\n{}```\n", include_str!("example.toml"));
    for table in ROOT.with_descendants() {
        let _ = write!(page, "\n## {}\n\n{}\n\n", title(table), wrap(table.doc));
        page.push_str("| key | description | default | example |\n|-|-|-|-|\n");
        for key in table.keys {
            row(&mut page, key);
        }
    }
    page
}

fn title(table: &KeyTable) -> String {
    format!("`{}`", table.header)
}

/// Breaks text into lines of at most 100 columns.
fn wrap(text: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < 100 => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn row(page: &mut String, key: &ManifestKey) {
    let example = match key.kind {
        ValueKind::Reserved => String::new(),
        _ => format!("`{} = {}`", key.name, key.example),
    };
    let _ = writeln!(page, "| `{}` | {}{} | {} | {example} |", key.name, key.sentence(), range(key.kind), without(key));
}

fn range(kind: ValueKind) -> String {
    match kind {
        ValueKind::Integer { min, max } => format!(" From {min} to {max}."),
        ValueKind::Limit(limit) => {
            let LimitDefinition { unit, bounds, .. } = limit.definition();
            match unit {
                LimitUnit::Time => String::new(),
                unit => format!(" From {} to {}.", unit.format(*bounds.start()), unit.format(*bounds.end())),
            }
        }
        _ => String::new(),
    }
}

fn without(key: &ManifestKey) -> String {
    match (key.presence, key.kind) {
        (Presence::Required, _) => "required".to_owned(),
        (Presence::Preset(value), _) => format!("`{value}`"),
        (Presence::Inherited(header), _) => format!("as `{header}`"),
        (Presence::Optional, ValueKind::Patterns(_)) => "none".to_owned(),
        (Presence::Optional, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Manifest;
    use crate::keys::ROOT;
    use crate::table::{KeyTable, ManifestKey, Presence};
    use std::path::Path;

    #[test]
    fn the_full_example_is_a_manifest() {
        let manifest = Manifest::parse(include_str!("example.toml"), "example.toml", Path::new("/srv"));
        assert_eq!(manifest.expect("no errors").components.len(), 2);
    }

    #[test]
    fn every_example_and_every_default_is_read() {
        for table in ROOT.with_descendants() {
            for key in table.keys.iter().filter(|key| !key.is_reserved()) {
                let default = match key.presence {
                    Presence::Preset(value) => Some(value),
                    Presence::Required | Presence::Optional | Presence::Inherited(_) => None,
                };
                for value in [key.example].into_iter().chain(default) {
                    let text = around(table, key, value);
                    if let Err(errors) = Manifest::parse(&text, "walnut.toml", Path::new("/srv")) {
                        panic!("{text}\n{errors}");
                    }
                }
            }
        }
    }

    /// Writes a manifest with this value for this key of `at`.
    fn around(at: &KeyTable, key: &ManifestKey, value: &str) -> String {
        let mut text = String::new();
        for table in ROOT.with_descendants() {
            text.push_str(&table.header.replace("NAME", "api"));
            text.push('\n');
            let is_here = std::ptr::eq(table, at);
            // Takes the first of keys that exclude each other, unless `key` is another of them.
            let has_choice = is_here && table.exactly_one_of.contains(&key.name);
            let chosen = table.exactly_one_of.first().filter(|_| !has_choice);
            let needed = |other: &&ManifestKey| other.presence == Presence::Required || chosen == Some(&other.name);
            for other in table.keys.iter().filter(needed).filter(|other| !std::ptr::eq(*other, key)) {
                text.push_str(&format!("{} = {}\n", other.name, other.example));
            }
            if is_here {
                text.push_str(&format!("{} = {value}\n", key.name));
            }
        }
        text
    }
}
