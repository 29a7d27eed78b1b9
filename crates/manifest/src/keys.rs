//! Table of all keys that a manifest may have. The reader, the schema and the reference are made
//! from it. Keys of a trigger are in the trigger's file.

use crate::table::Presence::{Optional, Required};
use crate::table::{KeyTable, ManifestKey, TableShape, ValueKind, key, no_children};
use crate::trigger::{TRIGGERS, http};
use walnut_policy::{Capability, Limit};

/// The file itself.
pub(crate) static ROOT: KeyTable = KeyTable {
    header: "",
    shape: TableShape::Single,
    doc: "An app: components, their grants, and the requests that they answer.",
    keys: &[],
    exactly_one_of: &[],
    moved: &http::MOVED,
    children: || {
        let own = [("app", &APP), ("component", &COMPONENTS)];
        own.into_iter().chain(TRIGGERS.iter().map(|trigger| (trigger.name, trigger.entry))).collect()
    },
};

static APP: KeyTable = KeyTable {
    header: "[app]",
    shape: TableShape::Single,
    doc: "The app itself.",
    keys: &[
        key("name", ValueKind::Name, Required, "The app's name: lowercase letters, digits, hyphens.", "\"shop\""),
        key("version", ValueKind::Version, Optional, "The app's version.", "\"1.2.0\""),
    ],
    exactly_one_of: &[],
    moved: &http::MOVED,
    children: || TRIGGERS.iter().map(|trigger| (trigger.name, trigger.defaults)).collect(),
};

static COMPONENTS: KeyTable = KeyTable {
    header: "[component]",
    shape: TableShape::Named(&COMPONENT),
    doc: "The components, by name: lowercase letters, digits and hyphens.",
    keys: &[],
    exactly_one_of: &[],
    moved: &[],
    children: no_children,
};

/// A component of the app.
pub(crate) static COMPONENT: KeyTable = KeyTable {
    header: "[component.NAME]",
    shape: TableShape::Single,
    doc: "A component of the app. A component is sealed: it may do nothing but what its `allow` grants.",
    keys: &[
        key("source", ValueKind::Path, Required, "The component's file.", "\"api.wasm\""),
        key("uses", ValueKind::Reserved, Optional, "Reserved for a version that composes components.", "{}"),
    ],
    exactly_one_of: &[],
    moved: &http::MOVED,
    children: || vec![("allow", &ALLOW), ("deny", &DENY), ("limits", &LIMITS)],
};

const ALLOW_KEYS: &[ManifestKey] = &[
    grant(Capability::Dir, "Folders of the host, as `HOST::GUEST` or `HOST::GUEST::rw`.", "\"./assets::/assets\""),
    grant(
        Capability::Env,
        "Variables: `NAME` with the value that the host has, or `NAME=VALUE`.",
        "[\"LANG\", \"MODE=production\"]",
    ),
    grant(Capability::Connect, "Outbound TCP and UDP, as `HOST:PORT`.", "\"db.internal:5432\""),
    grant(Capability::Listen, "Inbound TCP and UDP, as `ADDRESS:PORT`.", "\"127.0.0.1:9000\""),
    grant(Capability::Resolve, "Names to look up.", "\"*.internal\""),
    grant(Capability::Http, "Outbound HTTP requests, as `[METHODS] URL`.", "\"GET https://api.github.com/repos/**\""),
];

/// Grants of a component.
pub(crate) static ALLOW: KeyTable = KeyTable {
    header: "[component.NAME.allow]",
    shape: TableShape::Single,
    doc: "Grants of the component. Each key takes one pattern or a list, as the flag of the same name does.",
    keys: ALLOW_KEYS,
    exactly_one_of: &[],
    moved: &http::RENAMED,
    children: no_children,
};

const DENY_KEYS: &[ManifestKey] = &[
    grant(Capability::Dir, "Paths of the guest, each with all paths below it.", "\"/assets/private\""),
    grant(Capability::Env, "Variables: `NAME`, `PREFIX_*` or `*`.", "\"AWS_*\""),
    grant(Capability::Connect, "Connections, by name or by address.", "\"169.254.0.0/16:*\""),
    grant(Capability::Listen, "Addresses to listen on.", "\"*:22\""),
    grant(Capability::Resolve, "Names to look up.", "\"metadata.google.internal\""),
    grant(Capability::Http, "Outbound HTTP requests.", "\"DELETE *://*:*\""),
];

/// Denials of a component.
pub(crate) static DENY: KeyTable = KeyTable {
    header: "[component.NAME.deny]",
    shape: TableShape::Single,
    doc: "Denials of the component. A denial beats every grant.",
    keys: DENY_KEYS,
    exactly_one_of: &[],
    moved: &http::RENAMED,
    children: no_children,
};

/// Fails to compile when a capability has no key.
const _: () = assert!(
    ALLOW_KEYS.len() == Capability::ALL.len() && DENY_KEYS.len() == Capability::ALL.len(),
    "a capability has no key in `allow` or `deny`"
);

static LIMITS: KeyTable = KeyTable {
    header: "[component.NAME.limits]",
    shape: TableShape::Single,
    doc: "Limits of one sandbox of the component. `walnut serve --help` has the defaults.",
    keys: &[
        limit(Limit::Memory),
        limit(Limit::Cpu),
        limit(Limit::Deadline),
        limit(Limit::Stack),
        limit(Limit::Handles),
        limit(Limit::RequestBody),
        limit(Limit::ResponseBody),
        limit(Limit::Connections),
    ],
    exactly_one_of: &[],
    moved: &http::RENAMED,
    children: no_children,
};

const fn grant(capability: Capability, doc: &'static str, example: &'static str) -> ManifestKey {
    key(capability.name(), ValueKind::Patterns(capability), Optional, doc, example)
}

const fn limit(limit: Limit) -> ManifestKey {
    let definition = limit.definition();
    key(definition.name, ValueKind::Limit(limit), Optional, definition.doc, definition.example)
}
