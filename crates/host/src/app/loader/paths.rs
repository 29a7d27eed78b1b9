//! Paths that a manifest or the user names: whether they exist, and if not, which path may have
//! been meant.

use crate::app::loader::diagnostics::Diagnostics;
use crate::app::loader::error::AppError;
use crate::app::loader::inputs::Inputs;
use crate::app::loader::target::MANIFEST;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use walnut_engine::{Artifact, ArtifactRef, ArtifactSource, LoadError};
use walnut_manifest::{NamedPath, PathRole, nearest};

/// Entries of a folder that are searched for a similar name.
const MAX_ENTRIES: usize = 1000;

/// Reads the components that a manifest names and looks at its folders. Errors go to `diagnostics`.
pub(crate) fn read(paths: &[NamedPath], inputs: &Inputs, diagnostics: &mut Diagnostics) -> HashMap<PathBuf, Artifact> {
    let mut artifacts = HashMap::new();
    for named in paths {
        let outcome = match named.role {
            // A file is read once, so that all components that name it are the same version.
            PathRole::Source if artifacts.contains_key(&named.path) => Ok(()),
            PathRole::Source => {
                read_source(named, inputs).map(|artifact| _ = artifacts.insert(named.path.clone(), artifact))
            }
            PathRole::Folder | PathRole::Mount => check_folder(named, inputs),
        };
        if let Err(error) = outcome {
            diagnostics.add(&named.place, error);
        }
    }
    artifacts
}

fn read_source(named: &NamedPath, inputs: &Inputs) -> Result<Artifact, AppError> {
    inputs.load(&ArtifactRef::File(named.path.clone())).map_err(|error| match error {
        LoadError::NotFound(_) => {
            let hint = || "build it, or name an existing file; relative paths begin at the folder of this file";
            let hint = unexpanded(named).or_else(|| similar_path(named)).unwrap_or_else(|| hint().to_owned());
            AppError::SourceNotFound { path: named.path.clone(), hint }
        }
        error => error.into(),
    })
}

fn check_folder(named: &NamedPath, inputs: &Inputs) -> Result<(), AppError> {
    inputs.note(&named.path);
    let (path, is_mount) = (named.path.clone(), named.role == PathRole::Mount);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(AppError::NotAFolder { path, is_mount }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let shown = path.display();
            let hint = || format!("make it, as with `mkdir {shown}`; relative paths begin at the folder of this file");
            let hint = unexpanded(named).or_else(|| similar_path(named)).unwrap_or_else(hint);
            Err(AppError::FolderNotFound { path, is_mount, hint })
        }
        Err(source) => Err(AppError::FolderUnreadable { path, source }),
    }
}

/// Returns the error of a target that does not exist. A similar name is suggested unless it is
/// among `targets` already.
pub(crate) fn target_not_found(target: &Path, targets: &[String]) -> AppError {
    let similar = |is_file: bool| {
        let name = similar_name(target.file_name()?.to_str()?, target.parent()?, is_file)?;
        let fits = |path: &PathBuf| is_file || path.join(MANIFEST).is_file();
        let is_named = |path: &PathBuf| targets.iter().any(|named| Path::new(named) == path);
        Some(target.with_file_name(name)).filter(|path| fits(path) && !is_named(path))
    };
    let hint = match similar(true).or_else(|| similar(false)) {
        Some(path) => format!("did you mean `{}`?", path.display()),
        None => {
            "a target is a walnut.toml, a folder with one, a .wasm or .wat file, or `-` for standard input".to_owned()
        }
    };
    AppError::TargetNotFound { path: target.to_owned(), hint }
}

/// Returns a hint when the path has something in it that only a shell expands.
fn unexpanded(named: &NamedPath) -> Option<String> {
    let is_of_shell = named.text == "~" || named.text.starts_with("~/") || named.text.contains('$');
    is_of_shell.then(|| {
        "`~` and variables such as `$HOME` are not expanded here; write the whole path, or a path from the folder of this file"
            .to_owned()
    })
}

/// Suggests the same path with an existing name in place of the first name that does not exist.
fn similar_path(named: &NamedPath) -> Option<String> {
    let is_absent = |at: &&Path| !at.as_os_str().is_empty() && !at.exists();
    let absent = named.path.ancestors().take_while(is_absent).last()?;
    let name = absent.file_name()?.to_str()?;
    let is_file = named.role == PathRole::Source && absent == named.path;
    let near = similar_name(name, absent.parent()?, is_file)?;
    let (at, _) = named.text.rmatch_indices(name).find(|(at, _)| is_whole(&named.text, *at, name))?;
    let (before, after) = (&named.text[..at], &named.text[at + name.len()..]);
    Some(format!("did you mean `{before}{near}{after}`?"))
}

