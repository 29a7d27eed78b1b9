use super::{LONGEST, PatternError};
use std::fmt;

/// A host name: exact, every name below one (`*.example.com`), or any (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    Any,
    Exact(String),
    /// The part after `*.`. The name itself does not match.
    Below(String),
}

impl NamePattern {
    /// Reads a pattern. Names compare without case and without the final dot.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| {
            PatternError::new(text, problem, "write a name such as `example.com`, `*.example.com`, or `*`")
        };
        if text.len() > LONGEST {
            return Err(error("is too long"));
        }
        if text == "*" {
            return Ok(NamePattern::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = canonical(name);
        if !is_host_name(&name) {
            return Err(error("is not a host name"));
        }
        Ok(if below { NamePattern::Below(name) } else { NamePattern::Exact(name) })
    }

    /// Whether `name` is one of them.
    pub fn matches(&self, name: &str) -> bool {
        let name = canonical(name);
        match self {
            NamePattern::Any => true,
            NamePattern::Exact(exact) => *exact == name,
            NamePattern::Below(base) => {
                name.strip_suffix(base.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamePattern::Any => f.write_str("*"),
            NamePattern::Exact(name) => f.write_str(name),
            NamePattern::Below(base) => write!(f, "*.{base}"),
        }
    }
}

/// Lower case, without the dot that marks the root.
pub(crate) fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// RFC 1123 section 2.1, and underscores, which service names use.
fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}
