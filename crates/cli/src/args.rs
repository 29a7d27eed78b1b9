//! What can be typed.

use crate::commands::{cache::CacheArgs, call::CallArgs, inspect::InspectArgs, run::RunArgs, serve::ServeArgs};
use crate::limits::with_defaults;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, FromArgMatches, Subcommand};
use std::path::Path;
use walnut_engine::Limits;

#[derive(Subcommand, Debug)]
pub enum Verb {
    Run(RunArgs),
    Serve(ServeArgs),
    Inspect(InspectArgs),
    Call(CallArgs),
    Cache(CacheArgs),
}

/// Adds to a command what a verb takes, the defaults of limits filled in.
type Define = fn(Command) -> Command;

const VERBS: [(&str, Define); 5] = [
    ("run", |verb| with_defaults(RunArgs::augment_args(verb), &Limits::for_command())),
    ("serve", |verb| with_defaults(ServeArgs::augment_args(verb), &Limits::for_service())),
    ("inspect", InspectArgs::augment_args),
    ("call", |verb| with_defaults(CallArgs::augment_args(verb), &Limits::for_command())),
    ("cache", CacheArgs::augment_args),
];

/// The command line's definition.
fn definition() -> Command {
    definition_of(|_| true)
}

/// The same with the verbs that are wanted.
fn definition_of(is_wanted: impl Fn(&str) -> bool) -> Command {
    let root = Command::new("walnut")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs any WebAssembly, sealed: it can do nothing until you grant it")
        .after_help(
            "Try:\n  walnut run app.wasm              run a program\n  walnut serve app.wasm            serve HTTP requests\n  walnut inspect app.wasm          see what it is and what it would ask for",
        )
        .max_term_width(110)
        .subcommand_required(true)
        .arg_required_else_help(true);
    let wanted = VERBS.into_iter().filter(|(name, _)| is_wanted(name));
    wanted.fold(root, |root, (name, define)| root.subcommand(define(Command::new(name))))
}

/// Reads the command line; usage errors and help end the process here, with 2 and 0.
pub fn parse() -> Verb {
    // To define every verb takes a good part of a short start, and when one is named the others are not needed.
    let first = std::env::args_os().nth(1);
    let named = VERBS.iter().find(|(name, _)| first.as_ref().is_some_and(|first| first == name));
    let definition = named.map_or_else(definition, |(named, _)| definition_of(|name| name == *named));
    let matches = definition.try_get_matches().unwrap_or_else(|e| with_tip(e).exit());
    Verb::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// Says what to type instead, where somebody typed what other tools understand.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let tip = match (error.kind(), error.get(ContextKind::InvalidSubcommand), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word)), _) => run_tip(word),
        (ErrorKind::UnknownArgument, _, Some(ContextValue::String(flag))) => flag_tip(flag).map(str::to_owned),
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// For a target where a verb should be.
fn run_tip(word: &str) -> Option<String> {
    let is_target = word.ends_with(".wasm") || word.ends_with(".wat") || Path::new(word).is_file();
    is_target.then(|| format!("to run it, write 'walnut run {word}'"))
}

/// For a flag of container tools that has another name here.
fn flag_tip(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "-v" | "--volume" | "--mount" => "a folder is granted with '--dir HOST::GUEST', and '::rw' after it to write",
        "-e" => "a variable is granted with '--env NAME=VALUE'",
        "-p" | "--publish" | "--port" | "--host" | "--bind" => {
            "'walnut serve' takes the address to listen on with '--addr 127.0.0.1:8080'"
        }
        "--network" | "--net" => "the network is granted by what is reached: '--http URL', '--connect HOST:PORT'",
        "-m" => "the limit of memory is '--memory SIZE'",
        "--cpus" => "the limit of processor time is '--cpu TIME'",
        "-i" | "-t" | "--rm" => "leave it out: standard streams are passed through, and nothing is left behind",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        let definition = definition();
        let derived = Verb::augment_subcommands(Command::new("walnut"));
        let names = |command: &Command| command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        let (defined, derived): (Vec<_>, Vec<_>) = (names(&definition), names(&derived));
        assert_eq!(defined, derived);
        definition.debug_assert();
    }
}
