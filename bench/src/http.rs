//! How fast requests are answered, against peers.
//!
//! One server core, one for the load generator. The servers take turns, each started anew for its turn, so that a slow spell
//! of the machine hits all of them and no idle one disturbs; medians over the rounds are compared.

mod bodies;
pub mod cores;
pub mod load;
mod neighbours;
mod overload;
mod report;
mod routes;
pub mod servers;
mod swap;

use super::Outcome;
use cores::Cores;
use load::{Load, Sample};
use report::{Found, Machine, Report};
use servers::{NATIVE, Ours, Running, Server, WALNUT};
use std::path::PathBuf;
use walnut_test_programs::RUST_P2_HTTP_ECHO;

const USAGE: &str = "\
usage: cargo benchmarks http [OPTION...]
  --rounds N     how often each server has its turn (5; 0 leaves the first table out)
  --seconds N    how long a turn is (5)
  --only WORD    only servers whose names have this in them; may be repeated
  --latency      latency at 30, 50 and 70 % of what walnut can do, with a queue that shows
  --body         a body of 64 MiB through an echo, and many of 1 MiB each way
  --crowd        900 connections that ask all the time, for a minute: far more than can be answered
  --overload     twice what walnut can do, at times that do not wait for it, for a minute
  --swap         what clients notice when a JavaScript service changes over to optimised code, for a minute
  --stay N       how many seconds --crowd, --overload and --swap last instead
  --routes       apps of 1, 10, 100 and 1,000 routes
  --cold         how long the first answer takes from an empty cache and from full ones
  --neighbours   what a quiet app notices of one that wears out processor, memory, connections or log
  --walnut PATH  this binary, instead of building one
  --json FILE    every round, for machines
  --short        all of it in little: a second each of a debug build with the baseline compiler's code and of the peers that
                 are here, only to show that it works";

/// In seconds, before what is measured.
pub const WARM_UP: f64 = 1.0;
/// Shares of walnut's capacity.
const RATES: [f64; 3] = [0.3, 0.5, 0.7];
/// Connections that ask all the time: what walnut can do at its best, and far more than that.
pub const CLIENTS: u32 = 32;
const CROWD: u32 = 900;
/// How long a crowd stays, in seconds, and in how many parts, with a look at the memory after each.
const STAY: f64 = 60.0;
const SHORT_STAY: f64 = 2.0;
const LOOKS: u32 = 4;
/// The smaller only shows what memory the larger takes for being larger.
const BODIES_MIB: [u32; 2] = [16, 64];

pub struct Options {
    short: bool,
    latency: bool,
    body: bool,
    crowd: bool,
    overload: bool,
    swap: bool,
    routes: bool,
    neighbours: bool,
    cold: bool,
    rounds: usize,
    seconds: f64,
    stay: Option<u32>,
    only: Vec<String>,
    walnut: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let (mut rounds, mut seconds) = (None, None);
        let mut options = Self {
            short: false,
            latency: false,
            body: false,
            crowd: false,
            overload: false,
            swap: false,
            routes: false,
            neighbours: false,
            cold: false,
            rounds: 0,
            seconds: 0.0,
            stay: None,
            only: Vec::new(),
            walnut: None,
            json: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--short" => options.short = true,
                "--latency" => options.latency = true,
                "--body" => options.body = true,
                "--crowd" => options.crowd = true,
                "--overload" => options.overload = true,
                "--swap" => options.swap = true,
                "--routes" => options.routes = true,
                "--neighbours" => options.neighbours = true,
                "--cold" => options.cold = true,
                "--rounds" => rounds = Some(number(argument, &value()?)?),
                "--seconds" => seconds = Some(number(argument, &value()?)?),
                "--stay" => options.stay = Some(number(argument, &value()?)?),
                "--only" => options.only.push(value()?.to_lowercase()),
                "--walnut" => options.walnut = Some(value()?.into()),
                "--json" => options.json = Some(value()?.into()),
                other => return Err(format!("`http` does not know `{other}`\n{USAGE}").into()),
            }
        }
        options.rounds = rounds.unwrap_or(if options.short { 1 } else { 5 });
        options.seconds = f64::from(seconds.unwrap_or(if options.short { 1u32 } else { 5 }));
        if options.seconds == 0.0 || options.stay == Some(0) {
            return Err("--seconds and --stay are at least 1".into());
        }
        if (options.latency || options.short) && options.rounds == 0 {
            return Err("latency goes by what the first table finds; give --rounds at least 1".into());
        }
        Ok(options)
    }

    /// How long too many stay, in seconds.
    fn stay(&self) -> f64 {
        if self.short { SHORT_STAY } else { self.stay.map_or(STAY, f64::from) }
    }

    fn takes(&self, server: &Server) -> bool {
        let name = server.name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word))
    }
}

