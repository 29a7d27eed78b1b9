//! Errors of apps that cannot be served. Hints are data; the front door chooses how errors look and
//! which exit code the class gets.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use walnut_engine::LoadError;
use walnut_manifest::ManifestErrors;
use walnut_policy::Printable;

/// Class of an error, from which a front door derives an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request itself is wrong: a flag, a pattern, a target that is named twice.
    Usage,
    /// The target does not exist.
    NotFound,
    /// The target exists and cannot run.
    CannotRun,
    /// The target needs more memory than its limit.
    Memory,
    /// The host failed, or the configuration is wrong.
    Host,
}

impl From<&LoadError> for ErrorClass {
    fn from(error: &LoadError) -> Self {
        match error {
            LoadError::NotFound(_) => ErrorClass::NotFound,
            LoadError::Call(_) | LoadError::Start { .. } => ErrorClass::Usage,
            LoadError::Mounts(_) | LoadError::Engine(_) | LoadError::Unreadable { .. } => ErrorClass::Host,
            LoadError::Memory { .. } => ErrorClass::Memory,
            LoadError::TooLarge { .. }
            | LoadError::Text { .. }
            | LoadError::NotWasm { .. }
            | LoadError::Invalid { .. }
            | LoadError::Unsupported { .. }
            | LoadError::MissingImports { .. }
            | LoadError::WrongWorld { .. }
            | LoadError::Compile { .. } => ErrorClass::CannotRun,
        }
    }
}

/// Reason why an app cannot be served.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants")]
pub enum AppError {
    #[error("{} is named twice", Printable(target))]
    NamedTwice { target: String },
    #[error("there is no file {}", path.display())]
    TargetNotFound { path: PathBuf, hint: String },
    #[error("there is no {}", .0.display())]
    ManifestNotFound(PathBuf),
    #[error("{}: {source}", path.display())]
    ManifestNotText { path: PathBuf, source: io::Error },
    #[error("{} cannot be read: {source}", path.display())]
    ManifestUnreadable { path: PathBuf, source: io::Error },
    /// Errors in the text of a manifest and in the files that it names, in the order of its lines.
    /// `class` is that of the error that was found first.
    #[error("{errors}")]
    Manifest { errors: ManifestErrors, class: ErrorClass },
    #[error("there is no file {}", path.display())]
    SourceNotFound { path: PathBuf, hint: String },
    #[error("there is no folder {}", path.display())]
    FolderNotFound { path: PathBuf, is_mount: bool, hint: String },
    #[error("{} is a file, not a folder", path.display())]
    NotAFolder { path: PathBuf, is_mount: bool },
    #[error("{} cannot be opened: {source}", path.display())]
    FolderUnreadable { path: PathBuf, source: io::Error },
    #[error("the folder {} cannot be opened: {source}", path.display())]
    RouteFolder { path: PathBuf, source: io::Error },
    #[error("{other} serves {route} too")]
    RouteTaken { route: String, other: String, hint: &'static str },
    #[error("{other} has a {title} too")]
    NameTaken { title: String, other: String },
    /// Several components without a manifest. `manifest` is a manifest that serves all of them.
    #[error("{} would each take every request", targets.join(" and "))]
    AllRoutesTaken { targets: Vec<String>, manifest: String },
    #[error(transparent)]
    Component(#[from] LoadError),
}

impl AppError {
    /// Returns the class.
    pub fn class(&self) -> ErrorClass {
        match self {
            AppError::NamedTwice { .. } => ErrorClass::Usage,
            AppError::TargetNotFound { .. }
            | AppError::ManifestNotFound(_)
            | AppError::SourceNotFound { .. }
            | AppError::FolderNotFound { is_mount: false, .. } => ErrorClass::NotFound,
            AppError::Manifest { class, .. } => *class,
            AppError::Component(error) => ErrorClass::from(error),
            AppError::ManifestNotText { .. }
            | AppError::ManifestUnreadable { .. }
            | AppError::FolderNotFound { is_mount: true, .. }
            | AppError::NotAFolder { .. }
            | AppError::FolderUnreadable { .. }
            | AppError::RouteFolder { .. }
            | AppError::RouteTaken { .. }
            | AppError::NameTaken { .. }
            | AppError::AllRoutesTaken { .. } => ErrorClass::Host,
        }
    }

    /// Returns advice, each entry by itself.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            AppError::Component(error) => return error.hints(),
            AppError::Manifest { .. } | AppError::FolderUnreadable { .. } | AppError::RouteFolder { .. } => {
                return Vec::new();
            }
            AppError::TargetNotFound { hint, .. }
            | AppError::SourceNotFound { hint, .. }
            | AppError::FolderNotFound { hint, .. } => hint.clone(),
            AppError::NamedTwice { .. } => "name it once; several apps need several walnut.toml files".to_owned(),
            AppError::ManifestNotFound(_) => {
                "name a component, as in `walnut serve app.wasm`, or a folder with a walnut.toml".to_owned()
            }
            AppError::ManifestNotText { .. } => {
                "save it as UTF-8, or name another file: a manifest is a walnut.toml".to_owned()
            }
            AppError::ManifestUnreadable { source, .. } if source.kind() == ErrorKind::IsADirectory => {
                "a manifest is a file called walnut.toml; move the folder, or name the file that is meant".to_owned()
            }
            AppError::ManifestUnreadable { path, .. } => {
                format!("look at it, and who may read it: `ls -l {}`", path.display())
            }
            AppError::NotAFolder { is_mount: true, .. } => "name the folder that it is in".to_owned(),
            AppError::NotAFolder { is_mount: false, .. } => {
                "name the folder that it is in; a `route` that is one path serves the file of its last name".to_owned()
            }
            AppError::RouteTaken { hint, .. } => (*hint).to_owned(),
            AppError::NameTaken { .. } => "give one of the two apps another `name`".to_owned(),
            AppError::AllRoutesTaken { manifest, .. } => {
                format!("write a walnut.toml that gives each its own route, and serve that:\n{manifest}")
            }
        };
        vec![hint]
    }

