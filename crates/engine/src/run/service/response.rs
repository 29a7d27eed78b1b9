//! Responses on their way to the client, and the guests that still run behind them.

use crate::failure::error::Failure;
use crate::http::body::Prefixed;
use crate::request_id::RequestId;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use walnut_policy::Limit;
use wasmtime_wasi_http::Error as HttpError;

/// A streaming body, with trailers.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Reasons why a body ended early.
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

/// Receives a failure, with the request if it ended a single one.
pub(super) type FailureReporter = Arc<dyn Fn(&Failure, Option<RequestId>) + Send + Sync>;

pub(super) type GuestRequest = http::Request<UnsyncBoxBody<Bytes, HttpError>>;
pub(super) type GuestResponse = http::Response<UnsyncBoxBody<Bytes, HttpError>>;
pub(super) type Answer<T> = (http::Response<Prefixed<UnsyncBoxBody<Bytes, HttpError>>>, Option<T>);

/// Work that goes on behind a response until its body ends.
pub(super) trait ResponseTail: Send + Unpin + 'static {
    /// Returns the failure of the guest, if it failed before the body's stream ended.
    fn failure(&self) -> Option<&Failure>;

    /// Returns whether the deadline has passed without anybody who ends the body.
    fn is_over(&mut self) -> bool;

    /// Like [`ResponseTail::is_over`], and wakes the task when the deadline passes.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> bool;

    /// Ends the work: the client left before the end of the body.
    fn abandon(&self);
}

/// Body of a response whose guest may still run. If the client leaves before its end, the guest is
/// ended. Work that the guest does after its response goes on.
pub(super) struct GuardedBody<B, T: ResponseTail> {
    inner: B,
    /// Bytes that are still to come, if the head announced a length. No more than that is asked
    /// for.
    announced: Option<u64>,
    tail: Option<T>,
}

impl<B, T: ResponseTail> GuardedBody<B, T> {
    pub fn new(inner: B, announced: Option<u64>, tail: Option<T>) -> Self {
        GuardedBody { inner, announced, tail }
    }

    fn overdue<F>(&mut self) -> Poll<Option<Result<F, BodyError>>> {
        self.tail = None;
        Poll::Ready(Some(Err(BodyError::TooLarge(Limit::Deadline))))
    }
}

impl<B, T> HttpBody for GuardedBody<B, T>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
    T: ResponseTail,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.tail.as_mut().is_some_and(ResponseTail::is_over) {
            return self.overdue();
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if frame.is_pending() && self.tail.as_mut().is_some_and(|tail| tail.poll_over(cx)) {
            return self.overdue();
        }
        if matches!(frame, Poll::Ready(None | Some(Err(BodyError::Guest(_)))))
            && let Some(failure) = self.tail.as_ref().and_then(ResponseTail::failure)
        {
            return Poll::Ready(Some(Err(BodyError::Failed(failure.clone()))));
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(left)) = (&frame, &mut self.announced) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        if matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.tail = None;
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

impl<B, T: ResponseTail> Drop for GuardedBody<B, T> {
    fn drop(&mut self) {
        if let (Some(tail), true) = (&self.tail, self.announced != Some(0)) {
            tail.abandon();
        }
    }
}

/// Writes `HttpRequestDenied` as `http-request-denied`, the way WIT does.
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
