//! The error of a command: message, details, hints, and the reason for the exit code.

use crate::exit::ExitReason;
use crate::printer::Printer;
use std::error::Error;
use std::fmt::Display;
use walnut_engine::{CacheError, Failure, LoadError};
use walnut_host::{AppError, AppErrors, Notice, TlsError};
use walnut_policy::PatternError;

/// Outcome of a command: its exit code, or its error.
pub type CommandResult = Result<i32, CommandError>;

/// Error that ends a command.
#[derive(Debug)]
pub struct CommandError {
    reason: ExitReason,
    message: String,
    details: Vec<String>,
    hints: Vec<String>,
    /// Further errors. The reason is that of the first.
    more: Vec<CommandError>,
}

impl CommandError {
    pub fn new(reason: ExitReason, message: impl Into<String>) -> Self {
        CommandError { reason, message: message.into(), details: Vec::new(), hints: Vec::new(), more: Vec::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Creates the error of a guest called `name` that failed.
    pub fn of_failure(name: &str, failure: &Failure) -> Self {
        let Notice { message, details, hints, .. } = Notice::failure(name, failure);
        CommandError { reason: failure.into(), message, details, hints, more: Vec::new() }
    }

    /// Returns why the command failed.
    pub fn reason(&self) -> ExitReason {
        self.reason
    }

    /// Prints message, details and hints, and then further errors.
    pub fn print(&self, printer: &Printer) {
        printer.error(&self.message);
        self.details.iter().for_each(|line| printer.detail(line));
        self.hints.iter().for_each(|hint| printer.hint(hint));
        self.more.iter().for_each(|error| error.print(printer));
    }
}

impl From<&AppError> for CommandError {
    fn from(error: &AppError) -> Self {
        CommandError { hints: error.hints(), ..CommandError::new(error.class().into(), error.to_string()) }
    }
}

impl From<AppErrors> for CommandError {
    fn from(errors: AppErrors) -> Self {
        let mut all = errors.iter().map(CommandError::from);
        let first = all.next().unwrap_or_else(|| CommandError::new(errors.class().into(), errors.to_string()));
        CommandError { more: all.collect(), ..first }
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        CommandError { hints: error.hints(), ..CommandError::new((&error).into(), error.to_string()) }
    }
}

impl From<CacheError> for CommandError {
    fn from(error: CacheError) -> Self {
        let hint = match error {
            CacheError::Size(_) => "set WALNUT_CACHE_SIZE to what the cache may hold, or leave it unset",
            _ => "set WALNUT_CACHE_DIR to a folder that is yours alone",
        };
        CommandError::new(ExitReason::Host, error.to_string()).hint(hint)
    }
}

impl From<TlsError> for CommandError {
    fn from(error: TlsError) -> Self {
        let hints = error.hint().map(str::to_owned).into_iter().collect();
        CommandError { hints, ..CommandError::new(ExitReason::Host, error.to_string()) }
    }
}

/// Creates the error of a grant in `--flag` that could not be parsed.
pub fn of_pattern(flag: &str, error: &PatternError) -> CommandError {
    CommandError::new(ExitReason::Usage, format!("--{flag}: {error}")).hint(error.hint.clone())
}

/// Creates the error of a standard output that cannot be written to.
pub fn of_output(error: &std::io::Error) -> CommandError {
    of_system("standard output cannot be written to", error)
}

/// Creates an error of the operating system. `doing` says what was tried.
pub fn of_system(doing: impl Display, error: &dyn Error) -> CommandError {
    CommandError::new(ExitReason::Host, format!("{doing}: {error}"))
}
