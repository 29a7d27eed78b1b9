//! `run`: a command from start to exit.

use crate::compile::prepared::Ready;
use crate::component::artifact_ref::ArtifactRef;
use crate::component::world::World;
use crate::failure::error::{Failure, LoadError};
use crate::failure::explain;
use crate::run::supervise::supervise;
use crate::sandbox::sandbox::Sandbox;
use crate::scheduler::meter::Metered;
use std::mem::ManuallyDrop;
use std::time::Instant;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3::bindings as p3;

/// End of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The command exited with this code.
    Code(i32),
    /// The command failed, or was ended.
    Failed(Failure),
}

/// Remedy for a component of a draft.
pub(crate) const REBUILD: &str = "rebuild it with a toolchain for WASI 0.2 or for the final WASI 0.3";

/// Explains a component that only an interface of a draft would start.
pub(crate) fn of_draft(export: &str) -> String {
    format!("it exports `{export}` of a draft that WASI has replaced")
}

impl Ready {
    /// Checks that this is a command.
    ///
    /// # Errors
    /// A component of another kind, with a hint how to start it.
    pub fn check_command(&self) -> Result<(), LoadError> {
        if self.code.worlds.iter().any(|w| matches!(w, World::Command0_2 | World::Command0_3)) {
            return Ok(());
        }
        let target = ArtifactRef::text_of(&self.name);
        let (reason, hint) = if let Some(export) = &self.code.draft {
            (of_draft(export), REBUILD.to_owned())
        } else if self.code.worlds.iter().any(World::is_service) {
            ("it is an HTTP service, not a command".to_owned(), format!("serve it: `walnut serve {target}`"))
        } else {
            (
                "it has no `run` function of wasi:cli".to_owned(),
                format!(
                    "call one of its functions: `walnut call {target} 'NAME(ARGUMENTS)'`; `walnut inspect --wit {target}` lists them"
                ),
            )
        };
        Err(LoadError::WrongWorld { name: self.name.clone(), verb: "run", reason, hint })
    }

    /// Runs the command to its end, within its limits, on a thread of its own. Leaves the sandbox,
    /// and the thread if a limit stopped it, to the system, as the process ends with the command.
    pub fn run(&self) -> Exit {
        let ready = self.clone();
        supervise(self, move || async move { ready.run_within_limits().await }).unwrap_or_else(Exit::Failed)
    }

    async fn run_within_limits(&self) -> Exit {
        let limits = &self.setup.limits;
        let store = Sandbox::store(&self.code.tier.wasmtime, &self.setup);
        let meter = store.data().meter.clone();
        let mut guest = Metered::new(self.drive(store), meter, self.code.tier.ticker.clone());
        guest.until(Instant::now() + limits.deadline, limits).await.unwrap_or_else(Exit::Failed)
    }

    async fn drive(&self, mut store: wasmtime::Store<Sandbox>) -> Exit {
        let result = if self.code.worlds.contains(&World::Command0_3) {
            self.run_0_3(&mut store).await
        } else {
            self.run_0_2(&mut store).await
        };
        // `leave_to_system` does the same with the rest.
        let _ = ManuallyDrop::new(store);
        match result {
            Ok(Ok(())) => Exit::Code(0),
            Ok(Err(())) => Exit::Code(1),
            Err(e) => match e.downcast_ref::<I32Exit>() {
                Some(exit) => Exit::Code(exit.0),
                None => Exit::Failed(explain::failure(&e, &self.setup.limits)),
            },
        }
    }

    async fn run_0_2(&self, store: &mut wasmtime::Store<Sandbox>) -> wasmtime::Result<Result<(), ()>> {
        let instance = Sandbox::instantiate(store, &self.code.pre).await?;
        let command = p2::Command::new(&mut *store, &instance)?;
        command.wasi_cli_run().call_run(store).await
    }

    async fn run_0_3(&self, store: &mut wasmtime::Store<Sandbox>) -> wasmtime::Result<Result<(), ()>> {
        let instance = Sandbox::instantiate(store, &self.code.pre).await?;
        let command = p3::Command::new(&mut *store, &instance)?;
        store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await).await?
    }
}
