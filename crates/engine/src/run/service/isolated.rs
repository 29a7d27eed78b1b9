//! The sandboxes of a WASI 0.2 component: each request has a sandbox to itself, fresh or reused.

use crate::capabilities::http::trace::InboundTrace;
use crate::compile::prepared::Ready;
use crate::failure::error::Failure;
use crate::failure::explain;
use crate::http::body::{Buffered, Prefixed};
use crate::request_id::RequestId;
use crate::run::service::response::{Answer, FailureReporter, GuestRequest, GuestResponse, ResponseTail, words};
use crate::run::service::reuse::{BorrowedBody, Instance, InstanceGuard, ReusedSandboxes};
use crate::sandbox::sandbox::Sandbox;
use crate::scheduler::meter::{Meter, Metered};
use crate::scheduler::offload::Offload;
use crate::scheduler::turns::{self, Turn};
use bytes::Bytes;
use futures_channel::oneshot;
use http_body::Body as HttpBody;
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use walnut_policy::Limits;
use wasmtime_wasi_http::p2::bindings as p2;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

type HandlerOutcome = Result<GuestResponse, p2::http::types::ErrorCode>;

/// A component of WASI 0.2, with its idle sandboxes.
pub(super) struct IsolatedSandboxes {
    ready: Ready,
    pre: p2::ProxyPre<Sandbox>,
    reused: Option<Arc<ReusedSandboxes>>,
    report: FailureReporter,
}

impl IsolatedSandboxes {
    /// Creates the sandboxes of a component; each takes up to `reuse` requests, one after another.
    pub fn new(ready: &Ready, reuse: u32, report: &FailureReporter) -> wasmtime::Result<Arc<Self>> {
        let room_needed = &ready.code.tier.room_needed;
        let reused = (reuse > 1).then(|| ReusedSandboxes::new(reuse, ready.setup.idle, room_needed.clone()));
        let pre = p2::ProxyPre::new(ready.code.pre.clone())?;
        Ok(Arc::new(IsolatedSandboxes { ready: ready.clone(), pre, reused, report: report.clone() }))
    }

    /// Ends the idle sandboxes, and keeps none from now on.
    pub fn retire(&self) {
        if let Some(reused) = &self.reused {
            reused.retire();
        }
    }

    /// Returns the number of live sandboxes, if they are reused.
    pub fn count(&self) -> Option<usize> {
        self.reused.as_ref().map(|reused| reused.count())
    }

    fn limits(&self) -> &Limits {
        &self.ready.setup.limits
    }

    /// Answers one request. `slot` is dropped with its sandbox.
    pub async fn handle(
        self: &Arc<Self>,
        request: GuestRequest,
        id: RequestId,
        turn: Option<Turn>,
        slot: impl Send + 'static,
        until: Instant,
    ) -> Result<Answer<RunningGuest>, Failure> {
        let (meter, failed) = (self.ready.setup.meter(), Arc::default());
        let ticker = self.ready.code.tier.ticker.clone();
        let (send, mut receive) = oneshot::channel();
        let in_sandbox =
            IsolatedRequest { sandboxes: self.clone(), meter: meter.clone(), id, failed: Arc::clone(&failed) };
        let guest = in_sandbox.drive(request, send, slot);
        meter.end_at(until.into());
        meter.allow_offload();
        let mut guest = Offload::new(Metered::new(guest, meter, ticker));
        // A guest on the compute thread does not block this one, so its turn is over.
        if let (Some(turn), Offload::Local(_)) = (turn, &guest) {
            turns::begin(turn);
        }
        let first = poll_fn(|cx| {
            let ended = Pin::new(&mut guest).poll(cx);
            match (Pin::new(&mut receive).poll(cx), ended) {
                (Poll::Ready(Ok(response)), ended) => Poll::Ready(FirstEvent::Response(response, ended)),
                (_, Poll::Ready(ended)) => Poll::Ready(FirstEvent::Ended(ended)),
                _ => Poll::Pending,
            }
        });
        let Ok(first) = timeout_at(until, first).await else { return Err(overdue(&guest, self.limits())) };
        match first {
            FirstEvent::Ended(Err(failure)) => Err(failure),
            FirstEvent::Ended(Ok(())) => Err(Failure::NoResponse),
            // Nothing of the response was sent yet.
            FirstEvent::Response(_, Poll::Ready(Err(failure))) => Err(failure),
            FirstEvent::Response(response, Poll::Ready(Ok(()))) => {
                let (response, _) = at_once(guest_response(response)?, ready(Ok(()))).await?;
                Ok((response, None))
            }
            FirstEvent::Response(response, Poll::Pending) => {
                let (response, guest) = at_once(guest_response(response)?, guest).await?;
                let Some(mut guest) = guest else { return Ok((response, None)) };
                let (report, left) = (self.report.clone(), self.limits().clone());
                let ends = failed.clone();
                let rest = tokio::spawn(async move {
                    let ended = timeout_at(until, &mut guest).await;
                    if let Err(failure) = ended.unwrap_or_else(|_| Err(overdue(&guest, &left))) {
                        report(&failure, Some(id));
                        let _ = ends.set(failure);
                    }
                });
                Ok((response, Some(RunningGuest { task: rest.abort_handle(), failed })))
            }
        }
    }
}

/// A guest that streams the body of its response. `failed` is set before the stream of a failed
/// guest ends.
pub(super) struct RunningGuest {
    task: AbortHandle,
    failed: Arc<OnceLock<Failure>>,
}

