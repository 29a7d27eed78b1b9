//! Many more connections than a server can keep busy, all with a request under way.

use super::context::HttpBench;
use super::load::{CONNECTIONS, CROWD, WARM_UP};
use super::report::ReportSection;
use super::running::{MEMORY_READINGS, RunningServer};
use super::sample::LoadSample;
use super::servers::ServerSpec;
use super::stats::spread;
use crate::error::BenchResult;
use crate::stats::group_digits;
use serde_json::{Value, json};

/// The results of a server.
struct CrowdRow {
    name: &'static str,
    /// With few connections.
    best: LoadSample,
    crowded: Vec<LoadSample>,
    /// In MiB, before the crowd and after each part of its time.
    memory: Vec<f64>,
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let rows =
        bench.binaries.hello().iter().map(|server| measure_turn(bench, server)).collect::<BenchResult<Vec<_>>>()?;
    Ok(ReportSection {
        key: "crowd",
        markdown: markdown(&rows, bench.options.stay),
        rows: rows.iter().map(CrowdRow::json).collect(),
        failures: rows.iter().flat_map(|row| &row.crowded).map(LoadSample::failures).sum(),
    })
}

fn measure_turn(bench: &HttpBench, server: &ServerSpec) -> BenchResult<CrowdRow> {
    let mut running = RunningServer::start(server, &bench.cores, "/")?;
    let load = |connections, seconds| bench.load.closed_loop(&bench.cores, &running, connections, seconds);
    load(CONNECTIONS, WARM_UP)?;
    let best = load(CONNECTIONS, bench.options.seconds)?;
    // Allocates the memory of every connection before the first reading.
    load(CROWD, WARM_UP)?;
    let (mut crowded, mut memory) = (Vec::new(), vec![running.memory("VmRSS")?]);
    for _ in 0..MEMORY_READINGS {
        crowded.push(load(CROWD, bench.options.stay / f64::from(MEMORY_READINGS))?);
        memory.push(running.memory("VmRSS")?);
    }
    running.check()?;
    eprintln!("{} had its crowd", server.name);
    Ok(CrowdRow { name: server.name, best, crowded, memory })
}

fn markdown(rows: &[CrowdRow], stay: f64) -> String {
    let mut text = format!(
        "\n| server | good answers a second, {CONNECTIONS} connections | {CROWD} connections for {stay} s (middle half) | \
         share of the best | p99 | no answer / not 2xx | memory, every {} s |\n|-|-|-|-|-|-|-|\n",
        stay / f64::from(MEMORY_READINGS)
    );
    text.extend(rows.iter().map(CrowdRow::markdown));
    text
}

impl CrowdRow {
    fn markdown(&self) -> String {
        let best = self.best.good_per_second();
        let (good, p99) =
            (spread(&self.crowded, LoadSample::good_per_second), spread(&self.crowded, |sample| sample.p99_us));
        let sum = |count: fn(&LoadSample) -> u64| self.crowded.iter().map(count).sum::<u64>();
        let memory: Vec<_> = self.memory.iter().map(|mib| format!("{mib:.1}")).collect();
        format!(
            "| {} | {} | {} | {:.2} | {} | {} / {} | {} MiB |\n",
            self.name,
            group_digits(best, 0),
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
