//! Latency of a quiet app beside a noisy app in the same process, on the same core and thread.

use super::context::{HttpBench, write_manifest};
use super::fixed_rate::{FixedRateRuns, P99_COLUMNS};
use super::load::{CONNECTIONS, WARM_UP};
use super::report::ReportSection;
use super::running::RunningServer;
use super::servers::ServerSpec;
use crate::error::BenchResult;
use crate::stats::group_digits;
use serde_json::{Value, json};
use walnut_test_programs::{RUST_P2_HTTP_BAD, RUST_P2_HTTP_HELLO};

/// Load of the quiet app, as a share of its capacity alone.
const SHARE: f64 = 0.3;

const ALONE: NoisyNeighbour = NoisyNeighbour { name: "nobody", load: &[], status: "" };
const NOISES: [NoisyNeighbour; 6] = [
    ALONE,
    NoisyNeighbour {
        name: "CPU: 4 requests that compute to their limit of 100 ms",
        load: &["request", "/loop", "4"],
        status: "504",
    },
    NoisyNeighbour {
        name: "memory: 4 requests that fill their 128 MiB",
        load: &["request", "/memory", "4"],
        status: "500",
    },
    NoisyNeighbour {
        name: "connections: 900 that idle, 500 new ones a second",
        load: &["hold", "/count", "900", "500"],
        status: "200",
    },
    NoisyNeighbour {
        name: "logs: 4 requests that write 1 MiB of lines",
        load: &["request", "/log-bomb?mib=1", "4"],
        status: "200",
    },
    NoisyNeighbour { name: "requests: 100 at once", load: &["request", "/count", "100"], status: "200" },
];

/// The load on the noisy app.
struct NoisyNeighbour {
    name: &'static str,
    /// Arguments of the load generator.
    load: &'static [&'static str],
    /// Status of the responses that prove the noise.
    status: &'static str,
}

/// The quiet app beside one noise.
struct NeighbourRow {
    noise: &'static NoisyNeighbour,
    /// Requests a second.
    rate: f64,
    runs: FixedRateRuns,
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let server = two_apps(bench)?;
    let rate = capacity(bench, &server)? * SHARE;
    let row = |noise| NeighbourRow { noise, rate, runs: FixedRateRuns::default() };
    let mut rows: Vec<_> = NOISES.iter().map(row).collect();
    for round in 1..=bench.rounds() {
        for row in &mut rows {
            let report = measure_turn(bench, &server, row)?;
            let p99 = report["p99_us"].as_f64().unwrap_or(f64::NAN) / 1e3;
            bench.print_progress(round, &format!("beside {}: p99 {p99:.2} ms", row.noise.name));
            row.runs.0.push(report);
        }
    }
    Ok(ReportSection {
        key: "neighbours",
        markdown: markdown(&rows),
        rows: rows.iter().map(NeighbourRow::json).collect(),
        failures: rows.iter().map(|row| row.runs.failures()).sum(),
    })
}

/// Requests a second that the quiet app answers alone.
fn capacity(bench: &HttpBench, server: &ServerSpec) -> BenchResult<f64> {
    let running = RunningServer::start(server, &bench.cores, "/")?;
    let load = |seconds| bench.load.closed_loop(&bench.cores, &running, CONNECTIONS, seconds);
    load(WARM_UP)?;
    Ok(load(bench.options.seconds)?.requests_per_second)
}

/// A server of the quiet and the noisy app.
fn two_apps(bench: &HttpBench) -> BenchResult<ServerSpec> {
    let quiet = format!(
        "[app]\nname = \"quiet\"\n\n[component.hello]\nsource = {:?}\n\n\
         [[http]]\nroute = \"/\"\ncomponent = \"hello\"\n",
        RUST_P2_HTTP_HELLO.path()
    );
    // Only the loop has the short limit. On a slow machine the other noises would reach it before
    // they are heard.
    let noisy = format!(
        "[app]\nname = \"noisy\"\n\n[component.bad]\nsource = {bad:?}\n\n[component.loop]\nsource = {bad:?}\n\n\
         [component.loop.limits]\ncpu = \"100ms\"\n\n[[http]]\nroute = \"/**\"\ncomponent = \"bad\"\n\n\
         [[http]]\nroute = \"/loop\"\ncomponent = \"loop\"\n",
        bad = RUST_P2_HTTP_BAD.path()
    );
    let (quiet, noisy) = (write_manifest("quiet.toml", &quiet)?, write_manifest("noisy.toml", &noisy)?);
    Ok(bench.binaries.serve("walnut serve", &[&quiet.to_string_lossy(), &noisy.to_string_lossy()]))
}

fn measure_turn(bench: &HttpBench, server: &ServerSpec, row: &NeighbourRow) -> BenchResult<Value> {
    let mut running = RunningServer::start(server, &bench.cores, "/")?;
    let (rate, address) = (row.rate.to_string(), running.address.clone());
    let load = |seconds: f64, noise: &[&str]| {
        let seconds = seconds.to_string();
        bench.load.own(&bench.cores, &[&["rate", &address, &seconds, &rate], noise].concat())
    };
    load(WARM_UP, &[])?;
    let report = load(bench.options.seconds, row.noise.load)?;
    running.check()?;
    match row.noise.is_in(&report) {
        true => Ok(report),
        false => Err(format!("{} did not make its noise: {}", row.noise.name, report["noise"]).into()),
    }
}

impl NoisyNeighbour {
    /// Whether the report proves the noise.
    fn is_in(&self, report: &Value) -> bool {
        self.load.is_empty() || report["noise"][self.status].as_u64().is_some_and(|count| count > 0)
    }
}

impl NeighbourRow {
    fn markdown(&self, alone: &Self) -> String {
        let Self { noise, runs, .. } = self;
        let (p50, p99, failures) = (runs.show("p50_us"), runs.p99_against(&alone.runs), runs.show_failures());
        format!("| {} | {p50} | {p99} | {failures} |\n", noise.name)
    }

    fn json(&self) -> Value {
        json!({ "beside": self.noise.name, "rate": self.rate, "rounds": self.runs.0 })
    }
}

fn markdown(rows: &[NeighbourRow]) -> String {
    let rate = group_digits(rows[0].rate, 0);
    let mut text = format!(
        "\n| beside a noisy app, {rate} req/s | p50 (middle half) | {P99_COLUMNS} | no answer / wrong / not sent |\n\
         |-|-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(|row| row.markdown(&rows[0])));
    text
}
