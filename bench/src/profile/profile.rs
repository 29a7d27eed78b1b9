//! Samples a server with `perf` under the load of the HTTP benchmark. Each sample counts for one
//! part of a request.

use super::parts::RequestPart;
use super::perf::{CpuProfile, PerfTool, SAMPLE_RATE};
use crate::error::BenchResult;
use crate::http::{
    CONNECTIONS, CorePinning, LoadGenerator, LoadSample, OwnBinaries, RunningServer, ServerSpec, WARM_UP,
};
use crate::options::parse_number;
use serde_json::{Value, json};
use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo benchmarks profile [OPTION...]
  --seconds N    seconds for which each server is sampled (5)
  --only WORD    samples only servers with this word in their name; may be repeated
  --walnut PATH  samples this binary, which needs its symbols, instead of building one
  --json FILE    writes the result as JSON";

/// Functions that the table of each server lists.
const HOTTEST: usize = 10;
/// Smallest usable share of the expected samples. A virtual machine takes none while its host runs
/// others.
const MIN_SHARE_OF_SAMPLES: f64 = 0.2;
/// Attempts, since perf sometimes takes hardly any samples beside other programs.
const ATTEMPTS: usize = 3;
const SECONDS: u32 = 5;

#[derive(Default)]
struct ProfileOptions {
    seconds: Option<u32>,
    only: Vec<String>,
    walnut: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl ProfileOptions {
    fn parse(arguments: &[String]) -> BenchResult<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--seconds" => options.seconds = Some(parse_number(argument, &value()?)?),
                "--only" => options.only.push(value()?.to_lowercase()),
                "--walnut" => options.walnut = Some(value()?.into()),
                "--json" => options.json = Some(value()?.into()),
                other => return Err(format!("`profile` has no option `{other}`\n{USAGE}").into()),
            }
        }
        Ok(options)
    }

    /// Whether `--only` lets this server take part.
    fn includes(&self, server: &ServerSpec) -> bool {
        let name = server.name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word))
    }
}

/// A column of the table.
struct ServerProfile {
    name: &'static str,
    /// Processor time of a request while perf does not run.
    cpu_us: f64,
    profile: CpuProfile,
}

pub fn run(arguments: &[String]) -> BenchResult {
    let options = ProfileOptions::parse(arguments)?;
    let perf = PerfTool::find()?;
    let cores = CorePinning::find()?;
    let binaries = OwnBinaries::build(false, options.walnut.as_deref())?;
    let load = LoadGenerator::find(binaries.load.clone());
    let seconds = f64::from(options.seconds.unwrap_or(SECONDS).max(1));
    let mut columns = Vec::new();
    for server in binaries.all().iter().filter(|server| options.includes(server)) {
        columns.push(sample(server, &cores, &load, &perf, seconds)?);
        eprintln!("{} was sampled", server.name);
    }
    if columns.is_empty() {
        return Err(format!("no server is called {:?}", options.only).into());
    }
    print!("{}{}", table(&columns), columns.iter().map(ServerProfile::hottest).collect::<String>());
    if let Some(file) = &options.json {
        let columns: Vec<_> = columns.iter().map(ServerProfile::json).collect();
        std::fs::write(file, format!("{:#}\n", json!({ "version": 1, "servers": columns })))
            .map_err(|e| format!("--json {}: {e}", file.display()))?;
    }
    Ok(())
}

fn sample(
    server: &ServerSpec,
    cores: &CorePinning,
    load: &LoadGenerator,
    perf: &PerfTool,
    seconds: f64,
) -> BenchResult<ServerProfile> {
    let mut running = RunningServer::start(server, cores, "/")?;
    load.closed_loop(cores, &running, CONNECTIONS, WARM_UP)?;
    let LoadSample { cpu_us_per_request, core_used, .. } = load.closed_loop(cores, &running, CONNECTIONS, seconds)?;
    let expected = SAMPLE_RATE * seconds * core_used;
    for _ in 0..ATTEMPTS {
        let recording = perf.start(cores, &running, seconds)?;
        // The load lasts longer than the sampling.
        load.closed_loop(cores, &running, CONNECTIONS, seconds + WARM_UP)?;
        let profile = perf.finish(recording)?;
        running.check()?;
        if profile.samples as f64 > expected * MIN_SHARE_OF_SAMPLES {
            return Ok(ServerProfile { name: server.name, cpu_us: cpu_us_per_request, profile });
        }
        eprintln!("{}: perf took {} samples of some {expected:.0}", server.name, profile.samples);
    }
    Err(format!("{}: perf takes too few samples for a profile", server.name).into())
}

fn table(columns: &[ServerProfile]) -> String {
    let cells = |cell: &dyn Fn(&ServerProfile) -> String| columns.iter().map(cell).collect::<Vec<_>>().join(" | ");
    let mut text =
        format!("| processor time of a request | {} |\n|-|{}\n", cells(&|c| c.name.into()), "-|".repeat(columns.len()));
    for part in RequestPart::ALL {
        let cell = |column: &ServerProfile| {
            let share = column.profile.share(part);
            format!("{:.1} %, {:.1} µs", share * 100.0, share * column.cpu_us)
        };
        text += &format!("| {} | {} |\n", part.name(), cells(&cell));
    }
    text += &format!("| all | {} |\n", cells(&|c| format!("{:.1} µs", c.cpu_us)));
    text + &format!("| samples | {} |\n", cells(&|c| c.profile.samples.to_string()))
}

impl ServerProfile {
    fn hottest(&self) -> String {
        let mut text = format!("\n| {} | share | part |\n|-|-|-|\n", self.name);
        for (part, function, share) in self.profile.hottest(HOTTEST) {
            text += &format!("| `{function}` | {:.1} % | {} |\n", share * 100.0, part.name());
        }
        text
    }

    fn json(&self) -> Value {
        let parts: Value = RequestPart::ALL
            .map(|part| (part.name().to_owned(), json!(self.profile.share(part))))
            .into_iter()
            .collect();
        let hottest = self.profile.hottest(HOTTEST);
        let hottest: Vec<_> = hottest
            .iter()
            .map(|(part, function, share)| json!({ "function": function, "part": part.name(), "share": share }))
            .collect();
        json!({
            "server": self.name, "cpu_us_per_request": self.cpu_us, "samples": self.profile.samples,
            "shares": parts, "hottest": hottest,
        })
    }
}
