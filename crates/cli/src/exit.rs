//! Exit codes. A guest's own code is passed on; these are Walnut's, in the numbers that container tools use.

use walnut_engine::{Failure, Limit, LoadError};

/// Why Walnut, rather than the guest, set the exit code. The table in the guide is made from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Wrong usage: a flag, a pattern, a call.
    Usage = 2,
    /// The deadline or the processor time was used up.
    Time = 124,
    /// The host failed, or the configuration is bad.
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

impl Code {
    /// The code for a target that could not be loaded.
    pub fn of_load(error: &LoadError) -> Self {
        match error {
            LoadError::NotFound(_) => Code::NotFound,
            LoadError::Call(_) | LoadError::Start { .. } => Code::Usage,
            LoadError::Mounts(_) | LoadError::Engine(_) | LoadError::Unreadable { .. } => Code::Host,
            LoadError::Memory { .. } => Code::Memory,
            LoadError::TooLarge { .. }
            | LoadError::Text { .. }
            | LoadError::NotWasm { .. }
            | LoadError::Invalid { .. }
            | LoadError::MissingImports { .. }
            | LoadError::WrongWorld { .. }
            | LoadError::Compile { .. } => Code::CannotRun,
        }
    }

    /// The code for a guest that did not end well.
    pub fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Limit { limit: Limit::Deadline | Limit::Cpu, .. } => Code::Time,
            Failure::Limit { limit: Limit::Memory, .. } => Code::Memory,
            Failure::Limit { .. } | Failure::Trap { .. } | Failure::NoResponse | Failure::GuestError(_) => Code::Trap,
            Failure::Busy | Failure::Host(_) => Code::Host,
        }
    }
}
