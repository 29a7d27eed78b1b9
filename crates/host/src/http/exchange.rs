//! An exchange: one request and its response, as metrics, access log and trace see them.

use crate::http::context::ServerContext;
use crate::http::head;
use crate::http::slots::BusyGuard;
use crate::telemetry::{AccessEntry, Cause, ComponentMetrics, RequestLine, RequestSpan, random_request_id};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};
use walnut_engine::{Body, BodyError, RequestId, content_length};

/// Records bytes of a client at `peer` that are not a request, or not a whole one. `status` is the
/// status that the client was sent, if any.
pub(crate) fn record_rejected(context: &ServerContext, peer: SocketAddr, status: Option<StatusCode>, cause: Cause) {
    let metrics = context.node.metrics().unrouted.clone();
    let request_line = metrics.access_log.as_ref().map(|_| RequestLine::new(peer, "", "", ""));
    let mut exchange = Exchange::begin(metrics, Instant::now(), random_request_id(), request_line, &Method::GET);
    exchange.status = status;
    exchange.cause = cause;
    exchange.has_ended = true;
}

/// A request from its head to the end of its response. Dropping it counts the request and writes
/// its log entry, so that every request is recorded however it ends.
pub(crate) struct Exchange {
    metrics: Arc<ComponentMetrics>,
    started: Instant,
    id: RequestId,
    span: Option<RequestSpan>,
    /// Only with an access log.
    request_line: Option<RequestLine>,
    is_head: bool,
    status: Option<StatusCode>,
    cause: Cause,
    /// Bytes of the response's body that were handed to the connection.
    bytes: u64,
    /// Length that the response announced.
    content_length: Option<u64>,
    has_ended: bool,
}

impl Exchange {
    /// Begins an exchange whose head was complete at `started`.
    pub fn begin(
        metrics: Arc<ComponentMetrics>,
        started: Instant,
        id: RequestId,
        request_line: Option<RequestLine>,
        method: &Method,
    ) -> Self {
        metrics.begin();
        Exchange {
            metrics,
            started,
            id,
            span: None,
            request_line,
            is_head: method == Method::HEAD,
            status: None,
            cause: Cause::Abandoned,
            bytes: 0,
            content_length: None,
            has_ended: false,
        }
    }

    /// Sets the span that ends with the exchange.
    pub fn set_span(&mut self, span: Option<RequestSpan>) {
        self.span = span;
    }

    /// Notes the head of the response.
    pub fn set_response(&mut self, cause: Cause, response: &Response<Body>) {
        let status = response.status();
        self.cause = cause;
        self.status = Some(status);
        self.content_length = content_length(response.headers()).or_else(|| response.body().size_hint().exact());
        // These responses are sent without a body.
        self.has_ended = self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    }

    fn observe(&mut self, frame: &Option<Result<Frame<Bytes>, BodyError>>) {
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
        // A connection stops polling the body once the announced length was sent.
        if !self.has_ended && self.content_length.is_none_or(|length| self.bytes < length) {
            self.cause = Cause::Abandoned;
        }
        let duration = self.started.elapsed();
        self.metrics.end(self.status, self.cause, duration);
        if let Some(span) = self.span.take() {
            span.end(self.status, self.cause);
        }
        if let (Some(request_line), Some(log)) = (self.request_line.take(), &self.metrics.access_log) {
            log.push(AccessEntry {
                time: SystemTime::now(),
                client: request_line.client(),
                request_line,
                status: self.status,
                bytes: self.bytes,
                duration,
                labels: self.metrics.labels().clone(),
                cause: self.cause,
                id: self.id,
            });
        }
    }
}

/// Body of a response that reports its frames to the exchange. Removes hop-by-hop fields from its
/// trailers.
pub(crate) struct ObservedBody {
    inner: Body,
    exchange: Exchange,
    _busy: BusyGuard,
}

impl ObservedBody {
    pub fn new(inner: Body, exchange: Exchange, busy: BusyGuard) -> Self {
        ObservedBody { inner, exchange, _busy: busy }
    }
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(frame) = &mut frame {
            self.exchange.observe(frame);
            if let Some(Ok(frame)) = frame
                && let Some(trailers) = frame.trailers_mut()
            {
                head::strip_response_hop_by_hop(trailers);
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

impl Drop for ObservedBody {
    fn drop(&mut self) {
        // A connection that saw the end of the stream does not poll again.
        self.exchange.has_ended |= self.inner.is_end_stream();
    }
}
