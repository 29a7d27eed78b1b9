//! Chores of this repository, one file per verb: `cargo xtask VERB`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people, with nothing to tell apart")]

use std::{env, process::ExitCode};

mod generate;
mod guests;
mod process;
mod release;
mod structure;

const HELP: &str = "\
usage: cargo xtask VERB

verbs:
  guests [--install] [NAME...]   builds the guests that the tests run (all, or those whose names start so);
                                 --install first installs the tools that are missing
  generate [--check]             writes docs/reference.md from the commands' help, docs/manifest.md and
                                 docs/walnut.schema.json from the manifest's keys; --check fails when one is behind
  structure [layers] [names] [prose]
                                 finds import circles and arrows up between folders (the order is in
                                 tools/structure.toml), types with two meanings, and prose that breaks the rules of
                                 CONTRIBUTING.md
  release                        builds walnut as it is shipped, by a profile of what it does most: twice, which takes
                                 half an hour; the last line says where it is";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("generate") => generate::run(arguments.collect()),
        Some("guests") => guests::run(arguments.collect()),
        Some("structure") => structure::run(&arguments.collect::<Vec<_>>()),
        Some("release") => release::run(&arguments.collect::<Vec<_>>()),
        Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("no verb {other:?}\n{HELP}").into()),
        None => Err(HELP.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
