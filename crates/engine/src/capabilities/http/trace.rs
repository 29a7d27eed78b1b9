//! The trace that outbound requests continue (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};

/// Trace headers of an inbound request.
#[derive(Clone, Default)]
pub(crate) struct InboundTrace(HeaderMap);

/// Bytes that every participant of a trace has to propagate (W3C Trace Context, section 3.3.1.5). A
/// sandbox keeps them for many requests.
const MAX_TRACE: usize = 512;

/// W3C Trace Context: `tracestate` means nothing without `traceparent`.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl InboundTrace {
    /// Returns the trace of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut trace = HeaderMap::new();
        for name in [TRACEPARENT, TRACESTATE] {
            let value = headers.get(&name).filter(|value| value.len() <= MAX_TRACE);
            // Copied, since the value shares the memory of the whole inbound head.
            let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(value.as_bytes())) else { break };
            trace.insert(name, value);
        }
        InboundTrace(trace)
    }

    /// Adds the trace to the headers of an outbound request, unless the guest set one.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        for (name, value) in &self.0 {
            headers.append(name, value.clone());
        }
    }
}
