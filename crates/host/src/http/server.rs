use crate::app::node::Node;
use crate::http::slots::{Seat, Seats};
use crate::http::tls::Tls;
use crate::http::worker::{Thread, Worker};
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it listens. Port 0 takes any free one.
    pub address: SocketAddr,
    /// Threads that serve, each with connections of its own.
    pub workers: usize,
    /// Connections at once. For a client beyond that the one closes which idles for longest; where none idles, one that has
    /// not read for a while; and where there is none, it waits.
    pub connections: usize,
    /// How long a client may take to shake hands and to send the head of a request, and how long a connection may idle
    /// between two.
    pub head_timeout: Duration,
    /// How long a client may pause in the body of a request that has no answer yet.
    pub body_timeout: Duration,
    /// How long a client may take to read 16 KiB, or what there is, before its connection is closed.
    pub stall_timeout: Duration,
    /// How long requests under way may go on after a stop was asked for.
    pub drain: Duration,
    /// With what clients are spoken to over TLS. In the clear without.
    pub tls: Option<Tls>,
    /// Whether guests are told what clients say of hops before them: `forwarded`, `x-forwarded-*`, `x-real-ip`.
    pub trusts_forwarded: bool,
    /// Whether guests are told who the client is: `x-forwarded-for`, `x-forwarded-proto`.
    pub tells_client: bool,
}

impl ServerConfig {
    /// The defaults, at `address`.
    pub fn new(address: SocketAddr) -> Self {
        ServerConfig {
            address,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connections: 1000,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            tls: None,
            trusts_forwarded: false,
            tells_client: false,
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
    pub node: Arc<Node>,
    pub config: ServerConfig,
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

    /// Serves the apps of `node` until `stop` ends, then answers what is under way.
    ///
    /// # Errors
    /// When the system refuses a thread or what its runtime needs.
    pub async fn serve(self, node: Arc<Node>, stop: impl Future<Output = ()>) -> io::Result<Drained> {
        let Server { listener, config } = self;
        let mut seats = Seats::new(config.connections, config.stall_timeout);
        let count = config.workers.max(1);
        let shared = Arc::new(Shared { node, config });
        let workers = (0..count).map(|n| Worker::start(n, shared.clone())).collect::<io::Result<Vec<_>>>()?;
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &mut seats) => accepted,
                () = &mut stop => break,
            };
            let least = workers.iter().min_by_key(|worker| worker.load());
            if let (Some((stream, seat)), Some(worker)) = (accepted, least)
                && let Ok(stream) = stream.into_std()
            {
                worker.take(stream, seat);
            }
        }
        drop(listener);
        let drained = join_all(workers.into_iter().map(Worker::drain)).await;
        let (drained, threads): (Vec<_>, Vec<_>) = drained.into_iter().unzip();
        join_all(threads.into_iter().map(Thread::end)).await;
        Ok(if drained.contains(&Drained::Cut) { Drained::Cut } else { Drained::Cleanly })
    }
}

/// Bytes that the system holds of an answer before it can send them.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// That there is room for more is told as the client reads, and not only when it has read a third of what may be megabytes: one
/// that reads slowly would look as if it did not.
#[cfg(target_os = "linux")]
fn keep_little_unsent(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(target_os = "linux"))]
fn keep_little_unsent(_: &TcpStream) {}

async fn accept(listener: &TcpListener, seats: &mut Seats) -> Option<(TcpStream, Arc<Seat>)> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Small responses must not wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            keep_little_unsent(&stream);
            Some((stream, seats.take().await?))
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
