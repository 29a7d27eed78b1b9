//! The name of one request, by which what is output of it can be found again.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Names a request in whatever is output of it. Written as 32 hexadecimal digits, as the trace id of W3C InboundTrace Context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    trace: NonZeroU128,
    span: Option<NonZeroU64>,
}

impl RequestId {
    /// The id of the request that is `span` in `trace`, or a trace of its own.
    pub fn new(trace: NonZeroU128, span: Option<NonZeroU64>) -> Self {
        RequestId { trace, span }
    }

    /// The id of its trace, in the sense of W3C InboundTrace Context.
    pub fn trace(self) -> NonZeroU128 {
        self.trace
    }

    /// The id of its span in the trace, where it has one.
    pub fn span(self) -> Option<NonZeroU64> {
        self.span
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}
