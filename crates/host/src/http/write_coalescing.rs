//! Answers that are written together.
//!
//! Each answer that is sent wakes its client, and takes the kernel's network code into the processor's caches and the engine out of
//! them. While many small answers come in quick succession, one waits for those that are ready to be made after it on the same
//! thread, and they are sent in a row: clients are woken once for several. An answer that comes alone is sent at once.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::take;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use walnut_engine::small_turn_is_next;

/// Answers that come further apart are not in quick succession.
const SOON: Duration = Duration::from_micros(200);

/// None waits for longer where one more is made, or a guest is about to be entered for a new request.
const LONGEST: Duration = Duration::from_micros(500);

/// None waits for longer for those that have a turn after it.
const LONGEST_FOR_TURNS: Duration = Duration::from_micros(150);

/// In bytes: what is larger is sent by itself.
const SMALL: usize = 4096;

/// How much of what was sent before keeps its memory, in bytes.
const KEPT: usize = 1024;

thread_local! {
    static PENDING: RefCell<PendingWrites> = RefCell::default();
}

/// The answers of one thread that wait.
#[derive(Default)]
struct PendingWrites {
    waiting: Vec<Arc<Mutex<WriteBuffer>>>,
    /// When the first of them began to.
    since: Option<Instant>,
    /// When an answer was made last.
    last: Option<Instant>,
    /// Of who sends them once all is done that can be done now. Without, none waits.
    sender: Option<Waker>,
}

/// Sends what waits on this thread, whenever the thread has done what it could when the first began to wait. Where requests have
/// turns, that is one of them at a time, and so a few more are waited for.
pub(crate) async fn run_flush_task() -> Infallible {
    flush_unless(small_turn_is_next).await
}

/// The same, where `more` says whether one is made soon that is worth to wait for.
async fn flush_unless(more: fn() -> bool) -> Infallible {
    loop {
        asked().await;
        while more() && !is_late(Instant::now(), LONGEST_FOR_TURNS) {
            yield_now().await;
        }
        flush_all();
    }
}

/// Waits until something waits to be sent.
async fn asked() {
    poll_fn(|cx| {
        PENDING.with_borrow_mut(|pending| {
            if !pending.waiting.is_empty() {
                return Poll::Ready(());
            }
            match &mut pending.sender {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    })
    .await;
}

pub(crate) fn flush_all() {
    let mut waiting = PENDING.with_borrow_mut(|pending| {
        pending.since = None;
        take(&mut pending.waiting)
    });
    for buffer in waiting.drain(..) {
        lock(&buffer).send();
    }
    // Its room is kept.
    PENDING.with_borrow_mut(|pending| {
        if pending.waiting.is_empty() {
            pending.waiting = waiting;
        }
    });
}

/// Sends what has waited for long by `now`, as something begins that may take its time.
pub(crate) fn flush_overdue(now: Instant) {
    if is_late(now, LONGEST) {
        flush_all();
    }
}

/// Whether something has waited for longer than `longest`.
fn is_late(now: Instant, longest: Duration) -> bool {
    PENDING.with_borrow(|pending| pending.since).is_some_and(|since| now.duration_since(since) > longest)
}

/// Has the small answer of `buffer` wait for others, if it is one of many.
fn wait(buffer: &Arc<Mutex<WriteBuffer>>, cx: &Context<'_>) -> bool {
    let now = Instant::now();
    let is_late = PENDING.with_borrow_mut(|pending| {
        let last = pending.last.replace(now);
        let sender = pending.sender.as_ref()?;
        if now.duration_since(last?) > SOON {
            return None;
        }
        lock(buffer).wait(cx.waker());
        if pending.waiting.is_empty() {
            sender.wake_by_ref();
        }
        pending.waiting.push(buffer.clone());
        Some(now.duration_since(*pending.since.get_or_insert(now)) > LONGEST)
    });
    if is_late == Some(true) {
        flush_all();
    }
    is_late.is_some()
}

/// A connection whose answers may wait for each other.
pub(crate) struct CoalescedStream {
    buffer: Arc<Mutex<WriteBuffer>>,
}

struct WriteBuffer {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// So many of `bytes` are sent.
    sent: usize,
    state: BufferState,
    /// Who goes on where the system does not take all at once.
    owner: Option<Waker>,
}

/// Of what is buffer.
enum BufferState {
    /// It is not all there yet, or nothing is.
    Open,
    /// It is sent with what other connections have.
    Waiting,
    /// The connection sends it itself, as the system did not take it.
    Due,
    /// It cannot be sent.
    Failed(io::Error),
}

impl CoalescedStream {
    pub fn new(stream: TcpStream) -> Self {
        let buffer = WriteBuffer { stream, bytes: Vec::new(), sent: 0, state: BufferState::Open, owner: None };
        CoalescedStream { buffer: Arc::new(Mutex::new(buffer)) }
    }
}

fn lock(buffer: &Mutex<WriteBuffer>) -> MutexGuard<'_, WriteBuffer> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WriteBuffer {
    fn wait(&mut self, owner: &Waker) {
        self.state = BufferState::Waiting;
        match &mut self.owner {
            Some(waker) => waker.clone_from(owner),
            none => *none = Some(owner.clone()),
        }
    }

    /// Sends what waits, and leaves to the connection what the system does not take.
    fn send(&mut self) {
        if !matches!(self.state, BufferState::Waiting) {
            return;
        }
        self.state = match self.stream.try_write(&self.bytes) {
            Ok(sent) if sent == self.bytes.len() => return self.forget(),
            Ok(sent) => {
                self.sent = sent;
                BufferState::Due
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => BufferState::Due,
            Err(e) => BufferState::Failed(e),
        };
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }

    /// Sends what is buffer, alone.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let BufferState::Failed(e) = std::mem::replace(&mut self.state, BufferState::Due) {
            return Poll::Ready(Err(e));
        }
        while self.sent < self.bytes.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.forget();
        Poll::Ready(Ok(()))
    }

    fn forget(&mut self) {
        self.state = BufferState::Open;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.sent = 0;
    }

    /// Takes what is small, and sends what is not after all that is buffer.
    fn poll_take(&mut self, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.bytes.len() + len <= SMALL && matches!(self.state, BufferState::Open | BufferState::Waiting) {
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
        lock(&self.buffer).poll_take(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.buffer).poll_take(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_whole = {
            let buffer = lock(&self.buffer);
            match buffer.state {
                BufferState::Waiting => return Poll::Ready(Ok(())),
                BufferState::Open if buffer.bytes.is_empty() => return Poll::Ready(Ok(())),
                BufferState::Open => true,
                BufferState::Due | BufferState::Failed(_) => false,
            }
        };
        if is_whole && wait(&self.buffer, cx) {
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
