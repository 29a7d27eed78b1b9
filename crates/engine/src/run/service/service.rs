//! `serve`: HTTP requests to a component.
//!
//! A component of WASI 0.2 gets a fresh sandbox for every request, or one that had requests before, as `run/service/reuse.rs`
//! says. The guest is driven on the task that asked until its
//! response is there; only when it has more to do then (a body to stream) does it go on as a task of its own.
//!
//! A component of WASI 0.3 decides over its own concurrency: one sandbox takes many requests at once, as `run/service/concurrent.rs`
//! says.

use crate::capabilities::http::trace::Trace;
use crate::compile::prepared::{Prepared, Ready};
use crate::component::world::World;
use crate::failure::error::{Failure, LoadError};
use crate::failure::explain;
use crate::http::body::{Begun, Bounded, Continued};
use crate::http::content_length::content_length;
use crate::limits::{Limit, Limits};
use crate::observer::LimitReporter;
use crate::request_id::RequestId;
use crate::run::service::concurrent::{Shared, Stay};
use crate::run::service::reuse::{Alone, Life, Loan, Reused};
use crate::sandbox::sandbox::Sandbox;
use crate::sandbox::setup::Setup;
use crate::scheduler::meter::{Meter, Metered};
use crate::scheduler::offload::Apart;
use crate::scheduler::turns::{self, Turn};
use bytes::Bytes;
use futures_channel::oneshot;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::p2::bindings as p2;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

/// A streaming body, with trailers.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe them")]
pub enum BodyError {
    #[error("the {0} limit was reached")]
    TooLarge(Limit),
    #[error("{0}")]
    Failed(Failure),
    #[error("the guest ended it: {0}")]
    Guest(String),
    #[error("it cannot be read to its end: {0}")]
    Source(std::io::Error),
}

/// Hears of a failure, and of the request that it ended if it was just one.
pub(super) type Report = Arc<dyn Fn(&Failure, Option<RequestId>) + Send + Sync>;

/// A component that answers HTTP requests.
pub struct Service {
    running: RwLock<Arc<Running>>,
    setup: Arc<Setup>,
    /// How many requests a sandbox takes that they have for themselves.
    reuse: u32,
    /// Hears of guests that failed after their response had begun.
    report: Report,
}

/// A component with its code.
struct Running {
    ready: Ready,
    kind: Kind,
}

impl Running {
    fn new(ready: Ready, reuse: u32, report: &Report) -> Result<Self, LoadError> {
        let wrong = |reason: String| LoadError::WrongWorld {
            name: ready.name.clone(),
            verb: "served",
            reason,
            hint: match ready.code.worlds.is_empty() {
                true => format!("`walnut inspect {}` tells what it is", ready.name),
                false => format!("run it: `walnut run {}`", ready.name),
            },
        };
        let unfit = |e: wasmtime::Error| wrong(format!("its handler has another type: {:#}", e));
        let kind = if ready.code.worlds.contains(&World::Service0_3) {
            if reuse > 1 {
                return Err(LoadError::WrongWorld {
                    name: ready.name.clone(),
                    verb: "served with `reuse`",
                    reason: "it is of WASI 0.3, where one sandbox takes many requests anyway".into(),
                    hint: "leave `reuse` out".into(),
                });
            }
            Kind::Shared(Shared::new(&ready, report).map_err(unfit)?)
        } else if ready.code.worlds.contains(&World::Service0_2) {
            let reused = (reuse > 1).then(|| Reused::new(reuse, ready.setup.idle, ready.code.tier.needed.clone()));
            Kind::Alone(p2::ProxyPre::new(ready.code.pre.clone()).map_err(unfit)?, reused)
        } else {
            let what = if ready.code.worlds.is_empty() {
                "it exports no HTTP handler"
            } else {
                "it is a command, not an HTTP service"
            };
            return Err(wrong(what.into()));
        };
        Ok(Running { ready, kind })
    }

    /// Gives up the sandboxes that wait for requests, since other code or another component takes the next ones. What is
    /// under way ends where it began.
    fn retire(&self) {
        match &self.kind {
            Kind::Shared(shared) => shared.retire(),
            Kind::Alone(_, Some(reused)) => reused.retire(),
            Kind::Alone(_, None) => {}
        }
    }
}

enum Kind {
    /// WASI 0.2: a request has a sandbox for itself.
    Alone(p2::ProxyPre<Sandbox>, Option<Arc<Reused>>),
    /// WASI 0.3.
    Shared(Shared),
}

impl Service {
    /// One sandbox takes up to `reuse` requests, one after another, where a component does not decide that itself. `report`
    /// hears of guests that failed after their response had begun, and of which request it was if that can be told.
    pub fn new(
        ready: Ready,
        reuse: u32,
        report: impl Fn(&Failure, Option<RequestId>) + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        let (setup, report): (_, Report) = (ready.setup.clone(), Arc::new(report));
        let running = Arc::new(Running::new(ready, reuse, &report)?);
        Ok(Service { running: RwLock::new(running), setup, reuse, report })
    }

