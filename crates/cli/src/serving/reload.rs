//! Reloads on SIGHUP, and with `--watch` when a file has changed.
//!
//! The new version is read and compiled while the previous one is served. It replaces the previous
//! version at once, or, if anything is wrong with it, not at all.

use crate::error::CommandError;
use crate::serving::context::ServeContext;
use crate::serving::sighup::SighupListener;
use crate::serving::watched_files;
use std::sync::Arc;
use walnut_host::{App, Deployment};

/// Loads the first version. With `--watch`, an error may be fixed while this waits, such as a
/// folder that is still being built.
pub async fn load_first(
    context: &Arc<ServeContext>,
    sighup: &mut SighupListener,
) -> Result<(Deployment, Vec<App>), CommandError> {
    loop {
        let error = match context.load(None).await {
            Err(error) if context.may_be_fixed(&error) => error,
            loaded => return loaded,
        };
        error.print(&context.printer);
        context.printer.warning("nothing is served yet; the next change of a file starts another try");
        tokio::select! {
            () = sighup.next() => {
                if sighup.is_terminal_closed() {
                    return Err(error);
                }
            }
            () = watched_files::changed(context.loader.inputs()) => {}
        }
    }
}

/// Replaces the deployed version at each request to reload.
pub struct ReloadLoop {
    pub context: Arc<ServeContext>,
    pub deployed: Arc<Deployment>,
    pub sighup: SighupListener,
}

impl ReloadLoop {
    /// Runs until the terminal is closed from which the server was started.
    pub async fn run(mut self) {
        let ServeContext { settings, node, printer, loader, .. } = &*self.context.clone();
        loop {
            tokio::select! {
                () = self.sighup.next() => {
                    if self.sighup.is_terminal_closed() {
                        return;
                    }
                }
                () = watched_files::changed(loader.inputs()), if settings.watches => {}
            }
            let outcome = self.reload().await;
            node.record_reload(outcome.is_ok());
            if let Err(error) = outcome {
                error.print(printer);
                printer.warning("nothing was reloaded; the previous version is still served");
            }
        }
    }

    async fn reload(&mut self) -> Result<(), CommandError> {
        let ServeContext { settings, node, printer, .. } = &*self.context;
        let (deployment, apps) = self.context.load(Some(self.deployed.clone())).await?;
        node.replace(apps);
        changes(&deployment, &self.deployed).iter().for_each(|line| printer.info(line));
        if settings.targets.iter().any(|target| target == "-") {
            printer.warning("standard input cannot be read again; the component from it stays");
        }
        self.deployed = Arc::new(deployment);
        Ok(())
    }
}

/// Describes the apps of `now` that differ from those of `before`.
fn changes(now: &Deployment, before: &Deployment) -> Vec<String> {
    let pairs = now.summaries.iter().zip(&before.summaries);
    let changed: Vec<_> = pairs.filter(|(now, before)| !now.has_content_of(before)).collect();
    let lines = changed.iter().flat_map(|(now, before)| {
        let first = format!("reloaded {}", now.place);
        let summary = if now.lines == before.lines { &[][..] } else { &now.lines };
        std::iter::once(first).chain(summary.iter().map(|line| format!("  {line}")))
    });
    if changed.is_empty() { vec!["reloaded; no file has changed".to_owned()] } else { lines.collect() }
}
