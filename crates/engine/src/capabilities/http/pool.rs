//! Idle outbound connections of one component.
//!
//! They outlive the sandbox that opened them, and lead where the gate let that sandbox go. The next
//! request asks the gate again: a pooled connection is of no use without a permit.

use crate::capabilities::http::connection::OutboundConnection;
use crate::capabilities::http::destination::Destination;
use crate::capabilities::http::tls::tls_config;
use crate::gate::gate::Permit;
use crate::scheduler::offload::serving_thread;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// Time for which an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Number of connections that are kept for a destination, and in all.
const MAX_PER_DESTINATION: usize = 8;
const MAX_IDLE: usize = 64;

/// Idle connections of a component.
#[derive(Default)]
pub(crate) struct ConnectionPool {
    state: Mutex<PoolState>,
    tls: OnceLock<Option<Arc<rustls::ClientConfig>>>,
}

#[derive(Default)]
struct PoolState {
    /// Connections, the longest idle first. A connection of HTTP/2 stays here while it has
    /// requests.
    kept: VecDeque<IdleConnection>,
    /// Whether a task closes connections that are idle for too long.
    is_swept: bool,
}

struct IdleConnection {
    destination: Destination,
    connection: OutboundConnection,
    since: Instant,
}

/// A connection to [`PooledConnection::address`], which a permit opens.
pub(super) struct PooledConnection(OutboundConnection);

impl PooledConnection {
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn open(self, _: Permit) -> OutboundConnection {
        self.0
    }
}

impl ConnectionPool {
    /// Returns the component's TLS settings, made on first use.
    pub(super) fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.tls.get_or_init(|| tls_config().map(Arc::new)).clone()
    }

    /// Returns whether a connection to `destination` is kept, closed or not.
    pub(super) fn knows(&self, destination: &Destination) -> bool {
        self.lock().kept.iter().any(|kept| kept.destination == *destination)
    }

    /// Takes a connection to `destination` that accepts a request, preferably one that this thread
    /// drives.
    pub(super) fn take(&self, destination: &Destination) -> Option<PooledConnection> {
        let here = serving_thread();
        let mut state = self.lock();
        let gone = state.without_closed();
        let fits = |kept: &IdleConnection| kept.destination == *destination && kept.connection.is_ready();
        let nearest = state.kept.iter().rposition(|kept| fits(kept) && kept.connection.thread == here);
        let index = nearest.or_else(|| state.kept.iter().rposition(fits))?;
        let shared = state.kept.get_mut(index).and_then(|kept| {
            kept.since = Instant::now();
            kept.connection.share()
        });
        let connection = shared.or_else(|| state.kept.remove(index).map(|kept| kept.connection));
        drop(state);
        drop(gone);
        connection.map(PooledConnection)
    }

    /// Keeps `connection` for the next request, in the place of another beyond the limits.
    pub(super) fn keep(self: &Arc<Self>, destination: Destination, connection: OutboundConnection) {
        // The process ends: nothing could drive or close the connection.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.lock();
        let mut gone = state.without_closed();
        let same = state.kept.iter().filter(|kept| kept.destination == destination).count();
        if same >= MAX_PER_DESTINATION {
            let first = state.kept.iter().position(|kept| kept.destination == destination);
            gone.extend(first.and_then(|index| state.kept.remove(index)));
        } else if state.kept.len() >= MAX_IDLE {
            gone.extend(state.kept.pop_front());
        }
        state.kept.push_back(IdleConnection { destination, connection, since: Instant::now() });
        let is_swept = std::mem::replace(&mut state.is_swept, true);
        drop(state);
        // Dropping a connection may take the lock.
        drop(gone);
        if !is_swept {
            runtime.spawn(PoolSweeper(Arc::downgrade(self)).sweep());
        }
    }

    /// Keeps `connection` once it accepts another request, if it soon does.
    pub(super) fn keep_when_ready(self: &Arc<Self>, destination: Destination, mut connection: OutboundConnection) {
        if connection.is_ready() {
            return self.keep(destination, connection);
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let pool = Arc::downgrade(self);
        runtime.spawn(async move {
            if timeout(IDLE, connection.becomes_ready()).await == Ok(true)
                && let Some(pool) = pool.upgrade()
            {
                pool.keep(destination, connection);
            }
        });
    }

    /// Removes `connection`: it gets no more requests.
    pub(super) fn forget(&self, connection: &OutboundConnection) {
        let mut state = self.lock();
        let index = state.kept.iter().position(|kept| kept.connection.is(connection));
        let gone = index.and_then(|index| state.kept.remove(index));
        drop(state);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock()
    }
}

