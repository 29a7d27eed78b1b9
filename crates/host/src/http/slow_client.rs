//! Clients that read too slowly, or not at all. hyper and h2 wait for one for ever, also while it reads a byte now and then.

use crate::http::slots::{Slot, StalledGuard};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a client has to read within each time-out, if there is as much. A line of 56 kbit/s takes 2.4 s for it.
const LEAST: usize = 16 << 10;

/// How a client gets on with what it is to read.
pub(crate) struct ReadProgress {
    most: Duration,
    slot: Arc<Slot>,
    stalled: fn(&Arc<Slot>) -> StalledGuard,
    behind: Option<Backlog>,
}

/// From the first time that something had to wait, until [`LEAST`] of it was read or all of it.
struct Backlog {
    until: Instant,
    read: usize,
    _stalled: StalledGuard,
}

impl ReadProgress {
    /// Of a whole connection.
    pub fn whole(most: Duration, slot: Arc<Slot>) -> Self {
        ReadProgress { most, slot, stalled: Slot::stalled_whole, behind: None }
    }

    /// Of one stream, which is busy.
    pub fn stream(most: Duration, slot: Arc<Slot>) -> Self {
        ReadProgress { most, slot, stalled: Slot::stalled_stream, behind: None }
    }

    /// Something waits for the client. Gives when it has waited for too long.
    pub fn waits(&mut self) -> Instant {
        let begins = || Backlog { until: Instant::now() + self.most, read: 0, _stalled: (self.stalled)(&self.slot) };
        self.behind.get_or_insert_with(begins).until
    }

    /// The client made room for so much more.
    pub fn read(&mut self, bytes: usize) {
        if let Some(behind) = &mut self.behind {
            behind.read += bytes;
            if behind.read >= LEAST {
                self.behind = None;
            }
        }
    }

    /// Nothing waits any more.
    pub fn caught_up(&mut self) {
        self.behind = None;
    }
}

/// A stream that fails when its other end is too slow.
pub(crate) struct StallTimeout<S> {
    inner: S,
    pace: ReadProgress,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> StallTimeout<S> {
    pub fn new(inner: S, most: Duration, slot: Arc<Slot>) -> Self {
        StallTimeout { inner, pace: ReadProgress::whole(most, slot), waiting: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let until = self.pace.waits();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(until)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.pace.read(*bytes);
        }
        self.watch(cx, written)
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
            self.pace.caught_up();
        }
        self.watch(cx, flushed)
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
    async fn a_client_that_never_reads_is_let_go() {
        let slot = slot().await;
        let (_client, server) = duplex(4);
        let mut server = StallTimeout::new(server, Duration::from_millis(10), slot);
        server.write_all(b"abcd").await.unwrap();
        let ended = server.write_all(b"efgh").await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_a_byte_now_and_then_is_let_go() {
        let (mut client, server) = duplex(4);
        let mut server = StallTimeout::new(server, Duration::from_millis(300), slot().await);
        let reads = async {
            while client.read_u8().await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let writes = async move { server.write_all(&[0; LEAST]).await };
        let ended = timeout(Duration::from_secs(60), async { tokio::join!(reads, writes).1 }).await;
        assert_eq!(ended.expect("it is cut").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_enough_or_all_there_is_has_the_time_anew() {
        let mut pace = ReadProgress::whole(HOUR, slot().await);
        let mut first = pace.waits();
        for keeps_up in [
            |pace: &mut ReadProgress| pace.read(LEAST),
            |pace: &mut ReadProgress| (0..LEAST).for_each(|_| pace.read(1)),
            |pace: &mut ReadProgress| pace.caught_up(),
        ] {
            pace.read(LEAST - 1);
            assert_eq!(pace.waits(), first);
            keeps_up(&mut pace);
            // The clock goes on.
            sleep(Duration::from_millis(2)).await;
            assert!(pace.waits() > first);
            first = pace.waits();
        }
    }
}
