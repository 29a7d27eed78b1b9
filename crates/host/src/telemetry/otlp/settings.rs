//! What the environment says of telemetry, as far as this program reads it: the library reads headers, batches and samplers itself.
//!
//! What cannot be done is refused, and what is left alone is told of, since whoever set it counts on it. What is set for all programs of a
//! machine is no fault of one that sends nothing: without a collector nothing is checked.

use http::Uri;
use std::time::Duration;

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TelemetryError(pub(super) String);

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
        let endpoint = self.endpoint();
        match set(&exporter).as_deref() {
            Some("otlp") => {}
            Some("none") => return Ok(false),
            _ if endpoint.is_none() => return Ok(false),
            None => {}
            Some(other) => return Err(TelemetryError(format!("{exporter} is {other}, and can be otlp or none"))),
        }
        if let Some((name, value)) = endpoint {
            check_endpoint(&name, &value)?;
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

    /// Where its collector is, and the variable that says so.
    fn endpoint(self) -> Option<(String, String)> {
        self.variables("ENDPOINT")
            .into_iter()
            .find_map(|name| Some((set(&name)?, name)))
            .map(|(value, name)| (name, value))
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

/// The library has words of its own for what is no URL, and sends nowhere what has no scheme.
fn check_endpoint(name: &str, value: &str) -> Result<(), TelemetryError> {
    let is_url = |text: &str| {
        let uri = text.parse::<Uri>();
        uri.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        })
    };
    if is_url(value) {
        return Ok(());
    }
    let with_scheme = Some(format!("http://{value}")).filter(|url| !value.contains("://") && is_url(url));
    let url = with_scheme.unwrap_or_else(|| "a URL such as http://127.0.0.1:4318".to_owned());
    Err(TelemetryError(format!("{name} is {value}, which is no URL of http or https; write {url}")))
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

/// What to tell of variables that ask for what is not done here, and of values that the library passes over.
pub(super) fn warnings() -> Vec<String> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let set = variables.filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty());
    let mut set: Vec<_> = set.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
    set.sort();
    let unheeded: Vec<_> =
        set.iter().filter(|(name, value)| is_unheeded(name, value)).map(|(name, _)| name.as_str()).collect();
    let unheeded = (!unheeded.is_empty())
        .then(|| format!("what these variables ask for is not done here: {}", unheeded.join(", ")));
    unheeded.into_iter().chain(set.iter().filter_map(|(name, value)| passed_over(name, value))).collect()
}

fn is_heeded(name: &str) -> bool {
    HEEDED.iter().any(|known| Signal::ALL.iter().any(|signal| known.replace('*', signal.name()) == name))
}

fn is_unheeded(name: &str, value: &str) -> bool {
    STANDARD.iter().any(|begin| name.starts_with(begin)) && !is_heeded(name) && !DONE.contains(&(name, value))
}

/// What of a value goes by without a word where it is not what it should be. The specification has it told of.
fn passed_over(name: &str, value: &str) -> Option<String> {
    if !is_heeded(name) {
        return None;
    }
    let is_number = || ["_DELAY", "_SIZE", "_LIMIT"].iter().any(|end| name.ends_with(end));
    // As wide as the library has them.
    let fits =
        || if name.starts_with("OTEL_SPAN_") { value.parse::<u32>().is_ok() } else { value.parse::<u64>().is_ok() };
    let is_list = || name.ends_with("_HEADERS") || name.ends_with("_ATTRIBUTES");
    let is_share = |value: &str| value.parse().is_ok_and(|share: f64| (0.0..=1.0).contains(&share));
    match name {
        "OTEL_SDK_DISABLED" if !["true", "false"].iter().any(|known| value.eq_ignore_ascii_case(known)) => {
            Some(format!("{name} is {value}, which counts as false; write true or false"))
        }
        "OTEL_TRACES_SAMPLER_ARG" if !is_share(value) => {
            Some(format!("{name} is {value}, and should be from 0 to 1, such as 0.1 for a tenth of the requests"))
        }
        _ if is_number() && !fits() => {
            Some(format!("{name} is {value}, which is no whole number that fits; it counts as not set"))
        }
        // Without the value, which may be a secret.
        _ if is_list() && !value.split(',').all(is_pair) => {
            Some(format!("{name} has a part that is not like name=value, which is left out"))
        }
        _ => None,
    }
}

fn is_pair(part: &str) -> bool {
    let is_whole = |(name, value): (&str, &str)| !name.trim().is_empty() && !value.trim().is_empty();
    part.trim().is_empty() || part.split_once('=').is_some_and(is_whole)
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
    fn an_endpoint_is_a_url() {
        for url in ["http://127.0.0.1:4318", "https://collector.example/", "http://[::1]:4318/v1/traces"] {
            check_endpoint("IT", url).unwrap();
        }
        for (value, hint) in [
            ("127.0.0.1:4318", "write http://127.0.0.1:4318"),
            ("localhost:4318", "write http://localhost:4318"),
            ("collector", "write http://collector"),
            ("grpc://collector:4317", "write a URL such as http://127.0.0.1:4318"),
            ("http://", "write a URL such as http://127.0.0.1:4318"),
            ("/v1/traces", "write a URL such as http://127.0.0.1:4318"),
        ] {
            let said = check_endpoint("IT", value).unwrap_err().to_string();
            assert_eq!(said, format!("IT is {value}, which is no URL of http or https; {hint}"));
        }
    }

    #[test]
    fn values_that_are_passed_over_are_told_of() {
        for (name, wrong, right) in [
            ("OTEL_BSP_SCHEDULE_DELAY", "x", "50"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "-1", "5000000000"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "5000000000", "10"),
            ("OTEL_TRACES_SAMPLER_ARG", "2", "0.5"),
            ("OTEL_TRACES_SAMPLER_ARG", "half", "1"),
            ("OTEL_SDK_DISABLED", "yes", "False"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a", "api-key=a%20key,x=y=z"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a=b,=c", "a=b, c=d,"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team:shop", "team=shop"),
        ] {
            assert!(passed_over(name, wrong).is_some_and(|said| said.starts_with(name)), "{name} {wrong}");
            assert_eq!(passed_over(name, right), None);
        }
        assert!(!passed_over("OTEL_EXPORTER_OTLP_HEADERS", "secret").unwrap().contains("secret"));
        assert_eq!(passed_over("OTEL_PYTHON_QUEUE_SIZE", "x"), None);
    }

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
