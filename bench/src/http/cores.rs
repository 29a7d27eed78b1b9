//! Pins the server to the first core and the load generator to the second, so that neither takes
//! time from the other.

use crate::error::BenchResult;
use crate::programs::find_on_path;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct CorePinning {
    setpriv: PathBuf,
    /// `None` where the cores 0 and 1 cannot be used, as in some containers.
    taskset: Option<PathBuf>,
}

impl CorePinning {
    pub fn find() -> BenchResult<Self> {
        let setpriv = find_on_path("setpriv").ok_or(
            "setpriv is not on the PATH, and without it servers would outlive an interrupted benchmark: \
             Debian package util-linux",
        )?;
        let works = |program: &PathBuf| {
            let pins = |core| {
                let mut command = Command::new(program);
                command.args(["-c", core, "true"]).stderr(Stdio::null());
                command.status().is_ok_and(|status| status.success())
            };
            pins("0") && pins("1")
        };
        Ok(Self { setpriv, taskset: find_on_path("taskset").filter(works) })
    }

    /// A command for a server.
    pub fn server(&self, program: &Path) -> Command {
        self.on_core("0", program)
    }

    /// A command for a load generator.
    pub fn load(&self, program: &Path) -> Command {
        self.on_core("1", program)
    }

    /// The kernel kills the program when the benchmark ends, in any way.
    fn on_core(&self, core: &str, program: &Path) -> Command {
        let mut command = Command::new(&self.setpriv);
        command.args(["--pdeathsig", "KILL"]);
        if let Some(taskset) = &self.taskset {
            command.arg(taskset).args(["-c", core]);
        }
        command.arg(program);
        command
    }

    pub fn describe(&self) -> &'static str {
        match self.taskset {
            Some(_) => "server on core 0, load generator on core 1",
            None => "nothing pinned (needs `taskset` of Debian package util-linux, and the cores 0 and 1)",
        }
    }
}