impl PoolState {
    /// Removes connections that are closed, or idle for too long.
    fn without_closed(&mut self) -> VecDeque<IdleConnection> {
        for kept in self.kept.iter_mut().filter(|kept| kept.connection.is_shared()) {
            kept.since = Instant::now();
        }
        let (good, gone) =
            self.kept.drain(..).partition(|kept| !kept.connection.is_closed() && kept.since.elapsed() < IDLE);
        self.kept = good;
        gone
    }
}

/// Closes connections that nobody asks for. If its runtime ends, the next connection starts
/// another.
struct PoolSweeper(Weak<ConnectionPool>);

impl PoolSweeper {
    async fn sweep(self) {
        loop {
            sleep(IDLE / 6).await;
            let Some(pool) = self.0.upgrade() else { return };
            let mut state = pool.lock();
            let gone = state.without_closed();
            state.is_swept = !state.kept.is_empty();
            let is_over = !state.is_swept;
            drop(state);
            drop(gone);
            if is_over {
                return;
            }
        }
    }
}

impl Drop for PoolSweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.lock().is_swept = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    fn to(port: u16) -> Destination {
        Destination { tls: false, host: "test".into(), port }
    }

    /// Returns a connection that accepts a request, and its other end.
    async fn connection() -> (OutboundConnection, DuplexStream) {
        let (near, far) = duplex(64);
        let mut connection = OutboundConnection::http1(near, ([127, 0, 0, 1], 80).into()).await.unwrap();
        assert!(connection.becomes_ready().await);
        (connection, far)
    }

    async fn kept(pool: &Arc<ConnectionPool>, port: u16) -> DuplexStream {
        let (connection, far) = connection().await;
        pool.keep(to(port), connection);
        far
    }

    fn count(pool: &ConnectionPool) -> usize {
        pool.lock().kept.len()
    }

    #[tokio::test]
    async fn the_oldest_makes_room_when_there_are_too_many() {
        let pool = Arc::<ConnectionPool>::default();
        let mut first = kept(&pool, 0).await;
        let mut others = Vec::new();
        for _ in 1..=MAX_PER_DESTINATION {
            others.push(kept(&pool, 0).await);
        }
        assert_eq!(count(&pool), MAX_PER_DESTINATION);
        assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "it is closed");
        for port in (1..).take(MAX_IDLE) {
            others.push(kept(&pool, port).await);
        }
        assert_eq!(count(&pool), MAX_IDLE);
        assert!(!pool.knows(&to(0)) && pool.knows(&to(1)));
    }

    #[tokio::test]
    async fn a_taken_or_closed_connection_is_not_handed_out() {
        let pool = Arc::<ConnectionPool>::default();
        let far = kept(&pool, 1).await;
        assert!(pool.take(&to(2)).is_none());
        let taken = pool.take(&to(1));
        assert!(taken.is_some() && pool.take(&to(1)).is_none());
        drop((taken, far));
        drop(kept(&pool, 1).await);
        while pool.lock().kept.iter().any(|kept| !kept.connection.is_closed()) {
            tokio::task::yield_now().await;
        }
        assert!(pool.take(&to(1)).is_none());
        assert_eq!(count(&pool), 0);
    }

    #[tokio::test]
    async fn a_connection_that_idles_for_too_long_is_closed() {
        let pool = Arc::<ConnectionPool>::default();
        let mut far = kept(&pool, 1).await;
        assert!(pool.take(&to(2)).is_none() && count(&pool) == 1);
        let long_ago = Instant::now().checked_sub(IDLE).unwrap();
        pool.lock().kept.iter_mut().for_each(|kept| kept.since = long_ago);
        assert!(pool.take(&to(1)).is_none());
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_pool_ends_with_its_component() {
        let pool = Arc::<ConnectionPool>::default();
        let mut far = kept(&pool, 1).await;
        drop(pool);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn a_connection_of_an_ended_runtime_is_not_handed_out() {
        let (first, second) = (runtime(), runtime());
        let pool = Arc::<ConnectionPool>::default();
        let far = first.block_on(kept(&pool, 1));
        drop(first);
        assert!(pool.take(&to(1)).is_none());
        // Later connections are still looked after.
        let later = second.block_on(kept(&pool, 1));
        assert!(pool.lock().is_swept && pool.take(&to(1)).is_some());
        drop((far, later));
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }
}
