//! Bodies of requests and responses: limits on size and pauses, buffered beginnings.

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Body with a limit on its size. `E` is the error type of its reader.
pub(crate) struct SizeLimited<B: HttpBody, E, F> {
    pub inner: B,
    /// Bytes that may still arrive.
    pub left: u64,
    pub too_large: F,
    pub broken: fn(B::Error) -> E,
}

impl<B, E, F> HttpBody for SizeLimited<B, E, F>
where
    B: HttpBody<Data = Bytes> + Unpin,
    F: Fn() -> E + Unpin,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else { return Poll::Pending };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let checked = frame.map_err(this.broken).and_then(|frame| {
            let size = frame.data_ref().map_or(0, |data| data.len() as u64);
            this.left = this.left.checked_sub(size).ok_or_else(&this.too_large)?;
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

/// Beginning of a body, taken before its reader asked for it.
pub(crate) struct Buffered<E> {
    frames: VecDeque<Result<Frame<Bytes>, E>>,
    /// Bytes in `frames`.
    size: usize,
    is_whole: bool,
}

/// Bytes of a body that are buffered before its reader asks. May be exceeded by one frame.
const MAX_BUFFERED: usize = 64 << 10;

impl<E> Default for Buffered<E> {
    fn default() -> Self {
        Buffered { frames: VecDeque::new(), size: 0, is_whole: false }
    }
}

impl<E> Buffered<E> {
    /// Takes the next frame of `body` if it is ready. Returns whether the writer of the body may go
    /// on.
    pub fn poll_more<B>(&mut self, body: &mut B, cx: &mut Context<'_>) -> bool
    where
        B: HttpBody<Data = Bytes, Error = E> + Unpin,
    {
        if self.is_whole || self.size >= MAX_BUFFERED {
            return false;
        }
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return false,
            Poll::Ready(None) => self.is_whole = true,
            Poll::Ready(Some(frame)) => {
                self.is_whole = frame.is_err();
                self.size += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                self.frames.push_back(frame);
            }
        }
        true
    }

    /// Puts the buffered beginning before `rest`.
    pub fn prepend_to<B>(self, rest: B) -> Prefixed<B>
    where
        B: HttpBody<Data = Bytes, Error = E>,
    {
        Prefixed { buffered: self, rest }
    }
}

/// Body with a buffered beginning.
pub(crate) struct Prefixed<B: HttpBody> {
    buffered: Buffered<B::Error>,
    rest: B,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Prefixed<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.buffered.frames.pop_front() {
            Some(frame) => {
                self.buffered.size -= frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                Poll::Ready(Some(frame))
            }
            None if self.buffered.is_whole => Poll::Ready(None),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.buffered.frames.is_empty() && (self.buffered.is_whole || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let is_data = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().is_ok_and(Frame::is_data);
        let size = self.buffered.size as u64;
        let rest = if self.buffered.is_whole { SizeHint::with_exact(0) } else { self.rest.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(size));
        // A body with trailers has no announced length, since the trailers could not follow it.
        if let (Some(upper), true) = (rest.upper(), self.buffered.frames.iter().all(is_data)) {
            hint.set_upper(upper.saturating_add(size));
        }
        hint
    }
}

/// Body that keeps a guard until it is dropped.
pub(crate) struct WithGuard<B, G> {
    pub inner: B,
    pub _guard: G,
}

impl<B: HttpBody + Unpin, G: Unpin> HttpBody for WithGuard<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Body that fails after a pause that is too long.
pub struct IdleTimeout<B: HttpBody> {
    inner: B,
    /// Set once pauses may be of any length.
    unlimited: Option<Arc<AtomicBool>>,
    timeout: Duration,
    too_slow: fn() -> B::Error,
    /// Runs during a pause.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B: HttpBody> IdleTimeout<B> {
    /// Limits the pauses of `inner` to `timeout`; a longer one ends the body with the error
    /// `too_slow`.
    pub fn new(inner: B, timeout: Duration, too_slow: fn() -> B::Error) -> Self {
        IdleTimeout { inner, unlimited: None, timeout, too_slow, sleep: None }
    }

    /// Lifts the limit once `unlimited` is set.
    pub fn unlimited_if(mut self, unlimited: Arc<AtomicBool>) -> Self {
        self.unlimited = Some(unlimited);
        self
    }
}

impl<B: HttpBody + Unpin> HttpBody for IdleTimeout<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        if frame.is_ready() {
            this.sleep = None;
            return frame;
        }
        if this.unlimited.as_ref().is_some_and(|unlimited| unlimited.load(Relaxed)) {
            return Poll::Pending;
        }
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(this.timeout)));
        sleep.as_mut().poll(cx).map(|()| Some(Err((this.too_slow)())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
