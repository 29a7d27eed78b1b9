//! Where the processor time of a request goes: `perf` samples a server under load, as the `http` benchmark loads it, and each sample
//! counts for a part of the request.

mod parts;
mod perf;

use super::Outcome;
use super::http::cores::Cores;
use super::http::load::{Load, Sample};
use super::http::servers::{Ours, Running, Server};
use super::http::{CLIENTS, WARM_UP, number};
use parts::Part;
use perf::{Perf, Profile, RATE};
use serde_json::{Value, json};
use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo benchmarks profile [OPTION...]
  --seconds N    how long each server is sampled (5)
  --only WORD    only servers whose names have this in them; may be repeated
  --walnut PATH  this binary, instead of building one; it needs its symbols
  --json FILE    the same, for machines";

/// Functions that are named for each server.
const HOTTEST: usize = 10;
/// The smallest share of the expected samples that says anything: a virtual machine that is not there when the clock strikes
/// takes none. And how often it is tried, since perf now and then takes hardly any beside other programs.
const FEWEST: f64 = 0.2;
const TRIES: usize = 3;

#[derive(Default)]
struct Options {
    seconds: Option<u32>,
    only: Vec<String>,
    walnut: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--seconds" => options.seconds = Some(number(argument, &value()?)?),
                "--only" => options.only.push(value()?.to_lowercase()),
                "--walnut" => options.walnut = Some(value()?.into()),
                "--json" => options.json = Some(value()?.into()),
                other => return Err(format!("`profile` does not know `{other}`\n{USAGE}").into()),
            }
        }
        Ok(options)
    }

    fn takes(&self, server: &Server) -> bool {
        let name = server.name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word))
    }
}

/// One server.
struct Column {
    name: &'static str,
    /// Of a request, when nobody samples.
    cpu_us: f64,
    profile: Profile,
}

pub fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let perf = Perf::find()?;
    let cores = Cores::find()?;
    let ours = Ours::build(false, options.walnut.as_deref())?;
    let load = Load::find(ours.load.clone());
    let seconds = f64::from(options.seconds.unwrap_or(5).max(1));
    let mut columns = Vec::new();
    for server in ours.all().iter().filter(|server| options.takes(server)) {
        columns.push(column(server, &cores, &load, &perf, seconds)?);
        eprintln!("{} was sampled", server.name);
    }
    if columns.is_empty() {
        return Err(format!("no server is called {:?}", options.only).into());
    }
    print!("{}{}", table(&columns), columns.iter().map(Column::hottest).collect::<String>());
    if let Some(file) = &options.json {
        let columns: Vec<_> = columns.iter().map(Column::json).collect();
        std::fs::write(file, format!("{:#}\n", json!({ "version": 1, "servers": columns })))
            .map_err(|e| format!("--json {}: {e}", file.display()))?;
    }
    Ok(())
}

fn column(server: &Server, cores: &Cores, load: &Load, perf: &Perf, seconds: f64) -> Outcome<Column> {
    let mut running = Running::start(server, cores, "/")?;
    load.closed(cores, &running, CLIENTS, WARM_UP)?;
    let Sample { cpu_us_per_request, core_used, .. } = load.closed(cores, &running, CLIENTS, seconds)?;
    let expected = RATE * seconds * core_used;
    for _ in 0..TRIES {
        let recording = perf.start(cores, &running, seconds)?;
        // Until after the last sample.
        load.closed(cores, &running, CLIENTS, seconds + WARM_UP)?;
        let profile = perf.finish(recording)?;
        running.check()?;
        if profile.samples as f64 > expected * FEWEST {
            return Ok(Column { name: server.name, cpu_us: cpu_us_per_request, profile });
        }
        eprintln!("{}: perf took {} samples of some {expected:.0}", server.name, profile.samples);
    }
    Err(format!("{}: perf takes too few samples to say anything", server.name).into())
}

fn table(columns: &[Column]) -> String {
    let cells = |cell: &dyn Fn(&Column) -> String| columns.iter().map(cell).collect::<Vec<_>>().join(" | ");
    let mut text =
        format!("| processor time of a request | {} |\n|-|{}\n", cells(&|c| c.name.into()), "-|".repeat(columns.len()));
    for part in Part::ALL {
        let cell = |column: &Column| {
            let share = column.profile.share(part);
            format!("{:.1} %, {:.1} µs", share * 100.0, share * column.cpu_us)
        };
        text += &format!("| {} | {} |\n", part.name(), cells(&cell));
    }
    text += &format!("| all | {} |\n", cells(&|c| format!("{:.1} µs", c.cpu_us)));
    text + &format!("| samples | {} |\n", cells(&|c| c.profile.samples.to_string()))
}

impl Column {
    fn hottest(&self) -> String {
        let mut text = format!("\n| {} | share | part |\n|-|-|-|\n", self.name);
        for (part, function, share) in self.profile.hottest(HOTTEST) {
            text += &format!("| `{function}` | {:.1} % | {} |\n", share * 100.0, part.name());
        }
        text
    }

    fn json(&self) -> Value {
        let parts: Value =
            Part::ALL.map(|part| (part.name().to_owned(), json!(self.profile.share(part)))).into_iter().collect();
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
