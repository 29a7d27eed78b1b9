//! What was found, for people and for machines.

use super::super::{Spread, grouped};
use super::servers::{NODE, WASMTIME};
use super::{BODIES_MIB, BodyRow, CLIENTS, CROWD, Cores, CrowdRow, LatencyRow, Load, NATIVE, Options, Row, Sample};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;

/// Where and how it was measured.
pub struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    /// What others did in the minute before.
    busy: f64,
    pinned: &'static str,
    generator: &'static str,
    rounds: usize,
    seconds: f64,
}

impl Machine {
    pub fn look(options: &Options, cores: &Cores, load: &Load) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let unknown = |text: Option<&str>| text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
        let (info, average) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
        let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(':').nth(1));
        Self {
            cpu: unknown(model),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: unknown(Some(&read("/proc/sys/kernel/osrelease"))),
            busy: average.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
            pinned: cores.describe(),
            generator: load.describe(),
            rounds: options.rounds,
            seconds: options.seconds,
        }
    }

    pub fn warn(&self) {
        if self.busy > 0.5 {
            eprintln!("the machine is busy (load {:.2}): numbers will be low and spread", self.busy);
        }
    }

    fn sentence(&self) -> String {
        let Self { cpu, cores, kernel, busy, pinned, generator, rounds, seconds } = self;
        format!(
            "{rounds} rounds of {seconds} s, `{generator}`, {pinned}; {cores} cores of {cpu}, Linux {kernel}, load before: {busy:.2}."
        )
    }

    fn json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cores": self.cores, "kernel": self.kernel, "load_before": self.busy,
            "pinned": self.pinned, "generator": self.generator, "rounds": self.rounds, "seconds": self.seconds,
        })
    }
}

impl Row {
    pub fn requests_per_second(&self) -> Spread {
        self.spread(|sample| sample.requests_per_second)
    }

    fn spread(&self, of: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(&self.samples.iter().map(of).collect::<Vec<_>>())
    }

    fn sum(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().map(of).sum()
    }

    fn markdown(&self, peers: &[Option<f64>]) -> String {
        let requests = self.requests_per_second();
        let mut line = format!(
            "| {} | {} | {} |",
            self.name,
            requests.show(1.0, 0, ""),
            self.spread(|sample| sample.p99_us).show(1e-3, 2, " ms")
        );
        for peer in peers {
            let ratio = peer.map_or_else(|| "–".to_owned(), |peer| format!("{:.2}", requests.median / peer));
            write!(line, " {ratio} |").expect("strings take all");
        }
        let cpu = self.spread(|sample| sample.cpu_us_per_request).show(1.0, 1, " µs");
        let core = self.spread(|sample| sample.core_used).median * 100.0;
        let (errors, refused) = (self.sum(|sample| sample.errors), self.sum(|sample| sample.refused));
        line + &format!(" {cpu} | {core:.0} % | {errors} / {refused} |\n")
    }

    fn json(&self) -> Value {
        let rounds = self.samples.iter().map(|sample| {
            json!({
                "requests_per_second": sample.requests_per_second, "p99_us": sample.p99_us,
                "socket_errors": sample.errors, "not_2xx": sample.refused,
                "cpu_us_per_request": sample.cpu_us_per_request, "core_used": sample.core_used,
            })
        });
        json!({ "server": self.name, "version": self.version, "rounds": rounds.collect::<Vec<_>>() })
    }
}

impl LatencyRow {
    /// In microseconds. A round in which nothing was answered has no latency.
    fn spread(&self, key: &str) -> Option<Spread> {
        let found: Vec<_> = self.found.iter().filter_map(|round| round[key].as_f64()).collect();
        (!found.is_empty()).then(|| Spread::of(&found))
    }

    fn markdown(&self, all: &[Self]) -> String {
        let native = all.iter().find(|row| row.name == NATIVE && row.share == self.share);
        let ratio = native.and_then(|native| Some(self.spread("p99_us")?.median / native.spread("p99_us")?.median));
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let spread = |key| self.spread(key).map_or_else(|| "–".to_owned(), |spread| spread.show(1e-3, 2, " ms"));
        let sum = |key: &str| self.found.iter().filter_map(|round| round[key].as_u64()).sum::<u64>();
        let rate = grouped(self.rate, 0);
        let (p50, p99, p999) = (spread("p50_us"), spread("p99_us"), spread("p999_us"));
        let failures = format!("{} / {} / {}", sum("errors"), sum("wrong"), sum("unsent"));
        let (share, name) = (self.share * 100.0, self.name);
        format!("| {share:.0} %: {rate} req/s | {name} | {p50} | {p99} | {ratio} | {p999} | {failures} |\n")
    }

    fn json(&self) -> Value {
        json!({ "server": self.name, "share": self.share, "rate": self.rate, "rounds": self.found })
    }
}

impl BodyRow {
    fn markdown(&self, native: Option<f64>) -> String {
        let rate = Spread::of(&self.rates);
        let ratio = native.map_or_else(|| "–".to_owned(), |native| format!("{:.2}", rate.median / native));
        let mut line = format!("| {} | {} | {ratio} |", self.name, rate.show(1.0, 0, " MiB/s"));
        for growth in &self.growth {
            write!(line, " {} |", Spread::of(growth).show(1.0, 1, " MiB")).expect("strings take all");
        }
        line + "\n"
    }

