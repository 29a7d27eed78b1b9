//! The name of one request, by which what is said of it can be found again.

use std::fmt;
use std::num::NonZeroU128;

/// Names a request in whatever is said of it. Written as 32 hexadecimal digits, as the trace id of W3C Trace Context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(NonZeroU128);

impl RequestId {
    /// The id with this number.
    pub fn new(number: NonZeroU128) -> Self {
        RequestId(number)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
