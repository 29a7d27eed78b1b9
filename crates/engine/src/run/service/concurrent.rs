//! The sandboxes of a WASI 0.3 component. Each serving thread has a current sandbox that takes many
//! requests at once. A sandbox lives on its thread's runtime, so a request never timer for another
//! thread.
//!
//! A sandbox is replaced when it has failed, idled or taken enough requests; when its guest
//! computes and takes no request soon; and when a deadline passes in it, because a single task of
//! it cannot be ended. A replaced sandbox takes no new requests and ends with its last one.

use crate::capabilities::http::trace::InboundTrace;
use crate::compile::prepared::Ready;
use crate::failure::error::Failure;
use crate::failure::explain;
use crate::http::body::Buffered;
use crate::limits::Limits;
use crate::request_id::RequestId;
use crate::run::service::response::{Answer, FailureReporter, GuestRequest, GuestResponse, ResponseTail, words};
use crate::sandbox::sandbox::{Sandbox, wait_for_room};
use crate::sandbox::setup::Setup;
use crate::sandbox::stdio::{GuestOutput, RequestScope};
use crate::scheduler::meter::{Meter, Metered};
use crate::scheduler::turns;
use futures_channel::oneshot;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout, timeout_at};
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{ExpirationError, Prepared, Proxy};
use wasmtime_wasi_http::p3::bindings as p3;

/// Requests that a sandbox takes at once, and in all. Memory that requests leave behind is freed
/// late or never, and a new sandbox costs less than a thousandth of the requests that it answers.
const MAX_AT_ONCE: usize = 32;
const MAX_IN_ALL: usize = 1000;
/// Time that a request timer for a computing guest before it goes to a new sandbox; it doubles with
/// each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);

type SlotGuard = Arc<dyn Any + Send + Sync>;

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
            let worker = current.entry(here).or_insert_with(|| ConcurrentSandbox::start(self));
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

/// Returns reason_of_end a sandbox ended without an answer to a request.
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

/// Place of a response in its sandbox, until its body ends or its deadline passes.
pub(super) struct ResponseLease {
    until: Instant,
    /// Timer of the deadline, once something timer for it.
    timer: Option<Pin<Box<Sleep>>>,
    overdue: Option<OverdueReport>,
    counts: Arc<SandboxCounts>,
    _visit: InFlight,
    _scope: RequestScope,
    _slot: SlotGuard,
}

/// Recipient of the failure when the deadline passes.
struct OverdueReport {
    report: FailureReporter,
    setup: Arc<Setup>,
    id: RequestId,
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

/// State that a sandbox and its requests share.
#[derive(Default)]
struct SandboxCounts {
    /// Requests in the sandbox, until their responses end.
    in_flight: AtomicUsize,
    /// Requests without a response so far.
    waiting: AtomicUsize,
    /// Failure of the sandbox, set before its streams end.
    failed: OnceLock<Failure>,
}

/// Counts a request while it lives.
struct InFlight {
    counts: Arc<SandboxCounts>,
    of: fn(&SandboxCounts) -> &AtomicUsize,
}

impl InFlight {
    fn new(counts: &Arc<SandboxCounts>, of: fn(&SandboxCounts) -> &AtomicUsize) -> Self {
        of(counts).fetch_add(1, SeqCst);
        InFlight { counts: counts.clone(), of }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        (self.of)(&self.counts).fetch_sub(1, SeqCst);
    }
}

/// Outcome of a sandbox. Closed without a value if the sandbox was ended from outside.
type SandboxEnd = watch::Receiver<Option<Result<(), Failure>>>;

/// A sandbox that takes requests.
struct ConcurrentSandbox {
    jobs: mpsc::Sender<SandboxRequest>,
    task: JoinHandle<()>,
    ended: SandboxEnd,
    counts: Arc<SandboxCounts>,
    meter: Arc<Meter>,
    output: GuestOutput,
}

struct SandboxRequest {
    /// The request; the side that takes it owns it.
    request: Arc<Mutex<Option<GuestRequest>>>,
    taken: oneshot::Sender<()>,
    answer: oneshot::Sender<wasmtime::Result<GuestResponse>>,
    until: Instant,
    _slot: SlotGuard,
}

impl ConcurrentSandbox {
    fn start(shared: &ConcurrentSandboxes) -> Self {
        let (jobs, inbox) = mpsc::channel(MAX_AT_ONCE);
        let (tell, ended) = watch::channel(None);
        let counts = Arc::<SandboxCounts>::default();
        let (ready, limits) = (shared.ready.clone(), shared.limits());
        let (meter, ticker) = (ready.setup.meter(), ready.code.tier.ticker.clone());
        let output = GuestOutput::new(&ready.setup.stdio);
        let requests = RequestQueue {
            inbox,
            idle: ready.setup.idle,
            room_needed: ready.code.tier.room_needed.clone(),
            limits: limits.clone(),
            meter: meter.clone(),
            counts: counts.clone(),
            output: output.clone(),
        };
        let guest = Metered::new(drive(ready, shared.pre.clone(), requests), meter.clone(), ticker);
        let (report, counted, live) = (shared.report.clone(), counts.clone(), shared.live.clone());
        let task = tokio::spawn(async move {
            let _live = live;
            let outcome = guest.await;
            // Requests that wait for a response report the failure themselves.
            if let (Err(failure), 0) = (&outcome, counted.waiting.load(SeqCst)) {
                report(failure, None);
            }
            tell.send_replace(Some(outcome));
        });
        ConcurrentSandbox { jobs, task, ended, counts, meter, output }
    }

