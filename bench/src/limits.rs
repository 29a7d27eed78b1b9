//! How far over a limit a loop goes before it is ended.

use super::{Ended, Outcome, Plain, Spread, ask, free_address, scratch};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{Guest, RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO};

const LOOP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
const ROUNDS: usize = 10;
const LIMIT: f64 = 1.0;

pub fn run(arguments: &[String]) -> Outcome {
    let options = Plain::parse("limits", arguments)?;
    let rounds = if options.short { 1 } else { ROUNDS };
    let binary = options.binary()?;
    println!("| a loop with a limit of 1 s | ended after, on the clock (middle half) | the longest |\n|-|-|-|");
    for flag in ["--cpu", "--deadline"] {
        row("walnut run", flag, &in_run(&binary, flag, rounds)?);
        for (name, guest) in [("walnut serve, 0.2", RUST_P2_HTTP_BAD), ("walnut serve, 0.3", RUST_P3_HTTP_ECHO)] {
            row(name, flag, &in_serve(&binary, guest, flag, rounds)?);
        }
    }
    Ok(())
}

fn row(name: &str, flag: &str, times: &[f64]) {
    let longest = times.iter().copied().fold(0.0, f64::max);
    let over = (longest / LIMIT - 1.0) * 100.0;
    println!("| {name} {flag} 1s | {} | {longest:.3} s, {over:.1} % over |", Spread::of(times).show(1.0, 3, " s"));
}

/// The process's own start is part of it.
fn in_run(binary: &Path, flag: &str, rounds: usize) -> Outcome<Vec<f64>> {
    let program = scratch()?.join("loop.wat");
    std::fs::write(&program, LOOP)?;
    let time = |_| {
        let start = Instant::now();
        let status = Command::new(binary).args(["run", flag, "1s"]).arg(&program).stderr(Stdio::null()).status()?;
        match status.code() {
            Some(124) => Ok(start.elapsed().as_secs_f64()),
            _ => Err(format!("the loop was not ended by its limit: {status}").into()),
        }
    };
    (0..rounds).map(time).collect()
}

fn in_serve(binary: &Path, guest: Guest, flag: &str, rounds: usize) -> Outcome<Vec<f64>> {
    let address = free_address()?;
    let mut command = Command::new(binary);
    command.args(["serve", "--access-log", "off", "--addr", &address, flag, "1s"]).arg(guest.path());
    let _server = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let end = Instant::now() + Duration::from_secs(30);
    while ask(&address, "/").is_err() {
        if Instant::now() > end {
            return Err(format!("{} does not come up", guest.name).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let time = |_| {
        let start = Instant::now();
        let answer = ask(&address, "/loop")?;
        match answer.starts_with("HTTP/1.1 504 ") {
            true => Ok(start.elapsed().as_secs_f64()),
            false => Err(format!("the loop was not ended by its limit: {answer}").into()),
        }
    };
    (0..rounds).map(time).collect()
}
