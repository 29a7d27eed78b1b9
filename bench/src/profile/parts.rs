//! The part of a request that a sample belongs to, by the names of the functions on its stack.
//!
//! Inlined code counts for the function it was inlined into. Copies and allocations are parts of
//! their own, and do not count for their callers.

/// The parts, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestPart {
    Network,
    Waking,
    Memory,
    System,
    Http,
    Engine,
    Guest,
    Allocation,
    Copying,
    Own,
    Unknown,
}

use RequestPart::{Allocation, Copying, Engine, Guest, Http, Memory, Network, Own, System, Unknown, Waking};

impl RequestPart {
    pub const ALL: [Self; 11] =
        [Network, Waking, Memory, System, Http, Engine, Guest, Allocation, Copying, Own, Unknown];

    pub fn name(self) -> &'static str {
        match self {
            Network => "kernel: network",
            Waking => "kernel: waking the client",
            Memory => "kernel: page faults and memory maps",
            System => "kernel: clocks, wake-ups, log and the rest",
            Http => "HTTP: hyper, http, httparse, tokio",
            Engine => "engine: wasmtime, its WASI and its calls",
            Guest => "guest: compiled code",
            Allocation => "allocation",
            Copying => "copying and zeroing",
            Own => "the server's own: gate, limits, metrics, log",
            Unknown => "unknown",
        }
    }
}

/// System calls and exceptions. Any other is [`System`].
const SYSTEM_CALLS: [(RequestPart, &[&str]); 2] = [
    (
        Network,
        &[
            "writev",
            "sendto",
            "sendmsg",
            "recvfrom",
            "recvmsg",
            "accept",
            "accept4",
            "epoll_wait",
            "epoll_pwait",
            "epoll_ctl",
        ],
    ),
    // The engine asks by `ioctl` which pages a guest wrote to.
    (Memory, &["asm_exc_page_fault", "ioctl", "mprotect", "madvise", "mmap", "munmap", "mremap", "brk"]),
];

/// Wakes a client that waits for data. The sender does this work only for a client on the same
/// machine.
const WAKE_UP: &str = "sock_def_readable";

/// Functions of the C library, by how their names begin after leading underscores.
const C_LIBRARY: [(RequestPart, &[&str]); 4] = [
    (Copying, &["mem"]),
    (
        Allocation,
        &[
            "malloc",
            "free",
            "cfree",
            "calloc",
            "realloc",
            "int_",
            "unlink_chunk",
            "posix_memalign",
            "aligned_alloc",
            "sysmalloc",
            "libc_calloc",
            "libc_malloc",
            "libc_free",
            "tcache",
        ],
    ),
    (Network, &["GI___writev", "libc_recv", "libc_send", "epoll_", "writev"]),
    (System, &[""]),
];

/// Crates, by how their names begin.
const CRATES: [(RequestPart, &[&str]); 3] = [
    (Own, &["walnut", "bench_native", "prometheus_client", "opentelemetry", "tracing"]),
    (Engine, &["wasmtime", "cranelift", "pulley", "chacha20", "rand", "cap_"]),
    (Http, &["hyper", "http", "h2", "tokio", "mio", "bytes"]),
];

/// A function on the stack of a sample.
#[derive(Clone, Copy)]
pub struct StackFrame<'a> {
    pub symbol: &'a str,
    /// File or mapping of the function.
    pub place: &'a str,
}

impl StackFrame<'_> {
    fn is_kernel(&self) -> bool {
        self.place.starts_with("[kernel") || self.place.starts_with("[guest.kernel")
    }
}

/// Returns the part of a sample, and the function that represents it: the innermost, or for the
/// kernel the system call.
pub fn classify<'a>(stack: &[StackFrame<'a>]) -> (RequestPart, &'a str) {
    match stack.first() {
        None => (Unknown, "no stack"),
        Some(frame) if frame.is_kernel() => kernel(stack),
        Some(frame) => (user(frame), frame.symbol),
    }
}

/// Classifies by the system call and not by the function: in a virtual machine a sample is delayed
/// until interrupts are enabled again.
fn kernel<'a>(stack: &[StackFrame<'a>]) -> (RequestPart, &'a str) {
    const ENTRIES: [&str; 4] = ["entry_SYSCALL", "do_syscall", "x64_sys_call", "el0"];
    let frames = stack.iter().take_while(|frame| frame.is_kernel()).map(|frame| frame.symbol);
    let outermost = frames.filter(|symbol| !ENTRIES.iter().any(|entry| symbol.starts_with(entry))).last();
    let call = outermost.unwrap_or("system call");
    let name = ["__x64_sys_", "__arm64_sys_", "ksys_", "do_"].iter().find_map(|prefix| call.strip_prefix(prefix));
    let name = name.unwrap_or(call);
    if stack.iter().any(|frame| frame.is_kernel() && frame.symbol == WAKE_UP) {
        return (Waking, name);
    }
    (SYSTEM_CALLS.iter().find(|(_, calls)| calls.contains(&name)).map_or(System, |(part, _)| *part), name)
}

fn user(frame: &StackFrame<'_>) -> RequestPart {
    let StackFrame { symbol, place } = frame;
    if symbol.starts_with("wasm[") || place.ends_with(".code") || place.contains("perf-") || place.contains("anon") {
        return Guest;
    }
    if *place == "[vdso]" {
        return System;
    }
    if place.contains("/libc.so") || place.contains("/libc-") {
        return starting(&C_LIBRARY, symbol.trim_start_matches('_')).unwrap_or(Unknown);
    }
    crates(symbol).find_map(|name| starting(&CRATES, name)).unwrap_or(Unknown)
}

