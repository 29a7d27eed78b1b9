//! File descriptors of the process that guests may hold.
//!
//! Descriptors are few, and shared by everybody in the process: clients, served files, the cache.
//! Guests together hold at most a quarter, so that they cannot lock out the others.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Share of the process's descriptors that guests may hold: one in this many.
const SHARE: usize = 4;

/// Descriptors of a process where the system does not tell how many it may have.
#[cfg_attr(unix, cfg(test))]
const DEFAULT_LIMIT: usize = 1024;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// A descriptor that a guest holds. Dropping it gives the place back.
pub(crate) struct GuestDescriptor(());

impl GuestDescriptor {
    /// Counts another descriptor, unless guests hold all that they may.
    pub fn take() -> Option<Self> {
        let descriptor = GuestDescriptor(());
        (HELD.fetch_add(1, Relaxed) < most()).then_some(descriptor)
    }
}

impl Drop for GuestDescriptor {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Relaxed);
    }
}

/// Raises the soft limit of open files of this process to the hard limit. Returns how many
/// descriptors there are for everything but guests.
pub fn raise_descriptor_limit() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
    }
    let limit = limit();
    limit - limit / SHARE
}

/// Makes a write beyond the limit of file sizes (`ulimit -f`) an error, as on a full disk. By
/// default a signal ends the process.
pub fn ignore_file_size_signal() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal has no handler that could do anything wrong.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN)
    };
}

/// Returns the descriptors that guests may hold together.
fn most() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| limit() / SHARE)
}

#[cfg(unix)]
fn limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn limit() -> usize {
    DEFAULT_LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let before = HELD.load(Relaxed);
        let held: Vec<_> = (0..10).map(|_| GuestDescriptor::take().unwrap()).collect();
        assert!(HELD.load(Relaxed) >= 10);
        drop(held);
        // Other tests of this process hold some, too.
        assert!(HELD.load(Relaxed) <= before + 10);
        assert!(raise_descriptor_limit() >= DEFAULT_LIMIT / 2);
    }
}
