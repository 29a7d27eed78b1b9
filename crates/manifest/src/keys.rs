//! Every key that a manifest may have, in one table. The reader, the schema and the reference are all made from it.

use walnut_policy::{Capability, Limit, LimitUnit};

/// The longest list of patterns. Each decision looks at every one.
pub(crate) const MOST_PATTERNS: usize = 1000;

/// A table of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Root,
    App,
    /// `[component]`, whose keys are the names of components.
    Components,
    Component,
    Allow,
    Deny,
    Limits,
    Http,
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub table: Table,
    pub name: &'static str,
    pub kind: Kind,
    pub presence: Presence,
    /// One sentence.
    pub doc: &'static str,
    /// The value of the example, as TOML.
    pub example: &'static str,
}

/// What a value is, with its range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A name of an app.
    Name,
    Version,
    /// A file or folder, relative to the manifest's.
    Path,
    Integer {
        least: u64,
        most: u64,
    },
    Time,
    /// A limit of a sandbox, in its unit.
    Limit(Limit),
    /// A pattern or a list of them, as the flag takes them.
    Patterns(Capability),
    Host,
    Route,
    /// The name of a component of the same file.
    Component,
    /// A key of a later version.
    Reserved,
}

/// Whether a key must be there, and what holds when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// It is this, in TOML, where neither the file nor whoever runs it says.
    Preset(&'static str),
}

impl Key {
    /// The description, with its full stop.
    pub fn sentence(&self) -> String {
        format!("{}.", self.doc.trim_end_matches('.'))
    }
}

use Presence::{Optional, Preset, Required};

impl Table {
    /// Every table that a file has headers of, in the order of the reference.
    pub const WRITTEN: [Table; 6] =
        [Table::App, Table::Component, Table::Allow, Table::Deny, Table::Limits, Table::Http];

    /// The header, with `NAME` where a component's name stands.
    pub fn header(self) -> &'static str {
        match self {
            Table::Root => "",
            Table::App => "[app]",
            Table::Components => "[component]",
            Table::Component => "[component.NAME]",
            Table::Allow => "[component.NAME.allow]",
            Table::Deny => "[component.NAME.deny]",
            Table::Limits => "[component.NAME.limits]",
            Table::Http => "[[http]]",
        }
    }

    /// What it is for, in a sentence or two.
    pub fn doc(self) -> &'static str {
        match self {
            Table::Root => "An app: components, what each may do, and which requests they answer.",
            Table::App => "The app itself.",
            Table::Components => "The components, by name: lowercase letters, digits and hyphens.",
            Table::Component => {
                "One component of the app. It is sealed: it can do nothing that its `allow` does not say."
            }
            Table::Allow => {
                "What the component may do. Each key takes one pattern or a list, as the flag of the same name does."
            }
            Table::Deny => "What the component may not do, whatever is allowed: a denial beats every grant.",
            Table::Limits => {
                "What one sandbox of the component may use. What is not said here is as `walnut serve --help` says."
            }
            Table::Http => {
                "One route for HTTP requests, to a component or to static files; exactly one of `component` and `dir` \
                 is there. The exact host goes before the longest `*.` host, and that before none; within a host the \
                 exact path goes before the longest prefix."
            }
        }
    }

    /// The tables in it, each with its key.
    pub fn children(self) -> &'static [(&'static str, Table)] {
        match self {
            Table::Root => &[("app", Table::App), ("component", Table::Components), ("http", Table::Http)],
            Table::Component => &[("allow", Table::Allow), ("deny", Table::Deny), ("limits", Table::Limits)],
            _ => &[],
        }
    }

    /// The keys in it that are not tables.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.table == self)
    }
}

impl Kind {
    /// What a value of it is, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::Name | Kind::Version | Kind::Path | Kind::Host | Kind::Route | Kind::Component => "text in quotes",
            Kind::Integer { .. } => "a whole number",
            Kind::Time => "a time in quotes",
            Kind::Limit(limit) => match limit.definition().unit {
                LimitUnit::Bytes => "a size in quotes",
                LimitUnit::Time => "a time in quotes",
                LimitUnit::Count => "a whole number",
            },
            Kind::Patterns(_) => "text in quotes, or a list of it,",
            Kind::Reserved => "nothing",
        }
    }
}

