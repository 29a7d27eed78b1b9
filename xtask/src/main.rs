//! Chores of this repository, one file per verb: `cargo xtask VERB`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people, with nothing to tell apart")]

use error::TaskResult;
use std::{env, process::ExitCode};

mod error;
mod generate;
mod guests;
mod process;
mod release;
mod structure;

const HELP: &str = "\
usage: cargo xtask VERB

verbs:
  guests [--install] [NAME...]   builds the guests that the tests run: all, or those whose names begin with a NAME;
                                 --install first installs missing toolchains
  generate [--check]             writes docs/reference.md from the help of the commands, and docs/manifest.md and
                                 docs/walnut.schema.json from the keys of the manifest; --check fails when one is outdated
  structure [layers] [names] [prose]
                                 finds import circles and arrows up between folders (the order is in
                                 tools/structure.toml), types with two meanings, and prose that breaks the rules of
                                 CONTRIBUTING.md
  release                        builds walnut as it is shipped, in two builds with a profile between them, which take
                                 half an hour; the last line of the output is its path

The benchmarks are `cargo benchmarks`.";

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

fn run(arguments: &[String]) -> TaskResult {
    let Some((verb, arguments)) = arguments.split_first() else { return Err(HELP.into()) };
    match verb.as_str() {
        "generate" => generate::run(arguments),
        "guests" => guests::run(arguments),
        "release" => release::run(arguments),
        "structure" => structure::run(arguments),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no verb {other:?}\n{HELP}").into()),
    }
}
