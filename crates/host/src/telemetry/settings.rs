//! What the environment says of telemetry, as far as this program reads it: the library reads headers, batches and samplers itself.
//!
//! What cannot be done is refused, and what is left alone is told of, since whoever set it counts on it.

use super::TelemetryError;
use std::time::Duration;

/// How long a collector may take for a batch, where nothing says so.
const PATIENCE: Duration = Duration::from_secs(10);

/// The variables that do something: those for one signal have its name for `*`.
const HEEDED: [&str; 25] = [
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_*_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_*_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_*_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_*_TIMEOUT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_*_PROTOCOL",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_*_COMPRESSION",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BLRP_SCHEDULE_DELAY",
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
];

/// How the names begin that the specification has. Others belong to one language, or to whoever set them.
const STANDARD: [&str; 14] = [
    "OTEL_ATTRIBUTE_",
    "OTEL_BLRP_",
    "OTEL_BSP_",
    "OTEL_CONFIG_FILE",
    "OTEL_EVENT_",
    "OTEL_EXPORTER_",
    "OTEL_LINK_",
    "OTEL_LOGRECORD_",
    "OTEL_LOGS_",
    "OTEL_LOG_LEVEL",
    "OTEL_METRIC",
    "OTEL_PROPAGATORS",
    "OTEL_SPAN_",
    "OTEL_TRACES_",
];

/// Values that ask for what is done anyway.
const DONE: [(&str, &str); 2] = [("OTEL_PROPAGATORS", "tracecontext"), ("OTEL_METRICS_EXPORTER", "none")];

/// A signal that can be sent, by the name that it has in variables.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    const ALL: [Signal; 2] = [Signal::Traces, Signal::Logs];

    fn name(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Logs => "LOGS",
        }
    }

    /// The variables that say `what` of it, the one that goes first in front.
    fn variables(self, what: &str) -> [String; 2] {
        [format!("OTEL_EXPORTER_OTLP_{}_{what}", self.name()), format!("OTEL_EXPORTER_OTLP_{what}")]
    }

    /// Whether there is a collector for it, which can be spoken to.
    pub fn is_wanted(self) -> Result<bool, TelemetryError> {
        let exporter = format!("OTEL_{}_EXPORTER", self.name());
        let is_set = match set(&exporter).as_deref() {
            None => false,
            Some("otlp") => true,
            Some("none") => return Ok(false),
            Some(other) => return Err(TelemetryError(format!("{exporter} is {other}, and can be otlp or none"))),
        };
        // What is set for all programs of a machine is no fault of one that sends nothing.
        if !is_set && self.variables("ENDPOINT").iter().all(|name| set(name).is_none()) {
            return Ok(false);
        }
        for (what, only, hint) in [
            ("PROTOCOL", "http/protobuf", "set it to http/protobuf, which collectors take on port 4318"),
            ("COMPRESSION", "none", "set it to none, or leave it out: collectors take what is not compressed too"),
        ] {
            for name in self.variables(what) {
                if let Some(other) = set(&name).filter(|value| value != only) {
                    return Err(TelemetryError(format!("{name} is {other}, which is not spoken here; {hint}")));
                }
            }
        }
        Ok(true)
    }

    /// How long its collector may take for a batch.
    pub fn patience(self) -> Result<Duration, TelemetryError> {
        let said = self.variables("TIMEOUT").into_iter().find_map(|name| Some((set(&name)?, name)));
        let Some((value, name)) = said else { return Ok(PATIENCE) };
        match value.parse() {
            Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
            _ => Err(TelemetryError(format!("{name} is {value}; write a number of milliseconds, such as 10000"))),
        }
    }
}

/// The library takes any other for the first.
const SAMPLERS: [&str; 6] = [
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
];

/// Whether there is the sampler that is asked for.
pub(super) fn check_sampler() -> Result<(), TelemetryError> {
    match set("OTEL_TRACES_SAMPLER").filter(|sampler| !SAMPLERS.contains(&sampler.as_str())) {
        Some(other) => {
            Err(TelemetryError(format!("OTEL_TRACES_SAMPLER is {other}, and can be {}", SAMPLERS.join(", "))))
        }
        None => Ok(()),
    }
}

/// Variables that ask for what is not done here.
pub(super) fn unheeded() -> Option<String> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let set = variables.filter(|(_, value)| !value.is_empty());
    let mut names: Vec<_> =
        set.filter(|(name, value)| is_unheeded(name, &value.to_string_lossy())).map(|(name, _)| name).collect();
    names.sort();
    (!names.is_empty()).then(|| names.join(", "))
}

fn is_unheeded(name: &str, value: &str) -> bool {
    let is_it = |known: &&str| Signal::ALL.iter().any(|signal| known.replace('*', signal.name()) == name);
    STANDARD.iter().any(|begin| name.starts_with(begin)) && !HEEDED.iter().any(is_it) && !DONE.contains(&(name, value))
}

/// A variable of the environment; an empty one counts as none, as the specification has it.
pub(super) fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(super) fn is(name: &str, value: &str) -> bool {
    set(name).is_some_and(|set| set.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_standard_and_does_nothing_is_unheeded() {
        for name in [
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
            "OTEL_BSP_EXPORT_TIMEOUT",
            "OTEL_METRICS_EXPORTER",
            "OTEL_METRIC_EXPORT_INTERVAL",
            "OTEL_PROPAGATORS",
        ] {
            assert!(is_unheeded(name, "otlp"), "{name}");
        }
        for name in ["OTEL_PYTHON_LOG_LEVEL", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "OTHER", "OTEL_TRACES_EXPORTER"] {
            assert!(!is_unheeded(name, "otlp"), "{name}");
        }
        for name in ["OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_BLRP_SCHEDULE_DELAY"]
        {
            assert!(!is_unheeded(name, "1"), "{name}");
        }
        assert!(DONE.iter().all(|(name, value)| !is_unheeded(name, value)));
    }
}
