//! The sandboxes of a WASI 0.3 component. Each serving thread has a current sandbox that takes many
//! requests at once. A sandbox lives on its thread's runtime, so a request never waits for another
//! thread.
//!
//! A sandbox is replaced when it has failed, idled or taken enough requests; when its guest
//! computes and takes no request soon; and when a deadline passes in it, because a single task of
//! it cannot be ended. A replaced sandbox takes no new requests and ends with its last one.

use crate::compile::prepared::Ready;
use crate::failure::error::Failure;
use crate::failure::explain;
use crate::http::body::Buffered;
use crate::request_id::RequestId;
use crate::run::service::concurrent_sandbox::{
    ConcurrentSandbox, InFlight, SandboxCounts, SandboxEnd, SandboxRequest, SlotGuard,
};
use crate::run::service::lease::{OverdueReport, ResponseLease};
use crate::run::service::response::{Answer, FailureReporter, GuestRequest, GuestResponse, words};
use crate::sandbox::sandbox::Sandbox;
use crate::sandbox::stdio::RequestScope;
use crate::scheduler::meter::Meter;
use crate::scheduler::turns;
use futures_channel::oneshot;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};
use walnut_policy::Limits;
use wasmtime_wasi_http::handler::ExpirationError;
use wasmtime_wasi_http::p3::bindings as p3;

/// Time that a request waits for a computing guest before it goes to a new sandbox; it doubles with
/// each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// A component of WASI 0.3, with the current sandbox of each thread.
pub(super) struct ConcurrentSandboxes {
    pre: p3::ServicePre<Sandbox>,
    ready: Ready,
    report: FailureReporter,
    current: Mutex<HashMap<ThreadId, ConcurrentSandbox>>,
    /// Counts live sandboxes: each has a clone.
    live: Arc<()>,
}

impl ConcurrentSandboxes {
    pub fn new(ready: &Ready, report: &FailureReporter) -> wasmtime::Result<Self> {
        let pre = p3::ServicePre::new(ready.code.pre.clone())?;
        let (ready, report) = (ready.clone(), report.clone());
        Ok(ConcurrentSandboxes { pre, ready, report, current: Mutex::default(), live: Arc::default() })
    }

    fn limits(&self) -> &Limits {
        &self.ready.setup.limits
    }

    /// Replaces the current sandboxes. Outside a runtime, nothing can wait for their last requests.
    pub fn retire(&self) {
        let workers = std::mem::take(&mut *self.current.lock());
        if Handle::try_current().is_ok() {
            workers.into_values().for_each(|worker| worker.leave(self.limits().deadline));
        }
    }

