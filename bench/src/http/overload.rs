//! Open-loop load of twice a server's capacity, with a queue that is short enough to be full.

use super::context::HttpBench;
use super::load::{CONNECTIONS, CROWD, WARM_UP};
use super::report::ReportSection;
use super::running::{MEMORY_READINGS, RunningServer};
use super::sample::LoadSample;
use super::servers::ServerSpec;
use super::stats::ratio;
use crate::error::BenchResult;
use crate::stats::group_digits;
use serde_json::{Value, json};
use std::time::Duration;
use walnut_test_programs::{JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO};

/// The load, as a multiple of the capacity.
const TIMES: f64 = 2.0;
/// A generator that uses more than this share of its core may be the limit.
const GENERATOR_LIMIT: f64 = 0.9;

/// The results of a server.
struct OverloadRow {
    name: &'static str,
    /// With closed-loop load.
    best: LoadSample,
    seconds: f64,
    /// The report of the load generator.
    report: Value,
    /// In MiB, before the load and after each part of its time.
    memory: Vec<f64>,
    core_used: f64,
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let rows = servers(bench).iter().map(|server| measure_turn(bench, server)).collect::<BenchResult<Vec<_>>>()?;
    Ok(ReportSection {
        key: "overload",
        markdown: markdown(&rows),
        rows: rows.iter().map(OverloadRow::json).collect(),
        failures: rows.iter().map(OverloadRow::failures).sum(),
    })
}

/// A guest whose request costs hardly more than a refusal, and a guest whose request costs ten
/// times that. With ten sandboxes there are refusals; with a hundred the light guest is done before
/// the queue is full.
fn servers(bench: &HttpBench) -> Vec<ServerSpec> {
    let [hello, javascript] = [RUST_P2_HTTP_HELLO, JS_P2_HTTP_HELLO].map(|guest| guest.path());
    let [hello, javascript] = [&hello, &javascript].map(|path| path.to_string_lossy());
    let server =
        |name, sandboxes, guest| bench.binaries.serve(name, &["--queue", "50", "--sandboxes", sandboxes, guest]);
    let servers = [
        server("walnut serve, 0.2, 100 sandboxes", "100", &hello),
        server("walnut serve, 0.2, 10 sandboxes", "10", &hello),
        server("walnut serve, JavaScript, 100 sandboxes", "100", &javascript),
        server("walnut serve, JavaScript, 10 sandboxes", "10", &javascript),
    ];
    let count = if bench.options.short { 2 } else { servers.len() };
    servers.into_iter().take(count).filter(|server| bench.options.includes(server.name)).collect()
}

fn measure_turn(bench: &HttpBench, server: &ServerSpec) -> BenchResult<OverloadRow> {
    let mut running = RunningServer::start(server, &bench.cores, "/")?;
    let closed_loop =
        |connections, seconds| bench.load.own_closed_loop(&bench.cores, &running, connections, seconds, &["hello"]);
    closed_loop(CONNECTIONS, WARM_UP)?;
    let best = closed_loop(CONNECTIONS, bench.options.seconds)?;
    // Allocates the memory of every connection before the first reading.
    closed_loop(CROWD, WARM_UP)?;
    let seconds = bench.options.stay;
    let before = running.cpu()?;
    let (report, memory) = flood(bench, &running, best.good_per_second() * TIMES, seconds)?;
    let core_used = (running.cpu()? - before) / seconds;
    running.check()?;
    eprintln!("{} had its overload", server.name);
    Ok(OverloadRow { name: server.name, best, seconds, report, memory, core_used })
}

/// Runs the load generator, and reads the memory of the server meanwhile.
fn flood(bench: &HttpBench, running: &RunningServer, rate: f64, seconds: f64) -> BenchResult<(Value, Vec<f64>)> {
    std::thread::scope(|scope| {
        let (rate, connections) = (rate.to_string(), CROWD.to_string());
        let arguments = ["flood", &running.address, &seconds.to_string(), &rate, &connections].map(str::to_owned);
        let flood = scope.spawn(move || {
            bench.load.own(&bench.cores, &arguments.each_ref().map(String::as_str)).map_err(|e| e.to_string())
        });
        let mut memory = vec![running.memory("VmRSS")?];
        for _ in 0..MEMORY_READINGS {
            std::thread::sleep(Duration::from_secs_f64(seconds / f64::from(MEMORY_READINGS)));
            memory.push(running.memory("VmRSS")?);
        }
        Ok((flood.join().map_err(|_| "the thread of the load generator panicked")??, memory))
    })
}

impl OverloadRow {
    fn per_second(&self, kind: &str) -> f64 {
        self.report[kind]["since_due"]["requests"].as_f64().unwrap_or(0.0) / self.seconds
    }

    fn count(&self, key: &str) -> u64 {
        self.report[key].as_u64().unwrap_or(0)
    }

    /// A refusal is an answer, and the server never saw a request that was not sent.
    fn failures(&self) -> u64 {
        self.count("wrong") + self.count("errors")
    }

    fn p99(&self, kind: &str, since: &str) -> String {
        let p99 = self.report[kind][since]["p99_us"].as_f64();
        p99.map_or_else(|| "–".to_owned(), |p99| group_digits(p99 / 1e3, 1) + " ms")
    }

    fn markdown(&self) -> String {
        let (good, best) = (self.per_second("good"), self.best.good_per_second());
        // Corrects for processor time that other programs took from either of the two measurements.
        let for_same_cpu = good / self.core_used / (best / self.best.core_used);
        let memory: Vec<_> = self.memory.iter().map(|mib| format!("{mib:.1}")).collect();
        let generator = self.report["generator_used"].as_f64().unwrap_or(f64::NAN);
        let limit = if generator > GENERATOR_LIMIT { " (the limit)" } else { "" };
        format!(
            "| {} | {} | {} | {} | {} ({}) | {} | {} ({}) | {} ({}) | {} / {} / {} | {} MiB | {:.0} %, {:.0} %{limit} |\n",
            self.name,
            group_digits(best, 0),
            group_digits(best * TIMES, 0),
            group_digits(good, 0),
            ratio(Some(good / best)),
            ratio(Some(for_same_cpu)),
            group_digits(self.per_second("refused"), 0),
            self.p99("good", "since_due"),
            self.p99("good", "since_sent"),
            self.p99("refused", "since_due"),
            self.p99("refused", "since_sent"),
            self.count("errors"),
            self.count("wrong"),
            group_digits(self.count("unsent") as f64, 0),
            memory.join(", "),
            self.core_used * 100.0,
            generator * 100.0,
        )
    }

    fn json(&self) -> Value {
        let best = self.best.good_per_second();
        json!({
            "server": self.name, "best_per_second": best, "best_core_used": self.best.core_used,
            "rate": best * TIMES, "seconds": self.seconds, "found": self.report, "memory_mib": self.memory,
            "core_used": self.core_used,
        })
    }
}

fn markdown(rows: &[OverloadRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut text = format!(
        "\n| {CROWD} connections, a queue of 50, {} s | best, {CONNECTIONS} connections | requests due a second | \
         good answers a second | share of the best (for the same processor time) | refused a second | \
         p99 of the good since due (since sent) | p99 of the refused | no answer / wrong / not sent | memory meanwhile | \
         core used, by the generator |\n|-|-|-|-|-|-|-|-|-|-|-|\n",
        first.seconds,
    );
    text.extend(rows.iter().map(OverloadRow::markdown));
    text
}
