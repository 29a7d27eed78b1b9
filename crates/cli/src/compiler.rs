//! The process in which the slower compilers run: this program, with an argument of its own.

use std::io::{stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use walnut_engine::{CompileWorker, run_compile_worker};

/// The only argument of the worker. It is no verb for people.
const ARGUMENT: &str = "__compile";

/// Returns the worker; `None` where the system does not tell where this program is.
pub fn worker() -> Option<CompileWorker> {
    // On Linux this name stays right when the program is replaced while it runs.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { own.to_owned() } else { std::env::current_exe().ok()? };
    Some(CompileWorker::new(program, vec![ARGUMENT.into()]))
}

/// Returns whether this process is the worker.
pub fn is_worker() -> bool {
    std::env::args_os().nth(1).is_some_and(|first| first == ARGUMENT)
}

/// Does the worker's job.
pub fn work() -> ExitCode {
    match run_compile_worker(stdin().lock(), stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