    /// Splits the error into the first line of its message and all lines that follow, hints
    /// included.
    pub(crate) fn into_lines(self) -> (String, Vec<String>) {
        let message = self.to_string();
        let mut lines = message.lines().map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        (first, lines.chain(self.hints()).collect())
    }
}

/// Everything that keeps a set of apps from being served. Never empty.
#[derive(Debug)]
pub struct AppErrors {
    first: AppError,
    more: Vec<AppError>,
}

impl AppErrors {
    /// Returns the class of the first error.
    pub fn class(&self) -> ErrorClass {
        self.first.class()
    }

    /// Iterates over the errors.
    pub fn iter(&self) -> impl Iterator<Item = &AppError> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Collects all results, or all errors, so that they are shown at once.
    pub(crate) fn collect<T>(outcomes: impl IntoIterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let mut done = Vec::new();
        let mut failed: Option<AppErrors> = None;
        for outcome in outcomes {
            match (outcome, &mut failed) {
                (Ok(value), _) => done.push(value),
                (Err(errors), Some(failed)) => failed.more.extend(errors.into_vec()),
                (Err(errors), None) => failed = Some(errors),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Creates the errors from a list; `None` when it is empty.
    pub(crate) fn of(errors: impl IntoIterator<Item = AppError>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(AppErrors { first, more: errors.collect() })
    }

    fn into_vec(self) -> Vec<AppError> {
        std::iter::once(self.first).chain(self.more).collect()
    }
}

impl From<AppError> for AppErrors {
    fn from(first: AppError) -> Self {
        AppErrors { first, more: Vec::new() }
    }
}

impl fmt::Display for AppErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for AppErrors {}
