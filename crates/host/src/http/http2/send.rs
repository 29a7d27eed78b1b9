//! Sends the body of a response on a stream of HTTP/2, at the pace of its client.

use crate::http::slow_client::ReadProgress;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body as HttpBody, Frame};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::timeout_at;

/// A body that could not be sent completely, and the reason that its client is given.
pub(super) struct StreamReset(pub Reason);

impl From<h2::Error> for StreamReset {
    fn from(error: h2::Error) -> Self {
        StreamReset(error.reason().unwrap_or(Reason::CANCEL))
    }
}

/// A body that is polled for one more frame while the frame before waits for the client. So a guest
/// whose response is complete is done, however slowly its client reads, and a guest that fails
/// meanwhile is noticed.
pub(super) struct LookaheadBody<B> {
    body: B,
    next: Option<NextFrame>,
}

enum NextFrame {
    Frame(Frame<Bytes>),
    End,
    Failed,
}

impl<B: HttpBody<Data = Bytes> + Unpin> LookaheadBody<B> {
    pub fn new(body: B) -> Self {
        LookaheadBody { body, next: None }
    }

    /// Polls for the next frame, unless it is there already.
    pub fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if self.next.is_none()
            && let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx)
        {
            self.next = Some(match next {
                Some(Ok(frame)) => NextFrame::Frame(frame),
                Some(Err(_)) => NextFrame::Failed,
                None => NextFrame::End,
            });
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame> {
        self.look_ahead(cx);
        self.next.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Tells whether nothing follows the frame that was taken last.
    pub fn is_at_end(&self) -> bool {
        match &self.next {
            None => self.body.is_end_stream(),
            Some(next) => matches!(next, NextFrame::End),
        }
    }
}

/// Sends `body` to its end, as the client opens its window.
pub(super) async fn send<B>(
    mut body: LookaheadBody<B>,
    sends: &mut SendStream<Bytes>,
    progress: &mut ReadProgress,
) -> Result<(), StreamReset>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    loop {
        let next = poll_fn(|cx| match body.poll_next(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending => poll_reset(sends, cx).map(Err),
        });
        let frame = match next.await? {
            NextFrame::Frame(frame) => frame,
            NextFrame::End => return Ok(sends.send_data(Bytes::new(), true)?),
            // The response must not look complete.
            NextFrame::Failed => return Err(StreamReset(Reason::INTERNAL_ERROR)),
        };
        match frame.into_data() {
            Ok(data) => {
                if send_data(data, &mut body, sends, progress).await? {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return Ok(sends.send_trailers(trailers)?);
                }
            }
        }
    }
}

/// Sends `data` as the client opens its window. Returns whether it was the last of the body.
async fn send_data<B>(
    mut data: Bytes,
    body: &mut LookaheadBody<B>,
    sends: &mut SendStream<Bytes>,
    progress: &mut ReadProgress,
) -> Result<bool, StreamReset>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    while !data.is_empty() {
        sends.reserve_capacity(data.len());
        let capacity = match sends.capacity() {
            0 => timeout_at(progress.wait_begins(), wait_for_capacity(body, sends))
                .await
                .map_err(|_| StreamReset(Reason::CANCEL))??,
            capacity => capacity,
        };
        let part = data.split_to(capacity.min(data.len()));
        progress.read(part.len());
        let is_last = data.is_empty() && body.is_at_end();
        sends.send_data(part, is_last)?;
        if is_last {
            return Ok(true);
        }
    }
    progress.caught_up();
    Ok(false)
}

async fn wait_for_capacity<B>(body: &mut LookaheadBody<B>, sends: &mut SendStream<Bytes>) -> Result<usize, StreamReset>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    poll_fn(|cx| {
        loop {
            match sends.poll_capacity(cx) {
                Poll::Ready(Some(Ok(0))) => {}
                Poll::Ready(Some(capacity)) => return Poll::Ready(capacity.map_err(StreamReset::from)),
                Poll::Ready(None) => return Poll::Ready(Err(StreamReset(Reason::CANCEL))),
                Poll::Pending => break,
            }
        }
        body.look_ahead(cx);
        match body.next {
            Some(NextFrame::Failed) => Poll::Ready(Err(StreamReset(Reason::INTERNAL_ERROR))),
            _ => poll_reset(sends, cx).map(Err),
        }
    })
    .await
}

fn poll_reset(sends: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<StreamReset> {
    sends.poll_reset(cx).map(|reset| reset.map_or_else(StreamReset::from, StreamReset))
}
