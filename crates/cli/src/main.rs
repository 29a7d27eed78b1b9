//! `walnut`: runs any WebAssembly component, sealed.

use std::process::ExitCode;

mod audit;
mod cache;
mod commands;
mod compiler;
mod error;
mod exit;
mod flags;
mod gate;
mod logging;
mod printer;
mod progress;
mod serving;
mod settings;

fn main() -> ExitCode {
    walnut_engine::ignore_file_size_signal();
    if compiler::is_worker() {
        return compiler::work();
    }
    commands::run_verb(flags::parse())
}
