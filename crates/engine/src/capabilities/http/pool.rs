//! The connections of one component that wait for its next request.
//!
//! They outlive the sandbox that made them, and lead where the gate let it go. Whoever takes one asks the gate again: what
//! the pool hands out is of no use without a permit.

use crate::capabilities::http::connection::Line;
use crate::capabilities::http::destination::Destination;
use crate::capabilities::http::tls::tls_config;
use crate::gate::gate::Permit;
use crate::scheduler::offload::home;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// How long a connection without requests is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How many are kept for one destination, and in all.
const MOST_FOR_ONE: usize = 8;
const MOST: usize = 64;

/// A component's connections that wait for requests.
#[derive(Default)]
pub(crate) struct Pool {
    lines: Mutex<Lines>,
    tls: OnceLock<Option<Arc<rustls::ClientConfig>>>,
}

#[derive(Default)]
struct Lines {
    /// Those that have waited for longest first. One of HTTP/2 stays here while it has requests.
    kept: VecDeque<Kept>,
    /// Whether somebody looks after those that wait for too long.
    is_swept: bool,
}

struct Kept {
    destination: Destination,
    line: Line,
    since: Instant,
}

/// A connection that leads to [`Waiting::address`], for who may go there.
pub(super) struct Waiting(Line);

impl Waiting {
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn open(self, _: Permit) -> Line {
        self.0
    }
}

