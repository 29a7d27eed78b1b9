//! Answers requests with the files of a folder: `dir` in a route of a manifest.

mod body;
mod encoding;
mod find;
mod path;
mod preconditions;
mod range;
mod respond;
mod static_files;

pub use static_files::Files;
