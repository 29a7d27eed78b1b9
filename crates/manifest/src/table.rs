//! Types of the table of keys: tables of the manifest, their keys, and the kinds of values.

use walnut_policy::{Capability, Limit, LimitUnit};

/// Largest number of patterns in one list. Each decision may look at all of them.
pub(crate) const MAX_PATTERNS: usize = 1000;

/// Table of the manifest.
#[derive(Debug)]
pub(crate) struct KeyTable {
    /// Header in a file, with `NAME` for the name of a component; empty for the file itself.
    pub header: &'static str,
    pub shape: TableShape,
    /// Description, in a sentence or two.
    pub doc: &'static str,
    pub keys: &'static [ManifestKey],
    /// Keys of which an entry has exactly one; empty when the table has no such keys.
    pub exactly_one_of: &'static [&'static str],
    /// Keys that belong to another table, or that have another name.
    pub moved: &'static [MovedKey],
    /// Returns the tables in this table, each with its key.
    pub children: fn() -> Vec<(&'static str, &'static KeyTable)>,
}

/// Shape of a table in a file.
#[derive(Debug)]
pub(crate) enum TableShape {
    /// `[table]`
    Single,
    /// `[table.NAME]`: each key is a name that the author chose, and its value is such a table.
    Named(&'static KeyTable),
    /// `[[table]]`
    List,
}

/// Key of a table.
#[derive(Debug)]
pub(crate) struct ManifestKey {
    pub name: &'static str,
    pub kind: ValueKind,
    pub presence: Presence,
    /// Description in one sentence, of which the full stop may be absent.
    pub doc: &'static str,
    /// Value of the example, as TOML.
    pub example: &'static str,
}

/// Key that stands in the wrong table, or has a name that is not used any more.
#[derive(Debug)]
pub(crate) struct MovedKey {
    /// Name of the key in the wrong place.
    pub name: &'static str,
    /// Key to write.
    pub key: &'static ManifestKey,
    /// Headers of the tables for the key: of one entry, and of the defaults for all components.
    pub headers: (&'static str, &'static str),
}

/// Kind of value that a key takes, with its range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueKind {
    /// Name of an app.
    Name,
    Version,
    /// File or folder, relative to the folder of the manifest.
    Path,
    Integer {
        min: u64,
        max: u64,
    },
    Time,
    /// Limit of a sandbox, in its unit.
    Limit(Limit),
    /// Pattern or a list of patterns, as the flag takes them.
    Patterns(Capability),
    Host,
    Route,
    /// Name of a component in the same file.
    Component,
    /// Key of a later version.
    Reserved,
}

/// Whether a key is required, and the value when it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// The table with this header gives the value.
    Inherited(&'static str),
    /// Default in TOML, where no flag says otherwise.
    Preset(&'static str),
}

impl KeyTable {
    /// Returns the key `name`.
    pub fn key(&self, name: &str) -> Option<&'static ManifestKey> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns the table `name` in this table.
    pub fn child(&self, name: &str) -> Option<&'static KeyTable> {
        (self.children)().into_iter().find(|(child, _)| *child == name).map(|(_, table)| table)
    }

    /// Returns this table and all tables in it that a file has headers of, in the order of the
    /// reference.
    pub fn with_descendants(&'static self) -> Vec<&'static KeyTable> {
        let own = match self.shape {
            TableShape::Named(table) => return table.with_descendants(),
            TableShape::Single | TableShape::List => Some(self).filter(|table| !table.header.is_empty()),
        };
        let children = (self.children)().into_iter().flat_map(|(_, table)| table.with_descendants());
        own.into_iter().chain(children).collect()
    }
}

impl ManifestKey {
    /// Returns the description, with its full stop.
    pub fn sentence(&self) -> String {
        format!("{}.", self.doc.trim_end_matches('.'))
    }

    /// Returns whether the key belongs to a later version.
    pub fn is_reserved(&self) -> bool {
        matches!(self.kind, ValueKind::Reserved)
    }
}

impl ValueKind {
    /// Describes the values of this kind.
    pub fn describe(self) -> &'static str {
        match self {
            ValueKind::Name
            | ValueKind::Version
            | ValueKind::Path
            | ValueKind::Host
            | ValueKind::Route
            | ValueKind::Component => "text in quotes",
            ValueKind::Integer { .. } => "a whole number",
            ValueKind::Time => "a time in quotes",
            ValueKind::Limit(limit) => match limit.definition().unit {
                LimitUnit::Bytes => "a size in quotes",
                LimitUnit::Time => "a time in quotes",
                LimitUnit::Count => "a whole number",
            },
            ValueKind::Patterns(_) => "text in quotes, or a list of texts,",
            ValueKind::Reserved => "nothing",
        }
    }
}

/// Makes a key.
pub(crate) const fn key(
    name: &'static str,
    kind: ValueKind,
    presence: Presence,
    doc: &'static str,
    example: &'static str,
) -> ManifestKey {
    ManifestKey { name, kind, presence, doc, example }
}

/// Makes a kind of whole numbers.
pub(crate) const fn count(min: u64, max: u64) -> ValueKind {
    ValueKind::Integer { min, max }
}

/// Returns no table, for tables without tables in them.
pub(crate) fn no_children() -> Vec<(&'static str, &'static KeyTable)> {
    Vec::new()
}
