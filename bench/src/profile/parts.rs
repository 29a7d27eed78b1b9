//! Which part of a request a sample belongs to, by the names of the functions that it was taken in.
//!
//! Code that the compiler put inside other code counts for that. A copy or an allocation counts as one, whoever asked for it.

/// The parts, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
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

use Part::{Allocation, Copying, Engine, Guest, Http, Memory, Network, Own, System, Unknown, Waking};

impl Part {
    pub const ALL: [Self; 11] =
        [Network, Waking, Memory, System, Http, Engine, Guest, Allocation, Copying, Own, Unknown];

    pub fn name(self) -> &'static str {
        match self {
            Network => "kernel: network",
            Waking => "kernel: waking the client, as it sleeps",
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

/// System calls and exceptions; any other is [`System`].
const CALLS: [(Part, &[&str]); 2] = [
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
    // The call by which the engine learns what a guest wrote to is an ioctl.
    (Memory, &["asm_exc_page_fault", "ioctl", "mprotect", "madvise", "mmap", "munmap", "mremap", "brk"]),
];

/// Who has read all before is told that there is more. On the same machine that is the sender's work; to a client elsewhere it
/// is not.
const WAKES: &str = "sock_def_readable";

/// The C library, by how a name begins when its underscores are gone.
const LIBRARY: [(Part, &[&str]); 4] = [
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

/// Crates, by how a name begins.
const CRATES: [(Part, &[&str]); 3] = [
    (Own, &["walnut", "bench_native", "prometheus_client", "opentelemetry", "tracing"]),
    (Engine, &["wasmtime", "cranelift", "pulley", "chacha20", "rand", "cap_"]),
    (Http, &["hyper", "http", "h2", "tokio", "mio", "bytes"]),
];

/// One function on the stack of a sample.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub symbol: &'a str,
    /// The file or the mapping that it is in.
    pub place: &'a str,
}

impl Frame<'_> {
    fn is_kernel(&self) -> bool {
        self.place.starts_with("[kernel") || self.place.starts_with("[guest.kernel")
    }
}

/// The part of a sample, and the function to name for it: where the processor was, or for the kernel what it was called for.
pub fn classify<'a>(stack: &[Frame<'a>]) -> (Part, &'a str) {
    match stack.first() {
        None => (Unknown, "no stack"),
        Some(frame) if frame.is_kernel() => kernel(stack),
        Some(frame) => (user(frame), frame.symbol),
    }
}

/// By the call and not by the function, as in a virtual machine a sample waits until interrupts are allowed again.
fn kernel<'a>(stack: &[Frame<'a>]) -> (Part, &'a str) {
    const ENTRIES: [&str; 4] = ["entry_SYSCALL", "do_syscall", "x64_sys_call", "el0"];
    let frames = stack.iter().take_while(|frame| frame.is_kernel()).map(|frame| frame.symbol);
    let outermost = frames.filter(|symbol| !ENTRIES.iter().any(|entry| symbol.starts_with(entry))).last();
    let call = outermost.unwrap_or("system call");
    let name = ["__x64_sys_", "__arm64_sys_", "ksys_", "do_"].iter().find_map(|prefix| call.strip_prefix(prefix));
    let name = name.unwrap_or(call);
    if stack.iter().any(|frame| frame.is_kernel() && frame.symbol == WAKES) {
        return (Waking, name);
    }
    (CALLS.iter().find(|(_, calls)| calls.contains(&name)).map_or(System, |(part, _)| *part), name)
}

fn user(frame: &Frame<'_>) -> Part {
    let Frame { symbol, place } = frame;
    if symbol.starts_with("wasm[") || place.ends_with(".code") || place.contains("perf-") || place.contains("anon") {
        return Guest;
    }
    if *place == "[vdso]" {
        return System;
    }
    if place.contains("/libc.so") || place.contains("/libc-") {
        return starting(&LIBRARY, symbol.trim_start_matches('_')).unwrap_or(Unknown);
    }
    crates(symbol).find_map(|name| starting(&CRATES, name)).unwrap_or(Unknown)
}

fn starting(table: &[(Part, &[&str])], name: &str) -> Option<Part> {
    table.iter().find(|(_, starts)| starts.iter().any(|start| name.starts_with(start))).map(|(part, _)| *part)
}

/// The crates that a symbol names, in its order: `core` and `hyper` in `core::ptr::drop_in_place<hyper::Body>`.
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

    fn part(symbol: &str, place: &str) -> Part {
        classify(&[Frame { symbol, place }]).0
    }

    #[test]
    fn knows_crates() {
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
    fn knows_guests_by_where_they_are() {
        assert_eq!(part("wasm[0]::function[16]", "/root/.cache/walnut/code/0a98.code"), Guest);
        assert_eq!(part("module_start[2]::Array", "/root/.cache/walnut/code/0a98.code"), Guest);
        assert_eq!(part("[unknown]", "//anon"), Guest);
        assert_eq!(part("main", "/tmp/perf-42.map"), Guest);
    }

    #[test]
    fn knows_the_library() {
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
    fn knows_what_the_kernel_was_called_for() {
        let kernel = |symbols: &[&'static str]| {
            let frame = |&symbol| Frame { symbol, place: "[kernel.kallsyms]" };
            let user = Frame { symbol: "mmap", place: "/usr/bin/walnut" };
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
    fn finds_crates_in_symbols() {
        let all = |symbol| crates(symbol).collect::<Vec<_>>();
        assert_eq!(all("core::ptr::drop_in_place<hyper::body::Incoming>"), ["core", "hyper"]);
        assert_eq!(all("<&mut F as core::future::future::Future>::poll"), ["core"]);
        assert_eq!(all("main"), [""; 0]);
    }
}
