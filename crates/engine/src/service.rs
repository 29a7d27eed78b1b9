//! `serve`: HTTP requests to a component.
//!
//! A component of WASI 0.2 gets a fresh sandbox for every request. The guest is driven on the task that asked until its
//! response is there; only when it has more to do then (a body to stream) does it go on as a task of its own.
//!
//! A component of WASI 0.3 decides over its own concurrency: one sandbox takes many requests at once, through
//! [`Worker`]. A sandbox that failed, idled or took enough requests is replaced.

use crate::error::{Failure, LoadError};
use crate::explain;
use crate::inspect::World;
use crate::limits::{Limit, Limits};
use crate::meter::Metered;
use crate::prepare::Ready;
use crate::sandbox::Sandbox;
use bytes::Bytes;
use futures_channel::oneshot;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wasmtime_wasi_http::handler::{Prepared as PreparedRequest, Proxy};
use wasmtime_wasi_http::p2::bindings as p2;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings as p3;
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

/// A streaming body, with trailers.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the {0} limit was reached")]
    TooLarge(Limit),
    #[error("the guest ended it: {0}")]
    Guest(String),
}

/// A component that answers HTTP requests.
pub struct Service {
    ready: Ready,
    kind: Kind,
    /// Hears of guests that failed after their response had begun.
    report: Arc<dyn Fn(&Failure) + Send + Sync>,
}

enum Kind {
    /// WASI 0.2.
    Fresh(p2::ProxyPre<Sandbox>),
    /// WASI 0.3.
    Shared { pre: p3::ServicePre<Sandbox>, worker: Mutex<Option<Worker>> },
}

/// How many requests a 0.3 sandbox takes at once, and in all. Beyond the second it is replaced, so that what leaks is bounded.
const MOST_AT_ONCE: usize = 128;
const MOST_IN_ALL: usize = 100_000;
/// How long a 0.3 sandbox without requests is kept.
const IDLE: Duration = Duration::from_secs(10);

impl Service {
    /// `report` hears of guests that failed after their response had begun.
    pub fn new(ready: Ready, report: impl Fn(&Failure) + Send + Sync + 'static) -> Result<Self, LoadError> {
        let wrong = |reason: String| LoadError::WrongWorld {
            name: ready.name.clone(),
            verb: "served",
            reason,
            hint: match ready.worlds.is_empty() {
                true => format!("`walnut inspect {}` tells what it is", ready.name),
                false => format!("run it: `walnut run {}`", ready.name),
            },
        };
        let unfit = |e: wasmtime::Error| wrong(format!("its handler has another type: {:#}", e));
        let kind = if ready.worlds.contains(&World::Service0_3) {
            Kind::Shared { pre: p3::ServicePre::new(ready.pre.clone()).map_err(unfit)?, worker: Mutex::default() }
        } else if ready.worlds.contains(&World::Service0_2) {
            Kind::Fresh(p2::ProxyPre::new(ready.pre.clone()).map_err(unfit)?)
        } else {
            let what = if ready.worlds.is_empty() {
                "it exports no HTTP handler"
            } else {
                "it is a command, not an HTTP service"
            };
            return Err(wrong(what.into()));
        };
        Ok(Service { ready, kind, report: Arc::new(report) })
    }

