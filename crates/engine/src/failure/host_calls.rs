//! Remembers a sandbox's last few host calls, so that a trap's report can tell what went before it.
//!
//! The bindings of WASI open a `tracing` span for every call. [`record_host_calls`] installs a subscriber that takes the
//! call's name from that span and ignores everything else, so that a call costs a few nanoseconds and no allocation.
//! The names go to a recent_calls on the thread, which [`crate::scheduler::meter::Metered`] swaps in for as long as it polls a sandbox.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};

const MAX_CALLS: usize = 6;

/// The name of one host call: its interface and function.
type Name = &'static str;

/// The last host calls of one sandbox, oldest overwritten first.
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

    /// Oldest first, with repeated ones counted.
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
    static NAMES: RefCell<HashMap<usize, Name, BuildHasherDefault<AddressHasher>>> = RefCell::default();
}

/// Exchanges the thread's recent_calls for `recent_calls`.
pub(crate) fn swap(recent_calls: &mut RecentCalls) {
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, recent_calls));
}

/// Notes a host call that has no span of its own.
pub(crate) fn note(name: Name) {
    CURRENT.with_borrow_mut(|recent_calls| recent_calls.push(name));
}

/// The host calls of the sandbox that this thread is running, as a phrase.
pub(crate) fn recent() -> Option<String> {
    CURRENT.with_borrow(RecentCalls::describe)
}

/// Installs the subscriber for this process. Does nothing when another one is there already.
pub fn record_host_calls() {
    let _ = tracing::subscriber::set_global_default(Recorder);
}

struct Recorder;

fn is_host_call(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == "wit-bindgen import"
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_host_call(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_host_call(metadata)
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        // A call site has one name for ever, so it is read from the span's values once per thread.
        let site = std::ptr::from_ref(span.metadata()).addr();
        let name = NAMES.with_borrow_mut(|names| {
            *names.entry(site).or_insert_with(|| {
                let mut reader = NameReader::default();
                span.record(&mut reader);
                Box::leak(reader.name().into_boxed_str())
            })
        });
        note(name);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A hash of addresses, which nobody chooses who would want them to collide.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write_usize(&mut self, address: usize) {
        // What differs is in the low bits, and the map looks at the highest too.
        self.0 = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[derive(Default)]
struct NameReader {
    module: String,
    function: String,
}

impl NameReader {
    /// `stdout.get-stdout` for a function, `output-stream.write` for a resource's method.
    fn name(&self) -> String {
        match self.function.split_once(']') {
            Some((_, method)) => method.to_owned(),
            None => format!("{}.{}", self.module, self.function),
        }
    }
}

impl Visit for NameReader {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "module" => self.module = value.to_owned(),
            "function" => self.function = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
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
