//! Whether the files and folders that a manifest names are there, and if not, what was meant.

use super::MANIFEST;
use super::wrong::Wrong;
use crate::error::{CommandError, of_system};
use crate::exit::Code;
use crate::sources::Sources;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use walnut_engine::{Artifact, LoadError};
use walnut_manifest::{Named, NamedPath, nearest};

/// Entries of a folder that are looked at for a name that is like another.
const MOST: usize = 1000;

/// Reads the files of components and looks at the folders. What is not as it should be is added to `wrong`.
pub fn read(paths: &[NamedPath], sources: &Sources, wrong: &mut Wrong) -> HashMap<PathBuf, Artifact> {
    let mut artifacts = HashMap::new();
    for named in paths {
        let looked_at = match named.what {
            // A file is read once, and those who name it are all of the same version of it.
            Named::Source if artifacts.contains_key(&named.path) => Ok(()),
            Named::Source => source(named, sources).map(|artifact| _ = artifacts.insert(named.path.clone(), artifact)),
            Named::Folder | Named::Mount => folder(named, sources),
        };
        if let Err(error) = looked_at {
            wrong.add(&named.place, error);
        }
    }
    artifacts
}

fn source(named: &NamedPath, sources: &Sources) -> Result<Artifact, CommandError> {
    sources.artifact(&named.path.display().to_string()).map_err(|error| match error {
        LoadError::NotFound(_) => {
            let hint = || "build it, or name the file that there is; a relative path begins at the folder of this file";
            CommandError::new(Code::NotFound, format!("there is no file {}", named.path.display()))
                .hint(unexpanded(named).or_else(|| meant(named)).unwrap_or_else(|| hint().to_owned()))
        }
        error => error.into(),
    })
}

fn folder(named: &NamedPath, sources: &Sources) -> Result<(), CommandError> {
    sources.note(&named.path);
    let path = named.path.display();
    let code = if named.what == Named::Folder { Code::NotFound } else { Code::Host };
    match fs::metadata(&named.path) {
        Ok(of) if of.is_dir() => Ok(()),
        Ok(_) => {
            let route = match named.what {
                Named::Folder => "; a `route` that is one path serves the file of its last name",
                Named::Source | Named::Mount => "",
            };
            let error = CommandError::new(Code::Host, format!("{path} is a file, not a folder"));
            Err(error.hint(format!("name the folder that it is in{route}")))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let hint = || format!("make it, as with `mkdir {path}`; a relative path begins at the folder of this file");
            let error = CommandError::new(code, format!("there is no folder {path}"));
            Err(error.hint(unexpanded(named).or_else(|| meant(named)).unwrap_or_else(hint)))
        }
        Err(error) => Err(of_system(format!("{path} cannot be opened"), &error)),
    }
}

/// A target that is neither a component nor an app. What is among `targets` already was not meant.
pub fn absent(target: &Path, targets: &[String]) -> CommandError {
    let near = |is_file: bool| {
        let near = near(target.file_name()?.to_str()?, target.parent()?, is_file)?;
        let fits = |near: &PathBuf| is_file || near.join(MANIFEST).is_file();
        let is_named = |near: &PathBuf| targets.iter().any(|named| Path::new(named) == near);
        Some(target.with_file_name(near)).filter(|near| fits(near) && !is_named(near))
    };
    let hint = match near(true).or_else(|| near(false)) {
        Some(near) => format!("did you mean `{}`?", near.display()),
        None => {
            "a target is a walnut.toml, a folder with one, a .wasm or .wat file, or `-` for standard input".to_owned()
        }
    };
    CommandError::new(Code::NotFound, format!("there is no file {}", target.display())).hint(hint)
}

/// What only a shell understands.
fn unexpanded(named: &NamedPath) -> Option<String> {
    let is_of_shell = named.text == "~" || named.text.starts_with("~/") || named.text.contains('$');
    is_of_shell.then(|| {
        "`~` and variables such as `$HOME` are not expanded here; write the whole path, or one that begins at the folder of this file"
            .to_owned()
    })
}

/// The same text with a name that is there in place of the first one that is not.
fn meant(named: &NamedPath) -> Option<String> {
    let is_absent = |at: &&Path| !at.as_os_str().is_empty() && !at.exists();
    let absent = named.path.ancestors().take_while(is_absent).last()?;
    let name = absent.file_name()?.to_str()?;
    let is_file = named.what == Named::Source && absent == named.path;
    let near = near(name, absent.parent()?, is_file)?;
    let (at, _) = named.text.rmatch_indices(name).find(|(at, _)| is_whole(&named.text, *at, name))?;
    let (before, after) = (&named.text[..at], &named.text[at + name.len()..]);
    Some(format!("did you mean `{before}{near}{after}`?"))
}

/// What is in `folder` under a name that is like `name`: a component's file, or a folder.
fn near(name: &str, folder: &Path, is_file: bool) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let fits = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let fits = if is_file { name.ends_with(".wasm") || name.ends_with(".wat") } else { entry.path().is_dir() };
        fits.then_some(name)
    };
    let names: Vec<_> = fs::read_dir(folder).ok()?.take(MOST).filter_map(|entry| fits(entry.ok()?)).collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Whether `name`, which is at `at` in `text`, is one of the names of the host's path.
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

    /// What is meant by each path of a manifest in `base`.
    fn guesses(base: &Path, text: &str) -> Vec<Option<String>> {
        let draft = Manifest::draft(text, "walnut.toml", base);
        draft
            .paths
            .iter()
            .map(|named| meant(named).map(|hint| hint["did you mean `".len()..].replace("`?", "")))
            .collect()
    }

    /// What is said of a manifest in `base`, a line each.
    fn said(base: &Path, text: &str) -> Vec<String> {
        let draft = Manifest::draft(text, "walnut.toml", base);
        let mut wrong = Wrong::of_manifest(draft.report);
        read(&draft.paths, &Sources::default(), &mut wrong);
        let said = wrong.result().err().map(CommandError::into_lines);
        said.into_iter().flat_map(|(first, more)| [first].into_iter().chain(more)).collect()
    }

    #[test]
    fn the_file_of_a_component_is_no_folder_for_it() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("api.wat"), "(module)").expect("it is written");
        let text = "app.name = 'a'\n[component.api]\nsource = 'api.wat'\nallow.dir = 'api.wat::/state'\n";
        let said = said(dir.path(), text);
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
            let said = said(dir.path(), &text).join("\n");
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
        let hint = |name: &str, targets: &[String]| absent(&dir.path().join(name), targets).into_lines().1.join("\n");
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
