//! What a sandbox may use. Always on: every limit has a default, a flag and a manifest key of the same name.

use std::fmt;
use std::time::Duration;

/// The limits of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables together.
    pub memory: u64,
    /// Time on a processor.
    pub cpu: Duration,
    /// Time on the clock, from start to end (for a service: of one request).
    pub deadline: Duration,
    /// Bytes of the guest's call stack.
    pub stack: u64,
    /// Open files, sockets, streams, header sets and other host-side handles at once.
    pub handles: u64,
    /// Bytes of one request body.
    pub request_body: u64,
    /// Bytes of one response body.
    pub response_body: u64,
    /// Outbound connections over the life of one sandbox that are open at once.
    pub connections: u64,
}

impl Limits {
    /// For a command: generous, since a person waits for it and can stop it.
    pub fn for_command() -> Self {
        Limits {
            memory: 2 << 30,
            cpu: Duration::from_secs(600),
            deadline: Duration::from_secs(3600),
            stack: 2 << 20,
            handles: 10_000,
            request_body: 128 << 20,
            response_body: 128 << 20,
            connections: 64,
        }
    }

    /// For one request to a service: small, since strangers send them.
    pub fn for_service() -> Self {
        Limits {
            memory: 128 << 20,
            cpu: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
            stack: 1 << 20,
            handles: 2_000,
            request_body: 128 << 20,
            response_body: 128 << 20,
            connections: 16,
        }
    }
}

/// One kind of limit. The same word names the flag, the manifest key, the message and the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields of `Limits` of the same names describe them")]
pub enum Limit {
    Memory,
    Cpu,
    Deadline,
    Stack,
    Handles,
    RequestBody,
    ResponseBody,
    Connections,
}

impl Limit {
    /// The word for it, as in the flag without its dashes.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Memory => "memory",
            Limit::Cpu => "cpu",
            Limit::Deadline => "deadline",
            Limit::Stack => "stack",
            Limit::Handles => "handles",
            Limit::RequestBody => "request-body",
            Limit::ResponseBody => "response-body",
            Limit::Connections => "connections",
        }
    }

    /// What was used up, as the subject of "was used up".
    pub fn subject(self) -> &'static str {
        match self {
            Limit::Memory => "memory",
            Limit::Cpu => "processor time",
            Limit::Deadline => "time",
            Limit::Stack => "call stack",
            Limit::Handles => "host-side handles",
            Limit::RequestBody => "request body",
            Limit::ResponseBody => "response body",
            Limit::Connections => "outbound connections",
        }
    }

    /// Its value in `limits`, in the words that the flag takes.
    pub fn value(self, limits: &Limits) -> String {
        match self {
            Limit::Memory => size(limits.memory),
            Limit::Cpu => duration(limits.cpu),
            Limit::Deadline => duration(limits.deadline),
            Limit::Stack => size(limits.stack),
            Limit::Handles => limits.handles.to_string(),
            Limit::RequestBody => size(limits.request_body),
            Limit::ResponseBody => size(limits.response_body),
            Limit::Connections => limits.connections.to_string(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A size or a duration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}; write {example}")]
pub struct LimitError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// Reads `64MiB`, `1GiB`, `512k`, `1000000`: bytes, with binary units (`MB` and `M` mean `MiB`, as container tools read them).
pub fn parse_size(text: &str) -> Result<u64, LimitError> {
    let error = || LimitError { text: text.to_owned(), what: "size", example: "`64MiB`, `1GiB` or a number of bytes" };
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
pub fn parse_duration(text: &str) -> Result<Duration, LimitError> {
    let error = || LimitError { text: text.to_owned(), what: "duration", example: "`500ms`, `2s`, `5m` or `1h`" };
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

/// Bytes in the largest binary unit that shows them exactly.
pub(crate) fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

pub(crate) fn duration(d: Duration) -> String {
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
