//! Bodies of requests and responses, bounded in size and in how long they pause.

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
pub(crate) struct Bounded<B: HttpBody, E, F> {
    pub inner: B,
    /// Bytes that may still come.
    pub left: u64,
    pub too_large: F,
    pub broken: fn(B::Error) -> E,
}

impl<B, E, F> HttpBody for Bounded<B, E, F>
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

/// What came of a body before anybody asked for it.
pub(crate) struct Begun<E> {
    frames: VecDeque<Result<Frame<Bytes>, E>>,
    /// In bytes.
    size: usize,
    is_whole: bool,
}

/// How much of a body is taken before somebody asks, in bytes: more by one frame at the most.
const AHEAD: usize = 64 << 10;

impl<E> Default for Begun<E> {
    fn default() -> Self {
        Begun { frames: VecDeque::new(), size: 0, is_whole: false }
    }
}

impl<E> Begun<E> {
    /// Takes the next frame of `body` if it is there. Whether whoever makes the body may get further by that.
    pub fn goes_on<B>(&mut self, body: &mut B, cx: &mut Context<'_>) -> bool
    where
        B: HttpBody<Data = Bytes, Error = E> + Unpin,
    {
        if self.is_whole || self.size >= AHEAD {
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
    pub fn before<B>(self, rest: B) -> Continued<B>
    where
        B: HttpBody<Data = Bytes, Error = E>,
    {
        Continued { begun: self, rest }
    }
}

/// A body of which something came before anybody asked for it.
pub(crate) struct Continued<B: HttpBody> {
    begun: Begun<B::Error>,
    rest: B,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Continued<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.begun.frames.pop_front() {
            Some(frame) => {
                self.begun.size -= frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                Poll::Ready(Some(frame))
            }
            None if self.begun.is_whole => Poll::Ready(None),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.frames.is_empty() && (self.begun.is_whole || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let is_data = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().is_ok_and(Frame::is_data);
        let size = self.begun.size as u64;
        let rest = if self.begun.is_whole { SizeHint::with_exact(0) } else { self.rest.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(size));
        // Of a body with trailers no length is announced: they could not follow it.
        if let (Some(upper), true) = (rest.upper(), self.begun.frames.iter().all(is_data)) {
            hint.set_upper(upper.saturating_add(size));
        }
        hint
    }
}

/// A body that keeps something for as long as it is needed.
pub(crate) struct Guarded<B, G> {
    pub inner: B,
    pub _guard: G,
}

impl<B: HttpBody + Unpin, G: Unpin> HttpBody for Guarded<B, G> {
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
pub struct Patient<B: HttpBody> {
    inner: B,
    /// Set once pauses of any length are right.
    endless: Option<Arc<AtomicBool>>,
    patience: Duration,
    too_slow: fn() -> B::Error,
    /// Runs while nothing comes.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<B: HttpBody> Patient<B> {
    /// `inner` may pause for `patience`, and fails with `too_slow` after that.
    pub fn new(inner: B, patience: Duration, too_slow: fn() -> B::Error) -> Self {
        Patient { inner, endless: None, patience, too_slow, pause: None }
    }

    /// Pauses may be of any length once `endless` is set.
    pub fn unless(mut self, endless: Arc<AtomicBool>) -> Self {
        self.endless = Some(endless);
        self
    }
}

impl<B: HttpBody + Unpin> HttpBody for Patient<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        if frame.is_ready() {
            this.pause = None;
            return frame;
        }
        if this.endless.as_ref().is_some_and(|endless| endless.load(Relaxed)) {
            return Poll::Pending;
        }
        let pause = this.pause.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        pause.as_mut().poll(cx).map(|()| Some(Err((this.too_slow)())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
