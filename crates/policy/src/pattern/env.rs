//! Environment variables: `NAME=VALUE` or `NAME`.

use crate::pattern::pattern::{LONGEST, PatternError};
use std::fmt;

/// An environment variable that a guest may see.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvGrant {
    /// Name of the variable.
    pub name: String,
    /// Value of the variable; `None` takes that of the host process.
    pub value: Option<String>,
}

impl EnvGrant {
    /// Reads `NAME=VALUE` or `NAME`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| {
            PatternError::new(
                text,
                problem,
                "write `NAME=VALUE` to set it, or `NAME` to pass on the one that is set here",
            )
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(error("has no name"));
        }
        if name.contains('*') {
            return Err(PatternError::new(
                text.split('=').next().unwrap_or_default(),
                "is not the name of one variable",
                "name each variable that the guest may see; only denials have a `*`",
            ));
        }
        if name.contains('\0') || value.as_ref().is_some_and(|v| v.contains('\0')) {
            return Err(error("contains a zero byte"));
        }
        if name.len() > LONGEST {
            return Err(error("has a name that is too long"));
        }
        Ok(EnvGrant { name: name.to_owned(), value })
    }
}

impl fmt::Display for EnvGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret, and this text goes to logs.
        f.write_str(&self.name)
    }
}

/// Prints the name only, as [`fmt::Display`] does.
impl fmt::Debug for EnvGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvGrant({})", self.name)
    }
}

/// Returns whether the denial `pattern` (`NAME`, `PREFIX*` or `*`) covers `name`.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}
