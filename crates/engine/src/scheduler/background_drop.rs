//! Where large sandboxes end.
//!
//! To give back 128 MiB is one call of the system that takes 10 ms and more, in which the thread serves nobody. So a sandbox that
//! has grown is dropped on a thread that has less of a processor than those that serve.

use crate::scheduler::priority::{be_modest, be_prompt};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// A sandbox, and whatever counts it. It has its room in the engine's pools until it is dropped, so there are never more than may live.
type Ending = Box<dyn Send>;

static ASIDE: OnceLock<Option<Sender<Ending>>> = OnceLock::new();

/// By so much its thread is nicer than those that serve.
const LESS: i32 = 5;

/// Starts the thread, with less weight than the calling one.
pub(crate) fn prepare() {
    ASIDE.get_or_init(start);
}

/// Drops `ending` soon, or at once where the system refuses the thread.
pub(crate) fn drop_in_background(ending: impl Send + 'static) {
    if let Some(aside) = ASIDE.get_or_init(start) {
        // What cannot be sent comes back, and is dropped here.
        let _ = aside.send(Box::new(ending));
    }
}

fn start() -> Option<Sender<Ending>> {
    let (send, endings) = channel::<Ending>();
    let work = move || {
        be_modest(LESS);
        be_prompt();
        endings.into_iter().for_each(drop);
    };
    thread::Builder::new().name("walnut-ending".into()).spawn(work).ok()?;
    Some(send)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::ThreadId;
    use std::time::Duration;

    struct Tells(Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn all_ends_on_another_thread() {
        let (send, dropped) = channel();
        (0..3).for_each(|_| drop_in_background(Tells(send.clone())));
        for _ in 0..3 {
            let there = dropped.recv_timeout(Duration::from_secs(60)).expect("it is dropped");
            assert_ne!(there, thread::current().id());
        }
    }
}
