//! Apps of 1 to 1,000 routes, each with a component of its own.

use super::context::{HttpBench, write_manifest};
use super::load::{CONNECTIONS, WARM_UP};
use super::report::ReportSection;
use super::running::RunningServer;
use super::sample::LoadSample;
use super::stats::{ratio, spread};
use crate::error::BenchResult;
use crate::requests::get;
use crate::stats::{Spread, group_digits};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use walnut_test_programs::RUST_P2_HTTP_HELLO;

const ROUTES: [usize; 4] = [1, 10, 100, 1000];
/// How many of [`ROUTES`] the short form measures. A debug build needs half a minute for the
/// others.
const SHORT: usize = 2;
/// Longest wait until a response is counted.
const MAX_COUNT_DELAY: Duration = Duration::from_secs(10);

/// The results of an app.
struct RoutesRow {
    routes: usize,
    samples: Vec<LoadSample>,
    /// Seconds to the first answer, for each round.
    starts: Vec<f64>,
    /// In MiB, before the first load.
    memory: Vec<f64>,
}

pub fn measure(bench: &HttpBench) -> BenchResult<ReportSection> {
    let counts = if bench.options.short { &ROUTES[..SHORT] } else { &ROUTES };
    let row = |&routes| RoutesRow { routes, samples: Vec::new(), starts: Vec::new(), memory: Vec::new() };
    let mut rows: Vec<_> = counts.iter().map(row).collect();
    for round in 1..=bench.rounds() {
        for row in &mut rows {
            measure_turn(bench, row)?;
            let rate = row.samples.last().map_or(0.0, |sample| sample.requests_per_second);
            bench.print_progress(round, &format!("{} routes: {rate:.0} req/s", row.routes));
        }
    }
    Ok(ReportSection {
        key: "routes",
        markdown: markdown(&rows),
        rows: rows.iter().map(RoutesRow::json).collect(),
        failures: rows.iter().flat_map(|row| &row.samples).map(LoadSample::failures).sum(),
    })
}

fn measure_turn(bench: &HttpBench, row: &mut RoutesRow) -> BenchResult {
    let app = write_app(row.routes)?;
    let server = bench.binaries.serve("walnut serve", &["--admin", "127.0.0.1:0", &app.to_string_lossy()]);
    let started = Instant::now();
    let mut running = RunningServer::start(&server, &bench.cores, "/0")?;
    row.starts.push(started.elapsed().as_secs_f64());
    row.memory.push(running.memory("VmRSS")?);
    let admin = running.admin_address()?;
    check_routing(&running.address, &admin, row.routes)?;
    let routes = row.routes.to_string();
    let load = |seconds| bench.load.own_closed_loop(&bench.cores, &running, CONNECTIONS, seconds, &["routes", &routes]);
    load(WARM_UP)?;
    row.samples.push(load(bench.options.seconds)?);
    match answered(&admin, row.routes)?.iter().position(|answered| *answered == 0) {
        Some(route) => Err(format!("/{route} was never requested, or another component answers it").into()),
        None => running.check(),
    }
}

/// Writes an app with a component for each route. All components are the same file, but each has a
/// policy, limits, sandboxes and metrics of its own.
fn write_app(routes: usize) -> BenchResult<PathBuf> {
    let mut text = "[app]\nname = \"routes\"\n".to_owned();
    for route in 0..routes {
        text += &format!("\n[component.c{route}]\nsource = {:?}\n", RUST_P2_HTTP_HELLO.path());
        text += &format!("\n[[http]]\nroute = \"/{route}\"\ncomponent = \"c{route}\"\n");
    }
    write_manifest(&format!("routes-{routes}.toml"), &text)
}

/// Checks that a request to the first, the middle and the last route is counted for its component
/// and for no other.
fn check_routing(address: &str, admin: &str, routes: usize) -> BenchResult {
    for route in [0, routes / 2, routes - 1] {
        let mut expected = answered(admin, routes)?;
        expected[route] += 1;
        get(address, &format!("/{route}"))?;
        // The server counts a response once it is sent, so the client may have it earlier.
        let end = Instant::now() + MAX_COUNT_DELAY;
        while answered(admin, routes)? != expected {
            if Instant::now() > end {
                return Err(format!("of {routes} routes, /{route} leads to another component").into());
            }
        }
    }
    Ok(())
}

/// Successful responses of each component, from the metrics.
fn answered(admin: &str, routes: usize) -> BenchResult<Vec<u64>> {
    let metrics = get(admin, "/metrics")?;
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

    fn markdown(&self, first: &Self) -> String {
        let requests = spread(&self.samples, |sample| sample.requests_per_second);
        let p99 = |row: &Self| spread(&row.samples, |sample| sample.p99_us);
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            group_digits(self.routes as f64, 0),
            requests.show(1.0, 0, ""),
            ratio(Some(requests.median / first.rate())),
            p99(self).show(1e-3, 2, " ms"),
            ratio(Some(p99(self).median / p99(first).median)),
            Spread::of(&self.starts).show(1.0, 2, " s"),
            Spread::of(&self.memory).show(1.0, 0, " MiB"),
            self.samples.iter().map(LoadSample::failures).sum::<u64>(),
        )
    }

    fn json(&self) -> Value {
        let rounds: Vec<_> = self.samples.iter().map(LoadSample::json).collect();
        json!({ "routes": self.routes, "start_seconds": self.starts, "memory_mib": self.memory, "rounds": rounds })
    }
}

fn markdown(rows: &[RoutesRow]) -> String {
    let mut text =
        "\n| routes, requested in turn | req/s (middle half) | × 1 route | p99 | × 1 route | first answer after | \
         memory then | failed |\n|-|-|-|-|-|-|-|-|\n"
            .to_owned();
    text.extend(rows.iter().map(|row| row.markdown(&rows[0])));
    text
}
