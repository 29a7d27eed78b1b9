//! The capability `dir`: files and folders of the host.

pub(crate) mod files;
pub(crate) mod mounts;
mod open;
mod walk;
pub(crate) mod wasi_0_2;
pub(crate) mod wasi_0_3;
