//! Drops large sandboxes on a thread of lower priority.
//!
//! Unmapping 128 MiB is a single system call that takes 10 ms and more, and the calling thread
//! serves nobody meanwhile. A sandbox that has grown is therefore dropped on a background thread.

use crate::scheduler::priority::{lower_priority, request_short_slice};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// A value to drop. A sandbox keeps its place in the engine's pools until it is dropped, so the
/// limit on live sandboxes still holds.
type Dropped = Box<dyn Send>;

static DROP_THREAD: OnceLock<Option<Sender<Dropped>>> = OnceLock::new();

/// Niceness of the background thread: +5 gives it a third of the weight of a serving thread.
const NICENESS: i32 = 5;

/// Starts the background thread, with less weight than the calling thread.
pub(crate) fn start_thread() {
    DROP_THREAD.get_or_init(start);
}

/// Drops `value` on the background thread, or at once if the system refuses to start that thread.
pub(crate) fn drop_in_background(value: impl Send + 'static) {
    if let Some(drop_thread) = DROP_THREAD.get_or_init(start) {
        // `send` hands a value back that it cannot send; the value is dropped here.
        let _ = drop_thread.send(Box::new(value));
    }
}

fn start() -> Option<Sender<Dropped>> {
    let (send, values) = channel::<Dropped>();
    let work = move || {
        lower_priority(NICENESS);
        request_short_slice();
        values.into_iter().for_each(drop);
    };
    thread::Builder::new().name("walnut-drop".into()).spawn(work).ok()?;
    Some(send)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::ThreadId;
    use std::time::Duration;

    struct ReportsDrop(Sender<ThreadId>);

    impl Drop for ReportsDrop {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn every_value_is_dropped_on_another_thread() {
        let (send, dropped) = channel();
        (0..3).for_each(|_| drop_in_background(ReportsDrop(send.clone())));
        for _ in 0..3 {
            let there = dropped.recv_timeout(Duration::from_secs(60)).expect("it is dropped");
            assert_ne!(there, thread::current().id());
        }
    }
}
