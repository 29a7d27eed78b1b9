//! `http`: requests that a guest sends. The URL is decided first, then each address that its host resolves to, and for each
//! request anew the address of a connection that is there already.
//!
//! `http/connection.rs` makes connections, `http/lease.rs` is the use of one by a request, and `http/pool.rs` keeps those of one component
//! that wait for its next request.

use crate::capabilities::connection_limit::ConnectionLimit;
use crate::capabilities::http::context::HttpContext;
use crate::capabilities::http::exchange::{OutboundExchange, SendResult, Timeouts};
use crate::capabilities::http::trace::InboundTrace;
use crate::capabilities::state::HostState;
use crate::component::wasi::WASI_0_3;
use crate::http::body::{SizeLimited, WithGuard};
use crate::limits::Limit;
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::component::GuestTaskId;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, WasiHttpView};

/// What this capability keeps for a guest.
pub(crate) trait HttpState: HostState + WasiHttpView {
    fn outbound(&self) -> &Outbound;
}

/// Sends the requests of one sandbox.
pub(crate) struct Outbound {
    context: Arc<dyn HttpContext>,
    connections: ConnectionLimit,
    /// Through which the guest asks, which its version of WASI decides.
    import: &'static str,
    /// Of the request that the sandbox answers, where it answers one at a time.
    trace: InboundTrace,
    /// Of each request that a sandbox of 0.3 answers, by the task that it is for the guest.
    traces: HashMap<GuestTaskId, InboundTrace>,
}

impl Outbound {
    /// From now on what the guest sends belongs to this trace.
    pub fn continue_trace(&mut self, trace: InboundTrace) {
        self.trace = trace;
    }

    /// What `task` of the guest sends belongs to this trace, whatever else the guest does meanwhile.
    pub fn continue_trace_in(&mut self, task: GuestTaskId, trace: InboundTrace) {
        // The engine gives the number of a task that is over to another. What stays here of the old one is then replaced before the new
        // one does anything: whatever the host calls in a sandbox of 0.3 goes through here first, and a task has its number for as
        // long as one of its threads lives. So nobody finds another's trace who asks by the number of a task that lives. Of a
        // task that is over, only what it called asynchronously in another component of the same composition, and left
        // behind, may ask: it finds the old trace, or, once the number is taken, that of the request that took it, as the engine
        // then tells it as the caller. Both are requests of the same sandbox.
        self.traces.insert(task, trace);
    }

    /// The trace of what `task` sends.
    pub fn trace_of(&self, task: GuestTaskId) -> Option<&InboundTrace> {
        self.traces.get(&task)
    }

    /// Sends requests for a guest that asks for things by `version` of WASI.
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

/// Bytes of a body that are on their way out of the guest: each that is open may have twice as many.
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
