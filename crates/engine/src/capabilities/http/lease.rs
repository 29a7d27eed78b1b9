//! Use of a connection by one request, from its response to the end of both bodies.

use crate::capabilities::connection_limit::CountedConnection;
use crate::capabilities::http::connection::OutboundConnection;
use crate::capabilities::http::destination::Destination;
use crate::capabilities::http::pool::ConnectionPool;
use crate::http::hop_by_hop;
use bytes::Bytes;
use futures_channel::oneshot;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi_http::Error;

/// Use of a connection by one request.
pub(super) struct Lease {
    pub connection: OutboundConnection,
    pub destination: Destination,
    pub pool: Arc<ConnectionPool>,
    /// Shared with the request's body until all of it is sent.
    pub slot: Arc<CountedConnection>,
    /// Receives the outcome of the exchange. Leaving it early is no error.
    pub over: oneshot::Sender<Result<(), Error>>,
}

impl Lease {
    /// Returns whether the guest may still be sending.
    fn sends(&self) -> bool {
        Arc::strong_count(&self.slot) > 1
    }

    /// Everything was sent and read: gives the connection to the next request.
    fn give_back(self) {
        let _ = self.over.send(Ok(()));
        // A connection of HTTP/2 never left the pool.
        if self.connection.share().is_none() {
            self.pool.keep_when_ready(self.destination, self.connection);
        }
    }

    /// Closes the connection, or leaves it to the requests that share it.
    fn leave(self, outcome: Result<(), Error>) {
        if self.sends() {
            // The rest of the request's body might never end; it ends with its connection.
            self.pool.forget(&self.connection);
        }
        let _ = self.over.send(outcome);
    }
}

/// Body of a response. Its connection is reused once all of it was read, and closed if it is
/// dropped before.
pub(super) struct LeasedBody<B> {
    inner: B,
    lease: Option<Lease>,
    is_read: bool,
    /// Hop-by-hop fields of the head. Trailers with these names are hop-by-hop, too.
    named: Vec<HeaderName>,
}

impl<B: Body<Data = Bytes>> LeasedBody<B> {
    pub fn new(inner: B, lease: Lease, named: Vec<HeaderName>) -> Self {
        let is_read = inner.is_end_stream();
        let mut leased = LeasedBody { inner, lease: Some(lease), is_read, named };
        leased.settle();
        leased
    }

    /// Gives the connection back if both bodies have ended. A guest that still sends keeps it until
    /// it drops the response.
    fn settle(&mut self) {
        if self.is_read
            && let Some(lease) = self.lease.take_if(|lease| !lease.sends())
        {
            lease.give_back();
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for LeasedBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Poll::Ready(mut frame) = Pin::new(&mut this.inner).poll_frame(cx) else { return Poll::Pending };
        if let Some(Err(_)) = &frame
            && let Some(lease) = this.lease.take()
        {
            lease.leave(Err(Error::ConnectionTerminated));
        }
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            hop_by_hop::remove(trailers, &this.named);
        }
        this.is_read |= frame.is_none() || this.inner.is_end_stream();
        this.settle();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for LeasedBody<B> {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        if self.is_read && !lease.sends() {
            lease.give_back();
        } else {
            lease.leave(Ok(()));
        }
    }
}
