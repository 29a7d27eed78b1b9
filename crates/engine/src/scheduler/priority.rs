//! Linux only: threads compute_thread those that serve, which must not hold them up.

/// Has the system let the calling thread go before one that computes on the same processor as soon as it wakes, but for a tenth
/// of a millisecond at a time. From Linux 6.12 on, who asks for less time at once goes first (sched_setattr(2), `sched_runtime`). Elsewhere, or where it
/// is refused, a thread waits for a turn of its own on a processor that is busy, and has it for some milliseconds.
pub(crate) fn request_short_slice() {
    #[cfg(target_os = "linux")]
    ask_for_little();
}

/// Makes the calling thread by so much nicer than the one that started it: by 5 it has a third of its weight, by 10 a ninth.
pub(crate) fn lower_priority(by: i32) {
    // Only Linux has priorities of threads. Elsewhere it would be that of all.
    #[cfg(target_os = "linux")]
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, (nice + by).min(19));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}

#[cfg(target_os = "linux")]
fn ask_for_little() {
    /// The least that there is, in nanoseconds.
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
    // SAFETY: the system writes at most `size` bytes to `attributes`, which lives; 0 is the calling thread.
    if unsafe { libc::syscall(libc::SYS_sched_getattr, 0, at, size, 0) } != 0 {
        return;
    }
    if attributes.sched_policy == libc::SCHED_OTHER.cast_unsigned() {
        attributes.sched_runtime = SLICE;
        // SAFETY: the system reads `attributes`, whose size it wrote itself. That it refuses has no consequence.
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
