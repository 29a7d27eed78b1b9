//! The place of a response in a sandbox that takes many requests.

use crate::failure::error::Failure;
use crate::failure::explain;
use crate::request_id::RequestId;
use crate::run::service::concurrent_sandbox::{InFlight, SandboxCounts, SlotGuard};
use crate::run::service::response::{FailureReporter, ResponseTail};
use crate::sandbox::setup::Setup;
use crate::sandbox::stdio::RequestScope;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use tokio::time::{Instant, Sleep, sleep_until};

/// Place of a response in its sandbox, until its body ends or its deadline passes.
pub(super) struct ResponseLease {
    pub until: Instant,
    /// Timer of the deadline, once something waits for it.
    pub timer: Option<Pin<Box<Sleep>>>,
    pub overdue: Option<OverdueReport>,
    pub counts: Arc<SandboxCounts>,
    pub _visit: InFlight,
    pub _scope: RequestScope,
    pub _slot: SlotGuard,
}

/// Recipient of the failure when the deadline passes.
pub(super) struct OverdueReport {
    pub report: FailureReporter,
    pub setup: Arc<Setup>,
    pub id: RequestId,
}

impl ResponseTail for ResponseLease {
    fn failure(&self) -> Option<&Failure> {
        self.counts.failed.get()
    }

    fn is_over(&mut self) -> bool {
        let is_over = Instant::now() >= self.until;
        if let Some(overdue) = self.overdue.take_if(|_| is_over) {
            (overdue.report)(&explain::deadline(&overdue.setup.limits, None), Some(overdue.id));
        }
        is_over
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.until;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(cx).is_ready() && self.is_over()
    }

    /// Dropping the lease gives the place back.
    fn abandon(&self) {}
}
