//! The last few host calls of a sandbox, so that the explanation of a trap can list them.
//!
//! The calls go to a buffer of the thread, which [`crate::scheduler::meter::Metered`] swaps in
//! while it polls a sandbox. `subscriber.rs` notes the calls of wasmtime's bindings, the gate those
//! that it decides.

use std::cell::{Cell, RefCell};

const MAX_CALLS: usize = 6;

/// Name of a host call: its interface and function.
type Name = &'static str;

/// The last host calls of one sandbox; the oldest is overwritten first.
#[derive(Default)]
pub(crate) struct RecentCalls {
    names: [Option<Name>; MAX_CALLS],
    count: usize,
}

impl RecentCalls {
    fn push(&mut self, name: Name) {
        self.names[self.count % MAX_CALLS] = Some(name);
        self.count += 1;
    }

    /// Lists the calls, oldest first, with repetitions counted.
    pub fn describe(&self) -> Option<String> {
        let start = self.count.saturating_sub(MAX_CALLS);
        let mut runs: Vec<(Name, usize)> = Vec::new();
        for name in (start..self.count).filter_map(|i| self.names[i % MAX_CALLS]) {
            match runs.last_mut() {
                Some((last, n)) if *last == name => *n += 1,
                _ => runs.push((name, 1)),
            }
        }
        let shown: Vec<_> =
            runs.iter().map(|(name, n)| if *n > 1 { format!("{name} (×{n})") } else { (*name).to_owned() }).collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    }
}

thread_local! {
    static CURRENT: RefCell<RecentCalls> = RefCell::default();
    /// Called at the next host call of this thread.
    static AT_NEXT_CALL: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Calls `act` at the next host call of this thread. May be called from a signal handler.
pub(crate) fn at_next_call(act: fn()) {
    AT_NEXT_CALL.set(Some(act));
}

/// Exchanges the current thread's calls for `recent_calls`.
pub(crate) fn swap(recent_calls: &mut RecentCalls) {
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, recent_calls));
}

/// Records a host call on the current thread.
pub(crate) fn note(name: Name) {
    CURRENT.with_borrow_mut(|recent_calls| recent_calls.push(name));
    if let Some(act) = AT_NEXT_CALL.get() {
        act();
    }
}

/// Lists the last host calls of the sandbox that this thread runs.
pub(crate) fn recent() -> Option<String> {
    CURRENT.with_borrow(RecentCalls::describe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_kept_in_order() {
        let mut recent_calls = RecentCalls::default();
        assert_eq!(recent_calls.describe(), None);
        for name in ["a", "b", "c", "c", "d", "e", "f"] {
            recent_calls.push(name);
        }
        assert_eq!(recent_calls.describe().unwrap(), "b, c (×2), d, e, f");
    }
}
