//! A body that is one block again and again, and so takes no memory.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

pub struct Pattern {
    pub left: usize,
    length: usize,
}

const BLOCK: usize = 64 * 1024;

static BYTES: [u8; BLOCK] = {
    let (mut bytes, mut at) = ([0; BLOCK], 0);
    while at < BLOCK {
        // 251 is a prime: no power of two that somebody mixes up looks right.
        bytes[at] = (at % 251).to_le_bytes()[0];
        at += 1;
    }
    bytes
};

impl Pattern {
    pub fn new(length: usize) -> Self {
        Self { left: length, length }
    }

    /// What comes next: to the end of the block or of the body.
    fn next(&mut self, at_most: usize) -> &'static [u8] {
        let from = (self.length - self.left) % BLOCK;
        let length = at_most.min(self.left).min(BLOCK - from);
        self.left -= length;
        &BYTES[from..from + length]
    }

    /// Whether `data` is what comes next.
    pub fn starts_with(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let part = self.next(data.len());
            if part.is_empty() || !data.starts_with(part) {
                return false;
            }
            data = &data[part.len()..];
        }
        true
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.next(BLOCK);
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(Bytes::from_static(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
