//! Identifiers of requests.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Identifies a request in logs, metrics and traces. Written as 32 hexadecimal digits, like the
/// trace id of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    trace: NonZeroU128,
    span: Option<NonZeroU64>,
}

impl RequestId {
    /// Creates the id of the request that is `span` in `trace`, or that starts a trace.
    pub fn new(trace: NonZeroU128, span: Option<NonZeroU64>) -> Self {
        RequestId { trace, span }
    }

    /// Returns the trace id (W3C Trace Context).
    pub fn trace(self) -> NonZeroU128 {
        self.trace
    }

    /// Returns the id of the request's span in the trace, if it has one.
    pub fn span(self) -> Option<NonZeroU64> {
        self.span
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}
