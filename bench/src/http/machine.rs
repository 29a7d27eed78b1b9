//! The machine and the settings of a measurement.

use super::context::HttpBench;
use serde_json::{Value, json};
use std::fs;

/// A load average above this disturbs a measurement.
const BUSY: f64 = 0.5;

pub struct MachineInfo {
    cpu: String,
    cores: usize,
    kernel: String,
    /// Load average of the minute before.
    load_before: f64,
    pinned: &'static str,
    generator: &'static str,
    rounds: usize,
    seconds: f64,
}

impl MachineInfo {
    pub fn read(bench: &HttpBench) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let or_unknown = |text: Option<&str>| text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
        let (info, average) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
        let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(':').nth(1));
        Self {
            cpu: or_unknown(model),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: or_unknown(Some(&read("/proc/sys/kernel/osrelease"))),
            load_before: average.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
            pinned: bench.cores.describe(),
            generator: bench.load.describe(),
            rounds: bench.rounds(),
            seconds: bench.options.seconds,
        }
    }

    pub fn warn_when_busy(&self) {
        if self.load_before > BUSY {
            eprintln!("the machine is busy (load {:.2}): numbers will be low and spread", self.load_before);
        }
    }

    pub fn sentence(&self) -> String {
        let Self { cpu, cores, kernel, load_before, pinned, generator, rounds, seconds } = self;
        format!(
            "{rounds} rounds of {seconds} s, `{generator}`, {pinned}; {cores} cores of {cpu}, Linux {kernel}, \
             load before: {load_before:.2}."
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cores": self.cores, "kernel": self.kernel, "load_before": self.load_before,
            "pinned": self.pinned, "generator": self.generator, "rounds": self.rounds, "seconds": self.seconds,
        })
    }
}
