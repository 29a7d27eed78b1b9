//! Limits of a sandbox. They are always on: each has a default, a flag and a manifest key of the
//! same name.

use std::fmt;
use std::time::Duration;
pub use walnut_policy::units::{UnitError as LimitError, parse_duration, parse_size};
pub(crate) use walnut_policy::units::{duration, size};

/// Limits of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables together.
    pub memory: u64,
    /// Processor time.
    pub cpu: Duration,
    /// Wall time from start to end; for a service, of one request.
    pub deadline: Duration,
    /// Bytes of the guest's call stack.
    pub stack: u64,
    /// Open files, sockets, streams, header sets and other host-side handles at once.
    pub handles: u64,
    /// Bytes of one request body.
    pub request_body: u64,
    /// Bytes of one response body.
    pub response_body: u64,
    /// Outbound connections open at once: TCP sockets that connect, and HTTP requests.
    pub connections: u64,
}

/// Bounds of the call stack's size, in bytes.
pub const STACK: std::ops::RangeInclusive<u64> = 64 << 10..=256 << 20;

impl Limits {
    /// Returns the limits of a command. They are generous, since a person waits for it and can stop
    /// it.
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

    /// Returns the limits of one request to a service. They are small, since strangers send
    /// requests.
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

/// Kind of a limit. Flag, manifest key, message and metric share its name.
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
    /// All limits, in the order of their declaration.
    pub const ALL: [Limit; 8] = [
        Limit::Memory,
        Limit::Cpu,
        Limit::Deadline,
        Limit::Stack,
        Limit::Handles,
        Limit::RequestBody,
        Limit::ResponseBody,
        Limit::Connections,
    ];

    /// Returns the name of the limit: the flag without its dashes.
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

    /// Describes how a guest reached the limit, as the rest of a sentence that starts with the
    /// guest's name.
    pub fn deed(self) -> &'static str {
        match self {
            Limit::Memory => "used up its memory",
            Limit::Cpu => "used up its processor time",
            Limit::Deadline => "used up its time",
            Limit::Stack => "used up its call stack",
            Limit::Handles => "used up its host-side handles",
            Limit::RequestBody => "had a request body that is too large",
            Limit::ResponseBody => "had a response body that is too large",
            Limit::Connections => "used up its outbound connections",
        }
    }

    /// Returns the limit's value in `limits`, as the flag takes it.
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
