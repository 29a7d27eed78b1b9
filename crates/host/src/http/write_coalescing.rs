//! Write coalescing: sends small responses of several connections in a row.
//!
//! Each send wakes a client, and pulls the kernel's network code into the processor's caches and
//! the engine out of them. While many small responses come in quick succession, a response waits
//! for those that are ready soon after it on the same thread, and they are sent in a row: the cost
//! is paid once for several. A response that comes alone is sent at once ([ADR
//! 0010](../../../../docs/adr/0010-write-coalescing.md)).

use parking_lot::{Mutex, MutexGuard};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::take;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use walnut_engine::is_short_turn_next;

/// Largest time between two responses in quick succession.
const QUICK_SUCCESSION: Duration = Duration::from_micros(200);

/// Longest wait of a response while others are being made or a guest is about to be entered for a
/// new request.
const MAX_WAIT: Duration = Duration::from_micros(500);

/// Longest wait of a response for requests that have a turn after it.
const MAX_WAIT_FOR_TURNS: Duration = Duration::from_micros(150);

/// Largest response that waits, in bytes.
const MAX_COALESCED: usize = 4096;

/// Capacity that an empty buffer keeps, in bytes.
const KEPT_CAPACITY: usize = 1024;

thread_local! {
    static PENDING: RefCell<PendingWrites> = RefCell::default();
}

/// Responses of a thread that wait to be sent.
#[derive(Default)]
struct PendingWrites {
    buffers: Vec<Arc<Mutex<WriteBuffer>>>,
    /// Time at which the first of them began to wait.
    since: Option<Instant>,
    /// Time of the last response.
    last: Option<Instant>,
    /// Waker of the flush task; `None` disables coalescing.
    flush_task: Option<Waker>,
}

/// Sends the pending responses of this thread, each time after the thread has run all tasks that
/// were ready when the first response began to wait. Where requests run in turns, only one of these
/// tasks is ready at a time, so the flush also waits for a few more turns.
pub(crate) async fn run_flush_task() -> Infallible {
    flush_unless(is_short_turn_next).await
}

/// Sends the pending responses. Waits a little longer while `more` says that another small response
/// is about to be made.
async fn flush_unless(more: fn() -> bool) -> Infallible {
    loop {
        wait_for_pending().await;
        while more() && !is_overdue(Instant::now(), MAX_WAIT_FOR_TURNS) {
            yield_now().await;
        }
        flush_all();
    }
}

/// Waits until a response is pending.
async fn wait_for_pending() {
    poll_fn(|cx| {
        PENDING.with_borrow_mut(|pending| {
            if !pending.buffers.is_empty() {
                return Poll::Ready(());
            }
            set_waker(&mut pending.flush_task, cx.waker());
            Poll::Pending
        })
    })
    .await;
}

/// Sends the pending responses of this thread.
pub(crate) fn flush_all() {
    let mut buffers = PENDING.with_borrow_mut(|pending| {
        pending.since = None;
        take(&mut pending.buffers)
    });
    for buffer in buffers.drain(..) {
        lock(&buffer).send();
    }
    // The list keeps its capacity.
    PENDING.with_borrow_mut(|pending| {
        if pending.buffers.is_empty() {
            pending.buffers = buffers;
        }
    });
}

/// Sends the pending responses if one has waited for too long. Called before work that may take its
/// time.
pub(crate) fn flush_overdue(now: Instant) {
    if is_overdue(now, MAX_WAIT) {
        flush_all();
    }
}

/// Tells whether a response has been pending for longer than `max_wait`.
fn is_overdue(now: Instant, max_wait: Duration) -> bool {
    PENDING.with_borrow(|pending| pending.since).is_some_and(|since| now.duration_since(since) > max_wait)
}