    fn json(&self) -> Value {
        let growth = BODIES_MIB.iter().zip(&self.growth);
        let growth: Vec<_> = growth.map(|(mib, growth)| json!({ "body_mib": mib, "growth_mib": growth })).collect();
        json!({ "server": self.name, "mib_per_second": self.rates, "peak_memory": growth })
    }
}

impl CrowdRow {
    fn markdown(&self) -> String {
        let best = self.best.good_per_second();
        let good = Spread::of(&self.crowded.iter().map(Sample::good_per_second).collect::<Vec<_>>());
        let p99 = Spread::of(&self.crowded.iter().map(|sample| sample.p99_us).collect::<Vec<_>>());
        let sum = |of: fn(&Sample) -> u64| self.crowded.iter().map(of).sum::<u64>();
        let memory: Vec<_> = self.memory.iter().map(|mib| format!("{mib:.1}")).collect();
        format!(
            "| {} | {} | {} | {:.2} | {} | {} / {} | {} MiB |\n",
            self.name,
            grouped(best, 0),
            good.show(1.0, 0, ""),
            good.median / best,
            p99.show(1e-3, 1, " ms"),
            sum(|sample| sample.errors),
            sum(|sample| sample.refused),
            memory.join(", "),
        )
    }

    fn json(&self) -> Value {
        let samples = self.crowded.iter().map(|sample| {
            json!({
                "good_per_second": sample.good_per_second(), "p99_us": sample.p99_us,
                "socket_errors": sample.errors, "not_2xx": sample.refused,
            })
        });
        let (best, samples) = (self.best.good_per_second(), samples.collect::<Vec<_>>());
        json!({ "server": self.name, "best_per_second": best, "crowded": samples, "memory_mib": self.memory })
    }
}

pub struct Report {
    pub machine: Machine,
    pub rows: Vec<Row>,
    pub latency: Vec<LatencyRow>,
    pub body: Vec<BodyRow>,
    pub crowd: Vec<CrowdRow>,
}

impl Report {
    /// Everything that should have been answered well and was not.
    pub fn failures(&self) -> u64 {
        let of =
            |found: &Value| ["errors", "wrong", "unsent"].iter().filter_map(|key| found[key].as_u64()).sum::<u64>();
        let latency = self.latency.iter().flat_map(|row| &row.found).map(of).sum::<u64>();
        latency + self.rows.iter().map(|row| row.sum(|sample| sample.errors + sample.refused)).sum::<u64>()
    }

    pub fn markdown(&self) -> String {
        let mut text = self.machine.sentence() + "\n";
        let mut versions: Vec<_> = self.rows.iter().map(|row| row.version.as_str()).collect();
        versions.dedup();
        if !versions.is_empty() {
            text += &format!("Versions: {}.\n", versions.join(", "));
            text += &self.throughput();
        }
        if !self.latency.is_empty() {
            text += "\n| share of walnut's capacity | server | p50 (middle half) | p99 | p99 × native | p99.9 | \
                     no answer / not right / not sent |\n|-|-|-|-|-|-|-|\n";
            text.extend(self.latency.iter().map(|row| row.markdown(&self.latency)));
        }
        if !self.body.is_empty() {
            let [small, large] = BODIES_MIB;
            text += &format!(
                "\n| {large} MiB echoed | rate (middle half) | × native | memory peak above idle, {small} MiB | {large} MiB |\n"
            );
            text += "|-|-|-|-|-|\n";
            let native = self.body.iter().find(|row| row.name == NATIVE).map(|row| Spread::of(&row.rates).median);
            text.extend(self.body.iter().map(|row| row.markdown(native)));
        }
        if !self.crowd.is_empty() {
            text += &format!(
                "\n| server | good answers a second, {CLIENTS} connections | {CROWD} connections for a minute (middle half) | \
                 share of the best | p99 | no answer / not 2xx | memory, every 15 s |\n|-|-|-|-|-|-|-|\n"
            );
            text.extend(self.crowd.iter().map(CrowdRow::markdown));
        }
        text
    }

    fn throughput(&self) -> String {
        // Of a peer with several settings, the best.
        let best = |name: &str| {
            let rows = self.rows.iter().filter(|row| row.name.starts_with(name));
            rows.map(|row| row.requests_per_second().median).max_by(f64::total_cmp)
        };
        let peers = [NATIVE, WASMTIME, NODE].map(best);
        let mut text =
            "\n| server | req/s (middle half) | p99 | × native | × `wasmtime serve` | × Node | CPU per request | \
                        core used | no answer / not 2xx |\n|-|-|-|-|-|-|-|-|-|\n"
                .to_owned();
        text.extend(self.rows.iter().map(|row| row.markdown(&peers)));
        if self.rows.iter().any(|row| row.name == WASMTIME) {
            text += "\n`wasmtime serve` is compared with at the better of its settings.\n";
        }
        text
    }

    pub fn json(&self) -> Value {
        json!({
            "version": 1,
            "machine": self.machine.json(),
            "throughput": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "latency": self.latency.iter().map(LatencyRow::json).collect::<Vec<_>>(),
            "body": self.body.iter().map(BodyRow::json).collect::<Vec<_>>(),
            "crowd": self.crowd.iter().map(CrowdRow::json).collect::<Vec<_>>(),
        })
    }
}