    /// Requests that come from now on run this code, of the same component. What is under way ends on the code that it
    /// began on.
    pub fn change_over(&self, to: &Prepared) -> Result<(), LoadError> {
        let running = Arc::new(Running::new(to.with(self.setup.clone()), self.reuse, &self.report)?);
        let mut current = self.running.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, running);
        drop(current);
        before.retire();
        Ok(())
    }

    fn running(&self) -> Arc<Running> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one request. The response's body may go on streaming after this returns.
    ///
    /// The URI has scheme and authority, by which guests are told of both. What the guest writes is told with `id`.
    ///
    /// `slot` is whatever the caller counts sandboxes with; it is dropped when the sandbox is.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        id: RequestId,
        slot: impl Send + Sync + 'static,
    ) -> Result<http::Response<Body>, Failure>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    {
        let limits = self.limits();
        let most = limits.request_body;
        let request = request.map(|inner| {
            if inner.is_end_stream() {
                // Costs no allocation, as most requests have none.
                return Empty::new().map_err(|never| match never {}).boxed_unsync();
            }
            let setup = self.setup.clone();
            let too_large = move || {
                setup.exceeded(Limit::RequestBody);
                HttpError::HttpRequestBodySize(None)
            };
            Bounded { inner, left: most, too_large, broken: |_| HttpError::ConnectionTerminated }.boxed_unsync()
        });
        let now = Instant::now();
        let until = now + limits.deadline;
        let turn = match turns::before(self.setup.party, now.into()) {
            Some(turn) => timeout_at(until, turn).await.map_err(|_| Failure::Busy)?.ok(),
            None => None,
        };
        let running = self.running();
        let (response, rest) = match &running.kind {
            Kind::Alone(pre, reused) => {
                let visit = Visit {
                    running: running.clone(),
                    pre: pre.clone(),
                    reused: reused.clone(),
                    meter: self.setup.meter(),
                    id,
                    cut: Arc::default(),
                };
                self.handle_alone(visit, request, turn, slot, until).await?
            }
            Kind::Shared(shared) => shared.handle(request, id, turn, slot, until).await?,
        };
        let most = limits.response_body;
        let setup = self.setup.clone();
        let too_large = move || {
            setup.exceeded(Limit::ResponseBody);
            BodyError::TooLarge(Limit::ResponseBody)
        };
        let broken = |e: HttpError| BodyError::Guest(e.to_string());
        let announced = content_length(response.headers());
        Ok(response.map(|inner| {
            Leaving { inner: Bounded { inner, left: most, too_large, broken }, announced, rest }.boxed_unsync()
        }))
    }

    /// What each request may use.
    pub fn limits(&self) -> &Limits {
        &self.setup.limits
    }

    /// How many sandboxes live, where they are not one for each request.
    pub fn shared_sandboxes(&self) -> Option<usize> {
        match &self.running().kind {
            Kind::Shared(shared) => Some(shared.count()),
            Kind::Alone(_, reused) => reused.as_ref().map(|reused| reused.count()),
        }
    }

    /// Gives up the sandboxes that wait for requests, since another version of the component takes the next ones.
    pub fn retire(&self) {
        self.running().retire();
    }

    /// Tells that a request was turned away whose body would reach its limit.
    pub fn refused_body(&self) {
        self.setup.exceeded(Limit::RequestBody);
    }

    /// Tells of a failure that [`Service::handle`] returned for `id`, as it tells itself of those that come later.
    pub fn report(&self, failure: &Failure, id: RequestId) {
        (self.report)(failure, Some(id));
    }

    async fn handle_alone(
        &self,
        visit: Visit,
        request: GuestRequest,
        turn: Option<Turn>,
        slot: impl Send + 'static,
        until: Instant,
    ) -> Result<Answer, Failure> {
        let (meter, cut, ticker) =
            (visit.meter.clone(), visit.cut.clone(), visit.running.ready.code.tier.ticker.clone());
        let (id, (send, mut receive)) = (visit.id, oneshot::channel());
        let guest = visit.drive(request, send, slot);
        meter.end_at(until.into());
        meter.let_leave();
        let mut guest = Apart::new(Metered::new(guest, meter, ticker));
        // One that began elsewhere takes nobody's time here: its turn is over.
        if let (Some(turn), Apart::Here(_)) = (turn, &guest) {
            turns::begin(turn);
        }
        let first = poll_fn(|cx| {
            let ended = Pin::new(&mut guest).poll(cx);
            match (Pin::new(&mut receive).poll(cx), ended) {
                (Poll::Ready(Ok(response)), ended) => Poll::Ready(First::Response(response, ended)),
                (_, Poll::Ready(ended)) => Poll::Ready(First::Ended(ended)),
                _ => Poll::Pending,
            }
        });
        let Ok(first) = timeout_at(until, first).await else { return Err(overdue(&guest, self.limits())) };
        match first {
            First::Ended(Err(failure)) => Err(failure),
            First::Ended(Ok(())) => Err(Failure::NoResponse),
            // Nothing of the response has left yet.
            First::Response(_, Poll::Ready(Err(failure))) => Err(failure),
            First::Response(response, Poll::Ready(Ok(()))) => {
                let (response, _) = at_once(guest_response(response)?, ready(Ok(()))).await?;
                Ok((response, Rest::Nothing))
            }
            First::Response(response, Poll::Pending) => {
                let (response, guest) = at_once(guest_response(response)?, guest).await?;
                let Some(mut guest) = guest else { return Ok((response, Rest::Nothing)) };
                let (report, left) = (self.report.clone(), self.limits().clone());
                let ends = cut.clone();
                let rest = tokio::spawn(async move {
                    let ended = timeout_at(until, &mut guest).await;
                    if let Err(failure) = ended.unwrap_or_else(|_| Err(overdue(&guest, &left))) {
                        report(&failure, Some(id));
                        let _ = ends.set(failure);
                    }
                });
                Ok((response, Rest::Guest { task: rest.abort_handle(), cut }))
            }
        }
    }
}

