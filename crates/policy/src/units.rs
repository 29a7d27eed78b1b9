//! Sizes and durations as people write them, the same in a flag and in a manifest.

use std::time::Duration;

/// A size or a duration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}; write {example}")]
pub struct UnitError {
    /// The text as it was written.
    pub text: String,
    /// What it should have been: a size, a duration.
    pub what: &'static str,
    /// What to write instead.
    pub example: &'static str,
}

/// Reads `64MiB`, `1GiB`, `512k`, `1000000`: bytes, with binary units (`MB` and `M` mean `MiB`, as container tools read them).
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError { text: text.to_owned(), what: "size", example: "`64MiB`, `1GiB` or a number of bytes" };
    let (number, unit) = split_unit(text);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    number.checked_mul(1 << shift).ok_or_else(error)
}

/// Reads `500ms`, `2s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError { text: text.to_owned(), what: "duration", example: "`500ms`, `2s`, `5m` or `1h`" };
    let (number, unit) = split_unit(text);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    // A century is as good as for ever, and keeps every later addition in range.
    let total = number.checked_mul(milliseconds).filter(|ms| (1..=3_200_000_000_000).contains(ms));
    total.map(Duration::from_millis).ok_or_else(error)
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim_start())
}

/// Bytes in the largest binary unit that shows them exactly, as [`parse_size`] reads them.
pub fn size(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// A duration in the largest unit that shows it exactly, as [`parse_duration`] reads it.
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
        for text in ["", "MiB", "-1", "1.5GiB", "1x", "99999999999999999999", "99999999TiB"] {
            parse_size(text).unwrap_err();
        }
    }

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [("500ms", 500), ("2s", 2000), ("5m", 300_000), ("1h", 3_600_000)] {
            let value = Duration::from_millis(ms);
            assert_eq!(parse_duration(text).unwrap(), value);
            assert_eq!(duration(value), text);
        }
        for text in ["", "1", "0s", "s", "1d", "-1s", "99999999999999999h"] {
            parse_duration(text).unwrap_err();
        }
    }
}
