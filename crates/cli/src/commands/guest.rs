//! Steps that `run`, `call` and `inspect` share: from a target to a component that is ready to
//! start.

use crate::cache::open_cache;
use crate::compiler;
use crate::error::CommandError;
use crate::exit::ExitReason;
use crate::gate::{env_values, gate};
use crate::logging::start_logging;
use crate::printer::Printer;
use crate::progress::TerminalProgress;
use crate::settings::GuestSettings;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use walnut_engine::{
    Artifact, ArtifactSource, Engine, EngineConfig, Gate, LocalArtifacts, Prepared, Ready, Setup, Stdio,
};
use walnut_host::{LimitNotices, Notice, Notices, manifest_of};
use walnut_policy::Printable;

/// Delay of the optimising compiler: a program that ends sooner is not compiled again.
const OPTIMISE_AFTER: Duration = Duration::from_millis(20);

/// Loads a component. An app is refused with a hint: apps are for `serve`.
pub fn load(target: &str) -> Result<Artifact, CommandError> {
    LocalArtifacts.load(&target.into()).map_err(|error| {
        match manifest_of(target).filter(|manifest| manifest.is_file()) {
            Some(_) => {
                CommandError::new(ExitReason::from(&error), format!("{} is an app, not a component", Printable(target)))
                    .hint(format!("serve it: `walnut serve {target}`"))
            }
            None => error.into(),
        }
    })
}

/// Loads, compiles and links the target.
pub fn prepare(settings: &GuestSettings, printer: Printer) -> Result<Ready, CommandError> {
    start_logging()?;
    let artifact = load(&settings.target)?;
    let gate = gate(artifact.short_name(), &settings.grants, &settings.arguments, printer)?;
    let config = EngineConfig {
        tiers: settings.tiers,
        worker: compiler::worker(),
        ..EngineConfig::command(settings.limits.clone())
    }
    .for_artifact(&artifact);
    let cache = open_cache(printer);
    let is_kept = cache.is_some();
    let engine = Engine::new(&config, cache);
    let prepared = engine.prepare(&artifact, Some(&TerminalProgress))?;
    if let Some(reason) = engine.unkept() {
        printer.warning(&format!("the compiled code is not kept, since the cache did not take it: {reason}"));
    }
    // When standard error is no terminal, it is the program's own, and nobody waits at it.
    if let Some(reason) = prepared.unfit_for_baseline().filter(|_| io::stderr().is_terminal()) {
        printer.notify(&Notice::slow_compilation(artifact.short_name(), reason));
    }
    let ready = prepared.ready(setup(settings, gate, artifact.short_name(), printer)?)?;
    if is_kept && engine.can_optimise(&prepared) {
        optimise_meanwhile(engine, artifact, prepared);
    }
    Ok(ready)
}

fn setup(settings: &GuestSettings, gate: Gate, name: &str, printer: Printer) -> Result<Setup, CommandError> {
    let env = env_values(gate.policy(), printer);
    let mut setup = Setup::new(gate, settings.limits.clone(), Stdio::Inherit, true)?;
    setup.args = std::iter::once(name.to_owned()).chain(settings.arguments.iter().cloned()).collect();
    setup.env = env;
    let notices = LimitNotices::new(settings.target.clone());
    setup.limit_observer = Some(Arc::new(move |failure| {
        if let Some(notice) = notices.first(failure) {
            printer.notify(&notice);
        }
    }));
    Ok(setup)
}

/// Compiles optimised code for the program's next start while the program runs. Code that is not
/// ready at its end is given up.
fn optimise_meanwhile(engine: Arc<Engine>, artifact: Artifact, quick: Prepared) {
    let optimise = move || {
        thread::sleep(OPTIMISE_AFTER);
        // The program runs whether or not this succeeds.
        let _ = engine.optimise(&artifact, &quick);
    };
    // A system that refuses the thread leaves the program its baseline code.
    let _ = thread::Builder::new().spawn(optimise);
}
