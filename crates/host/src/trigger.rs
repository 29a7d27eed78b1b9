//! Triggers: sources of work for the components of a node. HTTP is one; each has a folder of its
//! own.

use crate::app::Node;
use crate::shutdown::{self, ShutdownSignal};
use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};
use std::io;
use std::sync::Arc;

/// A source of work for components, such as an HTTP server.
///
/// An implementation finds the components that it runs by observing what is deployed on the node.
#[async_trait]
pub trait Trigger: Send {
    /// Runs components of `node` until `stop`, then takes no new work and finishes what is in
    /// flight.
    ///
    /// # Errors
    /// When the system refuses a thread or another resource that it needs to start.
    async fn run(self: Box<Self>, node: Arc<Node>, stop: ShutdownSignal) -> io::Result<Drained>;
}

/// How the work in flight ended at a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All of it was finished.
    Cleanly,
    /// Some was cut off by the drain timeout.
    Cut,
}

impl Drained {
    /// Combines the results of several triggers or threads.
    pub(crate) fn all(parts: impl IntoIterator<Item = Drained>) -> Self {
        match parts.into_iter().any(|part| part == Drained::Cut) {
            true => Drained::Cut,
            false => Drained::Cleanly,
        }
    }
}

/// Runs `triggers` side by side until `stop` ends. The node is then draining until each of them has
/// finished its work.
///
/// # Errors
/// When one of them cannot start.
pub async fn run_triggers(
    triggers: Vec<Box<dyn Trigger>>,
    node: Arc<Node>,
    stop: impl Future<Output = ()>,
) -> io::Result<Drained> {
    let (shutdown, signal) = shutdown::channel();
    let runs = try_join_all(triggers.into_iter().map(|trigger| trigger.run(node.clone(), signal.clone())));
    drop(signal);
    let stopping = async {
        stop.await;
        node.set_draining();
        shutdown.run().await;
        Ok(())
    };
    let (drained, ()) = try_join(runs, stopping).await?;
    Ok(Drained::all(drained))
}