/// Makes the response in `buffer` pending, if it comes in quick succession to others. Returns
/// whether it did.
fn enqueue(buffer: &Arc<Mutex<WriteBuffer>>, cx: &Context<'_>) -> bool {
    let now = Instant::now();
    let is_overdue = PENDING.with_borrow_mut(|pending| {
        let last = pending.last.replace(now);
        let flush_task = pending.flush_task.as_ref()?;
        if now.duration_since(last?) > QUICK_SUCCESSION {
            return None;
        }
        lock(buffer).set_queued(cx.waker());
        if pending.buffers.is_empty() {
            flush_task.wake_by_ref();
        }
        pending.buffers.push(buffer.clone());
        Some(now.duration_since(*pending.since.get_or_insert(now)) > MAX_WAIT)
    });
    if is_overdue == Some(true) {
        flush_all();
    }
    is_overdue.is_some()
}

fn set_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(slot) => slot.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

/// A connection whose small responses may wait for those of other connections.
pub(crate) struct CoalescedStream {
    buffer: Arc<Mutex<WriteBuffer>>,
}

struct WriteBuffer {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// Number of `bytes` that are sent.
    sent: usize,
    state: BufferState,
    /// Task of the connection, woken when the system does not take all bytes at once.
    owner: Option<Waker>,
}

/// State of a buffer.
enum BufferState {
    /// Empty, or a response that is not complete yet.
    Open,
    /// Pending: sent together with the responses of other connections.
    Queued,
    /// Left to the connection to send, as the system did not take all bytes.
    Blocked,
    /// Sending failed.
    Failed(io::Error),
}

impl CoalescedStream {
    pub fn new(stream: TcpStream) -> Self {
        let buffer = WriteBuffer { stream, bytes: Vec::new(), sent: 0, state: BufferState::Open, owner: None };
        CoalescedStream { buffer: Arc::new(Mutex::new(buffer)) }
    }
}

fn lock(buffer: &Mutex<WriteBuffer>) -> MutexGuard<'_, WriteBuffer> {
    buffer.lock()
}

impl WriteBuffer {
    fn set_queued(&mut self, owner: &Waker) {
        self.state = BufferState::Queued;
        set_waker(&mut self.owner, owner);
    }

    /// Sends a queued response. Leaves the bytes that the system does not take to the connection.
    fn send(&mut self) {
        if !matches!(self.state, BufferState::Queued) {
            return;
        }
        self.state = match self.stream.try_write(&self.bytes) {
            Ok(sent) if sent == self.bytes.len() => return self.clear(),
            Ok(sent) => {
                self.sent = sent;
                BufferState::Blocked
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => BufferState::Blocked,
            Err(e) => BufferState::Failed(e),
        };
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }

    /// Sends all bytes, on behalf of the connection.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let BufferState::Failed(e) = std::mem::replace(&mut self.state, BufferState::Blocked) {
            return Poll::Ready(Err(e));
        }
        while self.sent < self.bytes.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    fn clear(&mut self) {
        self.state = BufferState::Open;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
        self.sent = 0;
    }

    /// Buffers a small write. Sends a larger one, after all that is buffered.
    fn poll_write(&mut self, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.bytes.len() + len <= MAX_COALESCED && matches!(self.state, BufferState::Open | BufferState::Queued) {
            parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
            return Poll::Ready(Ok(len));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}

impl AsyncRead for CoalescedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.buffer).stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CoalescedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.buffer).poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.buffer).poll_write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_complete_response = {
            let buffer = lock(&self.buffer);
            match buffer.state {
                BufferState::Queued => return Poll::Ready(Ok(())),
                BufferState::Open if buffer.bytes.is_empty() => return Poll::Ready(Ok(())),
                BufferState::Open => true,
                BufferState::Blocked | BufferState::Failed(_) => false,
            }
        };
        if is_complete_response && enqueue(&self.buffer, cx) {
            return Poll::Ready(Ok(()));
        }
        lock(&self.buffer).poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = lock(&self.buffer);
        ready!(buffer.poll_send(cx))?;
        Pin::new(&mut buffer.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
