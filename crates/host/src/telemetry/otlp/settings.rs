//! Settings of OpenTelemetry in the environment, as far as this program reads them. The library
//! itself reads headers, batches and samplers.
//!
//! An unsupported setting is an error, and a setting without effect a warning, since somebody
//! relies on it. Variables may be set for all programs of a machine: without a collector nothing is
//! checked.

use http::Uri;
use std::time::Duration;

/// Error of the settings of OpenTelemetry.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TelemetryError(pub(super) String);

/// Default timeout of a batch.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Supported variables; `*` stands for the name of a signal.
const SUPPORTED: [&str; 25] = [
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

/// Prefixes of the variables in the specification. Others belong to one language's library, or to
/// the user.
const STANDARD_PREFIXES: [&str; 14] = [
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

/// Values that ask for the default behaviour.
const ALREADY_DONE: [(&str, &str); 2] = [("OTEL_PROPAGATORS", "tracecontext"), ("OTEL_METRICS_EXPORTER", "none")];

/// A signal of OpenTelemetry that can be exported.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    const ALL: [Signal; 2] = [Signal::Traces, Signal::Logs];

    /// Returns the name that the signal has in variables.
    fn name(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Logs => "LOGS",
        }
    }

    /// Returns the variables of a setting; the first takes precedence.
    fn variables(self, setting: &str) -> [String; 2] {
        [format!("OTEL_EXPORTER_OTLP_{}_{setting}", self.name()), format!("OTEL_EXPORTER_OTLP_{setting}")]
    }

    /// Tells whether the environment asks to export this signal.
    ///
    /// # Errors
    /// When it asks for a protocol that is not supported.
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
        for (setting, only, hint) in [
            ("PROTOCOL", "http/protobuf", "set it to http/protobuf, which collectors accept on port 4318"),
            ("COMPRESSION", "none", "set it to none, or unset it: collectors accept uncompressed data too"),
        ] {
            for name in self.variables(setting) {
                if let Some(other) = set(&name).filter(|value| value != only) {
                    return Err(TelemetryError(format!("{name} is {other}, which is not supported; {hint}")));
                }
            }
        }
        Ok(true)
    }

    /// Returns the variable that names the collector, and its value.
    fn endpoint(self) -> Option<(String, String)> {
        self.variables("ENDPOINT")
            .into_iter()
            .find_map(|name| Some((set(&name)?, name)))
            .map(|(value, name)| (name, value))
    }

    /// Returns the timeout of a batch.
    pub fn timeout(self) -> Result<Duration, TelemetryError> {
        let found = self.variables("TIMEOUT").into_iter().find_map(|name| Some((set(&name)?, name)));
        let Some((value, name)) = found else { return Ok(DEFAULT_TIMEOUT) };
        match value.parse() {
            Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
            _ => Err(TelemetryError(format!("{name} is {value}; write a number of milliseconds, such as 10000"))),
        }
    }
}

/// Checks that an endpoint is a URL. The library would ignore an endpoint without a scheme.
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
    Err(TelemetryError(format!("{name} is {value}, which is not an http or https URL; write {url}")))
}

/// Known samplers. The library would take any other name for the first.
const SAMPLERS: [&str; 6] = [
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
];

/// Checks that the sampler is a known one.
pub(super) fn check_sampler() -> Result<(), TelemetryError> {
    match set("OTEL_TRACES_SAMPLER").filter(|sampler| !SAMPLERS.contains(&sampler.as_str())) {
        Some(other) => {
            Err(TelemetryError(format!("OTEL_TRACES_SAMPLER is {other}, and can be {}", SAMPLERS.join(", "))))
        }
        None => Ok(()),
    }
}

/// Returns warnings about variables without effect, and about values that the library would ignore.
pub(super) fn warnings() -> Vec<String> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let set = variables.filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty());
    let mut set: Vec<_> = set.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
    set.sort();
    let unsupported: Vec<_> =
        set.iter().filter(|(name, value)| is_unsupported(name, value)).map(|(name, _)| name.as_str()).collect();
    let unsupported =
        (!unsupported.is_empty()).then(|| format!("these variables have no effect: {}", unsupported.join(", ")));
    unsupported.into_iter().chain(set.iter().filter_map(|(name, value)| ignored_value(name, value))).collect()
}

fn is_supported(name: &str) -> bool {
    SUPPORTED.iter().any(|known| Signal::ALL.iter().any(|signal| known.replace('*', signal.name()) == name))
}

fn is_unsupported(name: &str, value: &str) -> bool {
    STANDARD_PREFIXES.iter().any(|begin| name.starts_with(begin))
        && !is_supported(name)
        && !ALREADY_DONE.contains(&(name, value))
}

/// Returns a warning if the library would silently ignore this value. The specification asks for
/// the warning.
fn ignored_value(name: &str, value: &str) -> Option<String> {
    if !is_supported(name) {
        return None;
    }
    let is_number = || ["_DELAY", "_SIZE", "_LIMIT"].iter().any(|end| name.ends_with(end));
    // Types as in the library.
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
            Some(format!("{name} is {value}, which is not a whole number in range; it counts as not set"))
        }
        // The value may be a secret, so it is not shown.
        _ if is_list() && !value.split(',').all(is_pair) => {
            Some(format!("{name} has a part that is not name=value; it is ignored"))
        }
        _ => None,
    }
}

fn is_pair(part: &str) -> bool {
    let is_whole = |(name, value): (&str, &str)| !name.trim().is_empty() && !value.trim().is_empty();
    part.trim().is_empty() || part.split_once('=').is_some_and(is_whole)
}

/// Returns the value of a variable. An empty one counts as not set, by the specification.
pub(super) fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Tells whether a variable has this value, ignoring case.
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
            let error = check_endpoint("IT", value).unwrap_err().to_string();
            assert_eq!(error, format!("IT is {value}, which is not an http or https URL; {hint}"));
        }
    }

    #[test]
    fn ignored_values_are_warned_of() {
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
            assert!(ignored_value(name, wrong).is_some_and(|warning| warning.starts_with(name)), "{name} {wrong}");
            assert_eq!(ignored_value(name, right), None);
        }
        assert!(!ignored_value("OTEL_EXPORTER_OTLP_HEADERS", "secret").unwrap().contains("secret"));
        assert_eq!(ignored_value("OTEL_PYTHON_QUEUE_SIZE", "x"), None);
    }

    #[test]
    fn standard_variables_without_effect_are_unsupported() {
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
            assert!(is_unsupported(name, "otlp"), "{name}");
        }
        for name in ["OTEL_PYTHON_LOG_LEVEL", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "OTHER", "OTEL_TRACES_EXPORTER"] {
            assert!(!is_unsupported(name, "otlp"), "{name}");
        }
        for name in ["OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_BLRP_SCHEDULE_DELAY"]
        {
            assert!(!is_unsupported(name, "1"), "{name}");
        }
        assert!(ALREADY_DONE.iter().all(|(name, value)| !is_unsupported(name, value)));
    }
}
