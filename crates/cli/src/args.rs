//! What can be typed.

use crate::commands::{cache::CacheArgs, call::CallArgs, inspect::InspectArgs, run::RunArgs, serve::ServeArgs};
use crate::limits::with_defaults;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use walnut_engine::Limits;

/// Runs any WebAssembly, sealed: it can do nothing until you grant it
#[derive(Parser, Debug)]
#[command(name = "walnut", version, max_term_width = 110)]
#[command(
    after_help = "Try:\n  walnut run app.wasm              run a program\n  walnut serve app.wasm            serve HTTP requests\n  walnut inspect app.wasm          see what it is and what it would ask for"
)]
pub struct Walnut {
    #[command(subcommand)]
    pub command: Verb,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    Run(RunArgs),
    Serve(ServeArgs),
    Inspect(InspectArgs),
    Call(CallArgs),
    Cache(CacheArgs),
}

/// The command line's definition, with the defaults of limits filled in.
pub fn definition() -> clap::Command {
    let (command, service) = (Limits::for_command(), Limits::for_service());
    Walnut::command()
        .mut_subcommand("run", |c| with_defaults(c, &command))
        .mut_subcommand("call", |c| with_defaults(c, &command))
        .mut_subcommand("serve", |c| with_defaults(c, &service))
}

/// Reads the command line; usage errors and help end the process here, with 2 and 0.
pub fn parse() -> Walnut {
    let matches = definition().get_matches();
    Walnut::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        super::definition().debug_assert();
    }
}
