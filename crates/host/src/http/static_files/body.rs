//! Body of a response that is a file: read in chunks as the client reads, on blocking threads.

use crate::app::AdmissionPermit;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};
use walnut_engine::{Body, BodyError};

/// Bytes that are read at once, and so the most that a response keeps in memory.
pub(super) const CHUNK: u64 = 64 << 10;

/// An open file whose first bytes have been read.
pub(super) struct FileStream {
    /// First bytes of the body.
    pub first: Bytes,
    pub file: File,
    /// Number of bytes that follow `first`.
    pub left: u64,
    /// Permit of an open file.
    pub permit: AdmissionPermit,
}

/// Returns a body of these bytes.
pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|e| match e {}).boxed_unsync()
}

/// Returns a body that streams the file. `on_error` is called when the file is shorter than
/// announced or cannot be read.
pub(super) fn streamed(stream: FileStream, on_error: impl Fn(&io::Error) + Send + Unpin + 'static) -> Body {
    let FileStream { first, file, left, permit } = stream;
    FileBody { first, state: ReadState::Idle(file), left, on_error, _permit: permit }.boxed_unsync()
}

/// Reads the next `count` bytes of `file`. Blocks.
///
/// # Errors
/// When the file has fewer bytes or cannot be read.
pub(super) fn read(file: &mut File, count: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    file.take(count).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < count {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was truncated while it was sent"));
    }
    Ok(bytes.into())
}

struct FileBody<F> {
    first: Bytes,
    state: ReadState,
    left: u64,
    on_error: F,
    _permit: AdmissionPermit,
}

enum ReadState {
    Idle(File),
    Reading(JoinHandle<(File, io::Result<Bytes>)>),
    Done,
}

impl<F: Fn(&io::Error)> FileBody<F> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let count = self.left.min(CHUNK);
        loop {
            match std::mem::replace(&mut self.state, ReadState::Done) {
                ReadState::Idle(mut file) => {
                    self.state = ReadState::Reading(spawn_blocking(move || {
                        let bytes = read(&mut file, count);
                        (file, bytes)
                    }));
                }
                ReadState::Reading(mut task) => {
                    let Poll::Ready(done) = Pin::new(&mut task).poll(cx) else {
                        self.state = ReadState::Reading(task);
                        return Poll::Pending;
                    };
                    let (file, bytes) = done.map_err(io::Error::other)?;
                    if bytes.is_ok() {
                        self.left -= count;
                        self.state = if self.left > 0 { ReadState::Idle(file) } else { ReadState::Done };
                    }
                    return Poll::Ready(bytes);
                }
                ReadState::Done => return Poll::Ready(Ok(Bytes::new())),
            }
        }
    }
}

impl<F: Fn(&io::Error) + Unpin> HttpBody for FileBody<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        match ready!(this.poll_read(cx)) {
            Ok(bytes) if bytes.is_empty() => Poll::Ready(None),
            Ok(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(error) => {
                (this.on_error)(&error);
                Poll::Ready(Some(Err(BodyError::Source(error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.first.len() as u64 + self.left)
    }
}
