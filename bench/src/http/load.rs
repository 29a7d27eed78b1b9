//! Load on a server, by wrk where it is installed and by a generator of our own
//! (`src/bin/bench-load`).

use super::cores::CorePinning;
use super::running::RunningServer;
use super::sample::LoadSample;
use crate::error::BenchResult;
use crate::programs::find_on_path;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Seconds of load before a measurement.
pub const WARM_UP: f64 = 1.0;
/// Connections with which a server reaches its capacity.
pub const CONNECTIONS: u32 = 32;
/// Far more connections than that.
pub const CROWD: u32 = 900;

pub struct LoadGenerator {
    wrk: Option<PathBuf>,
    own: PathBuf,
}

impl LoadGenerator {
    pub fn find(own: PathBuf) -> Self {
        let wrk = find_on_path("wrk");
        if wrk.is_none() {
            eprintln!("wrk is not on the PATH (Debian package wrk); our own generator takes its place");
        }
        Self { wrk, own }
    }

    pub fn describe(&self) -> &'static str {
        if self.wrk.is_some() { "wrk -t1 -c32" } else { "bench-load, 32 connections" }
    }

    /// Requests the hello for `seconds`, on connections that send a request as soon as they have a
    /// response.
    pub fn closed_loop(
        &self,
        cores: &CorePinning,
        server: &RunningServer,
        connections: u32,
        seconds: f64,
    ) -> BenchResult<LoadSample> {
        let Some(wrk) = &self.wrk else {
            return self.own_closed_loop(cores, server, connections, seconds, &["hello"]);
        };
        sample(server, || {
            let mut command = cores.load(wrk);
            command.args(["-t1", &format!("-c{connections}"), "--latency"]);
            // wrk takes whole seconds only.
            command.arg(format!("-d{:.0}s", seconds.max(1.0).ceil()));
            command.arg(format!("http://{}/", server.address));
            LoadCounts::from_wrk(&output(&mut command)?)
        })
    }

    /// [`LoadGenerator::closed_loop`] by our own generator, with any of its kinds of requests.
    pub fn own_closed_loop(
        &self,
        cores: &CorePinning,
        server: &RunningServer,
        connections: u32,
        seconds: f64,
        requests: &[&str],
    ) -> BenchResult<LoadSample> {
        let (seconds, connections) = (seconds.to_string(), connections.to_string());
        let arguments = [&["closed", &server.address, &seconds, &connections], requests].concat();
        sample(server, || LoadCounts::from_own(&self.own(cores, &arguments)?))
    }

    /// Runs our own generator and returns its report.
    pub fn own(&self, cores: &CorePinning, arguments: &[&str]) -> BenchResult<Value> {
        Ok(serde_json::from_str(&output(cores.load(&self.own).args(arguments))?)?)
    }
}

/// Runs `load` and adds the processor time that the server takes meanwhile.
fn sample(server: &RunningServer, load: impl FnOnce() -> BenchResult<LoadCounts>) -> BenchResult<LoadSample> {
    let before = server.cpu()?;
    let counts = load()?;
    let cpu = server.cpu()? - before;
    if counts.requests == 0.0 {
        return Err(format!("no request was answered, {} failed", counts.errors).into());
    }
    Ok(LoadSample {
        requests: counts.requests,
        requests_per_second: counts.requests / counts.seconds,
        p99_us: counts.p99_us,
        errors: counts.errors,
        refused: counts.refused,
        cpu_us_per_request: cpu / counts.requests * 1e6,
        core_used: cpu / counts.seconds,
    })
}

struct LoadCounts {
    requests: f64,
    seconds: f64,
    p99_us: f64,
    errors: u64,
    refused: u64,
}

impl LoadCounts {
    fn from_own(report: &Value) -> BenchResult<Self> {
        let number = |key: &str| report[key].as_f64().ok_or_else(|| format!("bench-load reports no {key:?}: {report}"));
        let count = |key: &str| report[key].as_u64().ok_or_else(|| format!("bench-load reports no {key:?}: {report}"));
        Ok(Self {
            requests: number("requests")?,
            seconds: number("seconds")?,
            p99_us: report["p99_us"].as_f64().unwrap_or(f64::NAN),
            errors: count("errors")?,
            refused: count("wrong")?,
        })
    }

    fn from_wrk(text: &str) -> BenchResult<Self> {
        let after = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start));
        let parse = || {
            let (requests, rest) = text.lines().find_map(|line| line.trim().split_once(" requests in "))?;
            let errors = after("Socket errors:").unwrap_or_default();
            let errors =
                errors.split(|c: char| !c.is_ascii_digit()).filter_map(|count| count.parse::<u64>().ok()).sum();
            Some(Self {
                requests: requests.parse().ok()?,
                seconds: microseconds(rest.split(',').next()?)? / 1e6,
                p99_us: microseconds(after("99%")?)?,
                errors,
                refused: after("Non-2xx or 3xx responses:").map_or(Some(0), |count| count.trim().parse().ok())?,
            })
        };
        parse().ok_or_else(|| format!("wrk printed another form than version 4 does:\n{text}").into())
    }
}

/// Parses a time as wrk writes it: `12.3us`, `4.5ms`, `6.00s`, `1.5m`.
fn microseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let scale = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

fn output(command: &mut Command) -> BenchResult<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{command:?} does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stdout)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_wrk_is_parsed() {
        let text = "\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   249.11us  130.22us   3.99ms   92.00%
  Latency Distribution
     50%  229.00us
     99%    1.50ms
  250102 requests in 2.00s, 35.30MB read
  Socket errors: connect 0, read 3, write 0, timeout 4
  Non-2xx or 3xx responses: 12
Requests/sec: 125051.00
";
        let counts = LoadCounts::from_wrk(text).unwrap();
        assert_eq!((counts.requests, counts.seconds, counts.p99_us), (250_102.0, 2.0, 1500.0));
        assert_eq!((counts.errors, counts.refused), (7, 12));
        assert!(LoadCounts::from_wrk("unable to connect").is_err());
    }
}