    /// Answers one request. The response's body may go on streaming after this returns.
    ///
    /// `slot` is whatever the caller counts sandboxes with; it is dropped when the sandbox is.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        slot: impl Send + 'static,
    ) -> Result<http::Response<Body>, Failure>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    {
        let limits = self.limits();
        let most = limits.request_body;
        let too_large = || HttpError::HttpRequestBodySize(None);
        let request = request.map(|inner| {
            Bounded { inner, left: most, too_large, broken: |_| HttpError::ConnectionTerminated }.boxed_unsync()
        });
        let answer = async {
            match &self.kind {
                Kind::Fresh(pre) => self.handle_fresh(pre, request, slot).await,
                Kind::Shared { pre, worker } => self.handle_shared(pre, worker, with_full_uri(request)).await,
            }
        };
        let response = match tokio::time::timeout(limits.deadline, answer).await {
            Ok(response) => response?,
            Err(_) => return Err(explain::deadline(limits)),
        };
        let most = limits.response_body;
        let (too_large, broken) =
            (|| BodyError::TooLarge(Limit::ResponseBody), |e: HttpError| BodyError::Guest(e.to_string()));
        let (response, guest) = response;
        Ok(response
            .map(|inner| Leaving { inner: Bounded { inner, left: most, too_large, broken }, guest }.boxed_unsync()))
    }

    fn limits(&self) -> &Limits {
        &self.ready.setup.limits
    }

    async fn handle_fresh(
        &self,
        pre: &p2::ProxyPre<Sandbox>,
        request: GuestRequest,
        slot: impl Send + 'static,
    ) -> Result<Answer, Failure> {
        let engine = &self.ready.engine;
        let store = Sandbox::store(&engine.wasmtime, &self.ready.setup);
        let meter = store.data().meter.clone();
        let (send, mut receive) = oneshot::channel();
        let (pre, limits) = (pre.clone(), self.limits().clone());
        let guest = async move {
            let _slot = slot;
            drive_fresh(store, pre, request, send, limits).await
        };
        let mut guest = Box::pin(Metered::new(guest, meter, engine.ticker.clone()));
        let first = poll_fn(|cx| {
            let ended = guest.as_mut().poll(cx);
            match (Pin::new(&mut receive).poll(cx), ended) {
                (Poll::Ready(Ok(response)), ended) => Poll::Ready(First::Response(response, ended)),
                (_, Poll::Ready(ended)) => Poll::Ready(First::Ended(ended)),
                _ => Poll::Pending,
            }
        });
        match first.await {
            First::Ended(Err(failure)) => Err(failure),
            First::Ended(Ok(())) => Err(Failure::NoResponse),
            First::Response(response, Poll::Ready(ended)) => {
                if let Err(failure) = ended {
                    (self.report)(&failure);
                }
                Ok((guest_response(response)?, None))
            }
            First::Response(response, Poll::Pending) => {
                let (report, left) = (self.report.clone(), self.limits().clone());
                let rest = tokio::spawn(async move {
                    match tokio::time::timeout(left.deadline, guest).await {
                        Ok(Ok(())) => {}
                        Ok(Err(failure)) => report(&failure),
                        Err(_) => report(&explain::deadline(&left)),
                    }
                });
                Ok((guest_response(response)?, Some(rest.abort_handle())))
            }
        }
    }

    async fn handle_shared(
        &self,
        pre: &p3::ServicePre<Sandbox>,
        worker: &Mutex<Option<Worker>>,
        request: GuestRequest,
    ) -> Result<Answer, Failure> {
        let (answer, answered) = oneshot::channel();
        let failure = {
            let mut current = worker.lock().unwrap_or_else(PoisonError::into_inner);
            let mut job = Job { request, answer };
            loop {
                let open = current.get_or_insert_with(|| Worker::start(self, pre));
                match open.jobs.try_send(job) {
                    Ok(()) => break open.failure.clone(),
                    Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                        *current = None;
                        job = back;
                    }
                }
            }
        };
        match answered.await {
            Ok(Ok(response)) => Ok((response, None)),
            Ok(Err(e)) => Err(request_failure(&e)),
            // The sandbox ended with all its requests; why is what its worker saw last.
            Err(_) => {
                Err(failure.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(Failure::NoResponse))
            }
        }
    }
}

type GuestRequest = http::Request<UnsyncBoxBody<Bytes, HttpError>>;
type GuestResponse = http::Response<UnsyncBoxBody<Bytes, HttpError>>;
/// A response, and the rest of the guest that made it if there is more for it to do.
type Answer = (GuestResponse, Option<AbortHandle>);
type Outcome = Result<GuestResponse, p2::http::types::ErrorCode>;

enum First {
    Response(Outcome, Poll<Result<(), Failure>>),
    Ended(Result<(), Failure>),
}

async fn drive_fresh(
    mut store: wasmtime::Store<Sandbox>,
    pre: p2::ProxyPre<Sandbox>,
    request: GuestRequest,
    send: oneshot::Sender<Outcome>,
    limits: Limits,
) -> Result<(), Failure> {
    let call = async {
        let proxy = pre.instantiate_async(&mut store).await?;
        let incoming = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let respond = store.data_mut().http().new_response_outparam_from_callback(move |outcome| {
            // Nobody waits any more: the client left, or the deadline passed.
            let _ = send.send(outcome);
        })?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, incoming, respond).await
    };
    call.await.map_err(|e: wasmtime::Error| explain::failure(&e, &limits))
}