/// Returns the name in `folder` that is most like `name`: of a component's file, or of a folder.
fn similar_name(name: &str, folder: &Path, is_file: bool) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let fits = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let fits = if is_file { name.ends_with(".wasm") || name.ends_with(".wat") } else { entry.path().is_dir() };
        fits.then_some(name)
    };
    let names: Vec<_> = fs::read_dir(folder).ok()?.take(MAX_ENTRIES).filter_map(|entry| fits(entry.ok()?)).collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Returns whether `name`, found at `at` in `text`, is a whole name of the host's path.
fn is_whole(text: &str, at: usize, name: &str) -> bool {
    let is_of_host = text.find("::").is_none_or(|guest| at < guest);
    let after = &text[at + name.len()..];
    is_of_host
        && (at == 0 || text[..at].ends_with('/'))
        && (after.is_empty() || after.starts_with('/') || after.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use walnut_manifest::Manifest;

    /// Returns the suggestion for each path of a manifest in `base`.
    fn guesses(base: &Path, text: &str) -> Vec<Option<String>> {
        let draft = Manifest::draft(text, "walnut.toml", base);
        draft
            .paths
            .iter()
            .map(|named| similar_path(named).map(|hint| hint["did you mean `".len()..].replace("`?", "")))
            .collect()
    }

    /// Returns the errors of a manifest in `base`, a line each.
    fn errors(base: &Path, text: &str) -> Vec<String> {
        let draft = Manifest::draft(text, "walnut.toml", base);
        let mut diagnostics = Diagnostics::of_manifest(draft.report);
        read(&draft.paths, &Inputs::default(), &mut diagnostics);
        let errors = diagnostics.into_result().err().map(|errors| errors.to_string()).unwrap_or_default();
        errors.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_file_of_a_component_is_no_folder_for_it() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("api.wat"), "(module)").expect("it is written");
        let text = "app.name = 'a'\n[component.api]\nsource = 'api.wat'\nallow.dir = 'api.wat::/state'\n";
        let said = errors(dir.path(), text);
        assert!(
            said[0].starts_with("walnut.toml:4: ") && said[0].ends_with("api.wat is a file, not a folder"),
            "{said:?}"
        );
    }

    #[test]
    fn what_only_a_shell_understands_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["~/state", "~", "$PWD/state", "a/${X}"] {
            let text = format!("app.name = 'a'\n[[http]]\nroute = '/**'\ndir = '{path}'\n");
            let said = errors(dir.path(), &text).join("\n");
            assert!(said.contains("`~` and variables such as `$HOME` are not expanded here"), "{said}");
            assert!(!said.contains("mkdir"), "{said}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_may_be_meant_to_be_another() {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["shop", "notes"] {
            fs::create_dir(dir.path().join(folder)).expect("it is made");
        }
        for file in ["shop/walnut.toml", "greeter.wat"] {
            fs::write(dir.path().join(file), "").expect("it is written");
        }
        let hint =
            |name: &str, targets: &[String]| target_not_found(&dir.path().join(name), targets).hints().join("\n");
        let shop = dir.path().join("shop").display().to_string();
        assert_eq!(hint("shp", &[]), format!("did you mean `{shop}`?"));
        assert!(hint("greter.wat", &[]).ends_with("greeter.wat`?"));
        for said in [hint("shp", &[shop]), hint("note", &[]), hint("other", &[])] {
            assert_eq!(
                said,
                "a target is a walnut.toml, a folder with one, a .wasm or .wat file, or `-` for standard input"
            );
        }
    }

    #[test]
    fn what_is_there_under_a_name_that_is_like_it_is_guessed() {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["build/release", "assets", "public"] {
            fs::create_dir_all(dir.path().join(folder)).expect("it is made");
        }
        for file in ["build/release/greeter.wasm", "greeter.wat", "greeter.txt", "walnut.toml"] {
            fs::write(dir.path().join(file), "").expect("it is written");
        }
        let sources =
            ["greter.wat", "./greter.wasm", "biuld/release/greeter.wasm", "build/release/greter.wasm", "x.wasm"];
        let text: String =
            sources.iter().enumerate().map(|(n, source)| format!("component.c{n}.source = '{source}'\n")).collect();
        let expected =
            ["greeter.wat", "./greeter.wat", "build/release/greeter.wasm", "build/release/greeter.wasm", "-"].map(Some);
        let or_none = |guess: Option<String>| guess.unwrap_or_else(|| "-".to_owned());
        let guessed: Vec<_> = guesses(dir.path(), &text).into_iter().map(or_none).collect();
        assert_eq!(guessed.iter().map(|guess| Some(guess.as_str())).collect::<Vec<_>>(), expected);
        let mounts = "component.a.allow.dir = ['asets::/asets::rw', './pubic', 'greeter::/x', 'walnut.tml::/y']\n";
        let expected = [Some("assets::/asets::rw".to_owned()), Some("./public".to_owned()), None, None];
        assert_eq!(guesses(dir.path(), mounts), expected);
    }
}
