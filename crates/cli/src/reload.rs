//! Serves what is described now in place of what was described before: on SIGHUP, and with `--watch` when a file changed.
//!
//! The new version is read and compiled beside the one that is served. It takes its place at once, or, when anything is
//! wrong with it, not at all.

use crate::apps::{Described, Setting, Size};
use crate::commands::cache;
use crate::error::{CommandError, of_system};
use std::io::IsTerminal;
use std::sync::Arc;
use walnut_engine::Engine;
use walnut_host::App;

/// What is served, for whatever comes next to be compared with.
pub struct Version {
    engine: Arc<Engine>,
    size: Size,
    apps: Vec<Face>,
}

/// How an app looks from outside.
pub struct Face {
    /// Where it was described.
    pub place: String,
    /// What it was described with and the folders that it serves; another text is another app.
    pub content: String,
    /// What is served and what it may do.
    pub summary: Vec<String>,
}

impl Version {
    /// Compiles and links `apps`. What is as it was in the version `before` shares its code.
    fn prepare(
        mut apps: Vec<Described>,
        before: Option<&Version>,
        setting: &Setting,
    ) -> Result<(Self, Vec<App>), CommandError> {
        let size = Size::of(&apps, setting.args.tier.tiers(), setting.args.node_sandboxes);
        // With other sizes the pools do not fit. With the same, requests under way in them count in the same places.
        let engine = match before.filter(|before| before.size == size) {
            Some(before) => before.engine.clone(),
            None => Engine::new(&size.engine, cache(setting.printer)),
        };
        if apps.iter().any(Described::is_wrong) {
            CommandError::all(apps.iter_mut().map(|app| app.try_out(&engine)))?;
        }
        let faces = apps.iter().map(Described::face).collect();
        let apps = CommandError::all(apps.into_iter().map(|app| app.prepare(&engine, setting)))?;
        Ok((Version { engine, size, apps: faces }, apps))
    }

    /// The version that is served first. With `--watch` whatever is wrong with it may be put right, as a folder that is still
    /// being built.
    pub async fn first(setting: &Arc<Setting>, hangups: &mut Hangups) -> Result<(Self, Vec<App>), CommandError> {
        loop {
            let error = match Self::prepared(None, setting).await {
                Err(error) if setting.may_change(&error) => error,
                prepared => return prepared,
            };
            error.print(&setting.printer);
            setting.printer.warning("nothing is served yet; it is tried again when a file changes");
            tokio::select! {
                () = hangups.next() => {
                    if hangups.is_of_terminal() {
                        return Err(error);
                    }
                }
                () = setting.sources.changed() => {}
            }
        }
    }

    /// Describes all anew and prepares it, on a thread that may block.
    async fn prepared(before: Option<Arc<Version>>, setting: &Arc<Setting>) -> Result<(Self, Vec<App>), CommandError> {
        let setting = setting.clone();
        let prepare = move || Self::prepare(Described::all(&setting)?, before.as_deref(), &setting);
        tokio::task::spawn_blocking(prepare).await.map_err(|e| of_system("preparing the apps", &e))?
    }

    /// The lines that say what is served instead of `before`.
    fn news(&self, before: &Version) -> Vec<String> {
        let pairs = self.apps.iter().zip(&before.apps);
        let changed: Vec<_> = pairs.filter(|(now, before)| now.content != before.content).collect();
        let lines = changed.iter().flat_map(|(now, before)| {
            let first = format!("reloaded {}", now.place);
            let summary = if now.summary == before.summary { &[][..] } else { &now.summary };
            std::iter::once(first).chain(summary.iter().map(|line| format!("  {line}")))
        });
        if changed.is_empty() { vec!["reloaded; no file has changed".to_owned()] } else { lines.collect() }
    }

    /// What each app says of itself when it is first served.
    pub fn faces(&self) -> &[Face] {
        &self.apps
    }
}

/// Replaces what is served whenever that is asked for.
pub struct Reload {
    pub setting: Arc<Setting>,
    pub served: Arc<Version>,
    pub hangups: Hangups,
}

impl Reload {
    /// Goes on until the terminal is closed from which the server was started.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.hangups.next() => {
                    if self.hangups.is_of_terminal() {
                        return;
                    }
                }
                () = self.setting.sources.changed(), if self.setting.args.watch => {}
            }
            let outcome = self.reload().await;
            self.setting.node.record_reload(outcome.is_ok());
            if let Err(error) = outcome {
                error.print(&self.setting.printer);
                self.setting.printer.warning("nothing was reloaded; the version from before is still served");
            }
        }
    }

    async fn reload(&mut self) -> Result<(), CommandError> {
        let (version, apps) = Version::prepared(Some(self.served.clone()), &self.setting).await?;
        self.setting.node.replace(apps);
        let printer = self.setting.printer;
        version.news(&self.served).iter().for_each(|line| printer.say(line));
        if self.setting.args.targets.iter().any(|target| target == "-") {
            printer.warning("standard input cannot be read again; what came from it stays");
        }
        self.served = Arc::new(version);
        Ok(())
    }
}

/// SIGHUP: a reload is asked for, or the terminal is gone.
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
    /// Which standard streams were terminals at the start.
    terminals: [bool; 3],
}

impl Hangups {
    /// From now on SIGHUP does not end the process.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Hangups {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
            terminals: terminals(),
        })
    }

    /// A terminal that was closed is none any more.
    fn is_of_terminal(&self) -> bool {
        self.terminals.iter().zip(terminals()).any(|(before, now)| *before && !now)
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        if self.signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

fn terminals() -> [bool; 3] {
    [std::io::stdin().is_terminal(), std::io::stdout().is_terminal(), std::io::stderr().is_terminal()]
}
