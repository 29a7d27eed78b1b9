//! Notices: messages about apps, for the people who run the process.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use walnut_engine::Failure;
use walnut_policy::Limit;

/// Weight of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something happened as it should.
    Info,
    /// Something may not be as intended; everything goes on.
    Warning,
    /// A request, or a part of one, failed.
    Error,
}

/// A message, with its details and hints as data. How it looks is up to the front door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Weight of the message.
    pub severity: Severity,
    /// The message, without a full stop. May have several lines.
    pub message: String,
    /// Lines that belong to the message, such as a backtrace.
    pub details: Vec<String>,
    /// Advice, each entry by itself.
    pub hints: Vec<String>,
}

/// Receives notices, from any thread.
pub trait Notices: Send + Sync {
    /// Takes one notice. Called while requests wait, so it must not block for long.
    fn notify(&self, notice: &Notice);
}

impl Notice {
    /// Creates a notice that something happened as it should.
    pub fn info(message: impl Into<String>) -> Self {
        Self::new(Severity::Info, message)
    }

    /// Creates a warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// Creates an error notice.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    /// Creates an error notice about the `failure` of a guest called `name`.
    pub fn failure(name: &str, failure: &Failure) -> Self {
        let message = match failure {
            Failure::Trap { cause, .. } => format!("{name} trapped: {cause}"),
            Failure::Limit { limit, value, .. } => format!("{name} {} (limit: {value})", limit.exceeded()),
            other => format!("{name}: {other}"),
        };
        let (details, hints) = (failure.details().to_vec(), failure.hint().into_iter().collect());
        Notice { severity: Severity::Error, message, details, hints }
    }

    /// Creates a notice of why the component `title` took longer to compile than others of its
    /// size.
    pub fn slow_compilation(title: &str, reason: &str) -> Self {
        Self::info(format!("{title}: took longer to compile, as the baseline compiler cannot: {reason}"))
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds details.
    #[must_use]
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Notice { severity, message: message.into(), details: Vec::new(), hints: Vec::new() }
    }
}

/// Makes warnings of limits that a guest reached without being ended: one for each limit, since a
/// guest may reach the same one without end.
pub struct LimitNotices {
    name: String,
    told: [AtomicBool; Limit::ALL.len()],
}

impl LimitNotices {
    /// Creates the notices of a guest called `name`.
    pub fn new(name: String) -> Self {
        LimitNotices { name, told: Default::default() }
    }

    /// Returns a warning when `failure` is a limit that was not reached before.
    pub fn first(&self, failure: &Failure) -> Option<Notice> {
        let Failure::Limit { limit, .. } = failure else { return None };
        let is_first = !self.told[*limit as usize].swap(true, Relaxed);
        is_first.then(|| Notice {
            severity: Severity::Warning,
            details: Vec::new(),
            ..Notice::failure(&self.name, failure)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(limit: Limit) -> Failure {
        Failure::Limit { limit, value: "16".to_owned(), details: vec!["in `main`".to_owned()] }
    }

    #[test]
    fn a_limit_that_is_reached_again_is_told_once() {
        let notices = LimitNotices::new("api".to_owned());
        let first = notices.first(&reached(Limit::Connections)).expect("the first time is told");
        assert_eq!((first.severity, first.details.len(), first.hints.len()), (Severity::Warning, 0, 1));
        assert!(first.message.starts_with("api ") && first.message.ends_with("(limit: 16)"), "{}", first.message);
        assert_eq!(notices.first(&reached(Limit::Connections)), None);
        assert!(notices.first(&reached(Limit::Handles)).is_some());
        assert_eq!(notices.first(&Failure::NoResponse), None);
    }
}
