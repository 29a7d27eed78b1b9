//! Watches the input files of the latest load.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use walnut_host::{Fingerprint, Inputs};

/// Interval between looks at the files. Each look takes one system call per file. Polling works
/// on every file system, and also for files that are replaced by others.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Time that a changed file must stay the same before it is read: tools write in steps.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Waits until an input has changed and is no longer being written.
pub async fn changed(inputs: &Arc<Inputs>) {
    loop {
        sleep(POLL_INTERVAL).await;
        let Some(mut seen) = poll(inputs).await else { continue };
        loop {
            sleep(SETTLE_TIME).await;
            match poll(inputs).await {
                Some(now) if now == seen => return,
                Some(now) => seen = now,
                None => break,
            }
        }
    }
}

/// Looks at the inputs on a thread that may block, since a file system may hang.
async fn poll(inputs: &Arc<Inputs>) -> Option<Vec<Option<Fingerprint>>> {
    let inputs = inputs.clone();
    tokio::task::spawn_blocking(move || inputs.changed()).await.ok().flatten()
}
