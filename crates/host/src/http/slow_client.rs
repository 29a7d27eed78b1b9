//! Slow clients: closes a connection or a stream whose client reads too slowly. hyper and h2 would
//! wait for ever, even for a client that reads a byte now and then.

use crate::http::slots::{Slot, StalledGuard};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that a client has to read within each timeout, if there are as many. A line of 56 kbit/s
/// takes 2.4 s for them.
const MIN_READ: usize = 16 << 10;

/// Progress of a client in reading.
pub(crate) struct ReadProgress {
    timeout: Duration,
    slot: Arc<Slot>,
    stalled: fn(&Arc<Slot>) -> StalledGuard,
    backlog: Option<Backlog>,
}

/// Unread data, from the first wait until the client has read [`MIN_READ`] bytes or all there is.
struct Backlog {
    deadline: Instant,
    read: usize,
    _stalled: StalledGuard,
}

impl ReadProgress {
    /// Tracks a whole connection.
    pub fn of_connection(timeout: Duration, slot: Arc<Slot>) -> Self {
        ReadProgress { timeout, slot, stalled: Slot::stalled_connection, backlog: None }
    }

    /// Tracks one stream, which is busy.
    pub fn of_stream(timeout: Duration, slot: Arc<Slot>) -> Self {
        ReadProgress { timeout, slot, stalled: Slot::stalled_stream, backlog: None }
    }

    /// Notes that data waits for the client. Returns the deadline.
    pub fn wait_begins(&mut self) -> Instant {
        let begin =
            || Backlog { deadline: Instant::now() + self.timeout, read: 0, _stalled: (self.stalled)(&self.slot) };
        self.backlog.get_or_insert_with(begin).deadline
    }

    /// Notes that the client made room for this many bytes.
    pub fn read(&mut self, bytes: usize) {
        if let Some(backlog) = &mut self.backlog {
            backlog.read += bytes;
            if backlog.read >= MIN_READ {
                self.backlog = None;
            }
        }
    }

    /// Notes that nothing waits any more.
    pub fn caught_up(&mut self) {
        self.backlog = None;
    }
}

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] when the peer reads too slowly.
pub(crate) struct StallTimeout<S> {
    inner: S,
    progress: ReadProgress,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> StallTimeout<S> {
    /// Wraps `inner`. The peer has to read 16 KiB, or all there is, within `timeout`.
    pub fn new(inner: S, timeout: Duration, slot: Arc<Slot>) -> Self {
        StallTimeout { inner, progress: ReadProgress::of_connection(timeout, slot), timer: None }
    }

    fn check<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let deadline = self.progress.wait_begins();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.progress.read(*bytes);
        }
        self.check(cx, written)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if flushed.is_ready() {
            self.progress.caught_up();
        }
        self.check(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::slots::ConnectionSlots;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{sleep, timeout};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn slot() -> Arc<Slot> {
        ConnectionSlots::new(1, HOUR).take().await.unwrap()
    }

    #[tokio::test]
    async fn a_client_that_has_yet_to_read_is_not_idle() {
        let slot = slot().await;
        let (mut client, server) = duplex(4);
        let mut server = StallTimeout::new(server, HOUR, slot.clone());
        server.write_all(b"abcd").await.unwrap();
        assert!(slot.is_idle());
        let mut more = Box::pin(server.write_all(b"efgh"));
        tokio::select! {
            biased;
            _ = &mut more => panic!("there was no room"),
            () = std::future::ready(()) => assert!(!slot.is_idle()),
        }
        client.read_exact(&mut [0; 4]).await.unwrap();
        more.await.unwrap();
        server.flush().await.unwrap();
        assert!(slot.is_idle());
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_disconnected() {
        let slot = slot().await;
        let (_client, server) = duplex(4);
        let mut server = StallTimeout::new(server, Duration::from_millis(10), slot);
        server.write_all(b"abcd").await.unwrap();
        let ended = server.write_all(b"efgh").await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_a_byte_now_and_then_is_disconnected() {
        let (mut client, server) = duplex(4);
        let mut server = StallTimeout::new(server, Duration::from_millis(300), slot().await);
        let reads = async {
            while client.read_u8().await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let writes = async move { server.write_all(&[0; MIN_READ]).await };
        let ended = timeout(Duration::from_secs(60), async { tokio::join!(reads, writes).1 }).await;
        assert_eq!(ended.expect("the connection is closed").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_enough_or_all_gets_a_new_deadline() {
        let mut progress = ReadProgress::of_connection(HOUR, slot().await);
        let mut first = progress.wait_begins();
        for keeps_up in [
            |progress: &mut ReadProgress| progress.read(MIN_READ),
            |progress: &mut ReadProgress| (0..MIN_READ).for_each(|_| progress.read(1)),
            |progress: &mut ReadProgress| progress.caught_up(),
        ] {
            progress.read(MIN_READ - 1);
            assert_eq!(progress.wait_begins(), first);
            keeps_up(&mut progress);
            // Let the clock advance.
            sleep(Duration::from_millis(2)).await;
            assert!(progress.wait_begins() > first);
            first = progress.wait_begins();
        }
    }
}
