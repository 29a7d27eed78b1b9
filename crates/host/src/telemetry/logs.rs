//! The logs that a process writes.

use crate::telemetry::access_log::AccessLog;
use crate::telemetry::log_writer::LogWriter;
use std::sync::Arc;

/// The logs that a process writes.
#[derive(Clone, Default)]
pub struct Logs {
    /// An entry for each request.
    pub access: Option<AccessLog>,
    /// Output of guests and messages about them, by the name of the stream.
    pub output: Vec<(&'static str, Arc<LogWriter<String>>)>,
    /// An entry for each decision of the policy.
    pub audit: Option<Arc<LogWriter<String>>>,
}

impl Logs {
    /// Counts the lost lines of each log.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let access = self.access.iter().map(|log| ("access log", log.lost()));
        let output = self.output.iter().map(|(stream, lines)| (*stream, lines.lost()));
        access.chain(output).chain(self.audit.iter().map(|lines| ("audit", lines.lost())))
    }
}
