//! Answers requests with the files of a folder.

mod body;
mod encoding;
mod find;
mod path;
mod preconditions;
mod range;
mod respond;
mod static_files;

pub(crate) use static_files::respond;
