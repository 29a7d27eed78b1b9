//! Errors of loading, and failures of guests. Errors that a guest sees are WASI's own and not here.

use std::fmt;
use std::path::{Path, PathBuf};
use walnut_policy::{Limit, Printable};

/// Reasons why a target could not be loaded, before any of it ran.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe them")]
pub enum LoadError {
    #[error("there is no file {}", .0.display())]
    NotFound(PathBuf),
    #[error("{} could not be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{name} is larger than the {most} that Walnut loads")]
    TooLarge { name: String, most: String },
    #[error("{name} is not WebAssembly: {reason}")]
    NotWasm { name: String, reason: String },
    #[error("{name} is damaged or not valid WebAssembly: {reason}")]
    Invalid { name: String, reason: String },
    #[error("{name} uses {proposal}, which Walnut does not support")]
    Unsupported { name: String, proposal: &'static str, hint: &'static str },
    #[error("{name} is damaged or not valid WebAssembly: its text does not parse\n{reason}")]
    Text { name: String, reason: String },
    #[error("{name} starts with {needs} of memory, more than its limit")]
    Memory { name: String, needs: String },
    /// Imports that nothing provides.
    #[error("{name} needs {}", list(.imports))]
    MissingImports { name: String, imports: Vec<MissingImport> },
    #[error("{name} cannot be {verb}: {reason}")]
    WrongWorld { name: String, verb: &'static str, reason: String, hint: String },
    #[error("{name} could not be compiled: {reason}")]
    Compile { name: String, reason: String },
    #[error("{0}")]
    Call(String),
    #[error("the {what} given to {name} are too large: a program of WASI 0.1 takes 56 KiB of them, {size} were given")]
    Start { name: String, what: &'static str, size: String },
    /// Folders that cannot be opened.
    #[error("{}", mounts(.0))]
    Mounts(Vec<MountError>),
    #[error("the engine could not start: {0}")]
    Engine(String),
}

/// A folder that cannot be mounted.
#[derive(Debug, thiserror::Error)]
#[error("the folder {} cannot be mounted at {guest}: {source}", host.display())]
pub struct MountError {
    /// The folder.
    pub host: PathBuf,
    /// Path under which the guest would see it.
    pub guest: String,
    /// The error of opening it.
    pub source: std::io::Error,
}

/// An import that nothing provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImport {
    /// The import, with its version if it names one.
    pub name: String,
    /// The problem, as the rest of a sentence that starts with the name.
    pub problem: String,
    /// The remedy; may be empty.
    pub hint: String,
}

impl fmt::Display for MissingImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, {}", Printable(&self.name), self.problem)
    }
}

fn list(imports: &[MissingImport]) -> String {
    match imports {
        [one] => one.to_string(),
        many => {
            let shown: Vec<_> = many.iter().take(10).map(|i| format!("\n  {i}")).collect();
            let more = many.len().saturating_sub(10);
            let rest = if more > 0 { format!("\n  and {more} more") } else { String::new() };
            format!("{} imports that cannot be satisfied:{}{rest}", many.len(), shown.concat())
        }
    }
}

fn mounts(failed: &[MountError]) -> String {
    match failed {
        [one] => one.to_string(),
        many => {
            let each = many.iter().map(|one| format!("\n  {one}"));
            format!("{} folders cannot be mounted:{}", many.len(), each.collect::<String>())
        }
    }
}