fn starting(table: &[(RequestPart, &[&str])], name: &str) -> Option<RequestPart> {
    table.iter().find(|(_, starts)| starts.iter().any(|start| name.starts_with(start))).map(|(part, _)| *part)
}

/// The crates in a symbol, in order: `core` and `hyper` in `core::ptr::drop_in_place<hyper::Body>`.
fn crates(symbol: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    symbol.match_indices("::").filter_map(move |(end, _)| {
        let before = &symbol[..end];
        let start = before.rfind(|c| !is_word(c)).map_or(0, |last| last + 1);
        (start < end && !before[..start].ends_with(':')).then(|| &before[start..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(symbol: &str, place: &str) -> RequestPart {
        classify(&[StackFrame { symbol, place }]).0
    }

    #[test]
    fn crates_are_classified() {
        let walnut = |symbol| part(symbol, "/usr/bin/walnut");
        assert_eq!(walnut("walnut_host::http::exchange::answer::{{closure}}"), Own);
        assert_eq!(
            walnut("<walnut_engine::failure::host_calls::Recorder as tracing_core::subscriber::Subscriber>::new_span"),
            Own
        );
        assert_eq!(walnut("wasmtime::runtime::vm::instance::Instance::new"), Engine);
        assert_eq!(walnut("<(A1,) as wasmtime::runtime::component::func::typed::Lower>::lower"), Engine);
        assert_eq!(walnut("wasmtime_wasi_http::field_map::FieldMap::append"), Engine);
        assert_eq!(walnut("<hyper::proto::h1::role::Server as hyper::proto::h1::Http1Transaction>::parse"), Http);
        assert_eq!(walnut("http::header::map::hash_elem_using"), Http);
        assert_eq!(walnut("core::ptr::drop_in_place<tokio::time::sleep::Sleep>"), Http);
        assert_eq!(walnut("alloc::sync::Arc<T,A>::drop_slow"), Unknown);
        assert_eq!(walnut("[unknown]"), Unknown);
    }

    #[test]
    fn guests_are_classified_by_their_file() {
        assert_eq!(part("wasm[0]::function[16]", "/root/.cache/walnut/code/0a98.code"), Guest);
        assert_eq!(part("module_start[2]::Array", "/root/.cache/walnut/code/0a98.code"), Guest);
        assert_eq!(part("[unknown]", "//anon"), Guest);
        assert_eq!(part("main", "/tmp/perf-42.map"), Guest);
    }

    #[test]
    fn the_c_library_is_classified() {
        let libc = |symbol| part(symbol, "/usr/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(libc("__memmove_avx512_unaligned_erms"), Copying);
        assert_eq!(libc("__memset_avx512_unaligned_erms"), Copying);
        for name in ["malloc", "_int_free", "cfree@GLIBC_2.2.5", "unlink_chunk.constprop.0", "malloc_consolidate"] {
            assert_eq!(libc(name), Allocation, "{name}");
        }
        assert_eq!(libc("__GI___writev"), Network);
        assert_eq!(libc("clock_gettime@@GLIBC_2.17"), System);
        assert_eq!(part("__vdso_clock_gettime", "[vdso]"), System);
    }

    #[test]
    fn the_kernel_is_classified_by_the_system_call() {
        let kernel = |symbols: &[&'static str]| {
            let frame = |&symbol| StackFrame { symbol, place: "[kernel.kallsyms]" };
            let user = StackFrame { symbol: "mmap", place: "/usr/bin/walnut" };
            let stack: Vec<_> = symbols.iter().map(frame).chain([user]).collect();
            classify(&stack)
        };
        let entry = ["do_syscall_64", "entry_SYSCALL_64_after_hwframe"];
        let through = |calls: &[&'static str]| kernel(&[calls, &entry].concat());
        assert_eq!(through(&["_raw_spin_unlock_irqrestore", "tcp_sendmsg", "do_writev"]), (Network, "writev"));
        assert_eq!(through(&["_raw_spin_unlock_irqrestore", "sock_def_readable", "do_writev"]), (Waking, "writev"));
        assert_eq!(through(&["ep_poll", "do_epoll_wait", "__x64_sys_epoll_wait"]), (Network, "epoll_wait"));
        assert_eq!(through(&["pagemap_scan_pmd_entry", "do_pagemap_scan", "__x64_sys_ioctl"]), (Memory, "ioctl"));
        assert_eq!(through(&["futex_wake", "do_futex", "__x64_sys_futex"]), (System, "futex"));
        assert_eq!(kernel(&["clear_page_erms", "exc_page_fault", "asm_exc_page_fault"]).0, Memory);
        assert_eq!(kernel(&["entry_SYSCALL_64"]), (System, "system call"));
    }

    #[test]
    fn crates_are_found_in_symbols() {
        let all = |symbol| crates(symbol).collect::<Vec<_>>();
        assert_eq!(all("core::ptr::drop_in_place<hyper::body::Incoming>"), ["core", "hyper"]);
        assert_eq!(all("<&mut F as core::future::future::Future>::poll"), ["core"]);
        assert_eq!(all("main"), [""; 0]);
    }
}
