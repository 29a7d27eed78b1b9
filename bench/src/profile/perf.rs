//! Sampling a program with Linux `perf`.

use super::parts::{RequestPart, StackFrame, classify};
use crate::cargo::scratch_folder;
use crate::error::BenchResult;
use crate::http::{CorePinning, RunningServer};
use crate::programs::{find_on_path, run_to_success};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Samples a second. A prime, so that it does not beat with work that is done every millisecond.
pub const SAMPLE_RATE: f64 = 3989.0;

pub struct PerfTool {
    program: PathBuf,
    data: PathBuf,
}

impl PerfTool {
    pub fn find() -> BenchResult<Self> {
        let program = find_on_path("perf")
            .ok_or("perf is not on the PATH: Debian package linux-perf, or linux-tools of Ubuntu")?;
        Ok(Self { program, data: scratch_folder()?.join("perf.data") })
    }

    /// Starts to sample a server for `seconds`, on the core of the load generator.
    pub fn start(&self, cores: &CorePinning, server: &RunningServer, seconds: f64) -> BenchResult<Child> {
        let mut command = cores.load(&self.program);
        // The clock of the system, since few virtual machines have the counters of the processor.
        command.args(["record", "--quiet", "--event", "cpu-clock", "--freq", &SAMPLE_RATE.to_string()]);
        // With stacks, whose kernel part names the system call that a function belongs to.
        command.args(["--call-graph", "fp", "--pid", &server.id().to_string(), "--output"]).arg(&self.data);
        command.args(["--", "sleep", &seconds.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().map_err(|e| format!("{command:?} does not start: {e}").into())
    }

    /// Waits for the end of `recording` and reads its samples.
    pub fn finish(&self, mut recording: Child) -> BenchResult<CpuProfile> {
        let status = recording.wait()?;
        if !status.success() {
            return Err(format!(
                "perf record failed: {status}; /proc/sys/kernel/perf_event_paranoid says who may use it"
            )
            .into());
        }
        let text = scratch_folder()?.join("perf.txt");
        let mut command = Command::new(&self.program);
        command.args(["script", "--fields", "ip,sym,dso", "--input"]).arg(&self.data);
        run_to_success(command.stdout(std::fs::File::create(&text)?).stderr(Stdio::null()))?;
        let profile = CpuProfile::parse(&String::from_utf8_lossy(&std::fs::read(&text)?));
        let _ = std::fs::remove_file(&text);
        let _ = std::fs::remove_file(&self.data);
        Ok(profile)
    }
}

/// Samples by part and by function.
#[derive(Default)]
pub struct CpuProfile {
    pub samples: u64,
    parts: BTreeMap<RequestPart, u64>,
    functions: BTreeMap<(RequestPart, String), u64>,
}

impl CpuProfile {
    /// Parses the output of `perf script`: for each stack the lines of its functions, innermost
    /// first, and an empty line.
    fn parse(text: &str) -> Self {
        let mut profile = Self::default();
        let stacks = text.split("\n\n").map(|stack| stack.lines().filter_map(frame).collect::<Vec<_>>());
        for stack in stacks.filter(|stack| !stack.is_empty()) {
            let (part, function) = classify(&stack);
            profile.samples += 1;
            *profile.parts.entry(part).or_default() += 1;
            *profile.functions.entry((part, function.to_owned())).or_default() += 1;
        }
        profile
    }

    pub fn share(&self, part: RequestPart) -> f64 {
        self.share_of(self.parts.get(&part).copied().unwrap_or_default())
    }

    /// The functions with the most samples, and their shares.
    pub fn hottest(&self, count: usize) -> Vec<(RequestPart, &str, f64)> {
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|(_, samples)| std::cmp::Reverse(**samples));
        let hottest = functions.into_iter().take(count);
        hottest.map(|((part, name), samples)| (*part, name.as_str(), self.share_of(*samples))).collect()
    }

    fn share_of(&self, samples: u64) -> f64 {
        samples as f64 / self.samples as f64
    }
}

/// Parses a line such as `ffffffff82028e25 tcp_sendmsg ([kernel.kallsyms])`.
fn frame(line: &str) -> Option<StackFrame<'_>> {
    let (_, rest) = line.trim().split_once(' ')?;
    let (symbol, place) = rest.trim().strip_suffix(')')?.rsplit_once('(')?;
    Some(StackFrame { symbol: symbol.trim(), place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_perf_script_is_parsed() {
        let text = "\
\tffffffff82028e25 tcp_sendmsg ([kernel.kallsyms])
\tffffffff816b826c do_writev ([kernel.kallsyms])
\t    7f6663f15f0e __GI___writev (/usr/lib/x86_64-linux-gnu/libc.so.6)

\t    560f41e08753 <(A1,) as wasmtime::Lower>::lower (/tmp/walnut)
\t    560f41e08700 std::main (/tmp/walnut)

\t    560f41e08754 <(A1,) as wasmtime::Lower>::lower (/tmp/walnut)

\t    7f6663f15f0e malloc (/usr/lib/x86_64-linux-gnu/libc.so.6)

";
        let profile = CpuProfile::parse(text);
        assert_eq!(profile.samples, 4);
        let shares = [RequestPart::Network, RequestPart::Engine, RequestPart::Allocation, RequestPart::Unknown]
            .map(|part| profile.share(part));
        assert_eq!(shares, [0.25, 0.5, 0.25, 0.0]);
        assert_eq!(profile.hottest(1), [(RequestPart::Engine, "<(A1,) as wasmtime::Lower>::lower", 0.5)]);
    }
}
