//! Targets: what can be named to be served.

use crate::app::loader::error::AppError;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// File name of a manifest within its folder.
pub(crate) const MANIFEST: &str = "walnut.toml";

/// Returns the manifest that `target` names: a `.toml` file, or `walnut.toml` in a folder. `None`
/// for a component.
pub fn manifest_of(target: &str) -> Option<PathBuf> {
    let path = Path::new(target);
    if path.is_dir() {
        return Some(path.join(MANIFEST));
    }
    path.extension().is_some_and(|e| e == "toml").then(|| path.to_owned())
}

/// Refuses a target that is named twice: it would conflict with itself in everything.
pub(crate) fn check_distinct(targets: &[String]) -> Result<(), AppError> {
    let mut seen = HashSet::new();
    for target in targets {
        let path = manifest_of(target).unwrap_or_else(|| PathBuf::from(target));
        if !seen.insert(path.canonicalize().unwrap_or(path)) {
            return Err(AppError::NamedTwice { target: target.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_and_its_manifest_are_the_same_target() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, component) = (dir.path().join("shop"), dir.path().join("a.wasm"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(MANIFEST), "").unwrap();
        fs::write(&component, "").unwrap();
        let targets = [&folder, &folder.join(MANIFEST), &component].map(|path| path.display().to_string());
        assert!(check_distinct(&[targets[0].clone(), targets[2].clone()]).is_ok());
        assert!(check_distinct(&targets).unwrap_err().to_string().ends_with("walnut.toml is named twice"));
        assert_eq!(targets.each_ref().map(|target| manifest_of(target).is_some()), [true, true, false]);
    }
}
