//! Who runs on which core: the server on the first and the load generator on the second, so that they do not take it from
//! each other.

use super::super::{Outcome, on_path};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Cores {
    setpriv: PathBuf,
    /// What pins a program to a core, where that is possible.
    taskset: Option<PathBuf>,
}

impl Cores {
    pub fn find() -> Outcome<Self> {
        let setpriv = on_path("setpriv").ok_or(
            "setpriv is not on the PATH, and without it servers would outlive a bench that is interrupted: \
             Debian package util-linux",
        )?;
        // Both must be ours to use, which in a container they need not be.
        let works = |program: &PathBuf| {
            let pins = |core| {
                let mut command = Command::new(program);
                command.args(["-c", core, "true"]).stderr(Stdio::null());
                command.status().is_ok_and(|status| status.success())
            };
            pins("0") && pins("1")
        };
        Ok(Self { setpriv, taskset: on_path("taskset").filter(works) })
    }

    /// A command for a server.
    pub fn server(&self, program: &Path) -> Command {
        self.on("0", program)
    }

    /// A command for a load generator.
    pub fn load(&self, program: &Path) -> Command {
        self.on("1", program)
    }

    /// It is killed when we end, however we do.
    fn on(&self, core: &str, program: &Path) -> Command {
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
            None => "nothing pinned (that takes `taskset`, of Debian's util-linux, and the cores 0 and 1)",
        }
    }
}
