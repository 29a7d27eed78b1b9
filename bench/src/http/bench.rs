//! The verb `http`: measures the topics in turn and prints the report.

use super::context::HttpBench;
use super::machine::MachineInfo;
use super::options::HttpOptions;
use super::report::{HttpReport, ReportSection};
use super::{bodies, crowd, echo, latency, neighbours, overload, routes, swap, throughput};
use crate::cold;
use crate::error::BenchResult;

pub fn run(arguments: &[String]) -> BenchResult {
    let bench = HttpBench::new(HttpOptions::parse(arguments)?)?;
    let machine = MachineInfo::read(&bench);
    machine.warn_when_busy();
    let report = HttpReport { machine, sections: measure(&bench)? };
    print!("{}", report.markdown());
    if let Some(file) = &bench.options.json {
        std::fs::write(file, format!("{:#}\n", report.json()))
            .map_err(|e| format!("--json {}: {e}", file.display()))?;
    }
    match report.failures() {
        failures if bench.options.short && failures > 0 => Err(format!("{failures} requests failed").into()),
        _ => Ok(()),
    }
}

/// A topic: whether it is wanted, its key, and the function that measures it.
type Topic = (bool, &'static str, fn(&HttpBench) -> BenchResult<ReportSection>);

fn measure(bench: &HttpBench) -> BenchResult<Vec<ReportSection>> {
    let wanted = &bench.options.topics;
    let throughput = if bench.options.rounds > 0 { throughput::measure(bench)? } else { Vec::new() };
    let latency = if wanted.latency { latency::measure(bench, &throughput)? } else { ReportSection::empty("latency") };
    let topics: [Topic; 8] = [
        (wanted.body, "body", echo::measure),
        (wanted.body, "bodies", bodies::measure),
        (wanted.crowd, "crowd", crowd::measure),
        (wanted.overload, "overload", overload::measure),
        (wanted.swap, "swap", swap::measure),
        (wanted.routes, "routes", routes::measure),
        (wanted.neighbours, "neighbours", neighbours::measure),
        (wanted.cold, "cold", measure_cold),
    ];
    let mut sections = vec![throughput::section(&throughput), latency];
    for (wanted, key, measure) in topics {
        sections.push(if wanted { measure(bench)? } else { ReportSection::empty(key) });
    }
    Ok(sections)
}

fn measure_cold(bench: &HttpBench) -> BenchResult<ReportSection> {
    let rows = cold::measure_service(&bench.binaries.walnut, bench.options.short)?;
    Ok(ReportSection {
        key: "cold",
        markdown: format!("\n{}", cold::table(&rows)),
        rows: rows.iter().map(cold::ColdRow::json).collect(),
        failures: 0,
    })
}
