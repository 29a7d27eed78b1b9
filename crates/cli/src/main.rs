//! `walnut`: runs any WebAssembly component, sealed.

use std::process::ExitCode;

mod apps;
mod args;
mod audit;
mod clients;
mod commands;
mod error;
mod exit;
mod grants;
mod limits;
mod optimiser;
mod printer;
mod progress;
mod reload;
mod sources;

fn main() -> ExitCode {
    commands::run(args::parse())
}
