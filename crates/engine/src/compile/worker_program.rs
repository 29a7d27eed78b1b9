//! The program that compiles in a process of its own.

use std::ffi::OsString;
use std::path::PathBuf;

/// A program that runs [`run_compile_worker`](crate::run_compile_worker).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileWorker {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl CompileWorker {
    /// Names the program and its arguments.
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        CompileWorker { program, arguments }
    }
}
