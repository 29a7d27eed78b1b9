//! How far a loop exceeds its limit before it is stopped.

use crate::cargo::scratch_folder;
use crate::error::BenchResult;
use crate::options::CommonOptions;
use crate::programs::KilledOnDrop;
use crate::requests::{free_address, get};
use crate::stats::Spread;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{Guest, RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO};

const LOOP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
const ROUNDS: usize = 10;
/// In seconds.
const LIMIT: f64 = 1.0;
/// Longest wait for a server that starts.
const MAX_START: Duration = Duration::from_secs(30);
/// Exit code of `walnut run` for a limit of time.
const TIME_LIMIT_EXIT_CODE: i32 = 124;

pub fn run(arguments: &[String]) -> BenchResult {
    let options = CommonOptions::parse("limits", arguments)?;
    let rounds = if options.short { 1 } else { ROUNDS };
    let binary = options.binary()?;
    println!("| a loop with a limit of 1 s | stopped after (middle half) | longest |\n|-|-|-|");
    for flag in ["--cpu", "--deadline"] {
        print_row("walnut run", flag, &time_run(&binary, flag, rounds)?);
        for (name, guest) in [("walnut serve, 0.2", RUST_P2_HTTP_BAD), ("walnut serve, 0.3", RUST_P3_HTTP_ECHO)] {
            print_row(name, flag, &time_requests(&binary, guest, flag, rounds)?);
        }
    }
    Ok(())
}

fn print_row(name: &str, flag: &str, times: &[f64]) {
    let longest = times.iter().copied().fold(0.0, f64::max);
    let over = (longest / LIMIT - 1.0) * 100.0;
    println!("| {name} {flag} 1s | {} | {longest:.3} s, {over:.1} % over |", Spread::of(times).show(1.0, 3, " s"));
}

/// Seconds of each `walnut run`, start of the process included.
fn time_run(binary: &Path, flag: &str, rounds: usize) -> BenchResult<Vec<f64>> {
    let program = scratch_folder()?.join("loop.wat");
    std::fs::write(&program, LOOP)?;
    let time = |_| {
        let start = Instant::now();
        let status = Command::new(binary).args(["run", flag, "1s"]).arg(&program).stderr(Stdio::null()).status()?;
        match status.code() {
            Some(TIME_LIMIT_EXIT_CODE) => Ok(start.elapsed().as_secs_f64()),
            _ => Err(format!("the limit did not stop the loop: {status}").into()),
        }
    };
    (0..rounds).map(time).collect()
}

/// Seconds of each request to a served loop.
fn time_requests(binary: &Path, guest: Guest, flag: &str, rounds: usize) -> BenchResult<Vec<f64>> {
    let address = free_address()?;
    let mut command = Command::new(binary);
    command.args(["serve", "--access-log", "off", "--addr", &address, flag, "1s"]).arg(guest.path());
    let _server = KilledOnDrop(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let end = Instant::now() + MAX_START;
    while get(&address, "/").is_err() {
        if Instant::now() > end {
            return Err(format!("{} does not answer", guest.name).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let time = |_| {
        let start = Instant::now();
        let response = get(&address, "/loop")?;
        match response.starts_with("HTTP/1.1 504 ") {
            true => Ok(start.elapsed().as_secs_f64()),
            false => Err(format!("the limit did not stop the loop: {response}").into()),
        }
    };
    (0..rounds).map(time).collect()
}
