//! The list of guests, and their files.

use std::{env, path::PathBuf};

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// A guest program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// `<language>_<wasi>_<subject>`.
    pub name: &'static str,
    /// The name of the built file, or for text guests (`wat_*`) of the source itself.
    pub file: &'static str,
}

impl Guest {
    /// Returns the file to run.
    ///
    /// # Panics
    /// When the guest was not built.
    pub fn path(&self) -> PathBuf {
        let path = if self.is_text() { sources().join("wat").join(self.file) } else { folder().join(self.file) };
        assert!(path.is_file(), "{} is not built: run `cargo xtask guests` first", path.display());
        path
    }

    /// Whether the guest is a text file, which is run as it is and never built.
    pub fn is_text(&self) -> bool {
        self.file.ends_with(".wat")
    }
}

/// The folder of the sources, seen from the crate that runs. The folder that the compiler saw may
/// belong to another checkout, when two share a build folder.
fn sources() -> PathBuf {
    let start =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let found = start.ancestors().map(|folder| folder.join("crates/test-programs/guests")).find(|path| path.is_dir());
    found.unwrap_or_else(|| start.join("guests"))
}

/// The folder of the built guests: `$WALNUT_GUESTS_DIR`, or `walnut/guests` in the user's cache
/// folder.
///
/// # Panics
/// When no environment variable names a folder.
pub fn folder() -> PathBuf {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("WALNUT_GUESTS_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("walnut/guests")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/walnut/guests")))
        .expect("one of WALNUT_GUESTS_DIR, XDG_CACHE_HOME and HOME is set")
}

/// Fails to compile when nothing here is called `$name`; made for `foreach_guest`.
#[macro_export]
macro_rules! assert_test_exists {
    ($name:ident) => {
        const _: () = {
            #[expect(unused_imports, reason = "naming it is the check")]
            use self::$name as _;
        };
    };
}
