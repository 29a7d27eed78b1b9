//! The one error at the edge: what happened, what to do, and the exit code.

use crate::exit::Code;
use crate::printer::Printer;
use std::error::Error;
use walnut_engine::{CacheError, Failure, LoadError};
use walnut_policy::PatternError;

/// What a command failed with.
#[derive(Debug)]
pub struct CommandError {
    code: Code,
    message: String,
    details: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        CommandError { code, message: message.into(), details: Vec::new(), hints: Vec::new() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// More lines that belong to the message.
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    /// Prints it all: message, details, hints.
    pub fn print(&self, printer: &Printer) {
        printer.error(&self.message);
        self.details.iter().for_each(|line| printer.detail(line));
        self.hints.iter().for_each(|hint| printer.hint(hint));
    }

    /// A guest's failure, with the target's name in front.
    pub fn of_failure(name: &str, failure: &Failure) -> Self {
        let message = match failure {
            Failure::Trap { cause, .. } => format!("{name} trapped: {cause}"),
            Failure::Limit { limit, value, .. } => format!("{name} used up its {} (limit: {value})", limit.subject()),
            other => format!("{name}: {other}"),
        };
        CommandError {
            code: Code::of_failure(failure),
            message,
            details: failure.details().to_vec(),
            hints: failure.hint().into_iter().collect(),
        }
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        CommandError {
            code: Code::of_load(&error),
            message: error.to_string(),
            details: Vec::new(),
            hints: error.hints(),
        }
    }
}

impl From<CacheError> for CommandError {
    fn from(error: CacheError) -> Self {
        let hint = match error {
            CacheError::Size(_) => "set WALNUT_CACHE_SIZE to what the cache may hold, or leave it unset",
            _ => "set WALNUT_CACHE_DIR to a folder that is yours alone",
        };
        CommandError::new(Code::Host, error.to_string()).hint(hint)
    }
}

/// A grant that could not be read, in the flag `flag`.
pub fn of_pattern(flag: &str, error: &PatternError) -> CommandError {
    CommandError::new(Code::Usage, format!("--{flag}: {error}")).hint(error.hint.clone())
}

/// Something of the operating system, with what was being done.
pub fn of_system(doing: impl std::fmt::Display, error: &dyn Error) -> CommandError {
    CommandError::new(Code::Host, format!("{doing}: {error}"))
}
