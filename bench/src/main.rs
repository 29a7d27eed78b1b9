//! Benchmarks of Walnut against its peers: `cargo benchmarks NAME`.
//!
//! Programs that are compared take turns in one run, so that a slow spell of the machine hits all
//! of them. Medians are compared. `docs/benchmarks.md` has the goals and the results. `tools/test`
//! runs the short forms.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people, with nothing to tell apart")]

use error::BenchResult;
use std::{env, process::ExitCode};

mod cargo;
mod cold;
mod error;
mod http;
mod kernels;
mod limits;
mod options;
mod profile;
mod programs;
mod requests;
mod start;
mod stats;

const HELP: &str = "\
usage: cargo benchmarks NAME [OPTION...]

benchmarks:
  start     start of `walnut run`, against wasmtime and a native program, and of a sandbox in process
  cold      first start of a large component, with an empty cache and with a full one
  limits    how far a loop exceeds its limit before it is stopped
  kernels   user time of compiled code, against wasmtime without limits, Node.js and native programs
  http      requests per second and latency, against a native server, wasmtime, Node.js and workerd
  profile   processor time of a request, by the part of the server that spends it

options:
  --walnut PATH   measures this binary instead of building one
  --short         runs a debug build for seconds, only to show that the benchmark works (not `profile`)

`http`, `cold` and `profile` have more options; an unknown option prints them.";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> BenchResult {
    let Some((name, options)) = arguments.split_first() else { return Err(HELP.into()) };
    match name.as_str() {
        "cold" => cold::run(options),
        "http" => http::run(options),
        "kernels" => kernels::run(options),
        "limits" => limits::run(options),
        "profile" => profile::run(options),
        "start" => start::run(options),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no benchmark {other:?}\n{HELP}").into()),
    }
}
