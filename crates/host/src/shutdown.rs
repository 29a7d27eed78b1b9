//! Shutdown: tells tasks to end, and waits until they have.

use tokio::sync::watch;

/// Asks the holders of its [`ShutdownSignal`]s to end.
pub(crate) struct Shutdown(watch::Sender<bool>);

/// Tells its holder to end. A shutdown waits until every signal is dropped.
#[derive(Clone)]
pub struct ShutdownSignal(watch::Receiver<bool>);

/// Creates a shutdown and its first signal.
pub(crate) fn channel() -> (Shutdown, ShutdownSignal) {
    let (shutdown, signal) = watch::channel(false);
    (Shutdown(shutdown), ShutdownSignal(signal))
}

impl Shutdown {
    /// Tells all holders to end, and waits until they have.
    pub async fn run(self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl ShutdownSignal {
    /// Waits for the shutdown.
    pub async fn wait(&mut self) {
        // An error means that the sender is gone, and with it everything that it served.
        let _ = self.0.wait_for(|is_asked| *is_asked).await;
    }
}
