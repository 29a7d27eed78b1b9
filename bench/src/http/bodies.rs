//! Many bodies of 1 MiB, one way and the other.

use super::super::{Outcome, Spread};
use super::load::Sample;
use super::report::{ratio, spread};
use super::servers::{Running, Server};
use super::{Bench, CLIENTS, NATIVE, WARM_UP};
use serde_json::{Value, json};
use walnut_test_programs::{Guest, RUST_P2_HTTP_BAD, RUST_P2_HTTP_ECHO};

const MIB: &str = "1048576";
const WAYS: [Way; 2] = [
    // The bad guest does this one thing as others do.
    Way { name: "answers", guest: RUST_P2_HTTP_BAD, asks: ["download", "/big", MIB] },
    Way { name: "requests", guest: RUST_P2_HTTP_ECHO, asks: ["upload", "/hash", MIB] },
];

struct Way {
    name: &'static str,
    guest: Guest,
    asks: [&'static str; 3],
}

/// One server and one way.
pub struct BodiesRow {
    way: &'static str,
    name: &'static str,
    samples: Vec<Sample>,
}

impl Bench {
    pub fn bodies(&self) -> Outcome<Vec<BodiesRow>> {
        let servers = WAYS.iter().flat_map(|way| self.body_servers(way).into_iter().map(move |server| (way, server)));
        let servers: Vec<_> = servers.collect();
        let mut rows: Vec<_> = servers
            .iter()
            .map(|(way, server)| BodiesRow { way: way.name, name: server.name, samples: Vec::new() })
            .collect();
        for round in 1..=self.rounds() {
            for ((way, server), row) in servers.iter().zip(&mut rows) {
                let sample = self.bodies_turn(way, server)?;
                let rate = sample.requests_per_second;
                self.progress(round, &format!("{}: {rate:.0} {} of 1 MiB a second", server.name, way.name));
                row.samples.push(sample);
            }
        }
        Ok(rows)
    }

    fn body_servers(&self, way: &Way) -> Vec<Server> {
        let mut servers = Vec::from(self.ours.with(way.guest));
        if !self.options.short {
            servers.extend(Server::wasmtime(way.guest));
        }
        servers
    }

    fn bodies_turn(&self, way: &Way, server: &Server) -> Outcome<Sample> {
        let running = Running::start(server, &self.cores, "/method")?;
        let load = |seconds| {
            let sample = self.load.asking(&self.cores, &running, CLIENTS, seconds, &way.asks);
            sample.map_err(|e| format!("{}: {e}", server.name))
        };
        load(WARM_UP)?;
        Ok(load(self.options.seconds)?)
    }
}

impl BodiesRow {
    fn rate(&self) -> Spread {
        spread(&self.samples, |sample| sample.requests_per_second)
    }

    pub fn failures(&self) -> u64 {
        self.samples.iter().map(Sample::failures).sum()
    }

    fn markdown(&self, all: &[Self]) -> String {
        let native = all.iter().find(|row| row.name == NATIVE && row.way == self.way).map(|row| row.rate().median);
        let Self { way, name, .. } = self;
        let (rate, cpu) = (self.rate(), spread(&self.samples, |sample| sample.cpu_us_per_request));
        let core = spread(&self.samples, |sample| sample.core_used).median * 100.0;
        // As each has 1 MiB, there are as many MiB as requests.
        format!(
            "| {way} | {name} | {} | {} | {} | {core:.0} % | {} |\n",
            rate.show(1.0, 0, ""),
            ratio(native.map(|native| rate.median / native)),
            cpu.show(1.0, 0, " µs"),
            self.failures(),
        )
    }

    pub fn json(&self) -> Value {
        let rounds: Vec<_> = self.samples.iter().map(Sample::json).collect();
        json!({ "way": self.way, "server": self.name, "mib_each": 1, "rounds": rounds })
    }
}

pub fn markdown(rows: &[BodiesRow]) -> String {
    let mut text = format!(
        "\n| 1 MiB in each of | server, {CLIENTS} connections | a second, which is as many MiB (middle half) | × native | CPU for each | \
         core used | failed |\n|-|-|-|-|-|-|-|\n"
    );
    text.extend(rows.iter().map(|row| row.markdown(rows)));
    text
}
