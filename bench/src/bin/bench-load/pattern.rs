//! A body that repeats one static block, and so takes no memory.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

pub struct PatternBody {
    /// Bytes to the end.
    pub left: usize,
    length: usize,
}

const BLOCK: usize = 64 * 1024;

static BYTES: [u8; BLOCK] = {
    let (mut bytes, mut at) = ([0; BLOCK], 0);
    while at < BLOCK {
        // 251 is a prime, so data that is off by a power of two differs.
        bytes[at] = (at % 251).to_le_bytes()[0];
        at += 1;
    }
    bytes
};

impl PatternBody {
    pub fn new(length: usize) -> Self {
        Self { left: length, length }
    }

    /// The next bytes, at most to the end of the block.
    fn next(&mut self, max: usize) -> &'static [u8] {
        let from = (self.length - self.left) % BLOCK;
        let length = max.min(self.left).min(BLOCK - from);
        self.left -= length;
        &BYTES[from..from + length]
    }

    /// Skips `data`. Returns whether these are the next bytes.
    pub fn skip_equal(&mut self, mut data: &[u8]) -> bool {
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

impl Body for PatternBody {
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
