//! Compiles in a process of its own, with bounds on memory and processor time.
//!
//! An optimising compiler takes time and memory that grow faster than its input: ten kilobytes can
//! ask for gigabytes. A process ends at its bounds, and takes nobody with it. The baseline compiler
//! has one pass and needs no such process.
//!
//! The front door names the program ([`CompileWorker`]), usually itself, which calls
//! [`run_compile_worker`]. The worker reads a line with the job and then the binary, and answers
//! with a line, and then the code or the reason of the failure.

use crate::compile::compile_error::compile_error;
use crate::compile::config::{CallModel, Compiler};
use crate::compile::worker_program::CompileWorker;
use crate::component::artifact::{Artifact, Digest};
use crate::component::proposals::unsupported;
use crate::failure::error::LoadError;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use walnut_policy::units::size;

/// Memory of a worker, apart from what its input lets it expect, in bytes of address space.
const MEMORY: u64 = 1 << 30;
/// Address space for each byte of the binary.
const MEMORY_PER_BYTE: u64 = 128;
/// Processor time of a worker in seconds, apart from what its input lets it expect.
const CPU: u64 = 10;
/// Processor time in seconds of a worker whose code is used only if it comes soon.
const QUICK_CPU: u64 = 1;
/// Bytes of the binary for which a worker gets another second.
const BYTES_PER_SECOND: u64 = 64 << 10;

/// Settings of a compilation, as a line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompileJob {
    pub calls: CallModel,
    pub compiler: Compiler,
    pub checks_time: bool,
    pub urgency: Urgency,
}

/// Use of the code of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Replaces other code later. The worker has a low priority.
    Background,
    /// Somebody waits for it, and has other code if it takes long.
    IfQuick,
    /// Somebody waits for it.
    Needed,
}

impl CompileWorker {
    /// Compiles `binary`, the binary of `artifact` or what it became.
    pub(crate) fn compile(&self, job: CompileJob, artifact: &Artifact, binary: &[u8]) -> Result<Vec<u8>, LoadError> {
        let failed = |reason: String| LoadError::Compile { name: artifact.name.clone(), reason };
        let output = self.run(job, binary).map_err(|e| failed(format!("the compiler could not be started: {e}")))?;
        let (answer, rest) = output.split_at(output.iter().position(|b| *b == b'\n').map_or(output.len(), |at| at + 1));
        let reason = || String::from_utf8_lossy(rest).into_owned();
        match answer {
            b"code\n" => Ok(rest.to_vec()),
            b"invalid\n" => Err(LoadError::Invalid { name: artifact.name.clone(), reason: reason() }),
            b"memory\n" => Err(LoadError::Memory { name: artifact.name.clone(), needs: reason() }),
            b"unsupported\n" => Err(unsupported(&artifact.name, &reason()).unwrap_or_else(|| failed(reason()))),
            b"failed\n" => Err(failed(reason())),
            _ => Err(failed(bounds_reached(binary.len()))),
        }
    }

    fn run(&self, job: CompileJob, binary: &[u8]) -> io::Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        // The worker reads everything before it answers. It may end at its bounds before that.
        let written = child.stdin.take().map(|mut input| {
            input.write_all(job.to_line().as_bytes())?;
            input.write_all(binary)
        });
        let mut output = Vec::new();
        let read = child.stdout.take().map(|mut answers| answers.read_to_end(&mut output));
        child.wait()?;
        read.transpose()?;
        match written {
            Some(Err(e)) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
            _ => Ok(output),
        }
    }
}

/// Explains a worker that ended without an answer.
fn bounds_reached(bytes: usize) -> String {
    let (memory, cpu) = bounds(bytes);
    format!("the compiler would need more than {} of memory or {cpu} s of processor time for it", size(memory))
}

/// Returns the bytes of address space and the seconds of a worker for a binary of this size.
fn bounds(bytes: usize) -> (u64, u64) {
    let bytes = bytes as u64;
    let memory = (MEMORY + bytes.saturating_mul(MEMORY_PER_BYTE)).next_multiple_of(1 << 20);
    (memory, CPU + bytes / BYTES_PER_SECOND)
}

