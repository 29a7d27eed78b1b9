//! Options of the HTTP benchmark.

use crate::error::BenchResult;
use crate::options::parse_number;
use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo benchmarks http [OPTION...]
  --rounds N     turns of each server (5; 0 skips the table of throughput)
  --seconds N    length of a turn (5)
  --only WORD    measures only servers with this word in their name; may be repeated
  --latency      latency at 30, 50 and 70 % of walnut's capacity, with open-loop load
  --body         an echo of 64 MiB, and many bodies of 1 MiB each way
  --crowd        900 connections that always have a request under way, for a minute
  --overload     twice walnut's capacity with open-loop load, for a minute
  --swap         latency while a JavaScript service changes over to optimised code, for a minute
  --stay N       length of --crowd, --overload and --swap in seconds
  --routes       apps of 1, 10, 100 and 1,000 routes
  --cold         time to the first answer from an empty cache and from full caches
  --neighbours   latency of a quiet app beside an app that exhausts processor, memory, connections or log
  --walnut PATH  measures this binary instead of building one
  --json FILE    writes every round as JSON
  --short        measures everything for a second each, with debug builds, baseline code and the peers that are installed,
                 only to show that it works";

const ROUNDS: usize = 5;
/// In seconds.
const TURN: u32 = 5;
const STAY: f64 = 60.0;
const SHORT_STAY: f64 = 2.0;

/// A flag for each topic beside throughput.
#[derive(Default)]
pub struct Topics {
    pub latency: bool,
    pub body: bool,
    pub crowd: bool,
    pub overload: bool,
    pub swap: bool,
    pub routes: bool,
    pub neighbours: bool,
    pub cold: bool,
}

pub struct HttpOptions {
    pub short: bool,
    pub topics: Topics,
    /// Turns of each server in the table of throughput; 0 skips it.
    pub rounds: usize,
    /// Seconds of a turn.
    pub seconds: f64,
    /// Seconds of a long overload.
    pub stay: f64,
    only: Vec<String>,
    pub walnut: Option<PathBuf>,
    pub json: Option<PathBuf>,
}

impl HttpOptions {
    pub fn parse(arguments: &[String]) -> BenchResult<Self> {
        let (mut short, mut rounds, mut seconds, mut stay) = (false, None, None, None);
        let (mut topics, mut only, mut walnut, mut json) = (Topics::default(), Vec::new(), None, None);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--short" => short = true,
                "--rounds" => rounds = Some(parse_number(argument, &value()?)?),
                "--seconds" => seconds = Some(parse_number(argument, &value()?)?),
                "--stay" => stay = Some(parse_number::<u32>(argument, &value()?)?),
                "--only" => only.push(value()?.to_lowercase()),
                "--walnut" => walnut = Some(value()?.into()),
                "--json" => json = Some(value()?.into()),
                topic => topics.add(topic)?,
            }
        }
        if short {
            topics = Topics::all();
        }
        let rounds = rounds.unwrap_or(if short { 1 } else { ROUNDS });
        let seconds = seconds.unwrap_or(if short { 1 } else { TURN });
        if seconds == 0 || stay == Some(0) {
            return Err("--seconds and --stay are at least 1".into());
        }
        if topics.latency && rounds == 0 {
            return Err("--latency needs the table of throughput: give --rounds at least 1".into());
        }
        let stay = if short { SHORT_STAY } else { stay.map_or(STAY, f64::from) };
        Ok(Self { short, topics, rounds, seconds: f64::from(seconds), stay, only, walnut, json })
    }

    /// Whether `--only` lets this server take part.
    pub fn includes(&self, server: &str) -> bool {
        let name = server.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word))
    }

    /// The words of `--only`.
    pub fn only(&self) -> &[String] {
        &self.only
    }
}

impl Topics {
    fn all() -> Self {
        Self {
            latency: true,
            body: true,
            crowd: true,
            overload: true,
            swap: true,
            routes: true,
            neighbours: true,
            cold: true,
        }
    }

    fn add(&mut self, flag: &str) -> BenchResult {
        let topic = match flag {
            "--latency" => &mut self.latency,
            "--body" => &mut self.body,
            "--crowd" => &mut self.crowd,
            "--overload" => &mut self.overload,
            "--swap" => &mut self.swap,
            "--routes" => &mut self.routes,
            "--neighbours" => &mut self.neighbours,
            "--cold" => &mut self.cold,
            other => return Err(format!("`http` has no option `{other}`\n{USAGE}").into()),
        };
        *topic = true;
        Ok(())
    }
}