impl Pool {
    /// The component's own settings for TLS, made when it first needs them.
    pub(super) fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.tls.get_or_init(|| tls_config().map(Arc::new)).clone()
    }

    /// Whether anything is kept for `destination`, closed or not.
    pub(super) fn knows(&self, destination: &Destination) -> bool {
        self.lock().kept.iter().any(|kept| kept.destination == *destination)
    }

    /// A connection to `destination` that takes a request. One that this thread drives goes first.
    pub(super) fn take(&self, destination: &Destination) -> Option<Waiting> {
        let here = home();
        let mut lines = self.lock();
        let gone = lines.without_closed();
        let fits = |kept: &Kept| kept.destination == *destination && kept.line.is_ready();
        let nearest = lines.kept.iter().rposition(|kept| fits(kept) && kept.line.thread == here);
        let index = nearest.or_else(|| lines.kept.iter().rposition(fits))?;
        let shared = lines.kept.get_mut(index).and_then(|kept| {
            kept.since = Instant::now();
            kept.line.share()
        });
        let line = shared.or_else(|| lines.kept.remove(index).map(|kept| kept.line));
        drop(lines);
        drop(gone);
        line.map(Waiting)
    }

    /// Keeps `line` for the next request, in the place of another when there are too many.
    pub(super) fn keep(self: &Arc<Self>, destination: Destination, line: Line) {
        // What nobody could drive or give up is not kept: the process ends.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut lines = self.lock();
        let mut gone = lines.without_closed();
        let same = lines.kept.iter().filter(|kept| kept.destination == destination).count();
        if same >= MOST_FOR_ONE {
            let first = lines.kept.iter().position(|kept| kept.destination == destination);
            gone.extend(first.and_then(|index| lines.kept.remove(index)));
        } else if lines.kept.len() >= MOST {
            gone.extend(lines.kept.pop_front());
        }
        lines.kept.push_back(Kept { destination, line, since: Instant::now() });
        let is_swept = std::mem::replace(&mut lines.is_swept, true);
        drop(lines);
        // What ends now may ask for the lock.
        drop(gone);
        if !is_swept {
            runtime.spawn(Sweeper(Arc::downgrade(self)).sweep());
        }
    }

    /// Keeps `line` once it takes another request, if it does so soon.
    pub(super) fn keep_when_ready(self: &Arc<Self>, destination: Destination, mut line: Line) {
        if line.is_ready() {
            return self.keep(destination, line);
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let pool = Arc::downgrade(self);
        runtime.spawn(async move {
            if timeout(IDLE, line.becomes_ready()).await == Ok(true)
                && let Some(pool) = pool.upgrade()
            {
                pool.keep(destination, line);
            }
        });
    }

    /// No request comes to `line` any more.
    pub(super) fn forget(&self, line: &Line) {
        let mut lines = self.lock();
        let index = lines.kept.iter().position(|kept| kept.line.is(line));
        let gone = index.and_then(|index| lines.kept.remove(index));
        drop(lines);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Takes out what is closed or waited for too long.
    fn without_closed(&mut self) -> VecDeque<Kept> {
        for kept in self.kept.iter_mut().filter(|kept| kept.line.is_shared()) {
            kept.since = Instant::now();
        }
        let (good, gone) = self.kept.drain(..).partition(|kept| !kept.line.is_closed() && kept.since.elapsed() < IDLE);
        self.kept = good;
        gone
    }
}

/// Gives up connections that nobody asks for. Another one is made if the runtime ends that it is on.
struct Sweeper(Weak<Pool>);

impl Sweeper {
    async fn sweep(self) {
        loop {
            sleep(IDLE / 6).await;
            let Some(pool) = self.0.upgrade() else { return };
            let mut lines = pool.lock();
            let gone = lines.without_closed();
            lines.is_swept = !lines.kept.is_empty();
            let is_over = !lines.is_swept;
            drop(lines);
            drop(gone);
            if is_over {
                return;
            }
        }
    }
}

impl Drop for Sweeper {
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

    /// A connection that takes a request, and its other end.
    async fn line() -> (Line, DuplexStream) {
        let (near, far) = duplex(64);
        let mut line = Line::http1(near, ([127, 0, 0, 1], 80).into()).await.unwrap();
        assert!(line.becomes_ready().await);
        (line, far)
    }

    async fn kept(pool: &Arc<Pool>, port: u16) -> DuplexStream {
        let (line, far) = line().await;
        pool.keep(to(port), line);
        far
    }

    fn count(pool: &Pool) -> usize {
        pool.lock().kept.len()
    }

    #[tokio::test]
    async fn the_oldest_makes_room_when_there_are_too_many() {
        let pool = Arc::<Pool>::default();
        let mut first = kept(&pool, 0).await;
        let mut others = Vec::new();
        for _ in 1..=MOST_FOR_ONE {
            others.push(kept(&pool, 0).await);
        }
        assert_eq!(count(&pool), MOST_FOR_ONE);
        assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "it is closed");
        for port in (1..).take(MOST) {
            others.push(kept(&pool, port).await);
        }
        assert_eq!(count(&pool), MOST);
        assert!(!pool.knows(&to(0)) && pool.knows(&to(1)));
    }

    #[tokio::test]
    async fn what_is_taken_or_closed_is_not_handed_out() {
        let pool = Arc::<Pool>::default();
        let far = kept(&pool, 1).await;
        assert!(pool.take(&to(2)).is_none());
        let taken = pool.take(&to(1));
        assert!(taken.is_some() && pool.take(&to(1)).is_none());
        drop((taken, far));
        drop(kept(&pool, 1).await);
        while pool.lock().kept.iter().any(|kept| !kept.line.is_closed()) {
            tokio::task::yield_now().await;
        }
        assert!(pool.take(&to(1)).is_none());
        assert_eq!(count(&pool), 0);
    }

    #[tokio::test]
    async fn what_waited_too_long_is_closed() {
        let pool = Arc::<Pool>::default();
        let mut far = kept(&pool, 1).await;
        assert!(pool.take(&to(2)).is_none() && count(&pool) == 1);
        let long_ago = Instant::now().checked_sub(IDLE).unwrap();
        pool.lock().kept.iter_mut().for_each(|kept| kept.since = long_ago);
        assert!(pool.take(&to(1)).is_none());
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn it_ends_with_its_component() {
        let pool = Arc::<Pool>::default();
        let mut far = kept(&pool, 1).await;
        drop(pool);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn what_was_driven_by_a_runtime_that_ended_is_not_handed_out() {
        let (first, second) = (runtime(), runtime());
        let pool = Arc::<Pool>::default();
        let far = first.block_on(kept(&pool, 1));
        drop(first);
        assert!(pool.take(&to(1)).is_none());
        // Nor does that end the care for those that come later.
        let later = second.block_on(kept(&pool, 1));
        assert!(pool.lock().is_swept && pool.take(&to(1)).is_some());
        drop((far, later));
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }
}
