//! Twice what a server can answer, at times that do not wait for it, with a queue that is short enough to be full.

use super::super::{Outcome, grouped};
use super::load::Sample;
use super::report::ratio;
use super::servers::{Running, Server};
use super::{Bench, CLIENTS, CROWD, LOOKS, WARM_UP};
use serde_json::{Value, json};
use std::time::Duration;
use walnut_test_programs::{JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO};

/// What is asked, in what the server can answer at its best.
const TIMES: f64 = 2.0;
/// A generator that uses more than this of its core may be what limits.
const WORN_OUT: f64 = 0.9;

pub struct OverloadRow {
    name: &'static str,
    /// From connections that ask all the time.
    best: Sample,
    seconds: f64,
    found: Value,
    /// In MiB, before and after each part of the time.
    memory: Vec<f64>,
    core_used: f64,
}

impl Bench {
    pub fn overload(&self) -> Outcome<Vec<OverloadRow>> {
        self.flooded().iter().map(|server| self.overload_turn(server)).collect()
    }

    /// A request that costs hardly more than to refuse it does, and one that costs ten times that. With ten sandboxes there are
    /// refusals; with a hundred the light one is done before the queue is full.
    fn flooded(&self) -> Vec<Server> {
        let [hello, javascript] = [RUST_P2_HTTP_HELLO, JS_P2_HTTP_HELLO].map(|guest| guest.path());
        let [hello, javascript] = [&hello, &javascript].map(|path| path.to_string_lossy());
        let queue =
            |name, sandboxes, guest| self.ours.serving(name, &["--queue", "50", "--sandboxes", sandboxes, guest]);
        let servers = [
            queue("walnut serve, 0.2, 100 sandboxes", "100", &hello),
            queue("walnut serve, 0.2, 10 sandboxes", "10", &hello),
            queue("walnut serve, JavaScript, 100 sandboxes", "100", &javascript),
            queue("walnut serve, JavaScript, 10 sandboxes", "10", &javascript),
        ];
        let count = if self.options.short { 2 } else { servers.len() };
        servers.into_iter().take(count).filter(|server| self.options.takes(server)).collect()
    }

    fn overload_turn(&self, server: &Server) -> Outcome<OverloadRow> {
        let mut running = Running::start(server, &self.cores, "/")?;
        let closed = |seconds| self.load.asking(&self.cores, &running, CLIENTS, seconds, &["hello"]);
        closed(WARM_UP)?;
        let best = closed(self.options.seconds)?;
        // So that what each connection takes is there before.
        self.load.asking(&self.cores, &running, CROWD, WARM_UP, &["hello"])?;
        let seconds = self.options.stay();
        let (rate, connections) = ((best.good_per_second() * TIMES).to_string(), CROWD.to_string());
        let before = running.cpu()?;
        let (found, memory) = std::thread::scope(|scope| {
            let words = ["flood", &running.address, &seconds.to_string(), &rate, &connections];
            let words = words.map(str::to_owned);
            let flood = scope.spawn(move || {
                self.load.own(&self.cores, &words.each_ref().map(String::as_str)).map_err(|e| e.to_string())
            });
            let mut memory = vec![running.memory("VmRSS")?];
            for _ in 0..LOOKS {
                std::thread::sleep(Duration::from_secs_f64(seconds / f64::from(LOOKS)));
                memory.push(running.memory("VmRSS")?);
            }
            Outcome::Ok((flood.join().map_err(|_| "the load generator's thread panicked")??, memory))
        })?;
        let core_used = (running.cpu()? - before) / seconds;
        running.check()?;
        eprintln!("{} was flooded", server.name);
        Ok(OverloadRow { name: server.name, best, seconds, found, memory, core_used })
    }
}

impl OverloadRow {
    fn a_second(&self, kind: &str) -> f64 {
        self.found[kind]["since_due"]["requests"].as_f64().unwrap_or(0.0) / self.seconds
    }

    fn count(&self, key: &str) -> u64 {
        self.found[key].as_u64().unwrap_or(0)
    }

    /// Refused is answered; what was not sent, the server never saw.
    pub fn failures(&self) -> u64 {
        self.count("wrong") + self.count("errors")
    }

    fn p99(&self, kind: &str, since: &str) -> String {
        let p99 = self.found[kind][since]["p99_us"].as_f64();
        p99.map_or_else(|| "–".to_owned(), |p99| grouped(p99 / 1e3, 1) + " ms")
    }

    fn generator_used(&self) -> f64 {
        self.found["generator_used"].as_f64().unwrap_or(f64::NAN)
    }

    fn markdown(&self) -> String {
        let (good, best) = (self.a_second("good"), self.best.good_per_second());
        // Whatever others of the machine took from the one and not from the other.
        let for_the_same = good / self.core_used / (best / self.best.core_used);
        let memory: Vec<_> = self.memory.iter().map(|mib| format!("{mib:.1}")).collect();
        let generator = self.generator_used();
        let limit = if generator > WORN_OUT { " (the limit)" } else { "" };
        format!(
            "| {} | {} | {} | {} | {} ({}) | {} | {} ({}) | {} ({}) | {} / {} / {} | {} MiB | {:.0} %, {:.0} %{limit} |\n",
            self.name,
            grouped(best, 0),
            grouped(best * TIMES, 0),
            grouped(good, 0),
            ratio(Some(good / best)),
            ratio(Some(for_the_same)),
            grouped(self.a_second("refused"), 0),
            self.p99("good", "since_due"),
            self.p99("good", "since_sent"),
            self.p99("refused", "since_due"),
            self.p99("refused", "since_sent"),
            self.count("errors"),
            self.count("wrong"),
            grouped(self.count("unsent") as f64, 0),
            memory.join(", "),
            self.core_used * 100.0,
            generator * 100.0,
        )
    }

    pub fn json(&self) -> Value {
        let best = self.best.good_per_second();
        json!({
            "server": self.name, "best_per_second": best, "best_core_used": self.best.core_used,
            "rate": best * TIMES, "seconds": self.seconds, "found": self.found, "memory_mib": self.memory,
            "core_used": self.core_used,
        })
    }
}

pub fn markdown(rows: &[OverloadRow]) -> String {
    let mut text = format!(
        "\n| {CROWD} connections, a queue of 50, {} s | best, {CLIENTS} connections | asked a second | answered well | share of the best (for the same processor time) | \
         refused | p99 of the good since due (since sent) | p99 of the refused | no answer / wrong / not sent | memory meanwhile | \
         core used, by the generator |\n|-|-|-|-|-|-|-|-|-|-|-|\n",
        rows[0].seconds,
    );
    text.extend(rows.iter().map(OverloadRow::markdown));
    text
}
