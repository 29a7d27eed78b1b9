//! Parts that several patterns share: ports, and the error of a pattern.

use std::fmt;
use std::ops::RangeInclusive;

/// Longest pattern that is read, in bytes.
pub(crate) const LONGEST: usize = 4096;

/// A grant or denial that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {problem}")]
pub struct PatternError {
    /// The text as it was written.
    pub text: String,
    /// The problem, as the rest of a sentence that starts with the text.
    pub problem: String,
    /// The text to write instead, as a sentence.
    pub hint: String,
}

impl PatternError {
    pub(crate) fn new(text: &str, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        let text = if text.len() > 200 {
            format!("{}…", text.chars().take(200).collect::<String>())
        } else {
            text.to_owned()
        };
        PatternError { text, problem: problem.into(), hint: hint.into() }
    }
}

/// Returns whether `text` is `word` with a single typing error: a letter too many, too few or
/// wrong, or two that changed places.
pub(crate) fn is_slip(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let same = text.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    let (text, word) = (&text.as_bytes()[same..], &word.as_bytes()[same..]);
    match (text, word) {
        ([a, b, text @ ..], [c, d, word @ ..]) if (a, b) == (d, c) => text == word,
        ([_, after @ ..], _) if after == word => true,
        (_, [_, after @ ..]) if after == text => true,
        ([_, text @ ..], [_, word @ ..]) => text == word,
        _ => false,
    }
}

/// A port, a range of ports, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

impl Ports {
    /// Returns every port.
    pub fn all() -> Self {
        Ports(0..=u16::MAX)
    }

    /// Returns this port alone.
    pub(crate) fn one(port: u16) -> Self {
        Ports(port..=port)
    }

    /// Returns whether `port` is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }

    /// Reads `443`, `8000-8999` or `*`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u16>().ok()).flatten();
        if text == "*" {
            return Some(Ports::all());
        }
        match text.split_once('-') {
            Some((low, high)) => {
                let (low, high) = (number(low)?, number(high)?);
                (low <= high).then_some(Ports(low..=high))
            }
            None => number(text).map(|port| Ports(port..=port)),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.0.start(), self.0.end());
        match (low, high) {
            (0, &u16::MAX) => f.write_str("*"),
            _ if low == high => write!(f, "{low}"),
            _ => write!(f, "{low}-{high}"),
        }
    }
}
