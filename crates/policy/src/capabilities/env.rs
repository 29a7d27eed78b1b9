//! `env`: environment variables.

use crate::decision::Decision;
use crate::pattern::env::{EnvGrant, covers};
use crate::pattern::pattern::PatternError;
use crate::policy::Policy;
use crate::printable::Printable;
use std::fmt;

/// Writes the request as a phrase.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write!(f, "see the variable {}", Printable(name))
}

impl Policy {
    pub(crate) fn decide_env(&self, name: &str) -> Decision {
        if let Some(rule) = self.env.deny.iter().find(|d| covers(d, name)) {
            return Decision::denied_by(format!("deny-env {rule}"));
        }
        self.grant(self.env.allow.iter().any(|e| e.name == name).then(|| format!("env {name}")))
    }

    /// Grants a variable. The last value of a variable counts, as in a shell.
    pub(crate) fn allow_env(&mut self, text: &str) -> Result<(), PatternError> {
        let grant = EnvGrant::parse(text)?;
        self.env.allow.retain(|other| other.name != grant.name);
        self.env.allow.push(grant);
        Ok(())
    }
}

/// Reads a denial: a variable, or the beginning of its name with a star.
pub(crate) fn parse_denial(text: &str) -> Result<String, PatternError> {
    let stars = text.strip_suffix('*').unwrap_or(text).contains('*');
    if text.is_empty() || stars || text.contains(['=', '\0']) {
        return Err(PatternError::new(text, "is not a variable's name", "write `NAME`, `PREFIX_*` or `*`"));
    }
    Ok(text.to_owned())
}
