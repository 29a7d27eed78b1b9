//! The way of one request to its answer, and what is measured on it.

use crate::app::node::{Destination, Hosted};
use crate::http::error_responses;
use crate::http::head::{self, ToServer};
use crate::http::request_body::{Cleaned, Incoming};
use crate::http::server::Shared;
use crate::http::slots::Busy;
use crate::http::static_files::Files;
use crate::http::write_coalescing;
use crate::telemetry::access_log::{Asked, Line};
use crate::telemetry::cause::Cause;
use crate::telemetry::metrics::Measures;
use crate::telemetry::otlp::Traced;
use crate::telemetry::trace_context;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};
use walnut_engine::{Body, BodyError, Patient, RequestId};

/// Answers one request of the client at `peer`, which is `busy` until it has the answer.
pub(crate) async fn answer(
    shared: &Shared,
    peer: SocketAddr,
    busy: Busy,
    mut request: Request<Incoming>,
) -> Response<Measured> {
    let started = Instant::now();
    write_coalescing::send_late(started);
    let checked = head::check(&request);
    let destination = checked.as_ref().ok().and_then(|host| shared.node.route(host, request.uri().path()));
    let of_server = checked.err();
    let measures = match &destination {
        Some(Destination::Component(component)) => component.shared_measures(),
        Some(Destination::Files(files)) => files.shared_measures(),
        None => shared.node.metrics().unrouted.clone(),
    };
    let asked = measures.log.as_ref().map(|_| asked(peer, &request));
    let traced = shared.node.telemetry().and_then(|telemetry| telemetry.begin(peer, &measures, &mut request));
    let id = trace_context::id(request.headers());
    let mut exchange = Exchange::begin(measures, started, id, asked, request.method());
    exchange.traced = traced;
    let (cause, response) = match destination {
        Some(Destination::Component(component)) => component_answer(shared, &component, peer, request, id).await,
        Some(Destination::Files(files)) => files_answer(shared, &files, request).await,
        None => match of_server {
            Some(ToServer::Options) => (Cause::Ok, error_responses::options()),
            Some(ToServer::Connect) => (Cause::ClientError, error_responses::no_tunnels()),
            Some(ToServer::NoHost) => (Cause::ClientError, error_responses::no_host()),
            Some(ToServer::NoPath) => (Cause::ClientError, error_responses::no_path()),
            Some(ToServer::Coding) => (Cause::ClientError, error_responses::no_such_coding()),
            Some(ToServer::Spaces) => (Cause::ClientError, error_responses::spaces()),
            None => (Cause::NotFound, error_responses::no_route()),
        },
    };
    exchange.answered(cause, &response);
    response.map(|inner| Measured { inner, exchange, _busy: busy })
}

async fn component_answer(
    shared: &Shared,
    component: &Hosted,
    peer: SocketAddr,
    mut request: Request<Incoming>,
    id: RequestId,
) -> (Cause, Response<Body>) {
    let trailers = head::clean_request(request.headers_mut(), shared.config.trusts_forwarded);
    if shared.config.tells_client {
        head::tell_client(&mut request, peer.ip());
    }
    if request.body().size_hint().lower() > component.service.limits().request_body {
        component.service.refused_body();
        return (Cause::TooLarge, error_responses::body_too_large());
    }
    let Some(place) = component.admit().await else { return (Cause::Overloaded, error_responses::overloaded()) };
    let (patience, answered) = (shared.config.body_timeout, Arc::<AtomicBool>::default());
    let request = request.map(|body| {
        let body = Cleaned { inner: body, trailers };
        let body = Patient::new(body, patience, || io::ErrorKind::TimedOut.into());
        // From then on it is a conversation, in which either side may be silent until the deadline.
        body.unless(answered.clone())
    });
    let response = component.service.handle(request, id, place).await;
    answered.store(true, Relaxed);
    match response.and_then(head::of_guest) {
        Ok(response) => (Cause::Ok, response),
        Err(failure) => {
            component.service.report(&failure, id);
            (Cause::of(&failure), error_responses::failed(&failure))
        }
    }
}