pub fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{flag} takes a whole number, not `{text}`").into())
}

/// One row of the first table.
pub struct Row {
    name: &'static str,
    version: String,
    samples: Vec<Sample>,
}

/// One server at one rate.
pub struct LatencyRow {
    name: &'static str,
    /// Of what walnut can do, or this server itself.
    share: f64,
    of_its_own: bool,
    rate: f64,
    found: Found,
}

/// One server and the body.
pub struct BodyRow {
    name: &'static str,
    /// MiB a second, of the largest body.
    rates: Vec<f64>,
    /// For each length, by how many MiB the most that was in memory exceeds what was there before.
    growth: [Vec<f64>; BODIES_MIB.len()],
}

/// One server under far more than it can answer.
pub struct CrowdRow {
    name: &'static str,
    /// What it does for a few.
    best: Sample,
    crowded: Vec<Sample>,
    /// In MiB, before and after each part of the minute.
    memory: Vec<f64>,
}

pub fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let cores = Cores::find()?;
    let ours = Ours::build(options.short, options.walnut.as_deref())?;
    let bench = Bench { load: Load::find(ours.load.clone()), cores, options, ours };
    bench.run()
}

struct Bench {
    options: Options,
    ours: Ours,
    cores: Cores,
    load: Load,
}

impl Bench {
    fn run(&self) -> Outcome {
        let options = &self.options;
        let machine = Machine::look(options, &self.cores, &self.load);
        machine.warn();
        let rows = if options.rounds > 0 { self.throughput()? } else { Vec::new() };
        let latency = self.when(options.latency, || self.latency(&rows))?;
        let body = self.when(options.body, || self.body())?;
        let bodies = self.when(options.body, || self.bodies())?;
        let crowd = self.when(options.crowd, || self.crowd())?;
        let overload = self.when(options.overload, || self.overload())?;
        let swap = self.when(options.swap, || self.swap())?;
        let routes = self.when(options.routes, || self.routes())?;
        let neighbours = self.when(options.neighbours, || self.neighbours())?;
        let cold = self.when(options.cold, || super::cold::service(&self.ours.walnut, options.short))?;
        let report = Report { machine, rows, latency, body, bodies, crowd, overload, swap, routes, neighbours, cold };
        print!("{}", report.markdown());
        if let Some(file) = &options.json {
            std::fs::write(file, format!("{:#}\n", report.json()))
                .map_err(|e| format!("--json {}: {e}", file.display()))?;
        }
        match report.failures() {
            failures if options.short && failures > 0 => Err(format!("{failures} requests failed").into()),
            _ => Ok(()),
        }
    }

    /// The short form has everything.
    fn when<T>(&self, wanted: bool, measure: impl FnOnce() -> Outcome<Vec<T>>) -> Outcome<Vec<T>> {
        if wanted || self.options.short { measure() } else { Ok(Vec::new()) }
    }

    fn throughput(&self) -> Outcome<Vec<Row>> {
        let servers: Vec<_> =
            servers::all(&self.ours)?.into_iter().filter(|server| self.options.takes(server)).collect();
        if servers.is_empty() {
            return Err(format!("no server that is here is called {:?}", self.options.only).into());
        }
        let mut rows: Vec<_> =
            servers.iter().map(|s| Row { name: s.name, version: s.version(), samples: Vec::new() }).collect();
        for round in 1..=self.options.rounds {
            for (server, row) in servers.iter().zip(&mut rows) {
                let sample = self.turn(server)?;
                self.progress(round, &format!("{}: {:.0} req/s", server.name, sample.requests_per_second));
                row.samples.push(sample);
            }
        }
        Ok(rows)
    }

    fn turn(&self, server: &Server) -> Outcome<Sample> {
        let mut running = Running::start(server, &self.cores, "/")?;
        let load = |seconds| {
            let sample = self.load.closed(&self.cores, &running, CLIENTS, seconds);
            sample.map_err(|e| format!("{}: {e}", server.name))
        };
        load(WARM_UP)?;
        let sample = load(self.options.seconds)?;
        running.check()?;
        Ok(sample)
    }