pub(super) type GuestRequest = http::Request<UnsyncBoxBody<Bytes, HttpError>>;
pub(super) type GuestResponse = http::Response<UnsyncBoxBody<Bytes, HttpError>>;
pub(super) type Answer = (http::Response<Continued<UnsyncBoxBody<Bytes, HttpError>>>, Rest);
type Outcome = Result<GuestResponse, p2::http::types::ErrorCode>;

/// What there is still to do for a response.
pub(super) enum Rest {
    Nothing,
    /// A guest of 0.2 that streams the body. When it fails, the body's stream just ends; `cut` is set before.
    Guest {
        task: AbortHandle,
        cut: Arc<OnceLock<Failure>>,
    },
    /// A place in a sandbox of 0.3.
    Stay(Stay),
}

impl Rest {
    /// How the guest failed, if it did before its body's stream ended.
    fn failure(&self) -> Option<&Failure> {
        match self {
            Rest::Nothing => None,
            Rest::Guest { cut, .. } => cut.get(),
            Rest::Stay(stay) => stay.failure(),
        }
    }

    /// Whether nobody goes on with it, as its time has passed: a guest of 0.2 is ended then, and tells it as its failure.
    fn is_over(&mut self) -> bool {
        if let Rest::Stay(stay) = self { stay.is_over() } else { false }
    }

    /// Like [`Rest::is_over`], for who waits for more.
    fn wakes_when_over(&mut self, cx: &mut Context<'_>) -> bool {
        if let Rest::Stay(stay) = self { stay.wakes_when_over(cx) } else { false }
    }
}

enum First {
    Response(Outcome, Poll<Result<(), Failure>>),
    Ended(Result<(), Failure>),
}

/// One request in a sandbox that it has for itself.
struct Visit {
    running: Arc<Running>,
    pre: p2::ProxyPre<Sandbox>,
    reused: Option<Arc<Reused>>,
    meter: Arc<Meter>,
    id: RequestId,
    cut: Arc<OnceLock<Failure>>,
}

impl Visit {
    async fn drive(
        self,
        request: GuestRequest,
        send: oneshot::Sender<Outcome>,
        slot: impl Send + 'static,
    ) -> Result<(), Failure> {
        let mut life = Life::with(slot);
        let Some(reused) = &self.reused else {
            let alone = life.of(self.start().await?);
            return self
                .call(alone, request, move |outcome| {
                    // Nobody waits any more: the client left, or the deadline passed.
                    let _ = send.send(outcome);
                })
                .await;
        };
        let (tally, kept) = reused.take();
        let alone = life.of(match kept {
            Some(kept) => kept,
            None => self.start().await?,
        });
        if self.call_reused(alone, request, send).await?
            && let Some(alone) = life.alone.take()
        {
            reused.keep(tally, alone);
        }
        Ok(())
    }

    /// Whether the sandbox may have another request.
    async fn call_reused(
        &self,
        alone: &mut Alone,
        request: GuestRequest,
        send: oneshot::Sender<Outcome>,
    ) -> Result<bool, Failure> {
        // Each request has the whole of what is for one.
        alone.store.data_mut().meter = self.meter.clone();
        alone.store.data().said.turn_to(Some(self.id));
        let (loan, request) = Loan::of(request);
        let answered = Arc::<AtomicBool>::default();
        let tell = answered.clone();
        let respond = move |outcome: Outcome| {
            let is_good = outcome.is_ok();
            tell.store(send.send(outcome).is_ok() && is_good, SeqCst);
        };
        self.call(alone, request, respond).await?;
        // Before another request may have the sandbox.
        drop(loan);
        alone.store.data().said.turn_to(None);
        Ok(answered.load(SeqCst))
    }

