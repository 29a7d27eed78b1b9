//! A worker: one thread that serves connections, with a runtime of its own.
//!
//! A request stays on the thread of its connection, so that nothing of it is shared, woken or moved
//! across threads ([ADR 0006](../../../../docs/adr/0006-thread-per-core.md)).

use crate::http::client::ConnectionGuard;
use crate::http::connection;
use crate::http::context::ServerContext;
use crate::http::slots::{CloseSignal, Slot};
use crate::http::write_coalescing;
use crate::shutdown;
use crate::trigger::Drained;
use std::convert::Infallible;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// An accepted connection and its slot.
type Accepted = (TcpStream, Arc<Slot>);

/// Handle of a worker.
pub(crate) struct WorkerHandle {
    inbox: mpsc::UnboundedSender<Accepted>,
    /// Number of its connections.
    load: Arc<AtomicUsize>,
    drained: oneshot::Receiver<Drained>,
    thread: WorkerThread,
}

/// Thread of a drained worker. Until it is ended it drives outbound connections, which may carry
/// requests of other threads.
pub(crate) struct WorkerThread {
    end: oneshot::Sender<Infallible>,
    ended: oneshot::Receiver<Infallible>,
}

impl WorkerThread {
    /// Ends the thread, and with it all that still runs there.
    pub async fn end(self) {
        drop(self.end);
        let _ = self.ended.await;
    }
}

impl WorkerHandle {
    /// Starts a worker's thread.
    ///
    /// # Errors
    /// When the system refuses the thread or its runtime.
    pub fn start(number: usize, context: Arc<ServerContext>) -> io::Result<Self> {
        let (inbox, accepted) = mpsc::unbounded_channel();
        let (drained_sender, drained) = oneshot::channel();
        let ((end, end_asked), (ended_sender, ended)) = (oneshot::channel(), oneshot::channel());
        let load = Arc::<AtomicUsize>::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let load_of_thread = load.clone();
        thread::Builder::new().name(format!("walnut-worker-{number}")).spawn(move || {
            runtime.block_on(async {
                let _ = drained_sender.send(serve(accepted, load_of_thread, context).await);
                let _ = end_asked.await;
            });
            // The system may still hold a file operation.
            runtime.shutdown_background();
            drop(ended_sender);
        })?;
        Ok(WorkerHandle { inbox, load, drained, thread: WorkerThread { end, ended } })
    }

    /// Returns the number of its connections.
    pub fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Hands a connection to the worker.
    pub fn take(&self, stream: TcpStream, slot: Arc<Slot>) {
        self.load.fetch_add(1, Relaxed);
        // Fails only after a panic of the worker, whose thread has reported it. The client sees a
        // closed connection.
        let _ = self.inbox.send((stream, slot));
    }

    /// Stops taking connections and finishes the requests in flight.
    pub async fn drain(self) -> (Drained, WorkerThread) {
        drop(self.inbox);
        (self.drained.await.unwrap_or(Drained::Cut), self.thread)
    }
}

async fn serve(
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    load: Arc<AtomicUsize>,
    context: Arc<ServerContext>,
) -> Drained {
    let (shutdown, signal) = shutdown::channel();
    tokio::spawn(write_coalescing::run_flush_task());
    while let Some((stream, slot)) = accepted.recv().await {
        let guard = ConnectionGuard::new(load.clone(), context.node.metrics().open_connection());
        if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
            let close = CloseSignal { shutdown: signal.clone(), slot };
            connection::spawn(stream, guard, context.clone(), close);
        }
    }
    drop(signal);
    let drained = timeout(context.config.drain, shutdown.run()).await;
    write_coalescing::flush_all();
    if drained.is_ok() { Drained::Cleanly } else { Drained::Cut }
}