impl ResponseTail for RunningGuest {
    fn failure(&self) -> Option<&Failure> {
        self.failed.get()
    }

    /// Always false: the deadline ends the guest, which reports the failure itself.
    fn is_over(&mut self) -> bool {
        false
    }

    fn poll_over(&mut self, _: &mut Context<'_>) -> bool {
        false
    }

    fn abandon(&self) {
        self.task.abort();
    }
}

enum FirstEvent {
    Response(HandlerOutcome, Poll<Result<(), Failure>>),
    Ended(Result<(), Failure>),
}

/// A request with a sandbox to itself.
struct IsolatedRequest {
    sandboxes: Arc<IsolatedSandboxes>,
    meter: Arc<Meter>,
    id: RequestId,
    failed: Arc<OnceLock<Failure>>,
}

impl IsolatedRequest {
    async fn drive(
        self,
        request: GuestRequest,
        send: oneshot::Sender<HandlerOutcome>,
        slot: impl Send + 'static,
    ) -> Result<(), Failure> {
        let mut guard = InstanceGuard::with(slot);
        let Some(reused) = &self.sandboxes.reused else {
            let instance = guard.of(self.start().await?);
            return self
                .call(instance, request, move |outcome| {
                    // Nobody waits any more: the client left, or the deadline passed.
                    let _ = send.send(outcome);
                })
                .await;
        };
        let (count, kept) = reused.take();
        let instance = guard.of(match kept {
            Some(kept) => kept,
            None => self.start().await?,
        });
        if self.call_reused(instance, request, send).await?
            && let Some(instance) = guard.instance.take()
        {
            reused.keep(count, instance);
        }
        Ok(())
    }

    /// Runs the request and returns whether the sandbox may take another.
    async fn call_reused(
        &self,
        instance: &mut Instance,
        request: GuestRequest,
        send: oneshot::Sender<HandlerOutcome>,
    ) -> Result<bool, Failure> {
        // Each request gets the whole budget.
        instance.store.data_mut().meter = self.meter.clone();
        instance.store.data().output.switch_to(Some(self.id));
        let (borrowed, request) = BorrowedBody::of(request);
        let answered = Arc::<AtomicBool>::default();
        let tell = answered.clone();
        let respond = move |outcome: HandlerOutcome| {
            let is_good = outcome.is_ok();
            tell.store(send.send(outcome).is_ok() && is_good, SeqCst);
        };
        self.call(instance, request, respond).await?;
        // Returned before another request may have the sandbox.
        drop(borrowed);
        instance.store.data().output.switch_to(None);
        Ok(answered.load(SeqCst))
    }

    async fn start(&self) -> Result<Instance, Failure> {
        let started = Instance::start(&self.sandboxes.ready, &self.sandboxes.pre, &self.meter, self.id).await;
        started.map_err(|e| self.failure(&e))
    }

    async fn call(
        &self,
        instance: &mut Instance,
        request: GuestRequest,
        respond: impl FnOnce(HandlerOutcome) + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let Instance { store, proxy } = instance;
        let call = async {
            let https = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
            let scheme = if https { Scheme::Https } else { Scheme::Http };
            store.data_mut().outbound.continue_trace(InboundTrace::of(request.headers()));
            let incoming = store.data_mut().http().new_incoming_request(scheme, request)?;
            let respond = store.data_mut().http().new_response_outparam_from_callback(respond)?;
            proxy.wasi_http_incoming_handler().call_handle(&mut *store, incoming, respond).await
        };
        let ended = call.await.map_err(|e: wasmtime::Error| self.failure(&e));
        // Set before the store ends, and the body's stream with it.
        if let Err(failure) = &ended {
            let _ = self.failed.set(failure.clone());
        }
        ended
    }

    fn failure(&self, error: &wasmtime::Error) -> Failure {
        explain::failure(error, &self.sandboxes.ready.setup.limits)
    }
}

/// Returns the failure of a guest that was waiting when its deadline passed. The host calls of a
/// guest on the compute thread are not known here.
fn overdue<F: Future>(guest: &Offload<Metered<F>>, limits: &Limits) -> Failure {
    match guest {
        Offload::Local(guest) => guest.overdue(limits),
        _ => explain::deadline(limits, None),
    }
}

fn guest_response(outcome: HandlerOutcome) -> Result<GuestResponse, Failure> {
    outcome.map_err(|code| Failure::GuestError(words(&format!("{code:?}"))))
}

/// Takes the part of the body that is ready, and drives the guest as long as that yields more.
/// Small responses are complete then. Returns the guest if it has not ended.
async fn at_once<G, B>(
    response: http::Response<B>,
    mut guest: G,
) -> Result<(http::Response<Prefixed<B>>, Option<G>), Failure>
where
    G: Future<Output = Result<(), Failure>> + Unpin,
    B: HttpBody<Data = Bytes, Error = HttpError> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut buffered = Buffered::default();
    let ended = poll_fn(|cx| {
        while buffered.poll_more(&mut body, cx) {
            if let Poll::Ready(ended) = Pin::new(&mut guest).poll(cx) {
                // The end of the body is ready, too.
                while buffered.poll_more(&mut body, cx) {}
                return Poll::Ready(Some(ended));
            }
        }
        Poll::Ready(None)
    });
    let is_over = match ended.await {
        // Nothing of the response was sent yet.
        Some(Err(failure)) => return Err(failure),
        Some(Ok(())) => true,
        None => false,
    };
    let body = buffered.prepend_to(body);
    Ok((http::Response::from_parts(head, body), (!is_over).then_some(guest)))
}