    fn latency(&self, rows: &[Row]) -> Outcome<Vec<LatencyRow>> {
        let capacity = |name| {
            let row = rows.iter().find(|row| row.name == name);
            row.map(|row| row.requests_per_second().median)
                .ok_or(format!("--latency needs the row of {name}; leave --only away"))
        };
        let servers = self.ours.hello();
        let row = |name, share, of: &'static str| {
            let (rate, of_its_own) = (capacity(of)? * share, name == of);
            Outcome::Ok(LatencyRow { name, share, of_its_own, rate, found: Found::default() })
        };
        let asked = RATES.iter().flat_map(|share| servers.iter().map(|server| (server.name, *share, WALNUT)));
        // The same share of what each of them can do is another question.
        let itself = [(NATIVE, RATES[RATES.len() - 1], NATIVE)];
        let mut latency =
            asked.chain(itself).map(|(name, share, of)| row(name, share, of)).collect::<Outcome<Vec<_>>>()?;
        for round in 1..=self.options.rounds {
            for row in &mut latency {
                let server = servers.iter().find(|server| server.name == row.name).expect("made from them");
                let mut running = Running::start(server, &self.cores, "/")?;
                let rate = row.rate.to_string();
                let load =
                    |seconds: f64| self.load.own(&self.cores, &["rate", &running.address, &seconds.to_string(), &rate]);
                load(WARM_UP)?;
                let found = load(self.options.seconds)?;
                running.check()?;
                let p99 = found["p99_us"].as_f64().unwrap_or(f64::NAN) / 1e3;
                self.progress(round, &format!("{} at {:.0} req/s: p99 {p99:.2} ms", row.name, row.rate));
                row.found.0.push(found);
            }
        }
        Ok(latency)
    }

    fn body(&self) -> Outcome<Vec<BodyRow>> {
        let servers = self.ours.with(RUST_P2_HTTP_ECHO);
        let mut rows = servers.each_ref().map(|server| BodyRow {
            name: server.name,
            rates: Vec::new(),
            growth: BODIES_MIB.map(|_| Vec::new()),
        });
        for round in 1..=self.rounds() {
            for (server, row) in servers.iter().zip(&mut rows) {
                let running = Running::start(server, &self.cores, "/method")?;
                let echo = |mib: u32| {
                    let bytes = (u64::from(mib) << 20).to_string();
                    let found = self.load.own(&self.cores, &["body", &running.address, &bytes])?;
                    let seconds = found["seconds"].as_f64().ok_or("bench-load says no seconds")?;
                    Outcome::Ok(f64::from(mib) / seconds)
                };
                echo(1)?;
                let before = running.memory("VmRSS")?;
                let mut rate = 0.0;
                for (mib, growth) in BODIES_MIB.into_iter().zip(&mut row.growth) {
                    running.forget_peak()?;
                    rate = echo(mib)?;
                    growth.push(running.memory("VmHWM")? - before);
                }
                self.progress(round, &format!("{}: {rate:.0} MiB/s", server.name));
                row.rates.push(rate);
            }
        }
        Ok(rows.into())
    }

    fn crowd(&self) -> Outcome<Vec<CrowdRow>> {
        let row = |server: &Server| {
            let mut running = Running::start(server, &self.cores, "/")?;
            self.load.closed(&self.cores, &running, CLIENTS, WARM_UP)?;
            let best = self.load.closed(&self.cores, &running, CLIENTS, self.options.seconds)?;
            // So that what each connection takes is there before.
            self.load.closed(&self.cores, &running, CROWD, WARM_UP)?;
            let stay = self.options.stay();
            let (mut crowded, mut memory) = (Vec::new(), vec![running.memory("VmRSS")?]);
            for _ in 0..LOOKS {
                crowded.push(self.load.closed(&self.cores, &running, CROWD, stay / f64::from(LOOKS))?);
                memory.push(running.memory("VmRSS")?);
            }
            running.check()?;
            eprintln!("{} took its crowd", server.name);
            Ok(CrowdRow { name: server.name, best, crowded, memory })
        };
        self.ours.hello().iter().map(row).collect()
    }

    /// Of whatever is not the first table.
    fn rounds(&self) -> usize {
        self.options.rounds.max(1)
    }

    fn progress(&self, round: usize, what: &str) {
        eprintln!("round {round} of {}: {what}", self.rounds());
    }
}
