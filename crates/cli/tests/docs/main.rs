//! Keeps the documents true: runs their transcripts, and resolves the links, paths and tests that
//! they name.

mod names;
mod shell;
mod transcript;

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_readme_is_true() {
    assert!(transcript::replay(&root().join("README.md")) > 0, "README.md has no transcript");
}

/// Each page of the guide but the index shows something to type.
#[test]
fn the_guide_is_true() {
    for page in pages(&root().join("docs/guide")) {
        let is_index = page.ends_with("README.md");
        assert!(transcript::replay(&page) > 0 || is_index, "{} has no transcript", page.display());
    }
}

/// Returns the root of the repository. The variable is read at run time, since the compiled-in path
/// may be that of another checkout with the same build folder.
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets the variable")).join("../..")
}

/// Lists the Markdown files in a folder, sorted, without those in subfolders.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut pages: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(!pages.is_empty(), "no pages in {}", folder.display());
    pages
}