/// WASI 0.3 tells a guest the scheme and authority by the request's URI, which HTTP/1.1 leaves to the `host` header.
fn with_full_uri(mut request: GuestRequest) -> GuestRequest {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme.get_or_insert(http::uri::Scheme::HTTP);
    parts.authority = parts.authority.or(host);
    parts.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

fn guest_response(outcome: Outcome) -> Result<GuestResponse, Failure> {
    outcome.map_err(|code| Failure::GuestError(words(&format!("{code:?}"))))
}

/// `HttpRequestDenied` as `http-request-denied`, the way WIT writes it.
fn words(variant: &str) -> String {
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

fn request_failure(error: &wasmtime::Error) -> Failure {
    if let Some(code) = error.downcast_ref::<p3::http::types::ErrorCode>() {
        return Failure::GuestError(words(&format!("{code:?}")));
    }
    Failure::Host(error.root_cause().to_string())
}

/// A 0.3 sandbox that takes requests.
struct Worker {
    jobs: mpsc::Sender<Job>,
    /// How it ended, once it did.
    failure: Arc<Mutex<Option<Failure>>>,
}

struct Job {
    request: GuestRequest,
    answer: oneshot::Sender<Result<GuestResponse, wasmtime::Error>>,
}

impl Worker {
    fn start(service: &Service, pre: &p3::ServicePre<Sandbox>) -> Self {
        let (jobs, inbox) = mpsc::channel(MOST_AT_ONCE);
        let failure = Arc::new(Mutex::new(None));
        let engine = &service.ready.engine;
        let store = Sandbox::store(&engine.wasmtime, &service.ready.setup);
        let meter = store.data().meter.clone();
        let guest = Metered::new(
            drive_shared(store, pre.clone(), inbox, service.limits().clone()),
            meter,
            engine.ticker.clone(),
        );
        let (report, seen) = (service.report.clone(), failure.clone());
        tokio::spawn(async move {
            if let Err(failed) = guest.await {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed.clone());
                report(&failed);
            }
        });
        Worker { jobs, failure }
    }
}

async fn drive_shared(
    mut store: wasmtime::Store<Sandbox>,
    pre: p3::ServicePre<Sandbox>,
    mut inbox: mpsc::Receiver<Job>,
    limits: Limits,
) -> Result<(), Failure> {
    let serve = async {
        let proxy = Proxy::P3(pre.instantiate_async(&mut store).await?);
        store.run_concurrent(async |accessor| serve_jobs(accessor, &proxy, &mut inbox, &limits).await).await?
    };
    serve.await.map_err(|e: wasmtime::Error| explain::failure(&e, &limits))
}

/// Takes requests until there are none for a while, or enough were taken.
async fn serve_jobs(
    accessor: &wasmtime::component::Accessor<Sandbox>,
    proxy: &Proxy,
    inbox: &mut mpsc::Receiver<Job>,
    limits: &Limits,
) -> wasmtime::Result<()> {
    use futures_util::stream::{FuturesUnordered, StreamExt};
    let mut running = FuturesUnordered::new();
    let mut taken = 0;
    loop {
        let takes_more = running.len() < MOST_AT_ONCE && taken < MOST_IN_ALL;
        if taken >= MOST_IN_ALL {
            inbox.close();
        }
        let idle = tokio::time::sleep(IDLE);
        tokio::select! {
            job = inbox.recv(), if takes_more || running.is_empty() => {
                let Some(job) = job else { break };
                taken += 1;
                let prepared = accessor.with(|mut store| {
                    store.data_mut().meter.extend(limits.cpu);
                    PreparedRequest::new(wasmtime::AsContextMut::as_context_mut(&mut store), proxy, job.request, Sandbox::http, job.answer)
                })?;
                let deadline = limits.deadline;
                running.push(async move { prepared.run(accessor, tokio::time::sleep(deadline)).await });
            }
            done = running.next(), if !running.is_empty() => {
                if let Some(outcome) = done {
                    outcome?;
                }
            }
            () = idle, if running.is_empty() => inbox.close(),
        }
    }
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    Ok(())
}

/// The body of a response whose guest may still run. When the client leaves before its end, the guest is ended too; work
/// that the guest does after its response is left alone.
struct Leaving<B> {
    inner: B,
    guest: Option<AbortHandle>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Leaving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.guest = None;
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
        if let Some(guest) = self.guest.take() {
            guest.abort();
        }
    }
}

/// A body with a limit on its size. `E` is what the reader of the body understands.
struct Bounded<B: HttpBody, E> {
    inner: B,
    left: u64,
    too_large: fn() -> E,
    broken: fn(B::Error) -> E,
}

impl<B: HttpBody<Data = Bytes> + Unpin, E> HttpBody for Bounded<B, E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else { return Poll::Pending };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let checked = frame.map_err(this.broken).and_then(|frame| {
            let size = frame.data_ref().map_or(0, |data| data.len() as u64);
            this.left = this.left.checked_sub(size).ok_or_else(this.too_large)?;
            Ok(frame)
        });
        Poll::Ready(Some(checked))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
