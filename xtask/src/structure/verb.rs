//! The verb: runs the checks and prints each finding on a line of its own.

use super::modules::CrateSource;
use super::{layers, names, prose};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold crates, and crates that stand alone.
const CRATES: &[&str] = &["crates", "bench", "xtask"];

/// Runs the checks that `arguments` names: `layers`, `names`, `prose`, or all of them without any.
pub fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask lies in no folder")?;
    if let Some(other) = arguments.iter().find(|a| !["layers", "names", "prose"].contains(&a.as_str())) {
        return Err(format!("no check {other:?}; there are `layers`, `names` and `prose`").into());
    }
    let is_asked_for = |check: &str| arguments.is_empty() || arguments.iter().any(|a| a == check);
    let crates = folders_of_crates(root)?.iter().map(|f| CrateSource::read(f)).collect::<Result<Vec<_>, _>>()?;
    let mut findings = Vec::new();
    if is_asked_for("layers") {
        findings.extend(layers::check(&crates, &root.join("tools/structure.toml"))?);
    }
    if is_asked_for("names") {
        findings.extend(names::check(&crates));
    }
    if is_asked_for("prose") {
        findings.extend(prose::check(root)?);
    }
    for finding in &findings {
        println!("{}", finding.replace(&format!("{}/", root.display()), ""));
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} findings; CONTRIBUTING.md says what holds").into()),
    }
}

fn folders_of_crates(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut folders = Vec::new();
    for name in CRATES {
        let folder = root.join(name);
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
            continue;
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.join("src").is_dir() {
                folders.push(path);
            }
        }
    }
    folders.sort();
    Ok(folders)
}
