//! The trace that outbound requests continue (W3C InboundTrace Context).

use http::{HeaderMap, HeaderName, HeaderValue};

/// What a request says of the trace that it belongs to.
#[derive(Clone, Default)]
pub(crate) struct InboundTrace(HeaderMap);

/// In bytes: what every flow of a trace has to pass on (W3C InboundTrace Context, 3.3.1.5). A sandbox keeps it for many requests.
const MAX_TRACE: usize = 512;

/// W3C InboundTrace Context: the second says nothing without the first.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl InboundTrace {
    /// Of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut trace = HeaderMap::new();
        for name in [TRACEPARENT, TRACESTATE] {
            let value = headers.get(&name).filter(|value| value.len() <= MAX_TRACE);
            // Copied, since what came is a part of all that the client sent.
            let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(value.as_bytes())) else { break };
            trace.insert(name, value);
        }
        InboundTrace(trace)
    }

    /// Gives it to a request with these headers, unless the guest output to which trace that belongs.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        for (name, value) in &self.0 {
            headers.append(name, value.clone());
        }
    }
}
