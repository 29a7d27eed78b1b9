//! Which HTTP a client speaks that did not agree on one by TLS: HTTP/2 starts with a text that is no request of HTTP/1.1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// RFC 9113 section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes were looked at. They are read again, by who serves it.
pub(crate) struct PeekedStream<S> {
    inner: S,
    first: [u8; PREFACE.len()],
    /// How many of them came, and how many were read again.
    came: usize,
    given: usize,
}

impl<S: AsyncRead + Unpin> PeekedStream<S> {
    pub fn new(inner: S) -> Self {
        PeekedStream { inner, first: [0; PREFACE.len()], came: 0, given: 0 }
    }

    /// Waits for the first bytes, and tells whether they are HTTP/2's. Those of HTTP/1.1 are known by the first of all,
    /// so that nothing waits for more than a request has.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        loop {
            let read = self.inner.read(&mut self.first[self.came..]).await?;
            self.came += read;
            let is_preface = PREFACE.starts_with(&self.first[..self.came]);
            if read == 0 || !is_preface || self.came == PREFACE.len() {
                return Ok(is_preface && read > 0);
            }
        }
    }

    /// Whether anything came.
    pub fn has_begun(&self) -> bool {
        self.came > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PeekedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.given == self.came {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        let end = self.came.min(self.given + buffer.remaining());
        buffer.put_slice(&self.first[self.given..end]);
        self.given = end;
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
    async fn what_was_looked_at_is_read_again() {
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
