//! A large body through an echo: its rate, and the memory that it takes.

use super::context::HttpBench;
use super::report::ReportSection;
use super::running::RunningServer;
use super::servers::{NATIVE, ServerSpec};
use super::stats::ratio;
use crate::error::BenchResult;
use crate::stats::Spread;
use serde_json::{Value, json};
use std::fmt::Write;
use walnut_test_programs::RUST_P2_HTTP_ECHO;

/// Lengths of the bodies. The smaller body shows how much of the memory is due to the length.
const BODIES_MIB: [u32; 2] = [16, 64];

/// The results of a server.
struct EchoRow {
    name: &'static str,
    /// MiB a second, of the largest body.
    rates: Vec<f64>,
    /// MiB by which the peak of memory exceeds the memory before, for each length.
    growth: [Vec<f64>; BODIES_MIB.len()],
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let servers = bench.binaries.with_guest(RUST_P2_HTTP_ECHO);
    let row =
        |server: &ServerSpec| EchoRow { name: server.name, rates: Vec::new(), growth: BODIES_MIB.map(|_| Vec::new()) };
    let mut rows = servers.each_ref().map(row);
    for round in 1..=bench.rounds() {
        for (server, row) in servers.iter().zip(&mut rows) {
            let rate = measure_turn(bench, server, row)?;
            bench.print_progress(round, &format!("{}: {rate:.0} MiB/s", server.name));
            row.rates.push(rate);
        }
    }
    Ok(ReportSection {
        key: "body",
        markdown: markdown(&rows),
        rows: rows.iter().map(EchoRow::json).collect(),
        failures: 0,
    })
}

/// Sends each body once, and returns the rate of the largest.
fn measure_turn(bench: &HttpBench, server: &ServerSpec, row: &mut EchoRow) -> BenchResult<f64> {
    let running = RunningServer::start(server, &bench.cores, "/method")?;
    let echo = |mib: u32| {
        let bytes = (u64::from(mib) << 20).to_string();
        let report = bench.load.own(&bench.cores, &["echo", &running.address, &bytes])?;
        let seconds = report["seconds"].as_f64().ok_or("bench-load reports no seconds")?;
        BenchResult::Ok(f64::from(mib) / seconds)
    };
    echo(1)?;
    let before = running.memory("VmRSS")?;
    let mut rate = 0.0;
    for (mib, growth) in BODIES_MIB.into_iter().zip(&mut row.growth) {
        running.reset_peak_memory()?;
        rate = echo(mib)?;
        growth.push(running.memory("VmHWM")? - before);
    }
    Ok(rate)
}

fn markdown(rows: &[EchoRow]) -> String {
    let [small, large] = BODIES_MIB;
    let mut text = format!(
        "\n| {large} MiB echoed | rate (middle half) | × native | memory peak above idle, {small} MiB | {large} MiB |\n\
         |-|-|-|-|-|\n"
    );
    let native = rows.iter().find(|row| row.name == NATIVE).map(|row| Spread::of(&row.rates).median);
    text.extend(rows.iter().map(|row| row.markdown(native)));
    text
}

impl EchoRow {
    fn markdown(&self, native: Option<f64>) -> String {
        let rate = Spread::of(&self.rates);
        let ratio = ratio(native.map(|native| rate.median / native));
        let mut line = format!("| {} | {} | {ratio} |", self.name, rate.show(1.0, 0, " MiB/s"));
        for growth in &self.growth {
            write!(line, " {} |", Spread::of(growth).show(1.0, 1, " MiB")).expect("a string takes all text");
        }
        line + "\n"
    }

    fn json(&self) -> Value {
        let growth = BODIES_MIB.iter().zip(&self.growth);
        let growth: Vec<_> = growth.map(|(mib, growth)| json!({ "body_mib": mib, "growth_mib": growth })).collect();
        json!({ "server": self.name, "mib_per_second": self.rates, "peak_memory": growth })
    }
}
