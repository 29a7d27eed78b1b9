use crate::connection;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use walnut_engine::{Failure, Service};

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it listens. Port 0 takes any free one.
    pub address: SocketAddr,
    /// Sandboxes at once. A request beyond that waits.
    pub sandboxes: usize,
    /// Connections at once. A client beyond that waits to be accepted.
    pub connections: usize,
    /// How long a request waits for a sandbox before it is answered with 503.
    pub patience: Duration,
    /// How long a client may take to send the head of a request, and how long a connection may idle between two.
    pub head_timeout: Duration,
    /// How long a client may pause in the body of a request.
    pub body_timeout: Duration,
    /// How long a client may refuse to read before its connection is closed.
    pub stall_timeout: Duration,
    /// How long requests under way may go on after a stop was asked for.
    pub drain: Duration,
    /// The largest request body, in bytes, as the component's limits have it.
    pub request_body: u64,
}

impl ServerConfig {
    /// The defaults, at `address`.
    pub fn new(address: SocketAddr) -> Self {
        ServerConfig {
            address,
            sandboxes: 100,
            connections: 1000,
            patience: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            request_body: 128 << 20,
        }
    }
}

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Cleanly,
    /// The time for it ran out.
    Cut,
}

/// A bound server that does not accept yet.
pub struct Server {
    listener: TcpListener,
    config: ServerConfig,
}

/// What the connections share.
pub(crate) struct Shared {
    pub service: Service,
    pub config: ServerConfig,
    pub sandboxes: Arc<Semaphore>,
    pub report: Box<dyn Fn(&Failure) + Send + Sync>,
}

impl Server {
    /// Binds the address, so that whatever is wrong with it is known before anything is served.
    pub async fn bind(config: ServerConfig) -> io::Result<Self> {
        Ok(Server { listener: TcpListener::bind(config.address).await?, config })
    }

    /// The address with its real port.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` ends, then answers what is under way. `report` hears of every failure.
    pub async fn serve(
        self,
        service: Service,
        report: impl Fn(&Failure) + Send + Sync + 'static,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        let Server { listener, config } = self;
        let room = Arc::new(Semaphore::new(config.connections));
        let drain = config.drain;
        let sandboxes = Arc::new(Semaphore::new(config.sandboxes));
        let shared = Arc::new(Shared { service, config, sandboxes, report: Box::new(report) });
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &room) => accepted,
                () = &mut stop => break,
            };
            if let Some((stream, slot)) = accepted {
                connection::spawn(stream, slot, shared.clone(), &graceful);
            }
        }
        drop(listener);
        match tokio::time::timeout(drain, graceful.shutdown()).await {
            Ok(()) => Drained::Cleanly,
            Err(_) => Drained::Cut,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Small responses must not wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(e) => {
            // A client that left already is nothing; running out of files passes, so the server waits rather than ends.
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
