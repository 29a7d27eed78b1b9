//! Tells connections that the server stops, and waits until they are gone.

use tokio::sync::watch;

/// The worker's end.
pub(crate) struct Stopper(watch::Sender<bool>);

/// A connection's end. Whoever holds one is waited for.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

pub(crate) fn pair() -> (Stopper, Stop) {
    let (stopper, stop) = watch::channel(false);
    (Stopper(stopper), Stop(stop))
}

impl Stopper {
    /// Asks them all to end, and waits for it.
    pub async fn stop(self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl Stop {
    /// Waits until the server stops.
    pub async fn asked(&mut self) {
        // An error is a worker that is gone, with everything that it served.
        let _ = self.0.wait_for(|stops| *stops).await;
    }
}
