//! User time of each kernel under the programs that run it.

use super::build::{Kernel, build_all};
use crate::cargo::scratch_folder;
use crate::error::BenchResult;
use crate::options::CommonOptions;
use crate::programs::{find_on_path, find_wasmtime, run_to_success};
use crate::stats::Spread;
use std::path::Path;
use std::process::Command;

const ROUNDS: usize = 5;

/// A way to run a kernel.
struct Runner {
    name: &'static str,
    command: Box<dyn Fn(&Kernel) -> Command>,
}

pub fn run(arguments: &[String]) -> BenchResult {
    let options = CommonOptions::parse("kernels", arguments)?;
    let rounds = if options.short { 1 } else { ROUNDS };
    let is_short = options.short;
    let runners = runners(&options.binary()?)?;
    let mut kernels = build_all()?;
    kernels.truncate(if is_short { 2 } else { kernels.len() });
    let names: Vec<_> = runners.iter().map(|runner| runner.name).collect();
    println!("| kernel, best user time | {} | walnut / wasmtime | walnut / native |", names.join(" | "));
    println!("|-|{}-|-|", "-|".repeat(names.len()));
    for kernel in &kernels {
        print_row(kernel, &runners, rounds)?;
    }
    Ok(())
}

fn print_row(kernel: &Kernel, runners: &[Runner], rounds: usize) -> BenchResult {
    let expected = Command::new(&kernel.native).output()?.stdout;
    let mut times = vec![Vec::new(); runners.len()];
    // The first round fills the caches and is not counted.
    for round in 0..=rounds {
        for (runner, times) in runners.iter().zip(&mut times) {
            let (output, time) = run_timed(&(runner.command)(kernel))?;
            if output != expected {
                return Err(format!("{} under {} printed something else", kernel.name, runner.name).into());
            }
            if round > 0 || rounds == 1 {
                times.push(time);
            }
        }
    }
    let best: Vec<_> = times.iter().map(|times| times.iter().copied().fold(f64::INFINITY, f64::min)).collect();
    let time = |name: &str| runners.iter().position(|runner| runner.name == name).map(|at| best[at]);
    let walnut = time(WALNUT).unwrap_or(f64::NAN);
    let ratio = |other: Option<f64>| other.map_or_else(|| "–".to_owned(), |other| format!("{:.2}", walnut / other));
    let cells: Vec<_> =
        best.iter().map(|best| Spread::of(&[*best]).median).map(|time| format!("{time:.3} s")).collect();
    println!("| {} | {} | {} | {} |", kernel.name, cells.join(" | "), ratio(time(WASMTIME)), ratio(time(NATIVE)));
    Ok(())
}

const NATIVE: &str = "native";
const WASMTIME: &str = "wasmtime, no limits";
const WALNUT: &str = "walnut run";

fn runners(walnut: &Path) -> BenchResult<Vec<Runner>> {
    let folder = scratch_folder()?.join("kernels");
    let (walnut, code) = (walnut.to_owned(), folder.join("code"));
    let mut runners = vec![Runner { name: NATIVE, command: Box::new(|kernel| Command::new(&kernel.native)) }];
    if let Some(wasmtime) = find_wasmtime() {
        let compiled = move |kernel: &Kernel| {
            let code = kernel.guest.with_extension("cwasm");
            if !code.is_file() {
                let _ = run_to_success(Command::new(&wasmtime).arg("compile").arg("-o").arg(&code).arg(&kernel.guest));
            }
            let mut command = Command::new(&wasmtime);
            command.args(["run", "--allow-precompiled"]).arg(code);
            command
        };
        runners.push(Runner { name: WASMTIME, command: Box::new(compiled) });
    }
    let limited = move |kernel: &Kernel| {
        let mut command = Command::new(&walnut);
        command.env("WALNUT_CACHE_DIR", &code).args(["run", "--tier", "optimised"]).arg(&kernel.guest);
        command
    };
    runners.push(Runner { name: WALNUT, command: Box::new(limited) });
    if let Some(node) = find_on_path("node") {
        let script = folder.join("wasi.mjs");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(&script, NODE)?;
        let in_node = move |kernel: &Kernel| {
            let mut command = Command::new(&node);
            command.arg("--no-warnings").arg(&script).arg(&kernel.guest);
            command
        };
        runners.push(Runner { name: "Node.js", command: Box::new(in_node) });
    }
    Ok(runners)
}

const NODE: &str = "\
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';
const wasi = new WASI({ version: 'preview1' });
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), wasi.getImportObject());
wasi.start(instance);
";

/// Runs a command, and returns its output and its user time in seconds. The shell tells the time,
/// to the millisecond.
fn run_timed(command: &Command) -> BenchResult<(Vec<u8>, f64)> {
    let mut shell = Command::new("bash");
    shell.args(["-c", "TIMEFORMAT=%3U; time \"$@\"", "kernel"]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let time = errors.lines().last().and_then(|line| line.trim().parse().ok());
    match time {
        Some(time) if output.status.success() => Ok((output.stdout, time)),
        _ => Err(format!("{command:?} failed: {errors}").into()),
    }
}
