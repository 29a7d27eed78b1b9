//! Making load: wrk where it is installed, and a generator of our own (`src/bin/bench-load`).

use super::super::{Outcome, on_path};
use super::{cores::Cores, servers::Running};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Load {
    wrk: Option<PathBuf>,
    own: PathBuf,
}

/// What one server did in one round.
#[derive(Clone, Copy)]
pub struct Sample {
    pub requests: f64,
    pub requests_per_second: f64,
    pub p99_us: f64,
    /// Requests without an answer.
    pub errors: u64,
    /// Answers that were not 2xx; our own generator also sees those with another body.
    pub refused: u64,
    pub cpu_us_per_request: f64,
    /// How much of its core the server used. Much less than all of it, and something else is the limit.
    pub core_used: f64,
}

impl Sample {
    /// Answers with 2xx.
    pub fn good_per_second(&self) -> f64 {
        self.requests_per_second * (1.0 - self.refused as f64 / self.requests)
    }

    /// Requests that should have been answered well and were not.
    pub fn failures(&self) -> u64 {
        self.errors + self.refused
    }
}

impl Load {
    pub fn find(own: PathBuf) -> Self {
        let wrk = on_path("wrk");
        if wrk.is_none() {
            eprintln!("wrk is not on the PATH (Debian package wrk); a generator of our own takes its place");
        }
        Self { wrk, own }
    }

    pub fn describe(&self) -> &'static str {
        if self.wrk.is_some() { "wrk -t1 -c32" } else { "bench-load, 32 connections" }
    }

    /// As much as so many connections can take, for so many seconds.
    pub fn closed(&self, cores: &Cores, server: &Running, connections: u32, seconds: f64) -> Outcome<Sample> {
        let Some(wrk) = &self.wrk else { return self.asking(cores, server, connections, seconds, &["hello"]) };
        sample(server, || {
            let mut command = cores.load(wrk);
            // It takes whole seconds.
            command.args(["-t1", &format!("-c{connections}"), "--latency"]);
            command.arg(format!("-d{:.0}s", seconds.max(1.0).ceil()));
            command.arg(format!("http://{}/", server.address));
            Counts::of_wrk(&output(&mut command)?)
        })
    }

    /// The same with our own generator, for what it knows to ask.
    pub fn asking(
        &self,
        cores: &Cores,
        server: &Running,
        connections: u32,
        seconds: f64,
        what: &[&str],
    ) -> Outcome<Sample> {
        let (seconds, connections) = (seconds.to_string(), connections.to_string());
        let arguments = [&["closed", &server.address, &seconds, &connections], what].concat();
        sample(server, || Counts::of_own(&self.own(cores, &arguments)?))
    }

    /// Runs our own generator and returns what it found.
    pub fn own(&self, cores: &Cores, arguments: &[&str]) -> Outcome<Value> {
        Ok(serde_json::from_str(&output(cores.load(&self.own).args(arguments))?)?)
    }
}

/// What `load` counts, and the processor time that the server takes meanwhile.
fn sample(server: &Running, load: impl FnOnce() -> Outcome<Counts>) -> Outcome<Sample> {
    let before = server.cpu()?;
    let counts = load()?;
    let cpu = server.cpu()? - before;
    if counts.requests == 0.0 {
        return Err(format!("no request was answered, {} failed", counts.errors).into());
    }
    Ok(Sample {
        requests: counts.requests,
        requests_per_second: counts.requests / counts.seconds,
        p99_us: counts.p99_us,
        errors: counts.errors,
        refused: counts.refused,
        cpu_us_per_request: cpu / counts.requests * 1e6,
        core_used: cpu / counts.seconds,
    })
}

struct Counts {
    requests: f64,
    seconds: f64,
    p99_us: f64,
    errors: u64,
    refused: u64,
}

impl Counts {
    fn of_own(found: &Value) -> Outcome<Self> {
        let number = |key: &str| found[key].as_f64().ok_or_else(|| format!("bench-load says no {key:?}: {found}"));
        let count = |key: &str| found[key].as_u64().ok_or_else(|| format!("bench-load says no {key:?}: {found}"));
        Ok(Self {
            requests: number("requests")?,
            seconds: number("seconds")?,
            p99_us: found["p99_us"].as_f64().unwrap_or(f64::NAN),
            errors: count("errors")?,
            refused: count("wrong")?,
        })
    }

    fn of_wrk(text: &str) -> Outcome<Self> {
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
        parse().ok_or_else(|| format!("what wrk printed is not understood; its version should be 4:\n{text}").into())
    }
}

/// As wrk writes times: `12.3us`, `4.5ms`, `6.00s`, `1.5m`.
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

fn output(command: &mut Command) -> Outcome<String> {
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
    fn understands_wrk() {
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
        let counts = Counts::of_wrk(text).unwrap();
        assert_eq!((counts.requests, counts.seconds, counts.p99_us), (250_102.0, 2.0, 1500.0));
        assert_eq!((counts.errors, counts.refused), (7, 12));
        assert!(Counts::of_wrk("unable to connect").is_err());
    }
}
