//! Requests per second of each server, with a fixed number of connections that always have a
//! request under way.

use super::context::HttpBench;
use super::load::{CONNECTIONS, WARM_UP};
use super::report::ReportSection;
use super::running::RunningServer;
use super::sample::LoadSample;
use super::servers::{NATIVE, NODE, ServerSpec, WASMTIME};
use super::stats::{ratio, spread};
use crate::error::BenchResult;
use crate::stats::Spread;
use serde_json::{Value, json};
use std::fmt::Write;

/// The rounds of one server.
pub struct ThroughputRow {
    pub name: &'static str,
    version: String,
    samples: Vec<LoadSample>,
}

pub fn measure(bench: &HttpBench) -> BenchResult<Vec<ThroughputRow>> {
    let servers = bench.binaries.with_peers()?;
    let servers: Vec<_> = servers.into_iter().filter(|server| bench.options.includes(server.name)).collect();
    if servers.is_empty() {
        return Err(format!("no installed server is called {:?}", bench.options.only()).into());
    }
    let row = |server: &ServerSpec| ThroughputRow { name: server.name, version: server.version(), samples: Vec::new() };
    let mut rows: Vec<_> = servers.iter().map(row).collect();
    for round in 1..=bench.options.rounds {
        for (server, row) in servers.iter().zip(&mut rows) {
            let sample = measure_turn(bench, server)?;
            bench.print_progress(round, &format!("{}: {:.0} req/s", server.name, sample.requests_per_second));
            row.samples.push(sample);
        }
    }
    Ok(rows)
}

fn measure_turn(bench: &HttpBench, server: &ServerSpec) -> BenchResult<LoadSample> {
    let mut running = RunningServer::start(server, &bench.cores, "/")?;
    let load = |seconds| {
        let sample = bench.load.closed_loop(&bench.cores, &running, CONNECTIONS, seconds);
        sample.map_err(|e| format!("{}: {e}", server.name))
    };
    load(WARM_UP)?;
    let sample = load(bench.options.seconds)?;
    running.check()?;
    Ok(sample)
}

impl ThroughputRow {
    pub fn requests_per_second(&self) -> Spread {
        self.spread(|sample| sample.requests_per_second)
    }

    fn spread(&self, value: impl Fn(&LoadSample) -> f64) -> Spread {
        spread(&self.samples, value)
    }

    fn sum(&self, count: impl Fn(&LoadSample) -> u64) -> u64 {
        self.samples.iter().map(count).sum()
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
            write!(line, " {} |", ratio(peer.map(|peer| requests.median / peer))).expect("a string takes all text");
        }
        let cpu = self.spread(|sample| sample.cpu_us_per_request).show(1.0, 1, " µs");
        let core = self.spread(|sample| sample.core_used).median * 100.0;
        let (errors, refused) = (self.sum(|sample| sample.errors), self.sum(|sample| sample.refused));
        line + &format!(" {cpu} | {core:.0} % | {errors} / {refused} |\n")
    }

    fn json(&self) -> Value {
        let rounds: Vec<_> = self.samples.iter().map(LoadSample::json).collect();
        json!({ "server": self.name, "version": self.version, "rounds": rounds })
    }
}

pub fn section(rows: &[ThroughputRow]) -> ReportSection {
    ReportSection {
        key: "throughput",
        markdown: if rows.is_empty() { String::new() } else { markdown(rows) },
        rows: rows.iter().map(ThroughputRow::json).collect(),
        failures: rows.iter().map(|row| row.sum(LoadSample::failures)).sum(),
    }
}

fn markdown(rows: &[ThroughputRow]) -> String {
    let mut versions: Vec<_> = rows.iter().map(|row| row.version.as_str()).collect();
    versions.dedup();
    // The best of the settings of a peer.
    let best = |name: &str| {
        let rows = rows.iter().filter(|row| row.name.starts_with(name));
        rows.map(|row| row.requests_per_second().median).max_by(f64::total_cmp)
    };
    let peers = [NATIVE, WASMTIME, NODE].map(best);
    let mut text = format!(
        "Versions: {}.\n\n| server | req/s (middle half) | p99 | × native | × `wasmtime serve` | × Node | \
         CPU per request | core used | no answer / not 2xx |\n|-|-|-|-|-|-|-|-|-|\n",
        versions.join(", ")
    );
    text.extend(rows.iter().map(|row| row.markdown(&peers)));
    if rows.iter().any(|row| row.name == WASMTIME) {
        text += "\n× `wasmtime serve` is by the better of its settings.\n";
    }
    text
}
