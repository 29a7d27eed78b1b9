//! Chores of this repository, one file per verb: `cargo xtask VERB`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people, with nothing to tell apart")]

use std::{env, process::ExitCode};

mod bench;
mod generate;
mod guests;
mod release;
mod structure;

const HELP: &str = "\
usage: cargo xtask VERB

verbs:
  guests [--install] [NAME...]   builds the guests that the tests run (all, or those whose names start so);
                                 --install first installs the tools that are missing
  bench start [OPTION]           times how long starting takes, against wasmtime and a native program, and prints the
                                 table of docs/benchmarks.md; --walnut PATH takes this binary instead of building one,
                                 --short only shows that it works
  bench cold [OPTION...]         times the first start of what is large, with an empty cache and with a full one
  bench limits                   times how far over a limit a loop goes before it is ended
  bench http [OPTION...]         requests a second and latency, against a native server, wasmtime, Node.js and workerd;
                                 --latency, --body, --crowd, --routes and --neighbours measure more than that, --short
                                 only shows that it works, an option that is not known lists the others
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
        Some("bench") => bench::run(arguments.collect()),
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
