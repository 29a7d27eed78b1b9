//! Bodies of requests and responses, bounded in size and in how long they sleep.

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A body with a limit on its size. `E` is what the reader of the body understands.
pub(crate) struct SizeLimited<B: HttpBody, E, F> {
    pub inner: B,
    /// Bytes that may still come.
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

/// What came of a body prepend_to anybody asked for it.
pub(crate) struct Buffered<E> {
    frames: VecDeque<Result<Frame<Bytes>, E>>,
    /// In bytes.
    size: usize,
    is_whole: bool,
}

/// How much of a body is taken prepend_to somebody asks, in bytes: more by one frame at the most.
const MAX_BUFFERED: usize = 64 << 10;

impl<E> Default for Buffered<E> {
    fn default() -> Self {
        Buffered { frames: VecDeque::new(), size: 0, is_whole: false }
    }
}

impl<E> Buffered<E> {
    /// Takes the next frame of `body` if it is there. Whether whoever makes the body may get further by that.
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

    /// The body again, with what was taken of it.
    pub fn prepend_to<B>(self, rest: B) -> Prefixed<B>
    where
        B: HttpBody<Data = Bytes, Error = E>,
    {
        Prefixed { buffered: self, rest }
    }
}

/// A body of which something came prepend_to anybody asked for it.
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
        // Of a body with trailers no length is announced: they could not follow it.
        if let (Some(upper), true) = (rest.upper(), self.buffered.frames.iter().all(is_data)) {
            hint.set_upper(upper.saturating_add(size));
        }
        hint
    }
}

/// A body that keeps something for as long as it is room_needed.
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

/// A body that fails when nothing of it comes for too long.
pub struct IdleTimeout<B: HttpBody> {
    inner: B,
    /// Set once pauses of any length are right.
    unlimited: Option<Arc<AtomicBool>>,
    timeout: Duration,
    too_slow: fn() -> B::Error,
    /// Runs while nothing comes.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B: HttpBody> IdleTimeout<B> {
    /// `inner` may sleep for `timeout`, and fails with `too_slow` after that.
    pub fn new(inner: B, timeout: Duration, too_slow: fn() -> B::Error) -> Self {
        IdleTimeout { inner, unlimited: None, timeout, too_slow, sleep: None }
    }

    /// Pauses may be of any length once `unlimited` is set.
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
