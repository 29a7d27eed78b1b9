//! What was found, for people and for machines.

use super::super::cold::ColdRow;
use super::super::{Spread, cold, grouped};
use super::bodies::{self, BodiesRow};
use super::neighbours::{self, NeighbourRow};
use super::overload::{self, OverloadRow};
use super::routes::{self, RoutesRow};
use super::servers::{NODE, WASMTIME};
use super::swap::{self, SwapRow};
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
            rounds: options.rounds.max(1),
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
        spread(&self.samples, of)
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
            write!(line, " {} |", ratio(peer.map(|peer| requests.median / peer))).expect("strings take all");
        }
        let cpu = self.spread(|sample| sample.cpu_us_per_request).show(1.0, 1, " µs");
        let core = self.spread(|sample| sample.core_used).median * 100.0;
        let (errors, refused) = (self.sum(|sample| sample.errors), self.sum(|sample| sample.refused));
        line + &format!(" {cpu} | {core:.0} % | {errors} / {refused} |\n")
    }

    fn json(&self) -> Value {
        let rounds: Vec<_> = self.samples.iter().map(Sample::json).collect();
        json!({ "server": self.name, "version": self.version, "rounds": rounds })
    }
}

impl Sample {
    pub fn json(&self) -> Value {
        json!({
            "requests_per_second": self.requests_per_second, "p99_us": self.p99_us,
            "socket_errors": self.errors, "not_2xx": self.refused,
            "cpu_us_per_request": self.cpu_us_per_request, "core_used": self.core_used,
        })
    }
}

