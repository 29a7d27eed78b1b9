//! Errors of the chores.

use std::error::Error;

/// The result of a chore. An error ends it with its text.
pub type TaskResult<T = (), E = Box<dyn Error>> = Result<T, E>;
