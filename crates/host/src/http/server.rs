//! The HTTP server: binds the listener, accepts connections and hands each to a worker.

use crate::app::Node;
use crate::http::context::{ServerConfig, ServerContext};
use crate::http::router::Router;
use crate::http::slots::{ConnectionSlots, Slot};
use crate::http::worker::{WorkerHandle, WorkerThread};
use crate::shutdown::ShutdownSignal;
use crate::trigger::{Drained, Trigger};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// An HTTP server that is bound to its address and does not accept yet.
pub struct Server {
    listener: TcpListener,
    config: ServerConfig,
}

impl Server {
    /// Binds the address, so that an error about it shows before anything is served.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(config: ServerConfig) -> io::Result<Self> {
        Ok(Server { listener: TcpListener::bind(config.address).await?, config })
    }

    /// Returns the address, with the port that was taken.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[async_trait]
impl Trigger for Server {
    async fn run(self: Box<Self>, node: Arc<Node>, mut stop: ShutdownSignal) -> io::Result<Drained> {
        let Server { listener, config } = *self;
        let mut slots = ConnectionSlots::new(config.max_connections, config.stall_timeout);
        let count = config.workers.max(1);
        let router = Router::observing(&node);
        let context = Arc::new(ServerContext { node, router, config });
        let workers = (0..count).map(|n| WorkerHandle::start(n, context.clone())).collect::<io::Result<Vec<_>>>()?;
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &mut slots) => accepted,
                () = stop.wait() => break,
            };
            let least_loaded = workers.iter().min_by_key(|worker| worker.load());
            if let (Some((stream, slot)), Some(worker)) = (accepted, least_loaded)
                && let Ok(stream) = stream.into_std()
            {
                worker.take(stream, slot);
            }
        }
        drop(listener);
        let drained = join_all(workers.into_iter().map(WorkerHandle::drain)).await;
        let (drained, threads): (Vec<_>, Vec<_>) = drained.into_iter().unzip();
        join_all(threads.into_iter().map(WorkerThread::end)).await;
        Ok(Drained::all(drained))
    }
}

/// Bytes of a response that the system keeps unsent.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// Has the system report free space in the send buffer as the client reads, and not only once a
/// third of a buffer of megabytes is free: until then, a client that reads slowly would look as if
/// it did not read at all.
#[cfg(target_os = "linux")]
fn limit_unsent(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(target_os = "linux"))]
fn limit_unsent(_: &TcpStream) {}

async fn accept(listener: &TcpListener, slots: &mut ConnectionSlots) -> Option<(TcpStream, Arc<Slot>)> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Small responses must not wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            limit_unsent(&stream);
            Some((stream, slots.take().await?))
        }
        Err(e) => {
            // A client that has left already needs no handling. A shortage of file descriptors
            // passes, so the server waits rather than ends.
            if !matches!(
                e.kind(),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
            ) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            None
        }
    }
}
