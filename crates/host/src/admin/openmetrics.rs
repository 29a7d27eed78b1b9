//! Metrics of a node as OpenMetrics text, for Prometheus and compatible collectors.

use crate::app::{DeployedComponent, Node};
use crate::telemetry::{AccessLog, ComponentMetrics, LATENCY_BOUNDS, NodeMetrics, START_BOUNDS};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Encodes all metrics of `node` as OpenMetrics text.
pub(crate) fn encode(node: &Arc<Node>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(NodeCollector(node.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct NodeCollector(Arc<Node>);

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCollector")
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let apps = self.0.apps();
        let components: Vec<_> = apps.iter().flat_map(|app| &app.components).collect();
        let metrics = self.0.metrics();
        let all = metrics.all();
        encode_requests(&mut to, &all)?;
        encode_sandboxes(&mut to, &components)?;
        // The first has no labels: requests that matched no route.
        encode_denials(&mut to, &all[1..])?;
        encode_server(&mut to, metrics)?;
        encode_lost_lines(&mut to, metrics)?;
        encode_process(&mut to, metrics)
    }
}

fn encode_requests(to: &mut DescriptorEncoder<'_>, all: &[Arc<ComponentMetrics>]) -> fmt::Result {
    let help = "Finished requests, by status class and cause";
    counter(to, "walnut_requests", help, |each| {
        for metrics in all {
            let [app, component] = metrics.labels().pairs();
            for (cause, class, count) in metrics.ended().filter(|(_, _, count)| *count > 0) {
                each(&[app, component, ("class", class), ("cause", cause.name())], count)?;
            }
        }
        Ok(())
    })?;
    let help = "Duration of requests, from the head of the request to the end of the response";
    histogram(to, "walnut_request_duration", help, &LATENCY_BOUNDS, |each| {
        all.iter()
            .try_for_each(|metrics| each(&metrics.labels().pairs(), &metrics.latencies(), metrics.latency_seconds()))
    })?;
    gauge(to, "walnut_requests_in_flight", "Requests in flight", |each| {
        all.iter().try_for_each(|metrics| each(&metrics.labels().pairs(), metrics.in_flight()))
    })
}

fn encode_sandboxes(to: &mut DescriptorEncoder<'_>, components: &[&Arc<DeployedComponent>]) -> fmt::Result {
    let mut component_gauge = |name: &str, help: &str, value: fn(&DeployedComponent) -> u64| {
        gauge(to, name, help, |each| {
            components.iter().try_for_each(|component| each(&component.metrics().labels().pairs(), value(component)))
        })
    };
    component_gauge("walnut_requests_waiting", "Requests waiting for a sandbox", |c| c.admission().queued())?;
    component_gauge("walnut_sandboxes", "Live sandboxes", DeployedComponent::sandboxes)?;
    component_gauge("walnut_admission_permits_in_use", "Admission permits in use", |c| c.admission().in_use())?;
    let help = "Admission permits: the component's `sandboxes`";
    component_gauge("walnut_admission_permits", help, |c| c.admission().limits().sandboxes.into())?;
    let all = || components.iter().map(|component| component.metrics());
    let help = "Start-up time of sandboxes, until they are ready for their first request";
    histogram(to, "walnut_sandbox_start", help, &START_BOUNDS, |each| {
        all().try_for_each(|metrics| each(&metrics.labels().pairs(), &metrics.starts(), metrics.start_seconds()))
    })?;
    let help = "Processor time used by guests";
    let mut cpu = to.encode_descriptor("walnut_sandbox_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
    for metrics in all() {
        ConstCounter::new(metrics.cpu()).encode(cpu.encode_family(&metrics.labels().pairs())?)?;
    }
    let help = "Largest memory of a sandbox since the process started";
    let mut memory = to.encode_descriptor("walnut_sandbox_memory_peak", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    for metrics in all() {
        let peak = i64::try_from(metrics.memory()).unwrap_or(i64::MAX);
        ConstGauge::new(peak).encode(memory.encode_family(&metrics.labels().pairs())?)?;
    }
    Ok(())
}

fn encode_denials(to: &mut DescriptorEncoder<'_>, all: &[Arc<ComponentMetrics>]) -> fmt::Result {
    let help = "Operations of guests denied by the policy, by capability";
    counter(to, "walnut_denials", help, |each| {
        for metrics in all {
            let [app, component] = metrics.labels().pairs();
            for (capability, count) in metrics.denials() {
                each(&[app, component, ("capability", capability.name())], count)?;
            }
        }
        Ok(())
    })?;
    counter(to, "walnut_limits_reached", "Limits reached by components, by limit", |each| {
        for metrics in all {
            let [app, component] = metrics.labels().pairs();
            for (limit, count) in metrics.limits() {
                each(&[app, component, ("limit", limit.name())], count)?;
            }
        }
        Ok(())
    })
}

fn encode_server(to: &mut DescriptorEncoder<'_>, metrics: &NodeMetrics) -> fmt::Result {
    let connections = u64::try_from(metrics.connections()).unwrap_or(0);
    gauge(to, "walnut_connections", "Open connections", |each| each(&[], connections))?;
    counter(to, "walnut_reloads", "Reloads, by outcome", |each| {
        metrics.reloads().try_for_each(|(outcome, count)| each(&[("outcome", outcome)], count))
    })
}

fn encode_lost_lines(to: &mut DescriptorEncoder<'_>, metrics: &NodeMetrics) -> fmt::Result {
    let lost = metrics.logs.access.as_ref().map_or(0, AccessLog::lost);
    let help = "Access log lines dropped because they could not be written fast enough";
    counter(to, "walnut_access_log_lost_lines", help, |each| each(&[], lost))?;
    let lost = metrics.logs.audit.as_ref().map_or(0, |audit| audit.lost());
    let help = "Audit lines dropped because they could not be written fast enough";
    counter(to, "walnut_audit_lost_lines", help, |each| each(&[], lost))?;
    let help = "Lines of guests, and messages about them, dropped because they could not be written fast enough";
    counter(to, "walnut_output_lost_lines", help, |each| {
        metrics.logs.output.iter().try_for_each(|(stream, output)| each(&[("stream", stream)], output.lost()))
    })
}

fn encode_process(to: &mut DescriptorEncoder<'_>, metrics: &NodeMetrics) -> fmt::Result {
    let started = metrics.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let help = "Start time of the process, in seconds since 1970 in UTC";
    let process = to.encode_descriptor("process_start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?;
    ConstGauge::new(started).encode(process)?;
    let mut version = to.encode_descriptor("walnut_build", "Version of the program", None, MetricType::Info)?;
    version.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

/// Writes one series: its labels and its value.
type SeriesWriter<'a> = dyn FnMut(&[(&'static str, &str)], u64) -> fmt::Result + 'a;

fn counter(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl FnOnce(&mut SeriesWriter<'_>) -> fmt::Result,
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
    series: impl FnOnce(&mut SeriesWriter<'_>) -> fmt::Result,
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

/// Writes one histogram: its labels, the counts of its buckets, and their sum in seconds.
type HistogramWriter<'a> = dyn FnMut(&[(&'static str, &str)], &[u64], f64) -> fmt::Result + 'a;

/// Encodes histograms whose `bounds` are in microseconds.
fn histogram(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    bounds: &[u64],
    series: impl FnOnce(&mut HistogramWriter<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    series(&mut |labels, counts, sum| {
        let bounds = bounds.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
        let mut histogram = family.encode_family(&labels)?;
        histogram.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    })
}

#[cfg(test)]
mod tests;
