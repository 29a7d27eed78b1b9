//! The body of a request, of HTTP/1.1 or HTTP/2.

use crate::http::head::TrailerFilter;
use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Body of a request.
pub(crate) enum RequestBody {
    Http1(Http1Body),
    Http2(Http2Body),
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            RequestBody::Http1(body) => Pin::new(&mut body.inner).poll_frame(cx).map_err(io::Error::other),
            RequestBody::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Http1(body) => body.inner.is_end_stream(),
            RequestBody::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Http1(body) => body.inner.size_hint(),
            RequestBody::Http2(body) => body.size_hint(),
        }
    }
}

/// Largest rest of a body that hyper may read by itself, in bytes. Such a rest does not close the
/// connection.
const SMALL_REST: u64 = 16 << 10;

/// Whether the body of a connection's latest request was dropped before its end.
#[derive(Default)]
pub(crate) struct UnreadBody {
    is_unread: AtomicBool,
    is_large: AtomicBool,
}

impl UnreadBody {
    /// Returns whether a part of the body was left unread.
    pub fn is_unread(&self) -> bool {
        self.is_unread.load(Relaxed)
    }

    /// Returns whether so much was left, or may have been, that the connection has to close.
    pub fn is_large(&self) -> bool {
        self.is_large.load(Relaxed)
    }
}

/// Body of a request of HTTP/1.1.
pub(crate) struct Http1Body {
    inner: hyper::body::Incoming,
    unread: Arc<UnreadBody>,
}

impl Http1Body {
    /// Wraps the body of a connection's request, and notes in `unread` what becomes of it.
    pub fn new(inner: hyper::body::Incoming, unread: &Arc<UnreadBody>) -> Self {
        unread.is_unread.store(false, Relaxed);
        unread.is_large.store(false, Relaxed);
        Http1Body { inner, unread: unread.clone() }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            let is_large = self.inner.size_hint().exact().is_none_or(|rest| rest > SMALL_REST);
            self.unread.is_unread.store(true, Relaxed);
            self.unread.is_large.store(is_large, Relaxed);
        }
    }
}

/// Body of a request on a stream of HTTP/2.
pub(crate) struct Http2Body {
    stream: RecvStream,
    /// Bytes left of the announced length. h2 itself enforces the length.
    left: Option<u64>,
    has_data: bool,
    /// Hears of the first poll.
    first_poll: Option<oneshot::Sender<()>>,
}

impl Http2Body {
    /// Creates a body of the announced `length`. `first_poll` is notified when the body is first
    /// polled.
    pub fn new(stream: RecvStream, length: Option<u64>, first_poll: Option<oneshot::Sender<()>>) -> Self {
        Http2Body { stream, left: length, has_data: true, first_poll }
    }

    fn consume(&mut self, data: &Bytes) {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        // Opens the window again. An error means that the stream has ended, which the next poll
        // reports.
        let _ = self.stream.flow_control().release_capacity(data.len());
    }
}

impl HttpBody for Http2Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first_poll) = self.first_poll.take() {
            let _ = first_poll.send(());
        }
        while self.has_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.consume(&data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                // A reset by the client is not the end of the body.
                Some(Err(e)) => return Poll::Ready(Some(Err(io::Error::other(e)))),
                None => self.has_data = false,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(io::Error::other);
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

/// A body whose trailers lose the same fields as its head.
pub(crate) struct FilteredBody<B> {
    pub inner: B,
    pub trailers: TrailerFilter,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for FilteredBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            self.trailers.apply(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
