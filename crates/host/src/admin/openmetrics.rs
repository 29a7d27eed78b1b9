//! What a node counts, as text for Prometheus and others that read OpenMetrics.

use crate::app::node::{Hosted, Node};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{BOUNDS, RELOADED, START_BOUNDS};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

/// Everything as OpenMetrics text.
pub(crate) fn text(node: &Arc<Node>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Told(node.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Told(Arc<Node>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl Collector for Told {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let (node, metrics) = (&self.0, self.0.metrics());
        let (all, hosted) = (metrics.all(), node.hosted());
        counter(
            &mut to,
            "walnut_requests",
            "Requests that ended, by the class of their status and by cause",
            |each| {
                for measures in &all {
                    let [app, component] = measures.labels();
                    for (cause, class, count) in measures.ended().filter(|(_, _, count)| *count > 0) {
                        each(&[app, component, ("class", class), ("cause", cause.name())], count)?;
                    }
                }
                Ok(())
            },
        )?;
        let help = "From the head of a request to the end of its answer";
        histogram(&mut to, "walnut_request_duration", help, &BOUNDS, |each| {
            all.iter().try_for_each(|measures| each(&measures.labels(), &measures.took(), measures.took_seconds()))
        })?;
        gauge(&mut to, "walnut_requests_in_flight", "Requests that have come and have not ended", |each| {
            all.iter().try_for_each(|measures| each(&measures.labels(), measures.in_flight()))
        })?;
        gauge(&mut to, "walnut_requests_waiting", "Requests that wait for a sandbox", |each| {
            hosted.iter().try_for_each(|(hosted, _)| each(&hosted.measures().labels(), hosted.waiting()))
        })?;
        gauge(&mut to, "walnut_sandboxes", "Sandboxes that live", |each| {
            hosted.iter().try_for_each(|(hosted, _)| each(&hosted.measures().labels(), hosted.sandboxes()))
        })?;
        used(&mut to, &hosted)?;
        gauge(
            &mut to,
            "walnut_places_taken",
            "Places for requests that are taken, of those that --sandboxes gives",
            |each| hosted.iter().try_for_each(|(hosted, _)| each(&hosted.measures().labels(), hosted.taken())),
        )?;
        gauge(&mut to, "walnut_places", "Places for requests: --sandboxes", |each| {
            hosted
                .iter()
                .try_for_each(|(hosted, _)| each(&hosted.measures().labels(), hosted.limits().sandboxes.into()))
        })?;
        counter(&mut to, "walnut_denials", "What components asked for and were refused, by capability", |each| {
            for measures in &all[1..] {
                let [app, component] = measures.labels();
                for (capability, count) in measures.denials() {
                    each(&[app, component, ("capability", capability.name())], count)?;
                }
            }
            Ok(())
        })?;
        counter(&mut to, "walnut_limits_reached", "Limits that components reached, by limit", |each| {
            for measures in &all[1..] {
                let [app, component] = measures.labels();
                for (limit, count) in measures.limits() {
                    each(&[app, component, ("limit", limit.name())], count)?;
                }
            }
            Ok(())
        })?;
        let connections = u64::try_from(metrics.connections()).unwrap_or(0);
        gauge(&mut to, "walnut_connections", "Connections that are open", |each| each(&[], connections))?;
        counter(&mut to, "walnut_reloads", "Reloads, by how they ended", |each| {
            let reloads = RELOADED.iter().zip(&metrics.reloads);
            reloads.into_iter().try_for_each(|(outcome, count)| each(&[("outcome", outcome)], count.load(Relaxed)))
        })?;
        let lost = metrics.logs.access.as_ref().map_or(0, AccessLog::lost);
        let help = "Lines of the access log that were left out because they could not be written fast enough";
        counter(&mut to, "walnut_access_log_lost_lines", help, |each| each(&[], lost))?;
        let lost = metrics.logs.audit.as_ref().map_or(0, |lines| lines.lost());
        let help = "Decisions that are missing from the audit because it could not be written fast enough";
        counter(&mut to, "walnut_audit_lost_lines", help, |each| each(&[], lost))?;
        let help = "Lines of guests and of what is said of them that were left out because they could not be written fast enough";
        counter(&mut to, "walnut_output_lost_lines", help, |each| {
            metrics.logs.output.iter().try_for_each(|(stream, lines)| each(&[("stream", stream)], lines.lost()))
        })?;
        let started = metrics.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let help = "When the process started, since 1970 in UTC";
        let process = to.encode_descriptor("process_start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(started).encode(process)?;
        let mut version = to.encode_descriptor("walnut_build", "What runs", None, MetricType::Info)?;
        version.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

/// Takes one series: its labels and its value.
type Each<'a> = dyn FnMut(&[(&'static str, &str)], u64) -> fmt::Result + 'a;

fn counter(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl FnOnce(&mut Each<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    series(&mut |labels, value| match labels {
        [] => family.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => ConstCounter::new(value).encode(family.encode_family(&labels)?),
    })
}

fn gauge(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl FnOnce(&mut Each<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    series(&mut |labels, value| {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        match labels {
            [] => family.encode_gauge(&value),
            _ => ConstGauge::new(value).encode(family.encode_family(&labels)?),
        }
    })
}

/// What the sandboxes of components used.
fn used(to: &mut DescriptorEncoder<'_>, hosted: &[(Arc<Hosted>, Vec<String>)]) -> fmt::Result {
    let all = || hosted.iter().map(|(hosted, _)| hosted.measures());
    let help = "From when a sandbox begins to be made until it is ready for its first request";
    histogram(to, "walnut_sandbox_start", help, &START_BOUNDS, |each| {
        all().try_for_each(|measures| each(&measures.labels(), &measures.starts(), measures.starts_seconds()))
    })?;
    let help = "Processor time that guests used";
    let mut cpu = to.encode_descriptor("walnut_sandbox_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
    for measures in all() {
        ConstCounter::new(measures.cpu()).encode(cpu.encode_family(&measures.labels())?)?;
    }
    let help = "The most memory that a sandbox had since the process started";
    let mut memory = to.encode_descriptor("walnut_sandbox_memory_peak", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    for measures in all() {
        let most = i64::try_from(measures.memory()).unwrap_or(i64::MAX);
        ConstGauge::new(most).encode(memory.encode_family(&measures.labels())?)?;
    }
    Ok(())
}

/// Takes one histogram: its labels, the counts of its buckets, and the sum in seconds.
type EachHistogram<'a> = dyn FnMut(&[(&'static str, &str)], &[u64], f64) -> fmt::Result + 'a;

/// `bounds` are in microseconds.
fn histogram(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    bounds: &[u64],
    series: impl FnOnce(&mut EachHistogram<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    series(&mut |labels, counts, sum| {
        let bounds = bounds.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
        let mut one = family.encode_family(&labels)?;
        one.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    })
}

#[cfg(test)]
mod tests;
