//! What a quiet app notices of a noisy one in the same process, on the same core and the same thread.

use super::super::{Outcome, grouped};
use super::report::{Found, P99_COLUMNS};
use super::routes::manifest;
use super::servers::{Running, Server};
use super::{Bench, CLIENTS, WARM_UP};
use serde_json::{Value, json};
use walnut_test_programs::{RUST_P2_HTTP_BAD, RUST_P2_HTTP_HELLO};

/// What the quiet app is asked, as a share of what it could answer alone.
const SHARE: f64 = 0.3;

const ALONE: Noise = Noise { name: "nobody", words: &[], status: "" };
const NOISES: [Noise; 6] = [
    ALONE,
    Noise {
        name: "CPU: 4 requests that compute to their limit of 100 ms",
        words: &["ask", "/loop", "4"],
        status: "504",
    },
    Noise { name: "memory: 4 requests that fill their 128 MiB", words: &["ask", "/memory", "4"], status: "500" },
    Noise {
        name: "connections: 900 that idle, 500 new ones a second",
        words: &["hold", "/count", "900", "500"],
        status: "200",
    },
    Noise {
        name: "logs: 4 requests that write 1 MiB of lines",
        words: &["ask", "/log-bomb?mib=1", "4"],
        status: "200",
    },
    Noise { name: "requests: 100 at once", words: &["ask", "/count", "100"], status: "200" },
];

/// What the noisy app's clients do.
struct Noise {
    name: &'static str,
    /// What the load generator is told.
    words: &'static [&'static str],
    /// Of the answers by which the noise is known to have been what it should be.
    status: &'static str,
}

/// The quiet app beside one noise.
pub struct NeighbourRow {
    noise: &'static Noise,
    rate: f64,
    found: Found,
}

impl Bench {
    pub fn neighbours(&self) -> Outcome<Vec<NeighbourRow>> {
        let server = self.two_apps()?;
        let running = Running::start(&server, &self.cores, "/")?;
        self.load.closed(&self.cores, &running, CLIENTS, WARM_UP)?;
        let most = self.load.closed(&self.cores, &running, CLIENTS, self.options.seconds)?.requests_per_second;
        drop(running);
        let row = |noise| NeighbourRow { noise, rate: most * SHARE, found: Found::default() };
        let mut rows: Vec<_> = NOISES.iter().map(row).collect();
        for round in 1..=self.rounds() {
            for row in &mut rows {
                let found = self.neighbours_turn(&server, row)?;
                let p99 = found["p99_us"].as_f64().unwrap_or(f64::NAN) / 1e3;
                self.progress(round, &format!("beside {}: p99 {p99:.2} ms", row.noise.name));
                row.found.0.push(found);
            }
        }
        Ok(rows)
    }

    fn two_apps(&self) -> Outcome<Server> {
        let quiet = format!(
            "[app]\nname = \"quiet\"\n\n[component.hello]\nsource = {:?}\n\n\
             [[http]]\nroute = \"/\"\ncomponent = \"hello\"\n",
            RUST_P2_HTTP_HELLO.path()
        );
        // Only the loop has the short limit, which others reach on a slow machine before they made their noise.
        let noisy = format!(
            "[app]\nname = \"noisy\"\n\n[component.bad]\nsource = {bad:?}\n\n[component.loop]\nsource = {bad:?}\n\n\
             [component.loop.limits]\ncpu = \"100ms\"\n\n[[http]]\nroute = \"/**\"\ncomponent = \"bad\"\n\n\
             [[http]]\nroute = \"/loop\"\ncomponent = \"loop\"\n",
            bad = RUST_P2_HTTP_BAD.path()
        );
        let (quiet, noisy) = (manifest("quiet.toml", &quiet)?, manifest("noisy.toml", &noisy)?);
        Ok(self.ours.serving("walnut serve", &[&quiet.to_string_lossy(), &noisy.to_string_lossy()]))
    }

    fn neighbours_turn(&self, server: &Server, row: &NeighbourRow) -> Outcome<Value> {
        let mut running = Running::start(server, &self.cores, "/")?;
        let (rate, address) = (row.rate.to_string(), running.address.clone());
        let load = |seconds: f64, noise: &[&str]| {
            let seconds = seconds.to_string();
            self.load.own(&self.cores, &[&["rate", &address, &seconds, &rate], noise].concat())
        };
        load(WARM_UP, &[])?;
        let found = load(self.options.seconds, row.noise.words)?;
        running.check()?;
        match row.noise.is_in(&found) {
            true => Ok(found),
            false => Err(format!("{} was another noise than that: {}", row.noise.name, found["noise"]).into()),
        }
    }
}

impl Noise {
    /// Whether it was made.
    fn is_in(&self, found: &Value) -> bool {
        self.words.is_empty() || found["noise"][self.status].as_u64().is_some_and(|count| count > 0)
    }
}

impl NeighbourRow {
    pub fn failures(&self) -> u64 {
        self.found.failures()
    }

    fn markdown(&self, alone: &Self) -> String {
        let Self { noise, found, .. } = self;
        let (p50, p99, failures) = (found.show("p50_us"), found.p99_against(&alone.found), found.show_failures());
        format!("| {} | {p50} | {p99} | {failures} |\n", noise.name)
    }

    pub fn json(&self) -> Value {
        json!({ "beside": self.noise.name, "rate": self.rate, "rounds": self.found.0 })
    }
}

pub fn markdown(rows: &[NeighbourRow]) -> String {
    let rate = grouped(rows[0].rate, 0);
    let mut text = format!(
        "\n| beside a noisy app, {rate} req/s | p50 (middle half) | {P99_COLUMNS} | no answer / not right / not sent |\n\
         |-|-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(|row| row.markdown(&rows[0])));
    text
}
