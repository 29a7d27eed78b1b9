//! A sandbox of a WASI 0.3 component: takes requests from a queue and answers many at once.

use crate::capabilities::http::trace::InboundTrace;
use crate::compile::prepared::Ready;
use crate::failure::error::Failure;
use crate::failure::explain;
use crate::run::service::response::{FailureReporter, GuestRequest, GuestResponse};
use crate::sandbox::sandbox::{Sandbox, wait_for_room};
use crate::sandbox::stdio::GuestOutput;
use crate::scheduler::meter::{Meter, Metered};
use futures_channel::oneshot;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::any::Any;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use walnut_policy::Limits;
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p3::bindings as p3;

/// Requests that a sandbox takes at once, and in all. Memory that requests leave behind is freed
/// late or never, and a new sandbox costs less than a thousandth of the requests that it answers.
const MAX_AT_ONCE: usize = 32;
const MAX_IN_ALL: usize = 1000;

pub(super) type SlotGuard = Arc<dyn Any + Send + Sync>;

/// State that a sandbox and its requests share.
#[derive(Default)]
pub(super) struct SandboxCounts {
    /// Requests in the sandbox, until their responses end.
    pub in_flight: AtomicUsize,
    /// Requests without a response so far.
    pub waiting: AtomicUsize,
    /// Failure of the sandbox, set before its streams end.
    pub failed: OnceLock<Failure>,
}

/// Counts a request while it lives.
pub(super) struct InFlight {
    counts: Arc<SandboxCounts>,
    of: fn(&SandboxCounts) -> &AtomicUsize,
}

impl InFlight {
    pub fn new(counts: &Arc<SandboxCounts>, of: fn(&SandboxCounts) -> &AtomicUsize) -> Self {
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
pub(super) type SandboxEnd = watch::Receiver<Option<Result<(), Failure>>>;

/// A sandbox that takes requests.
pub(super) struct ConcurrentSandbox {
    pub jobs: mpsc::Sender<SandboxRequest>,
    task: JoinHandle<()>,
    pub ended: SandboxEnd,
    pub counts: Arc<SandboxCounts>,
    pub meter: Arc<Meter>,
    pub output: GuestOutput,
}

pub(super) struct SandboxRequest {
    /// The request; the side that takes it owns it.
    pub request: Arc<Mutex<Option<GuestRequest>>>,
    pub taken: oneshot::Sender<()>,
    pub answer: oneshot::Sender<wasmtime::Result<GuestResponse>>,
    pub until: Instant,
    pub _slot: SlotGuard,
}

impl ConcurrentSandbox {
    /// Starts a sandbox on the current runtime. `live` counts it until it ends.
    pub fn start(ready: &Ready, pre: &p3::ServicePre<Sandbox>, report: FailureReporter, live: Arc<()>) -> Self {
        let (jobs, inbox) = mpsc::channel(MAX_AT_ONCE);
        let (tell, ended) = watch::channel(None);
        let counts = Arc::<SandboxCounts>::default();
        let limits = &ready.setup.limits;
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
        let guest = Metered::new(drive(ready.clone(), pre.clone(), requests), meter.clone(), ticker);
        let counted = counts.clone();
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
    /// waits for the rest.
    pub fn leave(self, deadline: Duration) {
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
    /// Time for which the sandbox waits for another request.
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
