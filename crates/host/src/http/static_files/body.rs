//! The body of an answer that is a file: read part by part, as the client takes it, on the threads that may block.

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

/// How much is read at once, and so the most that is in memory of one answer.
pub(super) const CHUNK: u64 = 64 << 10;

/// A file that is being read.
pub(super) struct FileStream {
    /// What is read already.
    pub first: Bytes,
    pub file: File,
    /// How many bytes are to come after `first`.
    pub left: u64,
    /// Its permit among the open files.
    pub permit: AdmissionPermit,
}

pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|e| match e {}).boxed_unsync()
}

/// `fails` is told when the file ends before its time, or cannot be read.
pub(super) fn streamed(reading: FileStream, fails: impl Fn(&io::Error) + Send + Unpin + 'static) -> Body {
    let FileStream { first, file, left, permit } = reading;
    FileBody { first, state: ReadState::Idle(file), left, fails, _permit: permit }.boxed_unsync()
}

/// The next `count` bytes of `file`, or an error if there are fewer. Blocks.
pub(super) fn read(file: &mut File, count: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    file.take(count).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < count {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut short while it was sent"));
    }
    Ok(bytes.into())
}

struct FileBody<F> {
    first: Bytes,
    state: ReadState,
    left: u64,
    fails: F,
    _permit: AdmissionPermit,
}

enum ReadState {
    Idle(File),
    Reads(JoinHandle<(File, io::Result<Bytes>)>),
    Over,
}

impl<F: Fn(&io::Error)> FileBody<F> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let count = self.left.min(CHUNK);
        loop {
            match std::mem::replace(&mut self.state, ReadState::Over) {
                ReadState::Idle(mut file) => {
                    self.state = ReadState::Reads(spawn_blocking(move || {
                        let bytes = read(&mut file, count);
                        (file, bytes)
                    }));
                }
                ReadState::Reads(mut reads) => {
                    let Poll::Ready(done) = Pin::new(&mut reads).poll(cx) else {
                        self.state = ReadState::Reads(reads);
                        return Poll::Pending;
                    };
                    let (file, bytes) = done.map_err(io::Error::other)?;
                    if bytes.is_ok() {
                        self.left -= count;
                        self.state = if self.left > 0 { ReadState::Idle(file) } else { ReadState::Over };
                    }
                    return Poll::Ready(bytes);
                }
                ReadState::Over => return Poll::Ready(Ok(Bytes::new())),
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
                (this.fails)(&error);
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
