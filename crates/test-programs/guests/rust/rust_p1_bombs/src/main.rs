//! All ways in which a program goes wrong. Has debug information, for the lines in reports.

use std::{
    arch::wasm32,
    env,
    fs::File,
    hint::black_box,
    num::NonZeroU32,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

const MIB: usize = 1024 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["panic"] => panic!("this panic is on purpose"),
        ["unreachable"] => wasm32::unreachable(),
        ["divide"] => println!("{}", divide(10)),
        ["overflow-stack"] => println!("{}", recurse(0, black_box(u64::MAX))),
        ["out-of-bounds"] => println!("{}", out_of_bounds()),
        ["memory", mib] => memory(number(mib)),
        ["grow"] => grow(),
        ["loop"] => spin(),
        ["storm"] => storm(),
        ["sleep", milliseconds] => {
            thread::sleep(Duration::from_millis(number(milliseconds) as u64));
            println!("slept");
        }
        ["spam", lines] => (0..number(lines)).for_each(|line| println!("line {line} of too many lines")),
        ["handles", count, path] => return handles(number(count), path),
        _ => {
            eprintln!("error: unknown bomb");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

#[inline(never)]
fn divide(dividend: u32) -> u32 {
    // SAFETY: none, on purpose: without Rust's check, the instruction itself traps.
    let zero = unsafe { NonZeroU32::new_unchecked(black_box(0)) };
    dividend / zero
}

/// Endless unless a limit is reached, which the compiler cannot know.
#[inline(never)]
fn recurse(depth: u64, limit: u64) -> u64 {
    if depth == limit {
        return depth;
    }
    let below = recurse(depth + 1, limit);
    below ^ (below << (depth & 7))
}

#[inline(never)]
fn out_of_bounds() -> u8 {
    let far = black_box(0xffff_fff0_usize) as *const u8;
    // SAFETY: none, on purpose: no memory is there, so that the instruction traps.
    unsafe { far.read_volatile() }
}

/// Takes memory as programs do: the allocator asks for it, and every page is used.
fn memory(mib: usize) {
    let mut kept = Vec::new();
    for _ in 0..mib {
        kept.push(black_box(vec![1_u8; MIB]));
    }
    println!("touched {} MiB", kept.len());
}

/// Takes all the memory there is and goes on.
fn grow() {
    let pages_at_once = MIB / 65536;
    while wasm32::memory_grow::<0>(pages_at_once) != usize::MAX {}
    println!("grew to {} MiB", wasm32::memory_size::<0>() / pages_at_once);
}

#[inline(never)]
fn spin() {
    loop {
        black_box(0);
    }
}

/// Computes little itself: the host does the work.
#[inline(never)]
fn storm() {
    loop {
        black_box(Instant::now());
    }
}

fn handles(count: usize, path: &str) -> ExitCode {
    let mut kept = Vec::new();
    for _ in 0..count {
        match File::open(path) {
            Ok(file) => kept.push(file),
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(0);
                eprintln!("error: {:?} {number}: {error}, after {} handles", error.kind(), kept.len());
                return ExitCode::FAILURE;
            }
        }
    }
    println!("holding {} handles", kept.len());
    ExitCode::SUCCESS
}
