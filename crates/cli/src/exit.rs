//! Exit codes. A guest's own code is passed on; these are Walnut's, in the numbers that container
//! tools use.

use walnut_engine::{Failure, LoadError};
use walnut_host::ErrorClass;
use walnut_policy::Limit;

/// Reason why Walnut, rather than the guest, set the exit code. The value is the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Wrong usage: a flag, a pattern, a call.
    Usage = 2,
    /// The deadline or the CPU time was used up.
    Time = 124,
    /// The host failed, or the configuration is wrong.
    Host = 125,
    /// The target was found but cannot run.
    CannotRun = 126,
    /// There is no such target.
    NotFound = 127,
    /// The guest trapped (128 + SIGABRT).
    Trap = 134,
    /// The memory limit was reached (128 + SIGKILL).
    Memory = 137,
}

impl From<ErrorClass> for ExitReason {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Usage => ExitReason::Usage,
            ErrorClass::NotFound => ExitReason::NotFound,
            ErrorClass::CannotRun => ExitReason::CannotRun,
            ErrorClass::Memory => ExitReason::Memory,
            ErrorClass::Host => ExitReason::Host,
        }
    }
}

impl From<&LoadError> for ExitReason {
    fn from(error: &LoadError) -> Self {
        ErrorClass::from(error).into()
    }
}

impl From<&Failure> for ExitReason {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Limit { limit: Limit::Deadline | Limit::Cpu, .. } => ExitReason::Time,
            Failure::Limit { limit: Limit::Memory, .. } => ExitReason::Memory,
            Failure::Limit { .. } | Failure::Trap { .. } | Failure::NoResponse | Failure::GuestError(_) => {
                ExitReason::Trap
            }
            Failure::Busy | Failure::Host(_) => ExitReason::Host,
        }
    }
}
