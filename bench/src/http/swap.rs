//! Latency while a service changes over to optimised code, which is compiled on the core that
//! serves.

use super::context::HttpBench;
use super::report::ReportSection;
use super::running::RunningServer;
use super::servers::ServerSpec;
use crate::cargo::scratch_folder;
use crate::error::BenchResult;
use crate::stats::group_digits;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use walnut_test_programs::{JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO};

/// Requests a second. Few, so that the latency is that of the change-over and not of a queue.
const RATE: f64 = 100.0;
/// Message of the server once the optimised code is in use.
const CHANGED: &str = ": optimised code from now on";
/// Seconds before and after the message that count as the change-over.
const AROUND: f64 = 1.0;

/// The requests of one phase.
struct SwapRow {
    phase: &'static str,
    /// In milliseconds, sorted.
    latencies: Vec<f64>,
    failed: usize,
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let cache = scratch_folder()?.join("swap");
    let _ = std::fs::remove_dir_all(&cache);
    // A debug build would compile the large guest for a minute.
    let guest = if bench.options.short { RUST_P2_HTTP_HELLO } else { JS_P2_HTTP_HELLO }.path();
    let server = ServerSpec::with_cache(&bench.binaries.walnut, cache, &guest.to_string_lossy());
    let mut running = RunningServer::start(&server, &bench.cores, "/")?;
    let (report, changed) = trace_change(bench, &running)?;
    running.check()?;
    if changed.is_none() {
        eprintln!("there was no optimised code yet after {} s: give --stay more", bench.options.stay);
    }
    let rows: Vec<_> = rows(&report, changed).into_iter().filter(|row| !row.latencies.is_empty()).collect();
    Ok(ReportSection {
        key: "swap",
        markdown: markdown(&rows),
        rows: rows.iter().map(SwapRow::json).collect(),
        failures: rows.iter().map(|row| row.failed as u64).sum(),
    })
}

/// Returns every request, and the time of the change-over in seconds since 1970.
fn trace_change(bench: &HttpBench, running: &RunningServer) -> BenchResult<(Value, Option<f64>)> {
    let seconds = bench.options.stay.to_string();
    let arguments = ["trace", &running.address, &seconds, &RATE.to_string()].map(str::to_owned);
    std::thread::scope(|scope| {
        let arguments = arguments.each_ref().map(String::as_str);
        let trace = scope.spawn(move || bench.load.own(&bench.cores, &arguments).map_err(|e| e.to_string()));
        let mut changed = None;
        while changed.is_none() && !trace.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
            if running.log_contains(CHANGED)? {
                changed = Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64());
            }
        }
        Ok((trace.join().map_err(|_| "the thread of the load generator panicked")??, changed))
    })
}

/// Sorts the requests into phases.
fn rows(report: &Value, changed: Option<f64>) -> [SwapRow; 3] {
    let row = |phase| SwapRow { phase, latencies: Vec::new(), failed: 0 };
    let mut rows = ["before, while the optimised code is made", "a second before to a second after", "after"].map(row);
    for request in report["requests"].as_array().into_iter().flatten() {
        let due = request["due"].as_f64().unwrap_or(f64::NAN);
        let phase = match changed {
            Some(changed) if due >= changed + AROUND => 2,
            Some(changed) if due >= changed - AROUND => 1,
            _ => 0,
        };
        rows[phase].latencies.push(request["latency_us"].as_f64().unwrap_or(f64::NAN) / 1e3);
        rows[phase].failed += usize::from(request["good"] != true);
    }
    for row in &mut rows {
        row.latencies.sort_by(f64::total_cmp);
    }
    rows
}

impl SwapRow {
    /// The latency that so many thousandths of the requests do not exceed.
    fn quantile(&self, thousandths: usize) -> f64 {
        let index = (self.latencies.len() * thousandths).div_ceil(1000).saturating_sub(1);
        self.latencies.get(index).copied().unwrap_or(f64::NAN)
    }

    fn markdown(&self) -> String {
        let [p50, p99, longest] = [500, 990, 1000].map(|thousandths| group_digits(self.quantile(thousandths), 1));
        let Self { phase, latencies, failed } = self;
        format!(
            "| {phase} | {} | {p50} ms | {p99} ms | {longest} ms | {failed} |\n",
            group_digits(latencies.len() as f64, 0)
        )
    }

    fn json(&self) -> Value {
        json!({
            "phase": self.phase, "requests": self.latencies.len(), "failed": self.failed,
            "p50_ms": self.quantile(500), "p99_ms": self.quantile(990), "max_ms": self.quantile(1000),
        })
    }
}

fn markdown(rows: &[SwapRow]) -> String {
    let mut text = format!(
        "\n| a service from an empty cache, {RATE} req/s | requests | p50 | p99 | longest | failed |\n\
         |-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(SwapRow::markdown));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_sorted_into_phases() {
        let request = |due: f64, ms: f64, good: bool| json!({ "due": due, "latency_us": ms * 1e3, "good": good });
        let report = json!({ "requests": [
            request(8.9, 3.0, true), request(9.1, 70.0, false), request(10.9, 5.0, true), request(11.1, 1.0, true),
        ] });
        let of = |changed| rows(&report, changed).map(|row| (row.latencies.len(), row.failed, row.quantile(1000)));
        assert_eq!(of(Some(10.0)), [(1, 0, 3.0), (2, 1, 70.0), (1, 0, 1.0)]);
        let [before, ..] = of(None);
        assert_eq!(before, (4, 1, 70.0));
    }
}
