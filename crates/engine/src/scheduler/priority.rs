//! Priorities of threads, on Linux.

/// Makes the calling thread preempt a computing thread of the same core as soon as it wakes, for a
/// tenth of a millisecond at a time.
///
/// From Linux 6.12 on, the scheduler prefers threads that ask for shorter slices (sched_setattr(2),
/// `sched_runtime`). Elsewhere, or where the call is refused, a thread waits for its turn on a busy
/// core and has the core for some milliseconds.
pub(crate) fn request_short_slice() {
    #[cfg(target_os = "linux")]
    ask_for_little();
}

/// Raises the niceness of the calling thread. +5 leaves a third of the weight, +10 a ninth.
pub(crate) fn lower_priority(by: i32) {
    // Only Linux has a priority per thread. Elsewhere the call would change the process.
    #[cfg(target_os = "linux")]
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, (nice + by).min(19));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}

#[cfg(target_os = "linux")]
fn ask_for_little() {
    /// Shortest slice that Linux accepts, in nanoseconds.
    const SLICE: u64 = 100_000;
    let size = size_of::<libc::sched_attr>();
    let mut attributes = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let at = &raw mut attributes;
    // SAFETY: the system writes at most `size` bytes to `attributes`, which lives; 0 is the calling
    // thread.
    if unsafe { libc::syscall(libc::SYS_sched_getattr, 0, at, size, 0) } != 0 {
        return;
    }
    if attributes.sched_policy == libc::SCHED_OTHER.cast_unsigned() {
        attributes.sched_runtime = SLICE;
        // SAFETY: the system reads `attributes`, whose size it wrote itself. A refusal has no
        // effect.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_prompt_thread_keeps_its_priority() {
        std::thread::spawn(|| {
            rustix::process::setpriority_process(None, 5).unwrap();
            super::request_short_slice();
            assert_eq!(rustix::process::getpriority_process(None).unwrap(), 5);
        })
        .join()
        .unwrap();
    }
}