    /// Returns the number of live sandboxes.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.live) - 1
    }

    /// Answers one request. `slot` is kept until both the guest and the client are done with it.
    pub async fn handle(
        &self,
        request: GuestRequest,
        id: RequestId,
        mut turn: Option<turns::Turn>,
        slot: impl Send + Sync + 'static,
        until: Instant,
    ) -> Result<Answer<ResponseLease>, Failure> {
        let slot: SlotGuard = Arc::new(slot);
        let mut request = request;
        let mut tries = 0;
        let sent = loop {
            let mut sent = self.send(request, id, &slot, until);
            if let Some(turn) = turn.take() {
                // The sandbox, a task of its own, can now start the request.
                yield_now().await;
                drop(turn);
            }
            match sent.take_back_unless_started(FIRST_WAIT * (1 << tries.min(8)), until).await {
                None => break sent,
                Some(_) if Instant::now() >= until => return Err(explain::deadline(self.limits(), None)),
                Some(_) if tries > 2 && sent.ended.has_changed().is_err() => {
                    return Err(reason_of_end(&mut sent.ended).await);
                }
                Some(back) => request = back,
            }
            self.replace(&sent.ended);
            tries += 1;
        };
        let SubmittedRequest { answered, mut ended, in_flight, scope, counts, .. } = sent;
        let timer = InFlight::new(&counts, |counts| &counts.waiting);
        let answered = timeout_at(until, async {
            match answered.await {
                Ok(answer) => answer.map_err(|e| request_failure(&e, self.limits())),
                // The sandbox ended with all its requests.
                Err(_) => Err(reason_of_end(&mut ended).await),
            }
        });
        let answer = answered.await.unwrap_or_else(|_| Err(explain::deadline(self.limits(), None)));
        drop(timer);
        if Instant::now() >= until {
            self.replace(&ended);
        }
        let overdue = OverdueReport { report: self.report.clone(), setup: self.ready.setup.clone(), id };
        let lease = ResponseLease {
            until,
            timer: None,
            overdue: Some(overdue),
            counts,
            _visit: in_flight,
            _scope: scope,
            _slot: slot,
        };
        Ok((answer?.map(|body| Buffered::default().prepend_to(body)), Some(lease)))
    }

    fn send(&self, request: GuestRequest, id: RequestId, slot: &SlotGuard, until: Instant) -> SubmittedRequest {
        let mut current = self.current.lock();
        let (request, here) = (Arc::new(Mutex::new(Some(request))), thread::current().id());
        loop {
            let worker = current.entry(here).or_insert_with(|| {
                ConcurrentSandbox::start(&self.ready, &self.pre, self.report.clone(), self.live.clone())
            });
            let (answer, answered) = oneshot::channel();
            let (taken, was_taken) = oneshot::channel();
            let job = SandboxRequest { request: request.clone(), answer, taken, until, _slot: slot.clone() };
            if worker.jobs.try_send(job).is_ok() {
                let (ended, counts) = (worker.ended.clone(), worker.counts.clone());
                let in_flight = InFlight::new(&counts, |counts| &counts.in_flight);
                let (meter, scope) = (worker.meter.clone(), worker.output.begin_request(id));
                return SubmittedRequest { request, answered, was_taken, ended, in_flight, scope, counts, meter };
            }
            if let Some(full) = current.remove(&here) {
                full.leave(self.limits().deadline);
            }
        }
    }

    /// Replaces the sandbox with this `ended`, if it is still the current one.
    fn replace(&self, ended: &SandboxEnd) {
        let mut current = self.current.lock();
        let here = thread::current().id();
        if current.get(&here).is_some_and(|worker| worker.ended.same_channel(ended))
            && let Some(worker) = current.remove(&here)
        {
            worker.leave(self.limits().deadline);
        }
    }
}

/// A request that arrived during the replacement of the component may have started another sandbox.
impl Drop for ConcurrentSandboxes {
    fn drop(&mut self) {
        self.retire();
    }
}

/// A request that was submitted to a sandbox.
struct SubmittedRequest {
    request: Arc<Mutex<Option<GuestRequest>>>,
    was_taken: oneshot::Receiver<()>,
    answered: oneshot::Receiver<wasmtime::Result<GuestResponse>>,
    ended: SandboxEnd,
    in_flight: InFlight,
    scope: RequestScope,
    counts: Arc<SandboxCounts>,
    meter: Arc<Meter>,
}

impl SubmittedRequest {
    /// Takes the request back if the sandbox does not start it within `soon`.
    async fn take_back_unless_started(&mut self, soon: Duration, until: Instant) -> Option<GuestRequest> {
        loop {
            match timeout(soon, &mut self.was_taken).await {
                Ok(Ok(())) => return None,
                Err(_) if !self.meter.is_busy() && Instant::now() < until => {}
                _ => return self.request.lock().take(),
            }
        }
    }
}

/// Returns why a sandbox ended without an answer to a request.
async fn reason_of_end(ended: &mut SandboxEnd) -> Failure {
    match ended.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(Err(failure))) => failure.clone(),
        _ => Failure::NoResponse,
    }
}

fn request_failure(error: &wasmtime::Error, limits: &Limits) -> Failure {
    if error.is::<ExpirationError>() {
        return explain::deadline(limits, None);
    }
    if let Some(code) = error.downcast_ref::<p3::http::types::ErrorCode>() {
        return Failure::GuestError(words(&format!("{code:?}")));
    }
    Failure::Host(error.root_cause().to_string())
}
