//! Looks up host names, so that nobody waits for a resolver that does not answer.
//!
//! The system's resolver may take half a minute and cannot be interrupted. Each lookup therefore
//! has a thread of its own, and their number is bounded. A lookup that its guest gave up keeps its
//! place until the system is done with it. A lookup that has to wait for a place waits until its
//! sandbox ends.

use futures_channel::oneshot;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::thread;
use tokio::sync::Semaphore;

/// Lookups of one component at once.
const MAX_PER_COMPONENT: usize = 16;
/// Lookups of all components at once. Many components must be blocked before one has to wait for
/// another.
const MAX_TOTAL: usize = 256;

static ALL: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_TOTAL)));

/// Resolver of one component.
pub(crate) struct Resolver {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver { own: Arc::new(Semaphore::new(MAX_PER_COMPONENT)), all: ALL.clone() }
    }
}

impl Resolver {
    /// Returns the addresses of `host`, with `port`.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let host = host.to_owned();
        self.run(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
    }

    async fn run<T: Send + 'static>(&self, look_up: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let own = self.own.clone().acquire_owned().await.map_err(io::Error::other)?;
        let all = self.all.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (tell, found) = oneshot::channel();
        let work = move || {
            let found = look_up();
            // Freed first: the receiver of the result may start the next lookup.
            drop((own, all));
            let _ = tell.send(found);
        };
        thread::Builder::new().name("walnut-lookup".into()).spawn(work)?;
        found.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Returns a component with `own` places, of the places of `all`.
    fn resolver(own: usize, all: &Arc<Semaphore>) -> Resolver {
        Resolver { own: Arc::new(Semaphore::new(own)), all: all.clone() }
    }

    /// Returns a lookup that does not answer until it is told to.
    fn slow() -> (Sender<()>, impl FnOnce() -> io::Result<()> + Send + 'static) {
        let (answer, answers): (_, Receiver<()>) = channel();
        (answer, move || answers.recv().map_err(io::Error::other))
    }

    #[tokio::test]
    async fn a_look_up_that_was_given_up_keeps_its_place_until_it_ends() {
        let all = Arc::new(Semaphore::new(9));
        let resolver = resolver(2, &all);
        let (answers, slow): (Vec<_>, Vec<_>) = (0..2).map(|_| slow()).unzip();
        for slow in slow {
            assert!(resolver.run(slow).now_or_never().is_none(), "it is given up as soon as it runs");
        }
        let (started, starts) = channel();
        let mut next = pin!(resolver.run(move || started.send(()).map_err(io::Error::other)));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(starts.try_recv().is_err() && resolver.own.available_permits() == 0);
        answers[0].send(()).unwrap();
        next.await.unwrap();
        starts.recv().unwrap();
        assert_eq!((resolver.own.available_permits(), all.available_permits()), (1, 8));
    }

    #[tokio::test]
    async fn lookups_are_bounded_per_component_and_in_all() {
        let all = Arc::new(Semaphore::new(3));
        let [first, second] = [2, 2].map(|own| resolver(own, &all));
        let (answers, slow): (Vec<_>, Vec<_>) = (0..3).map(|_| slow()).unzip();
        for (slow, of) in slow.into_iter().zip([&first, &first, &first]) {
            assert!(of.run(slow).now_or_never().is_none());
        }
        // The third lookup of the first component waits for a place of its own and takes none of
        // the others'.
        assert_eq!(all.available_permits(), 1);
        second.run(|| Ok(())).await.unwrap();
        let (answer, slow) = self::slow();
        assert!(second.run(slow).now_or_never().is_none());
        let mut next = pin!(second.run(|| Ok(())));
        assert!(next.as_mut().now_or_never().is_none());
        answer.send(()).unwrap();
        next.await.unwrap();
        drop(answers);
    }

    #[tokio::test]
    async fn an_address_needs_no_place() {
        let resolver = resolver(0, &Arc::new(Semaphore::new(0)));
        for host in ["127.0.0.1", "::1"] {
            let found = resolver.addresses(host, 80).await.unwrap();
            assert_eq!(found, [SocketAddr::new(host.parse().unwrap(), 80)]);
        }
    }
}
