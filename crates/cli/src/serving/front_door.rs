//! The command line as a front door of the loader.

use crate::audit::ServerAudit;
use crate::cache::open_cache;
use crate::gate::explainer;
use crate::printer::Printer;
use crate::progress::TerminalProgress;
use std::env::{self, VarError};
use std::sync::Arc;
use walnut_engine::{Cache, Listener, OutputLine, Progress};
use walnut_host::{ComponentMetrics, FrontDoor, Notice, Notices, guest_line};

/// Gives loaded components the terminal, the environment and the audit file of this process.
pub struct ServeFrontDoor {
    pub printer: Printer,
    /// Whether denials are not explained.
    pub is_quiet: bool,
    /// Whether output of guests is written as JSON.
    pub is_json: bool,
    pub audit: Option<ServerAudit>,
}

impl Notices for ServeFrontDoor {
    fn notify(&self, notice: &Notice) {
        self.printer.notify(notice);
    }
}

impl FrontDoor for ServeFrontDoor {
    fn open_cache(&self) -> Option<Cache> {
        open_cache(self.printer)
    }

    fn progress(&self) -> Option<&dyn Progress> {
        Some(&TerminalProgress)
    }

    fn variable(&self, name: &str) -> Result<String, VarError> {
        env::var(name)
    }

    fn variables(&self) -> Vec<(String, String)> {
        crate::gate::all_variables()
    }

    fn listeners(&self) -> Vec<Arc<dyn Listener>> {
        let explainer = (!self.is_quiet).then(|| explainer(Vec::new(), self.printer));
        let audit = self.audit.as_ref().map(|audit| Arc::new(audit.listener()) as Arc<dyn Listener>);
        explainer.into_iter().chain(audit).collect()
    }

    fn write_output(&self, title: &str, metrics: &ComponentMetrics, line: OutputLine<'_>) {
        if self.is_json {
            self.printer.guest_json(&guest_line(metrics, line), line.is_stderr);
        } else {
            self.printer.guest_line(title, line);
        }
    }
}
