//! Many bodies of 1 MiB, in responses or in requests.

use super::context::HttpBench;
use super::load::{CONNECTIONS, WARM_UP};
use super::report::ReportSection;
use super::running::RunningServer;
use super::sample::LoadSample;
use super::servers::{NATIVE, ServerSpec};
use super::stats::{ratio, spread};
use crate::error::BenchResult;
use crate::stats::Spread;
use serde_json::{Value, json};
use walnut_test_programs::{Guest, RUST_P2_HTTP_BAD, RUST_P2_HTTP_ECHO};

const MIB: &str = "1048576";
const DIRECTIONS: [BodyDirection; 2] = [
    // The path `/big` of the bad guest is harmless.
    BodyDirection { name: "answers", guest: RUST_P2_HTTP_BAD, load: ["download", "/big", MIB] },
    BodyDirection { name: "requests", guest: RUST_P2_HTTP_ECHO, load: ["upload", "/hash", MIB] },
];

struct BodyDirection {
    name: &'static str,
    guest: Guest,
    /// Arguments of the load generator.
    load: [&'static str; 3],
}

/// A server and a direction.
struct BodiesRow {
    direction: &'static str,
    name: &'static str,
    samples: Vec<LoadSample>,
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let servers = |direction| servers(bench, direction).into_iter().map(move |server| (direction, server));
    let turns: Vec<_> = DIRECTIONS.iter().flat_map(servers).collect();
    let mut rows: Vec<_> = turns
        .iter()
        .map(|(direction, server)| BodiesRow { direction: direction.name, name: server.name, samples: Vec::new() })
        .collect();
    for round in 1..=bench.rounds() {
        for ((direction, server), row) in turns.iter().zip(&mut rows) {
            let sample = measure_turn(bench, direction, server)?;
            let rate = sample.requests_per_second;
            bench.print_progress(round, &format!("{}: {rate:.0} {} of 1 MiB a second", server.name, direction.name));
            row.samples.push(sample);
        }
    }
    Ok(ReportSection {
        key: "bodies",
        markdown: markdown(&rows),
        rows: rows.iter().map(BodiesRow::json).collect(),
        failures: rows.iter().flat_map(|row| &row.samples).map(LoadSample::failures).sum(),
    })
}

fn servers(bench: &HttpBench, direction: &BodyDirection) -> Vec<ServerSpec> {
    let mut servers = Vec::from(bench.binaries.with_guest(direction.guest));
    if !bench.options.short {
        servers.extend(ServerSpec::wasmtime(direction.guest));
    }
    servers
}

fn measure_turn(bench: &HttpBench, direction: &BodyDirection, server: &ServerSpec) -> BenchResult<LoadSample> {
    let running = RunningServer::start(server, &bench.cores, "/method")?;
    let load = |seconds| {
        let sample = bench.load.own_closed_loop(&bench.cores, &running, CONNECTIONS, seconds, &direction.load);
        sample.map_err(|e| format!("{}: {e}", server.name))
    };
    load(WARM_UP)?;
    Ok(load(bench.options.seconds)?)
}

fn markdown(rows: &[BodiesRow]) -> String {
    let mut text = format!(
        "\n| 1 MiB in each of | server, {CONNECTIONS} connections | MiB/s (middle half) | × native | CPU for each | \
         core used | failed |\n|-|-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(|row| row.markdown(rows)));
    text
}

impl BodiesRow {
    /// MiB a second, which is the number of requests.
    fn rate(&self) -> Spread {
        spread(&self.samples, |sample| sample.requests_per_second)
    }

    fn markdown(&self, all: &[Self]) -> String {
        let is_peer = |row: &&Self| row.name == NATIVE && row.direction == self.direction;
        let native = all.iter().find(is_peer).map(|row| row.rate().median);
        let Self { direction, name, .. } = self;
        let (rate, cpu) = (self.rate(), spread(&self.samples, |sample| sample.cpu_us_per_request));
        let core = spread(&self.samples, |sample| sample.core_used).median * 100.0;
        format!(
            "| {direction} | {name} | {} | {} | {} | {core:.0} % | {} |\n",
            rate.show(1.0, 0, ""),
            ratio(native.map(|native| rate.median / native)),
            cpu.show(1.0, 0, " µs"),
            self.samples.iter().map(LoadSample::failures).sum::<u64>(),
        )
    }

    fn json(&self) -> Value {
        let rounds: Vec<_> = self.samples.iter().map(LoadSample::json).collect();
        json!({ "way": self.direction, "server": self.name, "mib_each": 1, "rounds": rounds })
    }
}
