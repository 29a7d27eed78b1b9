//! Reads `walnut.toml`: an app, its components with their grants, and their routes.
//!
//! This crate is pure. It takes text and the folder of the manifest, and looks at no file: callers
//! check whether sources and folders exist. The host reads apps through it.
//!
//! A [`Manifest`] without errors guarantees:
//! * every name, pattern, number and route in it is valid, and every route has a target;
//! * no two routes are for the same requests;
//! * relative paths of the host begin at the folder of the manifest.
//!
//! [`ManifestErrors`] has all errors at once. A caller that looks at the files as well reads a
//! [`ManifestDraft`], and adds errors about files to its [`ManifestReport`]. The keys, their
//! defaults and their ranges are in one table (`keys.rs`, and `trigger/` for each trigger), from
//! which the reader, [`schema()`] and [`reference()`] are made.

#![forbid(unsafe_code)]

mod error;
mod keys;
mod manifest;
mod paths;
mod read;
mod reference;
mod route;
mod schema;
mod section;
mod syntax;
mod table;
mod trigger;

pub use error::{ManifestError, ManifestErrors, ManifestReport, SourceSpan};
pub use manifest::{
    AppSection, ComponentSection, ComponentSource, HttpSection, HttpSettings, Manifest, ManifestDraft, NamedPath,
    PathRole,
};
pub use read::MAX_MANIFEST_BYTES;
pub use reference::reference;
pub use route::{HostRule, PathRule, Route, Routes, TargetSpec};
pub use schema::schema;
pub use section::nearest;
