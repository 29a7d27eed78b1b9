//! One thread that serves connections, with a runtime of its own.
//!
//! A request stays on the thread that its connection came to, so that nothing of it is shared, woken or moved across
//! threads ([ADR 0006](../../../docs/adr/0006-a-runtime-for-each-core.md)).

use crate::http::connection;
use crate::http::server::{Drained, Shared};
use crate::http::shutdown;
use crate::http::slots::{Leave, Seat};
use crate::http::write_coalescing;
use crate::telemetry::metrics::Connected;
use std::convert::Infallible;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// A connection that was accepted.
type Accepted = (TcpStream, Arc<Seat>);

pub(crate) struct Worker {
    inbox: mpsc::UnboundedSender<Accepted>,
    /// Connections that it has.
    load: Arc<AtomicUsize>,
    drained: oneshot::Receiver<Drained>,
    thread: Thread,
}

/// The thread of a worker that has drained. Until this is dropped it drives connections to other servers, on which requests of
/// other threads may be.
pub(crate) struct Thread {
    end: oneshot::Sender<Infallible>,
    ended: oneshot::Receiver<Infallible>,
}

impl Thread {
    /// Ends it, and with it what is still under way there.
    pub async fn end(self) {
        drop(self.end);
        let _ = self.ended.await;
    }
}

impl Worker {
    pub fn start(number: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let (inbox, accepted) = mpsc::unbounded_channel();
        let (tell, drained) = oneshot::channel();
        let ((end, ends), (tell_end, ended)) = (oneshot::channel(), oneshot::channel());
        let load = Arc::<AtomicUsize>::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counted = load.clone();
        thread::Builder::new().name(format!("walnut-worker-{number}")).spawn(move || {
            runtime.block_on(async {
                let _ = tell.send(serve(accepted, counted, shared).await);
                let _ = ends.await;
            });
            // A file operation may still be held by the system.
            runtime.shutdown_background();
            drop(tell_end);
        })?;
        Ok(Worker { inbox, load, drained, thread: Thread { end, ended } })
    }

    pub fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    pub fn take(&self, stream: TcpStream, seat: Arc<Seat>) {
        self.load.fetch_add(1, Relaxed);
        // A worker that is gone has panicked, which its thread told; the client sees a closed connection.
        let _ = self.inbox.send((stream, seat));
    }

    /// Takes no more, and answers what is under way.
    pub async fn drain(self) -> (Drained, Thread) {
        drop(self.inbox);
        (self.drained.await.unwrap_or(Drained::Cut), self.thread)
    }
}

async fn serve(
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    load: Arc<AtomicUsize>,
    shared: Arc<Shared>,
) -> Drained {
    let (stopper, stop) = shutdown::pair();
    tokio::spawn(write_coalescing::send());
    while let Some((stream, seat)) = accepted.recv().await {
        let here = Here { load: load.clone(), _open: shared.node.metrics().connected() };
        if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
            connection::spawn(stream, here, shared.clone(), Leave { stop: stop.clone(), seat });
        }
    }
    drop(stop);
    let drained = timeout(shared.config.drain, stopper.stop()).await;
    write_coalescing::send_all();
    if drained.is_ok() { Drained::Cleanly } else { Drained::Cut }
}

/// Counts a connection, until it is closed.
pub(crate) struct Here {
    load: Arc<AtomicUsize>,
    _open: Connected,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
    }
}