pub fn spread(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Spread {
    Spread::of(&samples.iter().map(of).collect::<Vec<_>>())
}

pub fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// What our own generator found at a fixed rate, once a round.
#[derive(Default)]
pub struct Found(pub Vec<Value>);

impl Found {
    /// In microseconds. A round in which nothing was answered has no latency.
    fn spread(&self, key: &str) -> Option<Spread> {
        let found: Vec<_> = self.0.iter().filter_map(|round| round[key].as_f64()).collect();
        (!found.is_empty()).then(|| Spread::of(&found))
    }

    pub fn show(&self, key: &str) -> String {
        self.spread(key).map_or_else(|| "–".to_owned(), |spread| spread.show(1e-3, 2, " ms"))
    }

    /// p99 of each round and how it compares with that of `other`, of all its time and of its typical tenth of a second.
    pub fn p99_against(&self, other: &Self) -> String {
        let columns = ["p99_us", "p99_us_of_slices"].map(|key| {
            let compared = || Some(self.spread(key)?.median / other.spread(key)?.median);
            format!("{} | {}", self.show(key), ratio(compared()))
        });
        columns.join(" | ")
    }

    fn sum(&self, key: &str) -> u64 {
        self.0.iter().filter_map(|round| round[key].as_u64()).sum()
    }

    /// No answer, not right, not sent.
    pub fn show_failures(&self) -> String {
        ["errors", "wrong", "unsent"].map(|key| self.sum(key).to_string()).join(" / ")
    }

    /// What was not sent is none: the machine may have been busy.
    pub fn failures(&self) -> u64 {
        self.sum("errors") + self.sum("wrong")
    }
}

/// The heads of what [`Found::p99_against`] gives.
pub const P99_COLUMNS: &str = "p99 | × | p99 in a typical 0.1 s | ×";

impl LatencyRow {
    fn markdown(&self, all: &[Self]) -> String {
        let is_peer = |row: &&Self| row.name == NATIVE && !row.of_its_own && row.share == self.share;
        let native = all.iter().find(is_peer);
        let p99 = self.found.p99_against(native.map_or(&Found::default(), |native| &native.found));
        let rate = grouped(self.rate, 0);
        let [p50, p999] = ["p50_us", "p999_us"].map(|key| self.found.show(key));
        let failures = self.found.show_failures();
        let (share, name) = (self.share * 100.0, self.name);
        let whose = if self.of_its_own && name == NATIVE { " of its own" } else { "" };
        format!("| {share:.0} %{whose}: {rate} req/s | {name} | {p50} | {p99} | {p999} | {failures} |\n")
    }

    fn json(&self) -> Value {
        json!({
            "server": self.name, "share": self.share, "of_its_own": self.of_its_own, "rate": self.rate,
            "rounds": self.found.0,
        })
    }
}

impl BodyRow {
    fn markdown(&self, native: Option<f64>) -> String {
        let rate = Spread::of(&self.rates);
        let ratio = ratio(native.map(|native| rate.median / native));
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
        let (good, p99) =
            (spread(&self.crowded, Sample::good_per_second), spread(&self.crowded, |sample| sample.p99_us));
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
    pub bodies: Vec<BodiesRow>,
    pub crowd: Vec<CrowdRow>,
    pub overload: Vec<OverloadRow>,
    pub swap: Vec<SwapRow>,
    pub routes: Vec<RoutesRow>,
    pub neighbours: Vec<NeighbourRow>,
    pub cold: Vec<ColdRow>,
}

impl Report {
    /// Everything that should have been answered well and was not.
    pub fn failures(&self) -> u64 {
        let of_rows = self.rows.iter().map(|row| row.sum(Sample::failures));
        let of_latency = self.latency.iter().map(|row| row.found.failures());
        let of_bodies = self.bodies.iter().map(BodiesRow::failures);
        let of_crowd = self.crowd.iter().flat_map(|row| &row.crowded).map(Sample::failures);
        let of_overload = self.overload.iter().map(OverloadRow::failures);
        let of_swap = self.swap.iter().map(SwapRow::failures);
        let of_routes = self.routes.iter().map(RoutesRow::failures);
        let of_neighbours = self.neighbours.iter().map(NeighbourRow::failures);
        of_rows
            .chain(of_latency)
            .chain(of_bodies)
            .chain(of_crowd)
            .chain(of_overload)
            .chain(of_swap)
            .chain(of_routes)
            .chain(of_neighbours)
            .sum()
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
            text += &format!(
                "\n| share of walnut's capacity | server | p50 (middle half) | {P99_COLUMNS} | p99.9 | \
                 no answer / not right / not sent |\n|-|-|-|-|-|-|-|-|-|\n"
            );
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
        if !self.bodies.is_empty() {
            text += &bodies::markdown(&self.bodies);
        }
        if !self.crowd.is_empty() {
            text += &format!(
                "\n| server | good answers a second, {CLIENTS} connections | {CROWD} connections for a minute (middle half) | \
                 share of the best | p99 | no answer / not 2xx | memory, every 15 s |\n|-|-|-|-|-|-|-|\n"
            );
            text.extend(self.crowd.iter().map(CrowdRow::markdown));
        }
        if !self.overload.is_empty() {
            text += &overload::markdown(&self.overload);
        }
        if !self.swap.is_empty() {
            text += &swap::markdown(&self.swap);
        }
        if !self.routes.is_empty() {
            text += &routes::markdown(&self.routes);
        }
        if !self.neighbours.is_empty() {
            text += &neighbours::markdown(&self.neighbours);
        }
        if !self.cold.is_empty() {
            text += &format!("\n{}", cold::table(&self.cold));
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
            "bodies": self.bodies.iter().map(BodiesRow::json).collect::<Vec<_>>(),
            "crowd": self.crowd.iter().map(CrowdRow::json).collect::<Vec<_>>(),
            "overload": self.overload.iter().map(OverloadRow::json).collect::<Vec<_>>(),
            "swap": self.swap.iter().map(SwapRow::json).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(RoutesRow::json).collect::<Vec<_>>(),
            "neighbours": self.neighbours.iter().map(NeighbourRow::json).collect::<Vec<_>>(),
            "cold": self.cold.iter().map(ColdRow::json).collect::<Vec<_>>(),
        })
    }
}