    async fn start(&self) -> Result<Alone, Failure> {
        let started = Alone::start(&self.running.ready, &self.pre, &self.meter, self.id).await;
        started.map_err(|e| self.failure(&e))
    }

    async fn call(
        &self,
        alone: &mut Alone,
        request: GuestRequest,
        respond: impl FnOnce(Outcome) + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let Alone { store, proxy } = alone;
        let call = async {
            let https = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
            let scheme = if https { Scheme::Https } else { Scheme::Http };
            store.data_mut().outbound.continue_trace(Trace::of(request.headers()));
            let incoming = store.data_mut().http().new_incoming_request(scheme, request)?;
            let respond = store.data_mut().http().new_response_outparam_from_callback(respond)?;
            proxy.wasi_http_incoming_handler().call_handle(&mut *store, incoming, respond).await
        };
        let ended = call.await.map_err(|e: wasmtime::Error| self.failure(&e));
        // The store, and the body's stream with it, goes after this.
        if let Err(failure) = &ended {
            let _ = self.cut.set(failure.clone());
        }
        ended
    }

    fn failure(&self, error: &wasmtime::Error) -> Failure {
        explain::failure(error, &self.running.ready.setup.limits)
    }
}

/// What to say of a guest that was waiting when its deadline passed. Of one that left, its last host calls are not known here.
fn overdue<F: Future>(guest: &Apart<Metered<F>>, limits: &Limits) -> Failure {
    match guest {
        Apart::Here(guest) => guest.overdue(limits),
        _ => explain::deadline(limits, None),
    }
}

fn guest_response(outcome: Outcome) -> Result<GuestResponse, Failure> {
    outcome.map_err(|code| Failure::GuestError(words(&format!("{code:?}"))))
}

/// Takes what of the body is there without waiting for anybody, and drives the guest for as long as that gets it further: small
/// answers are whole then, and their guests at an end. The guest is handed back if it is not.
async fn at_once<G, B>(
    response: http::Response<B>,
    mut guest: G,
) -> Result<(http::Response<Continued<B>>, Option<G>), Failure>
where
    G: Future<Output = Result<(), Failure>> + Unpin,
    B: HttpBody<Data = Bytes, Error = HttpError> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut begun = Begun::default();
    let ended = poll_fn(|cx| {
        while begun.goes_on(&mut body, cx) {
            if let Poll::Ready(ended) = Pin::new(&mut guest).poll(cx) {
                // Its end is there too.
                while begun.goes_on(&mut body, cx) {}
                return Poll::Ready(Some(ended));
            }
        }
        Poll::Ready(None)
    });
    let is_over = match ended.await {
        // Nothing of the response has left yet.
        Some(Err(failure)) => return Err(failure),
        Some(Ok(())) => true,
        None => false,
    };
    let body = begun.before(body);
    Ok((http::Response::from_parts(head, body), (!is_over).then_some(guest)))
}

/// `HttpRequestDenied` as `http-request-denied`, the way WIT writes it.
pub(super) fn words(variant: &str) -> String {
    let name = variant.split("::").last().unwrap_or(variant).split(['(', '{', ' ']).next().unwrap_or_default();
    let mut words = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            words.push('-');
        }
        words.extend(c.to_lowercase());
    }
    words
}

/// The body of a response whose guest may still run. When the client leaves before its end, the guest is ended too; work
/// that the guest does after its response is left alone.
struct Leaving<B> {
    inner: B,
    /// Bytes that are still to come, if the head says how many there are. Nobody asks for more than that.
    announced: Option<u64>,
    rest: Rest,
}

impl<B> Leaving<B> {
    fn overdue<T>(&mut self) -> Poll<Option<Result<T, BodyError>>> {
        self.rest = Rest::Nothing;
        Poll::Ready(Some(Err(BodyError::TooLarge(Limit::Deadline))))
    }
}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> HttpBody for Leaving<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_over() {
            return self.overdue();
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if frame.is_pending() && self.rest.wakes_when_over(cx) {
            return self.overdue();
        }
        if matches!(frame, Poll::Ready(None | Some(Err(BodyError::Guest(_)))))
            && let Some(failure) = self.rest.failure()
        {
            return Poll::Ready(Some(Err(BodyError::Failed(failure.clone()))));
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(left)) = (&frame, &mut self.announced) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        if matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.rest = Rest::Nothing;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Leaving<B> {
    fn drop(&mut self) {
        if let (Rest::Guest { task, .. }, true) = (&self.rest, self.announced != Some(0)) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
