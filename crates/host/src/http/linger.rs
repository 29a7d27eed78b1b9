//! Ends of connections that arrive: the answer to a client that has closed its sending half, and
//! the answer to a client that still sends.

use crate::http::slots::Slot;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Time for which a client that has stopped sending waits for its answer. A client that is gone
/// looks the same.
const HALF_CLOSE_GRACE: Duration = Duration::from_secs(2);

/// A stream that hides its end for [`HALF_CLOSE_GRACE`] while a request is in flight. hyper would
/// drop the request at once.
pub(crate) struct HalfCloseGrace<S> {
    inner: S,
    slot: Arc<Slot>,
    /// Runs from the end of the stream on.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> HalfCloseGrace<S> {
    /// Wraps the stream of the connection with this slot.
    pub fn new(inner: S, slot: Arc<Slot>) -> Self {
        HalfCloseGrace { inner, slot, timer: None }
    }

    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfCloseGrace<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.timer.is_none() {
            let before = buffer.filled().len();
            let is_full = buffer.remaining() == 0;
            match ready!(Pin::new(&mut self.inner).poll_read(cx, buffer)) {
                // A client that drops its connection of TLS says nothing before.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(e) => return Poll::Ready(Err(e)),
                Ok(()) if buffer.filled().len() > before || is_full => return Poll::Ready(Ok(())),
                Ok(()) => {}
            }
            self.timer = Some(Box::pin(sleep_until(Instant::now() + HALF_CLOSE_GRACE)));
        }
        if self.slot.is_idle() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HalfCloseGrace<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Bounds on reading what a client still sends.
const MAX_LINGER: Duration = Duration::from_secs(30);
const MAX_LINGER_IDLE: Duration = Duration::from_secs(5);
const MAX_LINGER_BYTES: u64 = 1 << 30;

/// Says that nothing more will be sent, and then reads and throws away what the client still sends,
/// within bounds. Closing the connection before that would reset it, and the client might lose the
/// answer.
pub(crate) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let _ = timeout(MAX_LINGER_IDLE, stream.shutdown()).await;
    let mut bytes = vec![0; 64 << 10];
    let drain = async {
        let mut left = MAX_LINGER_BYTES;
        while let Ok(Ok(read @ 1..)) = timeout(MAX_LINGER_IDLE, stream.read(&mut bytes)).await {
            left = left.saturating_sub(read as u64);
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(MAX_LINGER, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::slots::ConnectionSlots;
    use tokio::io::duplex;

    async fn slot() -> Arc<Slot> {
        ConnectionSlots::new(1, Duration::from_secs(3600)).take().await.unwrap()
    }

    #[tokio::test]
    async fn the_end_is_hidden_while_a_request_is_in_flight() {
        let slot = slot().await;
        let (client, server) = duplex(64);
        let mut server = HalfCloseGrace::new(server, slot.clone());
        drop(client);
        let busy = slot.busy();
        let began = Instant::now();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(began.elapsed() >= HALF_CLOSE_GRACE);
        drop(busy);
    }

    #[tokio::test]
    async fn the_end_of_an_idle_connection_is_seen_at_once() {
        let (client, server) = duplex(64);
        let mut server = HalfCloseGrace::new(server, slot().await);
        drop(client);
        let mut bytes = [0; 8];
        tokio::select! {
            biased;
            read = server.read(&mut bytes) => assert_eq!(read.unwrap(), 0),
            () = std::future::ready(()) => panic!("it waited"),
        }
    }

    #[tokio::test]
    async fn lingering_reads_to_the_end_of_the_client() {
        let (mut client, server) = duplex(64);
        let lingering = tokio::spawn(linger(server));
        client.write_all(&[0; 1 << 20]).await.unwrap();
        drop(client);
        lingering.await.unwrap();
    }
}
