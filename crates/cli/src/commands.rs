//! One verb, one file.

pub mod cache;
pub mod call;
pub mod inspect;
pub mod run;
pub mod serve;

use crate::apps::manifest_of;
use crate::args::Verb;
use crate::error::{CommandError, of_system};
use crate::exit::Code;
use crate::grants::GrantFlags;
use crate::limits::{LimitFlags, said_once};
use crate::optimiser::{TierFlag, optimise_meanwhile};
use crate::printer::Printer;
use crate::progress::Terminal;
use std::process::ExitCode;
use std::sync::Arc;
use walnut_engine::{Artifact, Cache, Engine, EngineConfig, Ready, Setup, Stdio};
use walnut_policy::Printable;

/// How a command ended when nothing failed: with this code.
pub type Outcome = Result<i32, CommandError>;

/// Does what was typed.
pub fn run(verb: Verb) -> ExitCode {
    let printer = Printer::new();
    let outcome = match verb {
        Verb::Run(args) => run::run(args, printer),
        Verb::Serve(args) => serve::run(args, printer),
        Verb::Inspect(args) => inspect::run(&args, printer),
        Verb::Call(args) => call::run(&args, printer),
        Verb::Cache(args) => cache::run(&args, printer),
    };
    let code = outcome.unwrap_or_else(|error| {
        error.print(&printer);
        error.code() as i32
    });
    // A process has eight bits to say it with, and other tools take the low ones.
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

/// The cache, unless there is no place for one: then everything is compiled anew, and it is said why.
pub fn cache(printer: Printer) -> Option<Cache> {
    Cache::open().map_err(|e| printer.warning(&format!("{e}; compiled code is not kept"))).ok()
}

/// Loads a component. What describes an app is for another verb.
fn load(target: &str) -> Result<Artifact, CommandError> {
    Artifact::load(target).map_err(|error| match manifest_of(target).filter(|manifest| manifest.is_file()) {
        Some(_) => {
            CommandError::new(Code::of_load(&error), format!("{} is an app, not a component", Printable(target)))
                .hint(format!("serve it: `walnut serve {target}`"))
        }
        None => error.into(),
    })
}

/// What a command that starts one guest needs.
struct Start<'a> {
    target: &'a str,
    arguments: &'a [String],
    grants: &'a GrantFlags,
    limits: &'a LimitFlags,
    tier: TierFlag,
}

impl Start<'_> {
    /// Loads, compiles and links the target.
    fn ready(&self, printer: Printer) -> Result<Ready, CommandError> {
        walnut_engine::record_host_calls();
        let limits = self.limits.limits();
        let artifact = load(self.target)?;
        let gate = self.grants.gate(artifact.short_name(), self.arguments, printer)?;
        let config = EngineConfig { tiers: self.tier.tiers(), ..EngineConfig::command(limits.clone()) };
        let cache = cache(printer);
        let is_kept = cache.is_some();
        let engine = Engine::new(&config, cache);
        let prepared = engine.prepare(&artifact, Some(&Terminal))?;
        if let Some(reason) = prepared.unfit_for_baseline() {
            Terminal::unfit(artifact.short_name(), reason, printer);
        }
        let env = self.grants.env_values(gate.policy(), printer);
        let mut setup = Setup::new(gate, limits, Stdio::Inherit, true)?;
        setup.args = std::iter::once(artifact.short_name().to_owned()).chain(self.arguments.iter().cloned()).collect();
        setup.env = env;
        setup.excess = Some(Arc::new(said_once(self.target.to_owned(), printer)));
        let ready = prepared.ready(setup)?;
        if is_kept && engine.can_optimise(&prepared) {
            optimise_meanwhile(engine, artifact, prepared);
        }
        Ok(ready)
    }
}

/// Ends the process when the deadline has passed and the guest's thread is held by the system. A guest that holds it itself
/// is ended, and explained, by the engine.
#[expect(clippy::exit, reason = "the thread that would return the code is the one that is held")]
fn end_when_stuck(ready: &Ready, target: &str, printer: Printer) {
    let target = target.to_owned();
    ready.when_stuck(move || {
        printer.error(&format!("{target} used up its time while it waited for the system"));
        std::process::exit(Code::Time as i32);
    });
}

/// Runs `work` to its end on this thread.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| of_system("the runtime could not start", &e))?;
    let result = runtime.block_on(work);
    // A read of standard input may still wait for a key; nobody waits for it.
    runtime.shutdown_background();
    Ok(result)
}
