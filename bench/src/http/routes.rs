//! Apps of 1 to 1,000 routes, each with a component of its own.

use super::super::{Outcome, ask, scratch};
use super::load::Sample;
use super::report::{ratio, spread};
use super::servers::Running;
use super::{Bench, CLIENTS, WARM_UP};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use walnut_test_programs::RUST_P2_HTTP_HELLO;

const COUNTS: [usize; 4] = [1, 10, 100, 1000];
/// A debug build needs half a minute for the others.
const SHORT: usize = 2;

/// One app.
pub struct RoutesRow {
    routes: usize,
    samples: Vec<Sample>,
    /// In seconds, once a round.
    starts: Vec<f64>,
    /// In MiB, before the first load.
    memory: Vec<f64>,
}

impl Bench {
    pub fn routes(&self) -> Outcome<Vec<RoutesRow>> {
        let counts = if self.options.short { &COUNTS[..SHORT] } else { &COUNTS };
        let row = |&routes| RoutesRow { routes, samples: Vec::new(), starts: Vec::new(), memory: Vec::new() };
        let mut rows: Vec<_> = counts.iter().map(row).collect();
        for round in 1..=self.rounds() {
            for row in &mut rows {
                self.routes_turn(row)?;
                let rate = row.samples.last().map_or(0.0, |sample| sample.requests_per_second);
                self.progress(round, &format!("{} routes: {rate:.0} req/s", row.routes));
            }
        }
        Ok(rows)
    }

    fn routes_turn(&self, row: &mut RoutesRow) -> Outcome {
        let app = app(row.routes)?;
        let server = self.ours.serving("walnut serve", &["--admin", "127.0.0.1:0", &app.to_string_lossy()]);
        let started = Instant::now();
        let mut running = Running::start(&server, &self.cores, "/0")?;
        row.starts.push(started.elapsed().as_secs_f64());
        row.memory.push(running.memory("VmRSS")?);
        let admin = running.admin()?;
        look_where_requests_go(&running.address, &admin, row.routes)?;
        let routes = row.routes.to_string();
        let load = |seconds| self.load.asking(&self.cores, &running, CLIENTS, seconds, &["routes", &routes]);
        load(WARM_UP)?;
        row.samples.push(load(self.options.seconds)?);
        match answered(&admin, row.routes)?.iter().position(|answered| *answered == 0) {
            Some(route) => Err(format!("/{route} was never asked for, or another component answers it").into()),
            None => running.check(),
        }
    }
}

/// Writes an app with a route for each component. All are the same file, but walnut treats them as if they were not: each
/// has a policy, limits, places and metrics of its own.
fn app(routes: usize) -> Outcome<PathBuf> {
    let mut text = "[app]\nname = \"routes\"\n".to_owned();
    for route in 0..routes {
        text += &format!("\n[component.c{route}]\nsource = {:?}\n", RUST_P2_HTTP_HELLO.path());
        text += &format!("\n[[http]]\nroute = \"/{route}\"\ncomponent = \"c{route}\"\n");
    }
    manifest(&format!("routes-{routes}.toml"), &text)
}

/// Writes a manifest.
pub fn manifest(name: &str, text: &str) -> Outcome<PathBuf> {
    let file = Path::new(&scratch()?).join(name);
    fs::write(&file, text)?;
    Ok(file)
}

/// The first, the middle and the last route: a request to each must be counted for its component and for no other.
fn look_where_requests_go(address: &str, admin: &str, routes: usize) -> Outcome {
    for route in [0, routes / 2, routes - 1] {
        let mut expected = answered(admin, routes)?;
        expected[route] += 1;
        ask(address, &format!("/{route}"))?;
        // It is counted when the answer is gone, which its client may see before.
        let end = Instant::now() + Duration::from_secs(10);
        while answered(admin, routes)? != expected {
            if Instant::now() > end {
                return Err(format!("of {routes} routes, /{route} leads to another component").into());
            }
        }
    }
    Ok(())
}

/// How many requests each component answered well, as the metrics say.
fn answered(admin: &str, routes: usize) -> Outcome<Vec<u64>> {
    let metrics = ask(admin, "/metrics")?;
    let mut answered = vec![0; routes];
    for line in metrics.lines() {
        let rest = line.strip_prefix("walnut_requests_total{app=\"routes\",component=\"c");
        let Some((route, rest)) = rest.and_then(|rest| rest.split_once('"')) else { continue };
        if let (Some(count), Ok(route)) = (rest.strip_prefix(",class=\"2xx\",cause=\"ok\"} "), route.parse::<usize>()) {
            *answered.get_mut(route).ok_or("there are more components than routes")? = count.trim().parse()?;
        }
    }
    Ok(answered)
}

impl RoutesRow {
    fn rate(&self) -> f64 {
        spread(&self.samples, |sample| sample.requests_per_second).median
    }

    pub fn failures(&self) -> u64 {
        self.samples.iter().map(Sample::failures).sum()
    }

    fn markdown(&self, first: &Self) -> String {
        let requests = spread(&self.samples, |sample| sample.requests_per_second);
        let p99 = |row: &Self| spread(&row.samples, |sample| sample.p99_us);
        let of = super::super::Spread::of;
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            super::super::grouped(self.routes as f64, 0),
            requests.show(1.0, 0, ""),
            ratio(Some(requests.median / first.rate())),
            p99(self).show(1e-3, 2, " ms"),
            ratio(Some(p99(self).median / p99(first).median)),
            of(&self.starts).show(1.0, 2, " s"),
            of(&self.memory).show(1.0, 0, " MiB"),
            self.failures(),
        )
    }

    pub fn json(&self) -> Value {
        let rounds: Vec<_> = self.samples.iter().map(Sample::json).collect();
        json!({ "routes": self.routes, "start_seconds": self.starts, "memory_mib": self.memory, "rounds": rounds })
    }
}

pub fn markdown(rows: &[RoutesRow]) -> String {
    let mut text =
        "\n| routes, asked in turn | req/s (middle half) | × 1 route | p99 | × 1 route | first answer after | \
                    memory then | failed |\n|-|-|-|-|-|-|-|-|\n"
            .to_owned();
    text.extend(rows.iter().map(|row| row.markdown(&rows[0])));
    text
}
