//! Sizes and durations as people write them, the same in a flag and in a manifest.

use std::time::Duration;

/// Error of a size or a duration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {problem}; {hint}")]
pub struct UnitError {
    /// Text as the user wrote it.
    pub text: String,
    /// Description of the error, as the rest of a sentence that starts with the text.
    pub problem: &'static str,
    /// Suggestion of another text.
    pub hint: &'static str,
}

/// Longest duration: a century, which keeps every later addition in range.
pub const MAX_MILLISECONDS: u64 = 876_000 * 3_600_000;

/// Parses a size in bytes: `64MiB`, `1GiB`, `512k`, `1000000`. Units are binary, so `MB` and `M`
/// mean `MiB`, as in container tools. Fails above `u64::MAX` bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = |problem, hint| UnitError { text: text.to_owned(), problem, hint };
    let not_a_size = || error("is not a size", "write `64MiB`, `1GiB` or a number of bytes");
    let too_much = || error("is too much", "the maximum is `16777215TiB`");
    let (number, unit) = split_unit(text);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(not_a_size()),
    };
    if number.is_empty() {
        return Err(not_a_size());
    }
    // Digits that are not a number are too many for a number.
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)).ok_or_else(too_much)
}

/// Parses a duration from 1 millisecond to a century: `500ms`, `2s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = |problem, hint| UnitError { text: text.to_owned(), problem, hint };
    let not_a_duration = || error("is not a duration", "write `500ms`, `2s`, `5m` or `1h`");
    let (number, unit) = split_unit(text);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(not_a_duration()),
    };
    if number.is_empty() {
        return Err(not_a_duration());
    }
    // Digits that are not a number are too many for a number.
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
    match total {
        Some(0) => Err(error("is too short", "the minimum is `1ms`")),
        Some(total) if total <= MAX_MILLISECONDS => Ok(Duration::from_millis(total)),
        _ => Err(error("is too long", "the maximum is `876000h`, a century")),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim_start())
}

/// Formats bytes in the largest binary unit that is exact, as [`parse_size`] reads them.
pub fn size(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Formats a duration in the largest unit that is exact, as [`parse_duration`] reads it.
pub fn duration(d: Duration) -> String {
    match d.as_millis() {
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1g", 1 << 30), ("512k", 512 << 10), ("1000", 1000), ("2 GB", 2 << 30)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes);
            assert_eq!(parse_size(&size(bytes)).unwrap(), bytes);
        }
        for text in ["", "MiB", "-1", "1.5GiB", "1x"] {
            assert_eq!(parse_size(text).unwrap_err().problem, "is not a size");
        }
    }

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [("500ms", 500), ("2s", 2000), ("5m", 300_000), ("1h", 3_600_000)] {
            let value = Duration::from_millis(ms);
            assert_eq!(parse_duration(text).unwrap(), value);
            assert_eq!(duration(value), text);
        }
        for text in ["", "1", "s", "1d", "-1s", "1.5s"] {
            assert_eq!(parse_duration(text).unwrap_err().problem, "is not a duration");
        }
    }

    /// The minimum or maximum that a hint names is accepted.
    #[test]
    fn errors_of_range_name_an_accepted_bound() {
        for (text, problem) in [
            ("0s", "is too short"),
            ("0ms", "is too short"),
            ("876001h", "is too long"),
            ("99999999999999999h", "is too long"),
            ("100000000000000000000h", "is too long"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            parse_duration(error.hint.split('`').nth(1).unwrap()).unwrap();
        }
        for text in ["99999999999999999999", "99999999TiB"] {
            let error = parse_size(text).unwrap_err();
            assert_eq!(error.problem, "is too much", "{text}");
            parse_size(error.hint.split('`').nth(1).unwrap()).unwrap();
        }
    }
}