/// The table of all keys, in the order of the reference.
pub(crate) static KEYS: [Key; 32] = [
    key(Table::App, "name", Kind::Name, Required, "The app's name: lowercase letters, digits, hyphens.", "\"shop\""),
    key(Table::App, "version", Kind::Version, Optional, "The app's version.", "\"1.2.0\""),
    key(Table::Component, "source", Kind::Path, Required, "The component's file.", "\"api.wasm\""),
    key(Table::Component, "reuse", count(1, 1_000_000), Preset("1"), REUSE, "1"),
    key(Table::Component, "sandboxes", count(1, 5_000), Preset("100"), "How many sandboxes live at once.", "100"),
    key(Table::Component, "queue", count(0, 100_000), Preset("1000"), "How many requests may wait for one.", "1000"),
    key(Table::Component, "patience", Kind::Time, Preset("\"10s\""), "How long they wait.", "\"10s\""),
    key(Table::Component, "uses", Kind::Reserved, Optional, "Kept for a version that can compose components.", "{}"),
    allow(Capability::Dir, "Folders of the host, as `HOST::GUEST` or `HOST::GUEST::rw`.", "\"./assets::/assets\""),
    allow(Capability::Env, "Variables: `NAME` as it is set, or `NAME=VALUE`.", "[\"LANG\", \"MODE=production\"]"),
    allow(Capability::Connect, "Outbound TCP and UDP, as `HOST:PORT`.", "\"db.internal:5432\""),
    allow(Capability::Listen, "Inbound TCP and UDP, as `ADDRESS:PORT`.", "\"127.0.0.1:9000\""),
    allow(Capability::Resolve, "Names to look up.", "\"*.internal\""),
    allow(Capability::Http, "Outbound requests, as `[METHODS] URL`.", "\"GET https://api.github.com/repos/**\""),
    deny(Capability::Dir, "Guest paths, each with all below it.", "\"/assets/private\""),
    deny(Capability::Env, "Variables: `NAME`, `PREFIX_*` or `*`.", "\"AWS_*\""),
    deny(Capability::Connect, "Connections, by name or by address.", "\"169.254.0.0/16:*\""),
    deny(Capability::Listen, "Addresses to listen on.", "\"*:22\""),
    deny(Capability::Resolve, "Names to look up.", "\"metadata.google.internal\""),
    deny(Capability::Http, "Outbound requests.", "\"DELETE *://*:*\""),
    limit(Limit::Memory),
    limit(Limit::Cpu),
    limit(Limit::Deadline),
    limit(Limit::Stack),
    limit(Limit::Handles),
    limit(Limit::RequestBody),
    limit(Limit::ResponseBody),
    limit(Limit::Connections),
    key(
        Table::Http,
        "host",
        Kind::Host,
        Optional,
        "A name, or `*.` and a name; without it, every host.",
        "\"shop.example\"",
    ),
    key(Table::Http, "route", Kind::Route, Required, ROUTE, "\"/api/**\""),
    key(Table::Http, "component", Kind::Component, Optional, "Which component answers.", "\"api\""),
    key(Table::Http, "dir", Kind::Path, Optional, DIR, "\"./public\""),
];

const DIR: &str = "The folder whose files are the answers: what follows the `/path` of a `/path/**` names one, and of a `/path` alone its last name.";
const REUSE: &str = "How many requests one sandbox of WASI 0.2 takes, one after another; 1 is a fresh sandbox for each. With more, what the component remembers of one request is there in the next, whoever sends it. Components of 0.3 decide this themselves.";
const ROUTE: &str = "A path, `/path`, or it and all below it, `/path/**`; `/**` is every path.";

const fn key(
    table: Table,
    name: &'static str,
    kind: Kind,
    presence: Presence,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { table, name, kind, presence, doc, example }
}

const fn allow(capability: Capability, doc: &'static str, example: &'static str) -> Key {
    key(Table::Allow, capability.name(), Kind::Patterns(capability), Optional, doc, example)
}

const fn deny(capability: Capability, doc: &'static str, example: &'static str) -> Key {
    key(Table::Deny, capability.name(), Kind::Patterns(capability), Optional, doc, example)
}

const fn limit(limit: Limit) -> Key {
    let definition = limit.definition();
    key(Table::Limits, definition.name, Kind::Limit(limit), Optional, definition.doc, definition.example)
}

const fn count(least: u64, most: u64) -> Kind {
    Kind::Integer { least, most }
}