    /// Lets the sandbox end. Its requests have deadlines of their own; after the last one, nobody
    /// timer for the rest.
    fn leave(self, deadline: Duration) {
        let ConcurrentSandbox { mut task, .. } = self;
        tokio::spawn(async move {
            if timeout(deadline, &mut task).await.is_err() {
                task.abort();
            }
        });
    }
}

/// Requests of a sandbox, and the limits that hold for them.
struct RequestQueue {
    inbox: mpsc::Receiver<SandboxRequest>,
    /// Time for which the sandbox timer for another request.
    idle: Duration,
    /// Tells that an idle sandbox is in another's way.
    room_needed: Arc<Notify>,
    limits: Limits,
    meter: Arc<Meter>,
    counts: Arc<SandboxCounts>,
    output: GuestOutput,
}

/// Creates the store of the sandbox that takes `requests`.
fn store(ready: &Ready, requests: &RequestQueue) -> wasmtime::Store<Sandbox> {
    let (meter, output) = (requests.meter.clone(), requests.output.clone());
    let mut store = Sandbox::store_with(&ready.code.tier.wasmtime, &ready.setup, meter, output);
    // The limit is for one request, and handles of answered requests are still being freed.
    let handles = usize::try_from(ready.setup.limits.handles).unwrap_or(usize::MAX).saturating_mul(MAX_AT_ONCE);
    store.set_max_component_handles(handles);
    store.data_mut().table.set_max_capacity(handles);
    store
}

/// Instantiates a sandbox, once the engine has room for it.
async fn start(
    ready: &Ready,
    pre: &p3::ServicePre<Sandbox>,
    requests: &RequestQueue,
) -> wasmtime::Result<(wasmtime::Store<Sandbox>, Proxy)> {
    loop {
        let began = Instant::now();
        let mut store = store(ready, requests);
        match pre.instantiate_async(&mut store).await {
            Ok(proxy) => {
                ready.setup.sandbox_started(began.into());
                return Ok((store, Proxy::P3(proxy)));
            }
            Err(e) => wait_for_room(e, &ready.code.tier.room_needed).await?,
        }
    }
}

async fn drive(ready: Ready, pre: p3::ServicePre<Sandbox>, mut requests: RequestQueue) -> Result<(), Failure> {
    let limits = requests.limits.clone();
    let failed = |e: wasmtime::Error| explain::failure(&e, &limits);
    let (mut store, proxy) = start(&ready, &pre, &requests).await.map_err(failed)?;
    let serve = store.run_concurrent(async |accessor| requests.serve(accessor, &proxy).await).await;
    let ended = serve.flatten().map_err(failed);
    // Set before the store ends, and the streams of bodies with it.
    if let Err(failure) = &ended {
        let _ = requests.counts.failed.set(failure.clone());
    }
    Sandbox::end(store, ());
    ended
}

impl RequestQueue {
    /// Takes requests until none arrives for a while, or enough were taken.
    async fn serve(&mut self, accessor: &Accessor<Sandbox>, proxy: &Proxy) -> wasmtime::Result<()> {
        let (meter, cpu) = (self.meter.clone(), self.limits.cpu);
        let mut serve = pin!(self.take_all(accessor, proxy));
        // Polled whenever the guest yields the thread.
        poll_fn(|cx| {
            meter.start_turn(cpu);
            serve.as_mut().poll(cx)
        })
        .await
    }

    async fn take_all(&mut self, accessor: &Accessor<Sandbox>, proxy: &Proxy) -> wasmtime::Result<()> {
        let mut running = FuturesUnordered::new();
        let mut taken = 0;
        loop {
            if taken >= MAX_IN_ALL {
                self.inbox.close();
            }
            tokio::select! {
                job = self.inbox.recv(), if running.len() < MAX_AT_ONCE => {
                    let Some(job) = job else { break };
                    // The sender may have taken the request back.
                    let Some(request) = job.request.lock().take() else { continue };
                    let _ = job.taken.send(());
                    taken += 1;
                    self.output.reset_budget();
                    let trace = InboundTrace::of(request.headers());
                    let prepared = accessor.with(|mut store| {
                        let answer = job.answer;
                        let prepared = Prepared::new(store.as_context_mut(), proxy, request, Sandbox::http, answer)?;
                        if let Prepared::P3 { call, .. } = &prepared {
                            store.data_mut().outbound.continue_trace_in(call.task(), trace);
                        }
                        Ok::<_, wasmtime::Error>(prepared)
                    })?;
                    let (until, slot) = (job.until, job._slot);
                    running.push(async move {
                        let _slot = slot;
                        prepared.run(accessor, sleep_until(until)).await
                    });
                }
                Some(done) = running.next() => {
                    done?;
                }
                _ = timeout(self.idle, self.room_needed.notified()), if running.is_empty() => {
                    // A client may still be reading; nothing here tells when it is done.
                    if self.counts.in_flight.load(SeqCst) == 0 {
                        self.inbox.close();
                    }
                }
            }
            self.meter.extend_budget(self.limits.cpu, running.len());
        }
        while let Some(done) = running.next().await {
            done?;
            self.meter.extend_budget(self.limits.cpu, running.len());
        }
        while self.counts.in_flight.load(SeqCst) > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
