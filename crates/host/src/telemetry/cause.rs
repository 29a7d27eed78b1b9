//! What became of a request, in one word: the `cause` of the metrics and of the access log. Closed, so that nothing that a
//! guest or a client chooses becomes a label.

use http::StatusCode;
use walnut_engine::{Failure, Limit};

/// Why a request ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The component answered, with whatever status, or a folder did.
    Ok,
    /// The request was not a good one, or none at all, or its head did not come in time.
    ClientError,
    /// No route is for it, or no file that may be served.
    NotFound,
    /// No sandbox was free in time, or no turn on the thread, the system has no room for more open files, or another client needed the connection's
    /// seat before the request's head was there.
    Overloaded,
    /// The request's body is larger than it may be.
    TooLarge,
    /// The time on the clock was used up.
    Deadline,
    /// The time on a processor was used up.
    Cpu,
    /// The memory was used up.
    Memory,
    /// Another limit was reached; the metric of the limits says which.
    Limit,
    /// The guest trapped.
    Trap,
    /// The guest ended without a response.
    NoResponse,
    /// The guest answered with an error of its own instead of a response, or instead of the rest of its body.
    GuestError,
    /// Something in the host failed.
    HostError,
    /// A file could not be sent to its end; standard error says why.
    BrokenOff,
    /// The client left, or the server stopped, before the end of the answer.
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

    /// The cause of a failure.
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

    pub fn of_limit(limit: Limit) -> Self {
        match limit {
            Limit::Deadline => Cause::Deadline,
            Limit::Cpu => Cause::Cpu,
            Limit::Memory => Cause::Memory,
            Limit::RequestBody => Cause::TooLarge,
            Limit::Stack | Limit::Handles | Limit::ResponseBody | Limit::Connections => Cause::Limit,
        }
    }

    /// The word for it.
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

/// The classes of statuses, by [`class`]; the first is of requests whose client left before there was one.
pub(crate) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The index of a status in [`CLASSES`].
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
