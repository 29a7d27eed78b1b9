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
    /// What else is wrong.
    more: Vec<CommandError>,
}

impl CommandError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        CommandError { code, message: message.into(), details: Vec::new(), hints: Vec::new(), more: Vec::new() }
    }

    /// All that was made, or all that is wrong: who mends one thing is not told of the next only then.
    pub fn all<T>(outcomes: impl IntoIterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let (mut made, mut wrong) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(one) => made.push(one),
                Err(error) => wrong.push(error),
            }
        }
        let mut wrong = wrong.into_iter();
        match wrong.next() {
            None => Ok(made),
            Some(first) => Err(first.and(wrong)),
        }
    }

    /// With what else is wrong. The code is that of the first.
    pub fn and(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        self.more.extend(others);
        self
    }

    /// The first line of the message, and each that belongs to it: the rest of it, details and hints.
    pub fn into_lines(self) -> (String, Vec<String>) {
        let mut lines = self.message.lines().map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        (first, lines.chain(self.details).chain(self.hints).collect())
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
        self.more.iter().for_each(|error| error.print(printer));
    }

    /// Says it as something that did not end what it happened to.
    pub fn warn(&self, printer: &Printer) {
        printer.warning(&self.message);
        self.hints.iter().for_each(|hint| printer.hint(hint));
    }

    /// A guest's failure, with the target's name in front.
    pub fn of_failure(name: &str, failure: &Failure) -> Self {
        let message = match failure {
            Failure::Trap { cause, .. } => format!("{name} trapped: {cause}"),
            Failure::Limit { limit, value, .. } => format!("{name} {} (limit: {value})", limit.deed()),
            other => format!("{name}: {other}"),
        };
        CommandError {
            code: Code::of_failure(failure),
            message,
            details: failure.details().to_vec(),
            hints: failure.hint().into_iter().collect(),
            more: Vec::new(),
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
            more: Vec::new(),
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
