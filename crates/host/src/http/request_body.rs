//! The body of a request, by whichever HTTP it comes.

use crate::http::head::TrailerFilter;
use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

pub(crate) enum RequestBody {
    Http1(hyper::body::Incoming),
    Http2(Http2Body),
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            RequestBody::Http1(body) => Pin::new(body).poll_frame(cx).map_err(io::Error::other),
            RequestBody::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Http1(body) => body.is_end_stream(),
            RequestBody::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Http1(body) => body.size_hint(),
            RequestBody::Http2(body) => body.size_hint(),
        }
    }
}

/// The body of a stream of HTTP/2.
pub(crate) struct Http2Body {
    stream: RecvStream,
    /// What is still to come of an announced length. That it is kept to is h2's to watch.
    announced: Option<u64>,
    has_data: bool,
    /// Hears that the body is wanted.
    wanted: Option<oneshot::Sender<()>>,
}

impl Http2Body {
    /// `announced` is its length as the head says it; `wanted` is told when somebody reads.
    pub fn new(stream: RecvStream, announced: Option<u64>, wanted: Option<oneshot::Sender<()>>) -> Self {
        Http2Body { stream, announced, has_data: true, wanted }
    }

    fn took(&mut self, data: &Bytes) {
        self.announced = self.announced.map(|left| left.saturating_sub(data.len() as u64));
        // The client may send as much again. An error here is a stream that is over, which the next poll tells.
        let _ = self.stream.flow_control().release_capacity(data.len());
    }
}

impl HttpBody for Http2Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(wanted) = self.wanted.take() {
            let _ = wanted.send(());
        }
        while self.has_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.took(&data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                // A stream that its client resets is not one that ended.
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
        match self.announced {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

/// A body whose trailers are cleaned as its head was.
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
            self.trailers.clean(trailers);
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
