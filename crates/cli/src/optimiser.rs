//! Makes the optimised code of what runs on the baseline compiler's.

use crate::printer::Printer;
use clap::{Args, ValueEnum};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use walnut_engine::{Artifact, Engine, LoadError, Prepared, Tiers};
use walnut_host::DeployedComponent;

/// Which code runs.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Compilation")]
pub struct TierFlag {
    /// Which code runs: `both` starts at once with the baseline compiler's and makes the optimised code, which is kept,
    /// meanwhile; `optimised` waits for it
    #[arg(long, value_name = "TIER", value_enum, default_value = "both")]
    tier: Tier,
}

// Not documented one by one, or the help of every flag would take three lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tier {
    Both,
    Baseline,
    Optimised,
}

impl TierFlag {
    pub fn tiers(self) -> Tiers {
        match self.tier {
            Tier::Both => Tiers::Both,
            Tier::Baseline => Tiers::Baseline,
            Tier::Optimised => Tiers::Optimised,
        }
    }
}

/// A program that ends sooner than this is left alone.
const SHORT: Duration = Duration::from_millis(20);

/// Makes the code for the next start of a program while it runs. What is not ready at its end is given up.
pub fn optimise_meanwhile(engine: Arc<Engine>, artifact: Artifact, quick: Prepared) {
    thread::spawn(move || {
        thread::sleep(SHORT);
        // Whatever goes wrong, the program runs.
        let _ = engine.optimise(&artifact, &quick);
    });
}

/// Changes services over to optimised code, one after the other.
#[derive(Clone)]
pub struct Optimiser {
    tasks: Sender<Task>,
}

struct Task {
    engine: Arc<Engine>,
    artifact: Artifact,
    quick: Prepared,
    title: String,
    hosted: Weak<DeployedComponent>,
}

impl Optimiser {
    pub fn start(printer: Printer) -> Self {
        let (tasks, waiting) = channel();
        thread::spawn(move || work(&waiting, printer));
        Optimiser { tasks }
    }

    /// Gives `hosted` the optimised code of `artifact` in place of the `quick` one once there is some, unless it is gone by
    /// then.
    pub fn later(
        &self,
        engine: &Arc<Engine>,
        artifact: Artifact,
        quick: Prepared,
        title: String,
        hosted: &Arc<DeployedComponent>,
    ) {
        let task = Task { engine: engine.clone(), artifact, quick, title, hosted: Arc::downgrade(hosted) };
        // It lives as long as the process.
        let _ = self.tasks.send(task);
    }
}

fn work(tasks: &Receiver<Task>, printer: Printer) {
    for task in tasks {
        if task.hosted.strong_count() == 0 {
            continue;
        }
        // A component that the compiler fails over keeps no other from its code.
        match catch_unwind(AssertUnwindSafe(|| task.run())) {
            Ok(Ok(true)) => printer.say(&format!("{}: optimised code from now on", task.title)),
            Ok(Ok(false)) => {}
            Ok(Err(e)) => printer.warning(&format!("{e}; it goes on with the baseline compiler's code")),
            Err(_) => printer.warning(&format!(
                "{}: the optimising compiler failed; it goes on with the baseline compiler's code",
                task.title
            )),
        }
    }
}

impl Task {
    /// Whether it still served when its code was ready.
    fn run(&self) -> Result<bool, LoadError> {
        let prepared = self.engine.optimise(&self.artifact, &self.quick)?;
        let Some(hosted) = self.hosted.upgrade() else { return Ok(false) };
        hosted.service.change_over(&prepared).map(|()| true)
    }
}
