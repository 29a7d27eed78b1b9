//! The definition of the command line, and tips for words of other tools.

use crate::flags::cache::CacheArgs;
use crate::flags::call::CallArgs;
use crate::flags::inspect::InspectArgs;
use crate::flags::limits::with_defaults;
use crate::flags::run::RunArgs;
use crate::flags::serve::ServeArgs;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, FromArgMatches, Subcommand};
use std::path::Path;
use walnut_policy::Limits;

/// Arguments of the chosen verb.
#[derive(Subcommand, Debug)]
pub enum VerbArgs {
    Run(RunArgs),
    Serve(ServeArgs),
    Inspect(InspectArgs),
    Call(CallArgs),
    Cache(CacheArgs),
}

/// Adds the arguments of a verb to a command, with the defaults of limits.
type Define = fn(Command) -> Command;

const VERBS: [(&str, Define); 5] = [
    ("run", |verb| with_defaults(RunArgs::augment_args(verb), &Limits::for_command())),
    ("serve", |verb| with_defaults(ServeArgs::augment_args(verb), &Limits::for_service())),
    ("inspect", InspectArgs::augment_args),
    ("call", |verb| with_defaults(CallArgs::augment_args(verb), &Limits::for_command())),
    ("cache", CacheArgs::augment_args),
];

/// Returns the whole definition.
fn definition() -> Command {
    definition_of(|_| true)
}

/// Returns the definition with the wanted verbs only.
fn definition_of(is_wanted: impl Fn(&str) -> bool) -> Command {
    let root = Command::new("walnut")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs WebAssembly in sealed sandboxes: a program can do nothing until you grant it")
        .after_help(
            "Try:\n  walnut run app.wasm              run a program\n  walnut serve app.wasm            serve HTTP requests\n  walnut inspect app.wasm          see what it is and what it needs",
        )
        .max_term_width(110)
        .subcommand_required(true)
        .arg_required_else_help(true);
    let wanted = VERBS.into_iter().filter(|(name, _)| is_wanted(name));
    wanted.fold(root, |root, (name, define)| root.subcommand(define(Command::new(name))))
}

/// Parses the command line. Usage errors and help end the process here, with 2 and 0.
pub fn parse() -> VerbArgs {
    // Defining all verbs would take a good part of a short start, so only the chosen verb is
    // defined.
    let first = std::env::args_os().nth(1);
    let named = VERBS.iter().find(|(name, _)| first.as_ref().is_some_and(|first| first == name));
    let definition = named.map_or_else(definition, |(named, _)| definition_of(|name| name == *named));
    let matches = definition.try_get_matches().unwrap_or_else(|e| with_tip(e).exit());
    VerbArgs::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// Adds a tip to the error of a word that other tools understand.
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

/// Returns a tip for a target in the place of the verb.
fn run_tip(word: &str) -> Option<String> {
    let is_target = word.ends_with(".wasm") || word.ends_with(".wat") || Path::new(word).is_file();
    is_target.then(|| format!("to run it, write 'walnut run {word}'"))
}

/// Returns a tip for a flag of container tools that has another name here.
fn flag_tip(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "-v" | "--volume" | "--mount" => "a folder is granted with '--dir HOST::GUEST', and '::rw' after it to write",
        "-e" => "a variable is granted with '--env NAME=VALUE'",
        "-p" | "--publish" | "--port" | "--host" | "--bind" => {
            "'walnut serve' takes the address to listen on with '--addr 127.0.0.1:8080'"
        }
        "--network" | "--net" => "the network is granted by what is reached: '--http URL', '--connect HOST:PORT'",
        "-m" => "the limit of memory is '--memory SIZE'",
        "--cpus" => "the limit of CPU time is '--cpu TIME'",
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
        let derived = VerbArgs::augment_subcommands(Command::new("walnut"));
        let names = |command: &Command| command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        let (defined, derived): (Vec<_>, Vec<_>) = (names(&definition), names(&derived));
        assert_eq!(defined, derived);
        definition.debug_assert();
    }
}