async fn files_answer(shared: &Shared, files: &Arc<Files>, mut request: Request<Incoming>) -> (Cause, Response<Body>) {
    head::clean_request(request.headers_mut(), shared.config.trusts_forwarded);
    // Nobody reads a body here, however large it is.
    files.answer(request.into_parts().0).await
}

fn asked(peer: SocketAddr, request: &Request<Incoming>) -> Asked {
    let named = || request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = request.uri().authority().map_or_else(named, |authority| authority.as_str());
    Asked::new(peer, request.method().as_str(), host, request.uri().path())
}

/// Counts and says that a client at `peer` sent something that is no request, or not to its end. It was told so by `status`,
/// if at all.
pub(crate) fn refused(shared: &Shared, peer: SocketAddr, status: Option<StatusCode>, cause: Cause) {
    let measures = shared.node.metrics().unrouted.clone();
    let asked = measures.log.as_ref().map(|_| Asked::new(peer, "", "", ""));
    let mut exchange = Exchange::begin(measures, Instant::now(), trace_context::random(), asked, &Method::GET);
    exchange.status = status;
    exchange.cause = cause;
    exchange.has_ended = true;
}

/// A request, from its head to the end of its answer. However that comes about, it is counted and said when this is dropped.
struct Exchange {
    measures: Arc<Measures>,
    started: Instant,
    id: RequestId,
    traced: Option<Traced>,
    /// Only for the access log.
    asked: Option<Asked>,
    is_head: bool,
    status: Option<StatusCode>,
    cause: Cause,
    /// Of the answer's body, as it was handed to the connection, and how many were announced.
    bytes: u64,
    announced: Option<u64>,
    has_ended: bool,
}

impl Exchange {
    fn begin(measures: Arc<Measures>, started: Instant, id: RequestId, asked: Option<Asked>, method: &Method) -> Self {
        measures.begin();
        Exchange {
            measures,
            started,
            id,
            traced: None,
            asked,
            is_head: method == Method::HEAD,
            status: None,
            cause: Cause::Abandoned,
            bytes: 0,
            announced: None,
            has_ended: false,
        }
    }

    fn answered(&mut self, cause: Cause, response: &Response<Body>) {
        let status = response.status();
        self.cause = cause;
        self.status = Some(status);
        self.announced = announced(response.headers()).or_else(|| response.body().size_hint().exact());
        // Whatever body there is does not leave.
        self.has_ended = self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    }

    fn polled(&mut self, frame: &Option<Result<Frame<Bytes>, BodyError>>) {
        match frame {
            Some(Ok(frame)) => self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => {
                self.has_ended = true;
                self.cause = match error {
                    BodyError::TooLarge(limit) => Cause::of_limit(*limit),
                    BodyError::Failed(failure) => Cause::of(failure),
                    BodyError::Guest(_) => Cause::GuestError,
                    BodyError::Source(_) => Cause::BrokenOff,
                };
            }
            None => self.has_ended = true,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // A connection asks for no more once it has what was announced.
        if !self.has_ended && self.announced.is_none_or(|most| self.bytes < most) {
            self.cause = Cause::Abandoned;
        }
        let took = self.started.elapsed();
        self.measures.end(self.status, self.cause, took);
        if let Some(traced) = self.traced.take() {
            traced.end(self.status, self.cause);
        }
        if let (Some(asked), Some(log)) = (self.asked.take(), &self.measures.log) {
            log.say(Line {
                time: SystemTime::now(),
                client: asked.client(),
                asked,
                status: self.status,
                bytes: self.bytes,
                took,
                by: self.measures.clone(),
                cause: self.cause,
                id: self.id,
            });
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of an answer, measured to its end, and with trailers that may leave.
pub(crate) struct Measured {
    inner: Body,
    exchange: Exchange,
    _busy: Busy,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(frame) = &mut frame {
            self.exchange.polled(frame);
            if let Some(Ok(frame)) = frame
                && let Some(trailers) = frame.trailers_mut()
            {
                head::clean_response(trailers);
            }
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

impl Drop for Measured {
    fn drop(&mut self) {
        // Whoever was told that it is at its end does not ask again.
        self.exchange.has_ended |= self.inner.is_end_stream();
    }
}
