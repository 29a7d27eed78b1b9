//! The preface of HTTP/2: tells HTTP/2 from HTTP/1.1 on a plain connection, by its first bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// RFC 9113 section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes have been peeked at. Reading it returns them again.
pub(crate) struct PeekedStream<S> {
    inner: S,
    peeked: [u8; PREFACE.len()],
    /// Number of peeked bytes, and of those that were read again.
    filled: usize,
    replayed: usize,
}

impl<S: AsyncRead + Unpin> PeekedStream<S> {
    pub fn new(inner: S) -> Self {
        PeekedStream { inner, peeked: [0; PREFACE.len()], filled: 0, replayed: 0 }
    }

    /// Waits for the first bytes, and tells whether they are the preface of HTTP/2. Stops at the
    /// first byte that differs, so that it never waits for more bytes than a request of HTTP/1.1
    /// has.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        loop {
            let read = self.inner.read(&mut self.peeked[self.filled..]).await?;
            self.filled += read;
            let is_preface = PREFACE.starts_with(&self.peeked[..self.filled]);
            if read == 0 || !is_preface || self.filled == PREFACE.len() {
                return Ok(is_preface && read > 0);
            }
        }
    }

    /// Tells whether any byte arrived.
    pub fn has_begun(&self) -> bool {
        self.filled > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PeekedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.replayed == self.filled {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        let end = self.filled.min(self.replayed + buffer.remaining());
        buffer.put_slice(&self.peeked[self.replayed..end]);
        self.replayed = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PeekedStream<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut client, server) = tokio::io::duplex(1);
        let all = parts.concat();
        let sending = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut client, &all).await;
        });
        let mut stream = PeekedStream::new(server);
        let is_http2 = stream.is_http2().await.unwrap();
        assert_eq!(stream.has_begun(), !parts.is_empty());
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        sending.await.unwrap();
        (read, is_http2)
    }

    #[tokio::test]
    async fn peeked_bytes_are_read_again() {
        for (parts, is_http2) in [
            (&[&PREFACE[..], b"frames"][..], true),
            (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r."], false),
            (&[b"PRI /printers HTTP/1.1\r\n\r\n"], false),
            (&[b"GET / HTTP/1.1\r\n\r\n"], false),
            (&[b"PRI"], false),
            (&[], false),
        ] {
            assert_eq!(opened(parts).await, (parts.concat(), is_http2));
        }
    }
}
