//! Causes: how a request ended, in one word, for metrics, the access log and traces. The set is
//! closed, so that no guest and no client can choose a label.

use http::StatusCode;
use walnut_engine::Failure;
use walnut_policy::Limit;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The component or the folder answered, with any status.
    Ok,
    /// The request was malformed, or its head did not arrive in time.
    ClientError,
    /// No route matched, or no file that may be served.
    NotFound,
    /// No sandbox was free in time, the thread was too busy, the system had no room for more open
    /// files, or another client needed the connection's slot before the head was complete.
    Overloaded,
    /// The request's body exceeded its limit.
    TooLarge,
    /// The deadline passed.
    Deadline,
    /// The limit of processor time was reached.
    Cpu,
    /// The memory limit was reached.
    Memory,
    /// Another limit was reached; the metric `walnut_limits_reached_total` tells which.
    Limit,
    /// The guest trapped.
    Trap,
    /// The guest ended without a response.
    NoResponse,
    /// The guest returned an error instead of a response, or failed in the middle of its body.
    GuestError,
    /// The host failed.
    HostError,
    /// A file could not be sent completely; standard error tells why.
    BrokenOff,
    /// The client left, or the server stopped, before the end of the response.
    Abandoned,
}

impl Cause {
    pub const ALL: [Cause; 15] = [
        Cause::Ok,
        Cause::ClientError,
        Cause::NotFound,
        Cause::Overloaded,
        Cause::TooLarge,
        Cause::Deadline,
        Cause::Cpu,
        Cause::Memory,
        Cause::Limit,
        Cause::Trap,
        Cause::NoResponse,
        Cause::GuestError,
        Cause::HostError,
        Cause::BrokenOff,
        Cause::Abandoned,
    ];

    /// Returns the cause of a failure.
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Limit { limit, .. } => Cause::of_limit(*limit),
            Failure::Trap { .. } => Cause::Trap,
            Failure::NoResponse => Cause::NoResponse,
            Failure::GuestError(_) => Cause::GuestError,
            Failure::Busy => Cause::Overloaded,
            Failure::Host(_) => Cause::HostError,
        }
    }

    /// Returns the cause of a limit that was reached.
    pub fn of_limit(limit: Limit) -> Self {
        match limit {
            Limit::Deadline => Cause::Deadline,
            Limit::Cpu => Cause::Cpu,
            Limit::Memory => Cause::Memory,
            Limit::RequestBody => Cause::TooLarge,
            Limit::Stack | Limit::Handles | Limit::ResponseBody | Limit::Connections => Cause::Limit,
        }
    }

    /// Returns the word that metrics and logs show.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Ok => "ok",
            Cause::ClientError => "client_error",
            Cause::NotFound => "not_found",
            Cause::Overloaded => "overloaded",
            Cause::TooLarge => "too_large",
            Cause::Deadline => "deadline",
            Cause::Cpu => "cpu",
            Cause::Memory => "memory",
            Cause::Limit => "limit",
            Cause::Trap => "trap",
            Cause::NoResponse => "no_response",
            Cause::GuestError => "guest_error",
            Cause::HostError => "host_error",
            Cause::BrokenOff => "broken_off",
            Cause::Abandoned => "abandoned",
        }
    }
}

/// Status classes, indexed by [`class`]. The first counts requests that got no status.
pub(crate) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Returns the index of a status in [`CLASSES`].
pub(crate) fn class(status: Option<StatusCode>) -> usize {
    status.map_or(0, |status| usize::from(status.as_u16() / 100)).min(CLASSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_where_its_number_says() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
        }
    }

    #[test]
    fn statuses_have_classes() {
        let of = |code| CLASSES[class(StatusCode::from_u16(code).ok())];
        assert_eq!([of(100), of(204), of(404), of(503), of(999)], ["1xx", "2xx", "4xx", "5xx", "5xx"]);
        assert_eq!(CLASSES[class(None)], "none");
    }
}
