//! OpenTelemetry: traces and logs, sent over OTLP as the standard `OTEL_*` variables say.
//!
//! Each request is a span of kind server, with the attributes of the semantic conventions for HTTP.
//! The client's `traceparent` (W3C Trace Context) names its parent, and the guest sees the span in
//! its own `traceparent`. Lines that guests print are log records of the span. The library sends
//! both in batches and drops what exceeds its queues, so that a slow collector holds up no request.

use super::client::{CollectorClient, CollectorWarnings};
use super::settings::{self, Signal, TelemetryError, is, set};
use crate::telemetry::cause::Cause;
use crate::telemetry::labels::Labels;
use crate::telemetry::metrics::ComponentMetrics;
use http::{HeaderValue, Method, Request, StatusCode};
use opentelemetry::logs::{LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{LogExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime};
use walnut_engine::OutputLine;

/// Longest time to send the last spans and records of a process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Name of the instrumentation scope.
const SCOPE: &str = "walnut";
/// Header of W3C Trace Context with data of other vendors.
const TRACESTATE: &str = "tracestate";

/// Exporter of traces and logs to a collector.
pub struct Telemetry {
    traces: Option<(SdkTracerProvider, SdkTracer)>,
    logs: Option<(SdkLoggerProvider, SdkLogger)>,
    propagator: TraceContextPropagator,
}

impl Telemetry {
    /// Sets up the exporter that the environment asks for. Returns `None` unless it names a
    /// collector, in `OTEL_EXPORTER_OTLP_ENDPOINT` or the variables for traces or logs alone, or
    /// sets an exporter, whose collector is then on this machine. `warn` receives warnings about
    /// variables without effect, invalid values, and a collector that cannot be reached (once until
    /// it can).
    ///
    /// # Errors
    /// When a variable asks for something that is not supported.
    pub fn from_env(warn: impl Fn(&str) + Send + Sync + 'static) -> Result<Option<Self>, TelemetryError> {
        if is("OTEL_SDK_DISABLED", "true") {
            return Ok(None);
        }
        let warnings = CollectorWarnings::new(warn);
        let client = |signal: Signal| {
            let is_wanted = signal.is_wanted()?;
            is_wanted.then(|| Ok(CollectorClient::new(warnings.clone(), signal.timeout()?))).transpose()
        };
        let (traces_client, logs_client) = (client(Signal::Traces)?, client(Signal::Logs)?);
        if traces_client.is_none() && logs_client.is_none() {
            return Ok(None);
        }
        settings::check_sampler()?;
        let traces = traces_client.map(traces).transpose()?;
        let logs = logs_client.map(logs).transpose()?;
        settings::warnings().iter().for_each(|warning| warnings.warn(warning));
        Ok(Some(Telemetry { traces, logs, propagator: TraceContextPropagator::new() }))
    }

    /// Starts the span of a request, and sets it as the `traceparent` that the guest sees.
    pub(crate) fn start_span<B>(
        &self,
        peer: SocketAddr,
        labels: &Labels,
        request: &mut Request<B>,
    ) -> Option<RequestSpan> {
        let (_, tracer) = self.traces.as_ref()?;
        let client = self.propagator.extract(&HeaderExtractor(request.headers()));
        let Labels { app, component } = labels;
        let (method, uri) = (method(request.method()), request.uri());
        let span = tracer
            .span_builder(format!("{method} {app}/{component}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", method.to_owned()),
                KeyValue::new("url.path", uri.path().to_owned()),
                KeyValue::new("url.scheme", uri.scheme_str().unwrap_or("http").to_owned()),
                KeyValue::new("server.address", uri.host().unwrap_or_default().to_owned()),
                KeyValue::new("client.address", peer.ip().to_string()),
                KeyValue::new("walnut.app", app.to_owned()),
                KeyValue::new("walnut.component", component.to_owned()),
            ])
            .start_with_context(tracer, &client);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        self.propagator.inject_context(&context, &mut HeaderInjector(request.headers_mut()));
        // The library writes an empty header if there is nothing to pass on.
        if request.headers().get(TRACESTATE).is_some_and(HeaderValue::is_empty) {
            request.headers_mut().remove(TRACESTATE);
        }
        Some(RequestSpan(span))
    }

    /// Sends a line that a guest of the component `of` wrote.
    pub fn line(&self, of: &ComponentMetrics, line: OutputLine<'_>) {
        let Some((_, logger)) = &self.logs else { return };
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        let (severity, stream) = if line.is_stderr { (Severity::Error, "stderr") } else { (Severity::Info, "stdout") };
        record.set_severity_number(severity);
        record.set_body(line.text.to_owned().into());
        record.add_attribute("log.iostream", stream);
        record.add_attribute("walnut.app", of.labels().app.clone());
        record.add_attribute("walnut.component", of.labels().component.clone());
        if let Some(request) = line.request {
            let span = request.span().map_or(SpanId::INVALID, |span| SpanId::from(span.get()));
            record.set_trace_context(TraceId::from(request.trace().get()), span, None);
        }
        logger.emit(record);
    }

    /// Sends the rest. Takes five seconds at most.
    pub fn stop(&self) {
        // In parallel, so that a dead collector is waited for only once. Its client has warned
        // already.
        thread::scope(|both| {
            if let Some((provider, _)) = &self.traces {
                both.spawn(|| provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
            }
            if let Some((provider, _)) = &self.logs {
                let _ = provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
            }
        });
    }
}

/// Span of a request.
pub(crate) struct RequestSpan(SdkSpan);

impl RequestSpan {
    /// Ends the span with the outcome of the request.
    pub fn end(mut self, status: Option<StatusCode>, cause: Cause) {
        if let Some(status) = status {
            self.0.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        }
        if cause != Cause::Ok {
            self.0.set_attribute(KeyValue::new("error.type", cause.name()));
        }
        // By the conventions, an error of the client is no error of the server's span.
        if status.is_none_or(|status| status.is_server_error()) {
            self.0.set_status(Status::error(cause.name()));
        }
        self.0.end();
    }
}

fn traces(client: CollectorClient) -> Result<(SdkTracerProvider, SdkTracer), TelemetryError> {
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build().map_err(failed)?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    let tracer = provider.tracer(SCOPE);
    Ok((provider, tracer))
}

fn logs(client: CollectorClient) -> Result<(SdkLoggerProvider, SdkLogger), TelemetryError> {
    let exporter = LogExporter::builder().with_http().with_http_client(client).build().map_err(failed)?;
    let provider = SdkLoggerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    let logger = provider.logger(SCOPE);
    Ok((provider, logger))
}

fn failed(error: opentelemetry_otlp::ExporterBuildError) -> TelemetryError {
    TelemetryError(error.to_string())
}

/// Returns the resource: service `walnut`, unless the environment names it otherwise.
fn resource() -> Resource {
    let attributes = attributes(&set("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
    let named = || attributes.iter().find(|(key, _)| key == "service.name").map(|(_, value)| value.clone());
    let name = set("OTEL_SERVICE_NAME").or_else(named).unwrap_or_else(|| "walnut".to_owned());
    let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
    Resource::builder().with_attributes(attributes).with_service_name(name).build()
}

/// Parses `key=value,…` and decodes percent-encoded values, which the SDK does not.
fn attributes(text: &str) -> Vec<(String, String)> {
    let decoded = |value: &str| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), decoded(value.trim()))).collect()
}

/// Returns the method as the conventions name it. Unknown methods are `_OTHER`, so that a client
/// cannot invent values.
fn method(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    if KNOWN.contains(method) { method.as_str() } else { "_OTHER" }
}
