//! From the command line to an exit code.

use crate::commands::{cache, call, inspect, run, serve};
use crate::flags::VerbArgs;
use crate::printer::Printer;
use std::process::ExitCode;

/// Runs the command and returns the exit code of the process.
pub fn run_verb(verb: VerbArgs) -> ExitCode {
    let printer = Printer::new();
    let outcome = match verb {
        VerbArgs::Run(args) => run::run(args, printer),
        VerbArgs::Serve(args) => serve::run(args, printer),
        VerbArgs::Inspect(args) => inspect::run(&args, printer),
        VerbArgs::Call(args) => call::run(args, printer),
        VerbArgs::Cache(args) => cache::run(&args, printer),
    };
    let code = outcome.unwrap_or_else(|error| {
        error.print(&printer);
        error.reason() as i32
    });
    // An exit status has eight bits; other tools also pass on the low ones of a larger code.
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