impl LoadError {
    /// Returns remedies, one per line.
    pub fn hints(&self) -> Vec<String> {
        match self {
            LoadError::MissingImports { imports, .. } => {
                let mut hints: Vec<_> = imports.iter().map(|i| i.hint.clone()).filter(|h| !h.is_empty()).collect();
                hints.dedup();
                hints.truncate(5);
                hints
            }
            LoadError::WrongWorld { hint, .. } => vec![hint.clone()],
            LoadError::Unsupported { hint, .. } => vec![(*hint).to_owned()],
            LoadError::NotWasm { .. } => vec![
                "a target is a .wasm file or .wat text: a WASI 0.1 module, or a component of WASI 0.2 or 0.3".into(),
            ],
            LoadError::Invalid { .. } => vec!["build it again, or copy it again".into()],
            LoadError::Unreadable { path, .. } => {
                vec![format!("look at it, and who may read it: `ls -l {}`", path.display())]
            }
            LoadError::TooLarge { .. } => {
                vec!["leave out what it does not need to run, such as debug information and files built into it".into()]
            }
            LoadError::Compile { .. } => {
                vec!["`walnut inspect` tells what it is made of".into()]
            }
            LoadError::Memory { needs, .. } => {
                vec![format!("raise it with `--memory {needs}`, or `limits.memory` in walnut.toml")]
            }
            LoadError::Engine(reason) if reason.contains("mmap") || reason.contains("stack guard page") => {
                vec!["it cannot reserve address space for so many sandboxes; lower `--sandboxes` or `--memory`".into()]
            }
            LoadError::NotFound(path) => vec![nearest(path).map_or_else(
                || "a target is the path of a .wasm or .wat file, or `-` for standard input".into(),
                |found| format!("did you mean `{}`?", found.display()),
            )],
            LoadError::Start { .. } => {
                vec!["pass them in a file, or build the program for WASI 0.2, which has no such limit".into()]
            }
            LoadError::Mounts(_) => {
                let hint = "make the folder first, or name another: `--dir HOST::GUEST`, or in walnut.toml `dir = \"HOST::GUEST\"`";
                vec![hint.into()]
            }
            _ => Vec::new(),
        }
    }
}

/// Returns the target in the same folder with the name most similar to that of `path`, if any is.
fn nearest(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let likeness = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        (name.ends_with(".wasm") || name.ends_with(".wat")).then(|| (strsim::jaro_winkler(&name, wanted), name))
    };
    let entries = std::fs::read_dir(folder).ok()?.take(1000).filter_map(|entry| likeness(entry.ok()?));
    let (likeness, name) = entries.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > 0.85).then(|| path.with_file_name(name))
}

/// Shortens a message of a binary parser: drops bytes and offsets, which only help the author of
/// the bytes.
pub(crate) fn parser_words(message: &str) -> String {
    if message.starts_with("magic header not detected") {
        return "a part inside it does not start as WebAssembly does".into();
    }
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" (at offset").next().unwrap_or_default();
    let is_byte = |word: &&str| word.trim_start_matches(['(', '[']).starts_with("0x");
    let words: Vec<_> = line.split(' ').filter(|word| !is_byte(word)).collect();
    words.join(" ").trim_end_matches([':', ',', '=', ' ']).to_owned()
}

/// Cuts the lines of a text that quotes a source file, which may be one line of megabytes.
pub(crate) fn short_lines(text: &str) -> String {
    const MAX_WIDTH: usize = 160;
    let cut = |line: &str| match line.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

/// Ways in which a sandbox fails.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants describe their fields")]
pub enum Failure {
    /// A limit was reached.
    Limit { limit: Limit, value: String, details: Vec<String> },
    /// The guest trapped. `cause` says why, `details` where and after which host calls.
    Trap { cause: String, details: Vec<String> },
    /// The guest ended without a response to its request.
    NoResponse,
    /// The guest answered its request with an error of its own.
    GuestError(String),
    /// The guest did not begin before the deadline, since its thread was busy with others.
    Busy,
    /// The host failed.
    Host(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Limit { limit, value, .. } => {
                write!(f, "the guest {} (limit: {value})", limit.exceeded())
            }
            Failure::Trap { cause, .. } => write!(f, "the guest trapped: {cause}"),
            Failure::NoResponse => f.write_str("the guest ended without a response"),
            Failure::GuestError(code) => write!(f, "the guest answered with the error `{code}`"),
            Failure::Busy => {
                f.write_str("the guest had no turn before the deadline, since others kept its thread busy")
            }
            Failure::Host(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Returns where the failure happened and what preceded it, one line each.
    pub fn details(&self) -> &[String] {
        match self {
            Failure::Limit { details, .. } | Failure::Trap { details, .. } => details,
            _ => &[],
        }
    }

    /// Returns a remedy, if one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Failure::Limit { limit, value, .. } => {
                let keys = format!("`--{limit} N`, or `limits.{limit}` in walnut.toml");
                Some(format!("raise it with {keys} (now {value}), or find out why the guest needs so much"))
            }
            _ => None,
        }
    }
}

/// Error by which a limit ends a sandbox from within wasmtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit reached: {0}")]
pub(crate) struct LimitReached(pub Limit);
