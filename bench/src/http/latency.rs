//! Latency with open-loop load, at shares of walnut's capacity.

use super::context::HttpBench;
use super::fixed_rate::{FixedRateRuns, P99_COLUMNS};
use super::load::WARM_UP;
use super::report::ReportSection;
use super::running::RunningServer;
use super::servers::{NATIVE, ServerSpec, WALNUT};
use super::throughput::ThroughputRow;
use crate::error::BenchResult;
use crate::stats::group_digits;
use serde_json::{Value, json};

/// Shares of walnut's capacity.
const SHARES: [f64; 3] = [0.3, 0.5, 0.7];

/// A server at a rate.
struct LatencyRow {
    name: &'static str,
    share: f64,
    /// Whether the share is of the capacity of this server, not of walnut's.
    of_its_own: bool,
    /// Requests a second.
    rate: f64,
    runs: FixedRateRuns,
}

pub fn measure(bench: &HttpBench, throughput: &[ThroughputRow]) -> BenchResult<ReportSection> {
    let servers = bench.binaries.hello();
    let mut rows = rows(&servers, throughput)?;
    for round in 1..=bench.options.rounds {
        for row in &mut rows {
            let server = servers.iter().find(|server| server.name == row.name).expect("rows are made from servers");
            let report = measure_turn(bench, server, row.rate)?;
            let p99 = report["p99_us"].as_f64().unwrap_or(f64::NAN) / 1e3;
            bench.print_progress(round, &format!("{} at {:.0} req/s: p99 {p99:.2} ms", row.name, row.rate));
            row.runs.0.push(report);
        }
    }
    Ok(ReportSection {
        key: "latency",
        markdown: markdown(&rows),
        rows: rows.iter().map(LatencyRow::json).collect(),
        failures: rows.iter().map(|row| row.runs.failures()).sum(),
    })
}

/// Each server at each share of walnut's capacity, and the native server at the highest share of
/// its own.
fn rows(servers: &[ServerSpec], throughput: &[ThroughputRow]) -> BenchResult<Vec<LatencyRow>> {
    let capacity = |name| {
        let row = throughput.iter().find(|row| row.name == name);
        row.map(|row| row.requests_per_second().median)
            .ok_or(format!("--latency needs the throughput of {name}; leave --only away"))
    };
    let row = |name, share, of: &'static str| {
        let (rate, of_its_own) = (capacity(of)? * share, name == of);
        BenchResult::Ok(LatencyRow { name, share, of_its_own, rate, runs: FixedRateRuns::default() })
    };
    let of_walnut = SHARES.iter().flat_map(|share| servers.iter().map(|server| (server.name, *share, WALNUT)));
    let of_its_own = [(NATIVE, SHARES[SHARES.len() - 1], NATIVE)];
    of_walnut.chain(of_its_own).map(|(name, share, of)| row(name, share, of)).collect()
}

fn measure_turn(bench: &HttpBench, server: &ServerSpec, rate: f64) -> BenchResult<Value> {
    let mut running = RunningServer::start(server, &bench.cores, "/")?;
    let rate = rate.to_string();
    let load = |seconds: f64| bench.load.own(&bench.cores, &["rate", &running.address, &seconds.to_string(), &rate]);
    load(WARM_UP)?;
    let report = load(bench.options.seconds)?;
    running.check()?;
    Ok(report)
}

fn markdown(rows: &[LatencyRow]) -> String {
    let mut text = format!(
        "\n| share of walnut's capacity | server | p50 (middle half) | {P99_COLUMNS} | p99.9 | \
         no answer / wrong / not sent |\n|-|-|-|-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(|row| row.markdown(rows)));
    text
}

impl LatencyRow {
    fn markdown(&self, all: &[Self]) -> String {
        let is_peer = |row: &&Self| row.name == NATIVE && !row.of_its_own && row.share == self.share;
        let native = all.iter().find(is_peer);
        let p99 = self.runs.p99_against(native.map_or(&FixedRateRuns::default(), |native| &native.runs));
        let rate = group_digits(self.rate, 0);
        let [p50, p999] = ["p50_us", "p999_us"].map(|key| self.runs.show(key));
        let failures = self.runs.show_failures();
        let (share, name) = (self.share * 100.0, self.name);
        let of_its_own = if self.of_its_own && name == NATIVE { " of its own" } else { "" };
        format!("| {share:.0} %{of_its_own}: {rate} req/s | {name} | {p50} | {p99} | {p999} | {failures} |\n")
    }

    fn json(&self) -> Value {
        json!({
            "server": self.name, "share": self.share, "of_its_own": self.of_its_own, "rate": self.rate,
            "rounds": self.runs.0,
        })
    }
}
