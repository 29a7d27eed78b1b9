//! The body of an answer, sent at its client's pace.

use crate::http::slow_client::ReadProgress;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body as HttpBody, Frame};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::timeout_at;

/// A body that did not go out whole, and what its client is told.
pub(super) struct StreamReset(pub Reason);

impl From<h2::Error> for StreamReset {
    fn from(error: h2::Error) -> Self {
        StreamReset(error.reason().unwrap_or(Reason::CANCEL))
    }
}

/// A body of which one frame more is taken while the one before waits for room. So a guest whose answer is complete is done,
/// however slowly its client takes it, and one that fails meanwhile is noticed.
pub(super) struct LookaheadBody<B> {
    body: B,
    next: Option<NextFrame>,
}

enum NextFrame {
    Frame(Frame<Bytes>),
    StreamEnd,
    Failed,
}

impl<B: HttpBody<Data = Bytes> + Unpin> LookaheadBody<B> {
    pub fn new(body: B) -> Self {
        LookaheadBody { body, next: None }
    }

    pub fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if self.next.is_none()
            && let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx)
        {
            self.next = Some(match next {
                Some(Ok(frame)) => NextFrame::Frame(frame),
                Some(Err(_)) => NextFrame::Failed,
                None => NextFrame::StreamEnd,
            });
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame> {
        self.look_ahead(cx);
        self.next.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Whether there is nothing after the frame that was taken last.
    pub fn is_at_end(&self) -> bool {
        match &self.next {
            None => self.body.is_end_stream(),
            Some(next) => matches!(next, NextFrame::StreamEnd),
        }
    }
}

/// Sends all of `body`, as the client makes room for it.
pub(super) async fn send<B>(
    mut body: LookaheadBody<B>,
    sends: &mut SendStream<Bytes>,
    pace: &mut ReadProgress,
) -> Result<(), StreamReset>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    loop {
        let next = poll_fn(|cx| match body.poll_next(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending => was_reset(sends, cx).map(Err),
        });
        let frame = match next.await? {
            NextFrame::Frame(frame) => frame,
            NextFrame::StreamEnd => return Ok(sends.send_data(Bytes::new(), true)?),
            // Its answer must not look whole.
            NextFrame::Failed => return Err(StreamReset(Reason::INTERNAL_ERROR)),
        };
        match frame.into_data() {
            Ok(data) => {
                if send_data(data, &mut body, sends, pace).await? {
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

/// Sends `data` as the client makes room for it. Tells whether it was the last.
async fn send_data<B>(
    mut data: Bytes,
    body: &mut LookaheadBody<B>,
    sends: &mut SendStream<Bytes>,
    pace: &mut ReadProgress,
) -> Result<bool, StreamReset>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    while !data.is_empty() {
        sends.reserve_capacity(data.len());
        let room = match sends.capacity() {
            0 => timeout_at(pace.waits(), room(body, sends)).await.map_err(|_| StreamReset(Reason::CANCEL))??,
            room => room,
        };
        let part = data.split_to(room.min(data.len()));
        pace.read(part.len());
        let is_last = data.is_empty() && body.is_at_end();
        sends.send_data(part, is_last)?;
        if is_last {
            return Ok(true);
        }
    }
    pace.caught_up();
    Ok(false)
}

async fn room<B>(body: &mut LookaheadBody<B>, sends: &mut SendStream<Bytes>) -> Result<usize, StreamReset>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    poll_fn(|cx| {
        loop {
            match sends.poll_capacity(cx) {
                Poll::Ready(Some(Ok(0))) => {}
                Poll::Ready(Some(room)) => return Poll::Ready(room.map_err(StreamReset::from)),
                Poll::Ready(None) => return Poll::Ready(Err(StreamReset(Reason::CANCEL))),
                Poll::Pending => break,
            }
        }
        body.look_ahead(cx);
        match body.next {
            Some(NextFrame::Failed) => Poll::Ready(Err(StreamReset(Reason::INTERNAL_ERROR))),
            _ => was_reset(sends, cx).map(Err),
        }
    })
    .await
}

fn was_reset(sends: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<StreamReset> {
    sends.poll_reset(cx).map(|reset| reset.map_or_else(StreamReset::from, StreamReset))
}
