//! The interface between the loader and the front door that uses it.

use crate::app::loader::notices::Notices;
use crate::telemetry::ComponentMetrics;
use std::env::VarError;
use std::sync::Arc;
use walnut_engine::{Cache, Listener, OutputLine, Progress};

/// A program that loads and serves apps: the command line, a container shim, a test.
///
/// Only [`Notices::notify`] is required. The other methods default to nothing: no cache, no
/// variables, output discarded.
pub trait FrontDoor: Notices {
    /// Opens the cache of compiled code. Called for each new engine; without a cache, everything is
    /// compiled anew.
    fn open_cache(&self) -> Option<Cache> {
        None
    }

    /// Returns a display for the progress of compilations.
    fn progress(&self) -> Option<&dyn Progress> {
        None
    }

    /// Returns the value of an environment variable that a component inherits.
    ///
    /// # Errors
    /// When the variable is not set, or is not valid UTF-8.
    fn variable(&self, _name: &str) -> Result<String, VarError> {
        Err(VarError::NotPresent)
    }

    /// Returns all environment variables, for a component that may do everything.
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Returns listeners that hear each decision about a component.
    fn listeners(&self) -> Vec<Arc<dyn Listener>> {
        Vec::new()
    }

    /// Takes a line that a component wrote to standard output or standard error. `title` is
    /// `app/component`, or the name of a component that is served by itself.
    fn write_output(&self, _title: &str, _metrics: &ComponentMetrics, _line: OutputLine<'_>) {}
}
