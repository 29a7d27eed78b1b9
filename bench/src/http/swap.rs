//! What clients notice when a service changes over to optimised code, which is made on the core that it answers on.

use super::super::{Outcome, grouped, scratch};
use super::Bench;
use super::servers::{Running, Server};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use walnut_test_programs::{JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO};

/// Requests a second: few, so that what is seen is the change-over and not a queue.
const RATE: f64 = 100.0;
/// What the server says once the optimised code answers.
const SAID: &str = ": optimised code from now on";
/// Seconds before and after that count as the change-over.
const AROUND: f64 = 1.0;

pub struct SwapRow {
    phase: &'static str,
    /// In milliseconds, sorted.
    latencies: Vec<f64>,
    bad: usize,
}

impl Bench {
    pub fn swap(&self) -> Outcome<Vec<SwapRow>> {
        let cache = scratch()?.join("swap");
        let _ = std::fs::remove_dir_all(&cache);
        // A debug build would compile the large one for a minute.
        let guest = if self.options.short { RUST_P2_HTTP_HELLO } else { JS_P2_HTTP_HELLO }.path();
        let server = Server::with_cache(&self.ours.walnut, cache, &guest.to_string_lossy());
        let mut running = Running::start(&server, &self.cores, "/")?;
        let (found, changed) = self.watch_change(&running)?;
        running.check()?;
        if changed.is_none() {
            eprintln!("there was no optimised code yet after {} s: give --stay more", self.options.stay());
        }
        let rows = rows(&found, changed);
        Ok(rows.into_iter().filter(|row| !row.latencies.is_empty()).collect())
    }

    /// What was asked meanwhile, and when the server said that it has changed over.
    fn watch_change(&self, running: &Running) -> Outcome<(Value, Option<f64>)> {
        let words = ["trace", &running.address, &self.options.stay().to_string(), &RATE.to_string()].map(str::to_owned);
        std::thread::scope(|scope| {
            let words = words.each_ref().map(String::as_str);
            let trace = scope.spawn(move || self.load.own(&self.cores, &words).map_err(|e| e.to_string()));
            let mut changed = None;
            while changed.is_none() && !trace.is_finished() {
                std::thread::sleep(Duration::from_millis(10));
                if running.has_said(SAID)? {
                    changed = Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64());
                }
            }
            Ok((trace.join().map_err(|_| "the load generator's thread panicked")??, changed))
        })
    }
}

fn rows(found: &Value, changed: Option<f64>) -> [SwapRow; 3] {
    let row = |phase| SwapRow { phase, latencies: Vec::new(), bad: 0 };
    let mut rows = ["before, while the optimised code is made", "a second before to a second after", "after"].map(row);
    for request in found["requests"].as_array().into_iter().flatten() {
        let due = request["due"].as_f64().unwrap_or(f64::NAN);
        let phase = match changed {
            Some(changed) if due >= changed + AROUND => 2,
            Some(changed) if due >= changed - AROUND => 1,
            _ => 0,
        };
        rows[phase].latencies.push(request["latency_us"].as_f64().unwrap_or(f64::NAN) / 1e3);
        rows[phase].bad += usize::from(request["good"] != true);
    }
    for row in &mut rows {
        row.latencies.sort_by(f64::total_cmp);
    }
    rows
}

impl SwapRow {
    pub fn failures(&self) -> u64 {
        self.bad as u64
    }

    /// The latency that so many thousandths do not exceed.
    fn at(&self, thousandths: usize) -> f64 {
        let index = (self.latencies.len() * thousandths).div_ceil(1000).saturating_sub(1);
        self.latencies.get(index).copied().unwrap_or(f64::NAN)
    }

    fn markdown(&self) -> String {
        let [p50, p99, longest] = [500, 990, 1000].map(|thousandths| grouped(self.at(thousandths), 1));
        let Self { phase, latencies, bad } = self;
        format!("| {phase} | {} | {p50} ms | {p99} ms | {longest} ms | {bad} |\n", grouped(latencies.len() as f64, 0))
    }

    pub fn json(&self) -> Value {
        json!({
            "phase": self.phase, "requests": self.latencies.len(), "failed": self.bad,
            "p50_ms": self.at(500), "p99_ms": self.at(990), "max_ms": self.at(1000),
        })
    }
}

pub fn markdown(rows: &[SwapRow]) -> String {
    let mut text = format!(
        "\n| a service from an empty cache, {RATE} req/s | requests | p50 | p99 | the longest | failed |\n\
         |-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(SwapRow::markdown));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_phases_apart() {
        let request = |due: f64, ms: f64, good: bool| json!({ "due": due, "latency_us": ms * 1e3, "good": good });
        let found = json!({ "requests": [
            request(8.9, 3.0, true), request(9.1, 70.0, false), request(10.9, 5.0, true), request(11.1, 1.0, true),
        ] });
        let of = |changed| rows(&found, changed).map(|row| (row.latencies.len(), row.bad, row.at(1000)));
        assert_eq!(of(Some(10.0)), [(1, 0, 3.0), (2, 1, 70.0), (1, 0, 1.0)]);
        let [before, ..] = of(None);
        assert_eq!(before, (4, 1, 70.0));
    }
}
