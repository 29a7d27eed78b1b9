//! Sampling a program with Linux `perf`, and reading what it saw.

use super::super::http::{cores::Cores, servers::Running};
use super::super::{Outcome, on_path, scratch, succeed};
use super::parts::{Frame, Part, classify};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Samples a second. Not a round number, so that nothing that happens each millisecond is met each time or never.
pub const RATE: f64 = 3989.0;

pub struct Perf {
    program: PathBuf,
    data: PathBuf,
}

impl Perf {
    pub fn find() -> Outcome<Self> {
        let program =
            on_path("perf").ok_or("perf is not on the PATH: Debian package linux-perf, or linux-tools of Ubuntu")?;
        Ok(Self { program, data: scratch()?.join("perf.data") })
    }

    /// Samples a server for as many seconds, beside the load generator.
    pub fn start(&self, cores: &Cores, server: &Running, seconds: f64) -> Outcome<Child> {
        let mut command = cores.load(&self.program);
        // A clock of the system, as virtual machines seldom have the processor's counters.
        command.args(["record", "--quiet", "--event", "cpu-clock", "--freq", &RATE.to_string()]);
        // Stacks, for the kernel's part of them: it says which call a function belongs to.
        command.args(["--call-graph", "fp", "--pid", &server.id().to_string(), "--output"]).arg(&self.data);
        command.args(["--", "sleep", &seconds.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().map_err(|e| format!("{command:?} does not start: {e}").into())
    }

    /// What the samples were taken in, once `recording` ends.
    pub fn finish(&self, mut recording: Child) -> Outcome<Profile> {
        let status = recording.wait()?;
        if !status.success() {
            return Err(format!(
                "perf record failed: {status}; /proc/sys/kernel/perf_event_paranoid says who may use it"
            )
            .into());
        }
        let text = scratch()?.join("perf.txt");
        let mut command = Command::new(&self.program);
        command.args(["script", "--fields", "ip,sym,dso", "--input"]).arg(&self.data);
        succeed(command.stdout(std::fs::File::create(&text)?).stderr(Stdio::null()))?;
        let profile = Profile::read(&String::from_utf8_lossy(&std::fs::read(&text)?));
        let _ = std::fs::remove_file(&text);
        let _ = std::fs::remove_file(&self.data);
        Ok(profile)
    }
}

/// How many samples there were of what.
#[derive(Default)]
pub struct Profile {
    pub samples: u64,
    parts: BTreeMap<Part, u64>,
    functions: BTreeMap<(Part, String), u64>,
}

impl Profile {
    /// Of the text of `perf script`: a stack is lines from the innermost function to the outermost, and then an empty one.
    fn read(text: &str) -> Self {
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

    pub fn share(&self, part: Part) -> f64 {
        self.share_of(self.parts.get(&part).copied().unwrap_or_default())
    }

    /// The functions with the most samples, and their shares.
    pub fn hottest(&self, count: usize) -> Vec<(Part, &str, f64)> {
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|(_, samples)| std::cmp::Reverse(**samples));
        let hottest = functions.into_iter().take(count);
        hottest.map(|((part, name), samples)| (*part, name.as_str(), self.share_of(*samples))).collect()
    }

    fn share_of(&self, samples: u64) -> f64 {
        samples as f64 / self.samples as f64
    }
}

/// Such as `ffffffff82028e25 tcp_sendmsg ([kernel.kallsyms])`.
fn frame(line: &str) -> Option<Frame<'_>> {
    let (_, rest) = line.trim().split_once(' ')?;
    let (symbol, place) = rest.trim().strip_suffix(')')?.rsplit_once('(')?;
    Some(Frame { symbol: symbol.trim(), place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_perf_script() {
        let text = "\
\tffffffff82028e25 tcp_sendmsg ([kernel.kallsyms])
\tffffffff816b826c do_writev ([kernel.kallsyms])
\t    7f6663f15f0e __GI___writev (/usr/lib/x86_64-linux-gnu/libc.so.6)

\t    560f41e08753 <(A1,) as wasmtime::Lower>::lower (/tmp/walnut)
\t    560f41e08700 std::main (/tmp/walnut)

\t    560f41e08754 <(A1,) as wasmtime::Lower>::lower (/tmp/walnut)

\t    7f6663f15f0e malloc (/usr/lib/x86_64-linux-gnu/libc.so.6)

";
        let profile = Profile::read(text);
        assert_eq!(profile.samples, 4);
        let shares = [Part::Network, Part::Engine, Part::Allocation, Part::Unknown].map(|part| profile.share(part));
        assert_eq!(shares, [0.25, 0.5, 0.25, 0.0]);
        assert_eq!(profile.hottest(1), [(Part::Engine, "<(A1,) as wasmtime::Lower>::lower", 0.5)]);
    }
}
