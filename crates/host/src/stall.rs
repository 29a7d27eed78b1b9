//! A stream that fails when its other end does not read for too long. hyper waits for a slow reader for ever.

use crate::seats::{Busy, Seat};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(crate) struct Stall<S> {
    inner: S,
    most: Duration,
    seat: Arc<Seat>,
    /// Runs while a write waits, and the client for what is written.
    waiting: Option<(Pin<Box<Sleep>>, Busy)>,
}

impl<S> Stall<S> {
    pub fn new(inner: S, most: Duration, seat: Arc<Seat>) -> Self {
        Stall { inner, most, seat, waiting: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let begins = || (Box::pin(tokio::time::sleep(self.most)), self.seat.busy());
        let (waiting, _) = self.waiting.get_or_insert_with(begins);
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats::Seats;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn a_client_that_has_yet_to_read_is_not_idle() {
        let seat = Seats::new(1).take().await.unwrap();
        let (mut client, server) = duplex(4);
        let mut server = Stall::new(server, Duration::from_secs(3600), seat.clone());
        server.write_all(b"abcd").await.unwrap();
        assert!(seat.is_idle());
        let mut more = Box::pin(server.write_all(b"efgh"));
        tokio::select! {
            biased;
            _ = &mut more => panic!("there was no room"),
            () = std::future::ready(()) => assert!(!seat.is_idle()),
        }
        client.read_exact(&mut [0; 4]).await.unwrap();
        more.await.unwrap();
        assert!(seat.is_idle());
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_let_go() {
        let seat = Seats::new(1).take().await.unwrap();
        let (_client, server) = duplex(4);
        let mut server = Stall::new(server, Duration::from_millis(10), seat);
        server.write_all(b"abcd").await.unwrap();
        let ended = server.write_all(b"efgh").await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
