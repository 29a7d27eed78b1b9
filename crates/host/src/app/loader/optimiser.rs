//! The optimiser: replaces baseline code of running components by optimised code, on a thread of
//! its own.

use crate::app::app::DeployedComponent;
use crate::app::loader::front_door::FrontDoor;
use crate::app::loader::notices::Notice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use walnut_engine::{Artifact, Engine, LoadError, Prepared};

/// Queue of components that run baseline code. They are optimised one after the other.
pub(crate) struct Optimiser {
    jobs: Sender<OptimiserJob>,
}

/// A component that is to be optimised.
pub(crate) struct OptimiserJob {
    pub engine: Arc<Engine>,
    pub artifact: Artifact,
    pub baseline: Prepared,
    pub title: String,
    /// Not optimised if it is gone by then.
    pub component: Weak<DeployedComponent>,
}

impl Optimiser {
    /// Starts the thread. It ends with the optimiser, after the jobs that are queued.
    pub(crate) fn start(front_door: Arc<dyn FrontDoor>) -> Self {
        let (jobs, queue) = channel();
        thread::spawn(move || work(&queue, &*front_door));
        Optimiser { jobs }
    }

    /// Queues a component.
    pub(crate) fn queue(&self, job: OptimiserJob) {
        // The thread receives for as long as `self` lives.
        let _ = self.jobs.send(job);
    }
}

fn work(queue: &Receiver<OptimiserJob>, front_door: &dyn FrontDoor) {
    for job in queue {
        if job.component.strong_count() == 0 {
            continue;
        }
        // A panic of the compiler must not keep other components from being optimised.
        let notice = match catch_unwind(AssertUnwindSafe(|| job.run())) {
            Ok(Ok(true)) => Notice::info(format!("{}: optimised code from now on", job.title)),
            Ok(Ok(false)) => continue,
            Ok(Err(e)) => Notice::warning(format!("{e}; it keeps its baseline code")),
            Err(_) => {
                Notice::warning(format!("{}: the optimising compiler failed; it keeps its baseline code", job.title))
            }
        };
        front_door.notify(&notice);
    }
}

impl OptimiserJob {
    /// Compiles and swaps the code. Returns `false` when the component was gone by then.
    fn run(&self) -> Result<bool, LoadError> {
        let optimised = self.engine.optimise(&self.artifact, &self.baseline)?;
        let Some(component) = self.component.upgrade() else { return Ok(false) };
        component.service.change_over(&optimised).map(|()| true)
    }
}
