//! Where large sandboxes end.
//!
//! To give back 128 MiB is one call of the system that takes 10 ms and more, in which the thread serves nobody. So a sandbox that
//! has grown is dropped on a thread that has less of a processor than those that serve.

use crate::scheduler::priority::{lower_priority, request_short_slice};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// A sandbox, and whatever counts it. It has its room in the engine's pools until it is dropped, so there are never more than may live.
type Dropped = Box<dyn Send>;

static DROP_THREAD: OnceLock<Option<Sender<Dropped>>> = OnceLock::new();

/// By so much its thread is nicer than those that serve.
const NICENESS: i32 = 5;

/// Starts the thread, with less weight than the calling one.
pub(crate) fn start_thread() {
    DROP_THREAD.get_or_init(start);
}

/// Drops `value` soon, or at once where the system refuses the thread.
pub(crate) fn drop_in_background(value: impl Send + 'static) {
    if let Some(drop_thread) = DROP_THREAD.get_or_init(start) {
        // What cannot be sent comes back, and is dropped here.
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
    fn all_ends_on_another_thread() {
        let (send, dropped) = channel();
        (0..3).for_each(|_| drop_in_background(ReportsDrop(send.clone())));
        for _ in 0..3 {
            let there = dropped.recv_timeout(Duration::from_secs(60)).expect("it is dropped");
            assert_ne!(there, thread::current().id());
        }
    }
}