impl CompileJob {
    fn to_line(self) -> String {
        let CompileJob { calls, compiler, checks_time, urgency } = self;
        format!("{} {} {checks_time} {}\n", calls as u8, compiler as u8, urgency as u8)
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.trim_end().split(' ');
        let calls = match words.next()? {
            "0" => CallModel::Serial,
            "1" => CallModel::Concurrent,
            _ => return None,
        };
        let compiler = match words.next()? {
            "0" => Compiler::Baseline,
            "1" => Compiler::Plain,
            "2" => Compiler::Optimising,
            _ => return None,
        };
        let checks_time = words.next()?.parse().ok()?;
        let urgency = match words.next()? {
            "0" => Urgency::Background,
            "1" => Urgency::IfQuick,
            "2" => Urgency::Needed,
            _ => return None,
        };
        Some(CompileJob { calls, compiler, checks_time, urgency })
    }

    fn engine(self) -> wasmtime::Result<wasmtime::Engine> {
        let mut config = self.compiler.config(self.checks_time);
        self.calls.configure(&mut config);
        wasmtime::Engine::new(&config)
    }
}

/// Does the job on `input`, within the bounds of a worker, and writes the answer to `output`.
///
/// # Errors
/// An input that is no job, or streams that cannot be used.
pub fn run_compile_worker(input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let mut line = String::new();
    input.by_ref().take(100).read_line(&mut line)?;
    let Some(job) = CompileJob::from_line(&line) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut binary = Vec::new();
    input.read_to_end(&mut binary)?;
    set_bounds(binary.len(), job.urgency);
    let compiled = job.engine().and_then(|engine| engine.precompile_component(&binary));
    match compiled {
        Ok(code) => {
            output.write_all(b"code\n")?;
            output.write_all(&code)
        }
        Err(e) => {
            let artifact = Artifact::binary("", Digest::of(&[]), Vec::new());
            let (answer, reason) = match compile_error(&artifact, &e) {
                LoadError::Invalid { reason, .. } => ("invalid", reason),
                LoadError::Unsupported { proposal, .. } => ("unsupported", proposal.to_owned()),
                LoadError::Memory { needs, .. } => ("memory", needs),
                LoadError::Compile { reason, .. } => ("failed", reason),
                other => ("failed", other.to_string()),
            };
            write!(output, "{answer}\n{reason}")
        }
    }?;
    output.flush()
}

/// Sets the bounds of this process, which also ends with its parent.
#[cfg(unix)]
fn set_bounds(bytes: usize, urgency: Urgency) {
    use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let (memory, cpu) = bounds(bytes);
    let cpu = if urgency == Urgency::IfQuick { QUICK_CPU } else { cpu };
    for (resource, bound) in [(Resource::As, memory), (Resource::Cpu, cpu), (Resource::Core, 0)] {
        let before = getrlimit(resource);
        let bound = before.current.map_or(bound, |current| current.min(bound));
        let _ = setrlimit(resource, Rlimit { current: Some(bound), maximum: before.maximum });
    }
    if urgency == Urgency::Background {
        let _ = rustix::process::setpriority_process(None, 5);
    }
}

#[cfg(not(unix))]
fn set_bounds(_: usize, _: Urgency) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_as_it_was_written() {
        for calls in [CallModel::Serial, CallModel::Concurrent] {
            for compiler in [Compiler::Baseline, Compiler::Plain, Compiler::Optimising] {
                let others = [(true, Urgency::Background), (false, Urgency::IfQuick), (true, Urgency::Needed)];
                for (checks_time, urgency) in others {
                    let job = CompileJob { calls, compiler, checks_time, urgency };
                    assert_eq!(CompileJob::from_line(&job.to_line()), Some(job));
                }
            }
        }
        for line in ["", "2 0 true 0\n", "0 3 true 0\n", "0 0 yes 0\n", "0 0 true\n", "0 0 true 3\n"] {
            assert_eq!(CompileJob::from_line(line), None, "{line}");
        }
    }
}
