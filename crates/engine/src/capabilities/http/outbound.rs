//! Outbound requests of a sandbox, as wasmtime's `wasi:http` sends them.

use crate::capabilities::connection_limit::ConnectionLimit;
use crate::capabilities::http::context::HttpContext;
use crate::capabilities::http::exchange::{OutboundExchange, SendResult, Timeouts};
use crate::capabilities::http::trace::InboundTrace;
use crate::capabilities::state::HostState;
use crate::component::wasi::WASI_0_3;
use crate::http::body::{SizeLimited, WithGuard};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::sync::Arc;
use walnut_policy::Limit;
use wasmtime::component::GuestTaskId;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, WasiHttpView};

/// State of this capability.
pub(crate) trait HttpState: HostState + WasiHttpView {
    fn outbound(&self) -> &Outbound;
}

/// Sends the requests of one sandbox.
pub(crate) struct Outbound {
    context: Arc<dyn HttpContext>,
    connections: ConnectionLimit,
    /// Import through which the guest asks; its version of WASI decides.
    import: &'static str,
    /// Trace of the request that the sandbox answers, if it answers one at a time.
    trace: InboundTrace,
    /// Traces of the requests that a sandbox of WASI 0.3 answers, by the guest's task for each.
    traces: HashMap<GuestTaskId, InboundTrace>,
}

impl Outbound {
    /// Continues `trace` with the requests that the guest sends from now on.
    pub fn continue_trace(&mut self, trace: InboundTrace) {
        self.trace = trace;
    }

    /// Continues `trace` with the requests that `task` of the guest sends.
    pub fn continue_trace_in(&mut self, task: GuestTaskId, trace: InboundTrace) {
        // The engine reuses the number of a task that is over. The old entry is replaced before the
        // new task does anything: every call of the host in a sandbox of 0.3 starts here, and a
        // task keeps its number as long as one of its threads lives. A live task thus never finds
        // another's trace. A call that a finished task left behind in another component of the same
        // composition may ask, too. It finds the old trace or, once the number is reused, the trace
        // of the request that reuses it. Both requests are of the same sandbox.
        self.traces.insert(task, trace);
    }

    /// Returns the trace that requests of `task` continue.
    pub fn trace_of(&self, task: GuestTaskId) -> Option<&InboundTrace> {
        self.traces.get(&task)
    }

    /// Creates the sender of a guest that imports `version` of WASI.
    pub fn new(context: Arc<dyn HttpContext>, version: &str, connections: ConnectionLimit) -> Self {
        let is_0_3 = version == WASI_0_3;
        Outbound {
            context,
            connections,
            trace: InboundTrace::default(),
            traces: HashMap::new(),
            import: if is_0_3 { "wasi:http/client.send" } else { "wasi:http/outgoing-handler.handle" },
        }
    }
}

/// Bytes of a body on their way out of the guest; each open body may have twice as many.
const CHUNK: usize = 64 << 10;

impl WasiHttpHooks for Outbound {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let Some(slot) = self.connections.open() else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let slot = Arc::new(slot);
        self.trace.pass_on(request.headers_mut());
        let (left, context) = (self.context.limits().request_body, self.context.clone());
        let request = request.map(|inner| {
            let too_large = move || {
                context.exceeded(Limit::RequestBody);
                Error::HttpRequestBodySize(None)
            };
            let inner = SizeLimited { inner, left, too_large, broken: |e| e };
            WithGuard { inner, _guard: slot.clone() }.boxed_unsync()
        });
        let exchange = OutboundExchange {
            context: self.context.clone(),
            slot,
            import: self.import,
            timeouts: Timeouts::of(options),
        };
        Box::new(exchange.send(request))
    }
}
