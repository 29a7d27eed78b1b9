//! The interface of a language.

use crate::error::TaskResult;
use crate::guests::source::GuestSource;
use crate::guests::toolchain::{MissingToolchain, Toolchain};
use std::path::{Path, PathBuf};

/// WIT worlds of the guests whose tools make components themselves.
pub const WORLDS: &str = "wit/guests.wit";

pub trait Language: Sync {
    /// Name of the language.
    fn name(&self) -> &'static str;

    /// Finds the toolchain, on this machine or in `cache`.
    ///
    /// # Errors
    /// The missing toolchain, with the commands that install it.
    fn find_toolchain(&self, cache: &Path) -> Result<Toolchain, MissingToolchain>;

    /// The file or folder of a guest's source.
    fn source_path(&self, sources: &Path, guest: &str) -> PathBuf;

    /// Files and folders outside the guest's own source that its build reads.
    fn shared_inputs(&self, _guest: &GuestSource) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The parts of the build itself: its source text, and files that it adds to the guest. A
    /// change of one rebuilds the guest.
    fn recipe(&self, guest: &GuestSource) -> Vec<&'static [u8]>;

    /// Builds a core module or a component, as the name of the guest says.
    fn build(&self, guest: &GuestSource, toolchain: &Toolchain) -> TaskResult<Vec<u8>>;
}
