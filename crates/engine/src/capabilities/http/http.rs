//! `http`: requests that a guest sends. The URL is decided first, then each address that its host resolves to, and for each
//! request anew the address of a connection that is there already.
//!
//! `http/connection.rs` makes connections, `http/lease.rs` is the use of one by a request, and `http/pool.rs` keeps those of one component
//! that wait for its next request.

use crate::capabilities::connection_limit::{Connection, Connections};
use crate::capabilities::http::connection::{Destination, Head, Line, Permitted};
use crate::capabilities::http::lease::{Lease, Leased};
use crate::compile::prepared::Setup;
use crate::component::wasi::WASI_0_3;
use crate::gate::gate::Permit;
use crate::http::body::{Bounded, Guarded, Patient};
use crate::http::hop_by_hop;
use crate::limits::Limit;
use crate::scheduler::offload::at_home;
use futures_channel::oneshot;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use walnut_policy::Request;
use wasmtime::component::GuestTaskId;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Where the guest sets no time-out of its own. The sandbox's deadline is usually sooner.
const PATIENCE: Duration = Duration::from_secs(600);

type Completion = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Completion), Error>;

/// Sends the requests of one sandbox.
pub(crate) struct Outbound {
    setup: Arc<Setup>,
    connections: Connections,
    /// Through which the guest asks, which its version of WASI decides.
    import: &'static str,
    /// Of the request that the sandbox answers, where it answers one at a time.
    trace: Trace,
    /// Of each request that a sandbox of 0.3 answers, by the task that it is for the guest.
    traces: HashMap<GuestTaskId, Trace>,
}

/// What a request says of the trace that it belongs to.
#[derive(Clone, Default)]
pub(crate) struct Trace(HeaderMap);

/// In bytes: what every party of a trace has to pass on (W3C Trace Context, 3.3.1.5). A sandbox keeps it for many requests.
const MOST_OF_TRACE: usize = 512;

/// W3C Trace Context: the second says nothing without the first.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl Trace {
    /// Of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut trace = HeaderMap::new();
        for name in [TRACEPARENT, TRACESTATE] {
            let value = headers.get(&name).filter(|value| value.len() <= MOST_OF_TRACE);
            // Copied, since what came is a part of all that the client sent.
            let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(value.as_bytes())) else { break };
            trace.insert(name, value);
        }
        Trace(trace)
    }

    /// Gives it to a request with these headers, unless the guest said to which trace that belongs.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        for (name, value) in &self.0 {
            headers.append(name, value.clone());
        }
    }
}

impl Outbound {
    /// From now on what the guest sends belongs to this trace.
    pub fn continue_trace(&mut self, trace: Trace) {
        self.trace = trace;
    }

    /// What `task` of the guest sends belongs to this trace, whatever else the guest does meanwhile.
    pub fn continue_trace_in(&mut self, task: GuestTaskId, trace: Trace) {
        // The engine gives the number of a task that is over to another. What stays here of the old one is then replaced before the new
        // one does anything: whatever the host calls in a sandbox of 0.3 goes through here first, and a task has its number for as
        // long as one of its threads lives. So nobody finds another's trace who asks by the number of a task that lives. Of a
        // task that is over, only what it called asynchronously in another component of the same composition, and left
        // behind, may ask: it finds the old trace, or, once the number is taken, that of the request that took it, as the engine
        // then tells it as the caller. Both are requests of the same sandbox.
        self.traces.insert(task, trace);
    }

    /// The trace of what `task` sends.
    pub fn trace_of(&self, task: GuestTaskId) -> Option<&Trace> {
        self.traces.get(&task)
    }

    pub fn new(setup: &Arc<Setup>, connections: Connections) -> Self {
        let is_0_3 = setup.version == WASI_0_3;
        Outbound {
            setup: setup.clone(),
            connections,
            trace: Trace::default(),
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
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let Some(slot) = self.connections.open() else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let slot = Arc::new(slot);
        self.trace.pass_on(request.headers_mut());
        let (left, setup) = (self.setup.limits.request_body, self.setup.clone());
        let request = request.map(|inner| {
            let too_large = move || {
                setup.exceeded(Limit::RequestBody);
                Error::HttpRequestBodySize(None)
            };
            let inner = Bounded { inner, left, too_large, broken: |e| e };
            Guarded { inner, _guard: slot.clone() }.boxed_unsync()
        });
        let exchange =
            Exchange { setup: self.setup.clone(), slot, import: self.import, patience: Patience::of(options) };
        Box::new(exchange.send(request))
    }
}

struct Patience {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Patience {
    fn of(options: Option<RequestOptions>) -> Self {
        let options = options.as_ref();
        Patience {
            connect: options.and_then(|o| o.connect_timeout).unwrap_or(PATIENCE),
            first_byte: options.and_then(|o| o.first_byte_timeout).unwrap_or(PATIENCE),
            between_bytes: options.and_then(|o| o.between_bytes_timeout).unwrap_or(PATIENCE),
        }
    }
}

/// One request and its answer.
struct Exchange {
    setup: Arc<Setup>,
    /// The request's body has it too, until all of it is sent.
    slot: Arc<Connection>,
    import: &'static str,
    patience: Patience,
}

/// An error, and the request if nothing of it was sent.
struct Unanswered(Error, Option<http::Request<WasiBody>>);

impl Exchange {
    async fn send(self, request: http::Request<WasiBody>) -> Sent {
        let destination = Destination::of(request.uri())?;
        let asked = Request::Http {
            method: request.method().as_str().to_owned(),
            scheme: destination.scheme().to_owned(),
            host: destination.host.clone(),
            port: destination.port,
            path: request.uri().path().to_owned(),
        };
        let permit = self.setup.gate.check(self.import, asked).map_err(|_| Error::HttpRequestDenied)?;
        let (line, mut response) = self.answered(permit, &destination, request).await?;
        let named = hop_by_hop::remove_named(response.headers_mut());
        let (left, patience) = (self.setup.limits.response_body, self.patience.between_bytes);
        let (setup, pool) = (self.setup.clone(), self.setup.pool.clone());
        let too_large = move || {
            setup.exceeded(Limit::ResponseBody);
            Error::HttpResponseBodySize(None)
        };
        let bounded = |inner| Bounded { inner, left, too_large, broken: Error::from };
        let patient = |body| Patient::new(body, patience, || Error::ConnectionReadTimeout);
        let (over, is_over) = oneshot::channel();
        let lease = Lease { line, destination, pool, slot: self.slot, over };
        let response = response.map(|incoming| Leased::new(patient(bounded(incoming)), lease, named).boxed_unsync());
        Ok((response, Box::new(async { is_over.await.unwrap_or(Ok(())) })))
    }

    /// The answer to a request, and the connection that it comes on.
    async fn answered(
        &self,
        permit: Permit,
        destination: &Destination,
        mut request: http::Request<WasiBody>,
    ) -> Result<(Line, http::Response<Incoming>), Error> {
        let head = Head::of(&request)?;
        if self.setup.pool.knows(destination) {
            // The runtime looks at its sockets, so that what the peer closed is known to be.
            tokio::task::yield_now().await;
            if let Some(mut line) = self.waiting(&permit, destination) {
                match self.ask(&mut line, request, &head).await {
                    Ok(response) => return Ok((line, response)),
                    // It was closed all the same.
                    Err(Unanswered(_, Some(unsent))) => request = unsent,
                    Err(Unanswered(error, None)) => return Err(error),
                }
            }
        }
        let connecting = timeout(self.patience.connect, self.connect(&permit, destination));
        let mut line = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
        let asked = self.ask(&mut line, request, &head).await;
        asked.map(|response| (line, response)).map_err(|Unanswered(error, _)| error)
    }

    /// A connection that waits for a request, if the gate lets this one go where it leads.
    fn waiting(&self, _: &Permit, destination: &Destination) -> Option<Line> {
        let waiting = self.setup.pool.take(destination)?;
        let permit = self.permit(destination, waiting.address())?;
        Some(waiting.open(permit))
    }

    async fn connect(&self, permit: &Permit, destination: &Destination) -> Result<Line, Error> {
        let addresses = self.permitted_addresses(destination).await?;
        let (to, pool) = (destination.clone(), self.setup.pool.clone());
        // Later requests use it too, of guests that are not where this one is.
        let line = at_home(async move { Line::connect(addresses, &to, &pool).await }).await?;
        let Some(share) = line.share() else { return Ok(line) };
        // Of several that were made at once, one takes all the requests.
        if let Some(other) = self.waiting(permit, destination) {
            return Ok(other);
        }
        self.setup.pool.keep(destination.clone(), share);
        Ok(line)
    }

    async fn permitted_addresses(&self, destination: &Destination) -> Result<Vec<Permitted>, Error> {
        let found = self.setup.lookups.addresses(&destination.host, destination.port).await;
        let found = found.map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
        if found.is_empty() {
            return Err(Error::DestinationNotFound);
        }
        let permitted = found.into_iter().filter_map(|address| Some((self.permit(destination, address)?, address)));
        let permitted: Vec<_> = permitted.collect();
        if permitted.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(permitted) }
    }

    fn permit(&self, destination: &Destination, address: SocketAddr) -> Option<Permit> {
        let (scheme, host) = (destination.scheme().to_owned(), destination.host.clone());
        self.setup.gate.check(self.import, Request::HttpAddress { scheme, host, address }).ok()
    }

    async fn ask(
        &self,
        line: &mut Line,
        request: http::Request<WasiBody>,
        head: &Head,
    ) -> Result<http::Response<Incoming>, Unanswered> {
        match timeout(self.patience.first_byte, line.send(request, head)).await {
            Err(_) => Err(Unanswered(Error::ConnectionReadTimeout, None)),
            Ok(Err(mut failed)) => {
                let unsent = failed.take_message();
                Err(Unanswered(failed.into_error().into(), unsent))
            }
            Ok(Ok(response)) => Ok(response),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::http::pool::Pool;
    use crate::gate::gate::Gate;
    use crate::limits::Limits;
    use crate::sandbox::stdio::Stdio;
    use crate::scheduler::offload;
    use crate::scheduler::turns::{self, Party};
    use http_body_util::Full;
    use std::io;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::task::{Context, Poll};
    use std::time::Instant;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
    use tokio::net::TcpListener;
    use walnut_policy::{Capability, Policy};

    /// A connection that its peer closes, which nobody hears of before the next use.
    struct Silent(Arc<AtomicBool>);

    impl AsyncRead for Silent {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.0.load(SeqCst) { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
    }

    impl AsyncWrite for Silent {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    /// Answers requests that end in `end`, all on one connection.
    async fn answers(listener: TcpListener, end: &'static [u8], times: usize, answer: &'static str) {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        for _ in 0..times {
            let mut request = Vec::new();
            while !request.ends_with(end) {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn request(url: &str, body: &'static str) -> http::Request<WasiBody> {
        let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
        http::Request::builder().uri(url).header("host", "test").body(body).unwrap()
    }

    /// The answer to `body`.
    async fn ask(url: &str, pool: &Arc<Pool>, body: &'static str) -> http::Response<WasiBody> {
        let mut policy = Policy::sealed();
        policy.allow(Capability::Http, url).unwrap();
        let gate = Gate::new("test", policy, Vec::new());
        let mut setup = Setup::new(gate, Limits::for_service(), Stdio::Inherit, false).unwrap();
        setup.pool = pool.clone();
        let setup = Arc::new(setup);
        let exchange = Exchange {
            slot: Arc::new(Connections::new(&setup).open().unwrap()),
            setup,
            import: "test",
            patience: Patience::of(None),
        };
        let slot = exchange.slot.clone();
        let request = request(url, body).map(|inner| Guarded { inner, _guard: slot }.boxed_unsync());
        exchange.send(request).await.map_err(|e| e.to_string()).unwrap().0
    }

    /// Its status.
    async fn status(url: &str, pool: &Arc<Pool>, body: &'static str) -> u16 {
        ask(url, pool, body).await.status().as_u16()
    }

    #[tokio::test]
    async fn what_had_a_body_leaves_its_connection_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(answers(listener, b"\r\n\r\nbody", 2, EMPTY));
        let pool = Arc::default();
        assert_eq!((status(&url, &pool, "body").await, status(&url, &pool, "body").await), (200, 200));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_not_sent_goes_on_a_new_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/");
        let server = tokio::spawn(answers(listener, b"\r\n\r\n", 1, EMPTY));
        let (pool, is_closed) = (Arc::<Pool>::default(), Arc::<AtomicBool>::default());
        let mut line = Line::http1(Silent(is_closed.clone()), address).await.unwrap();
        assert!(line.becomes_ready().await);
        pool.keep(Destination::of(&url.parse().unwrap()).unwrap(), line);
        is_closed.store(true, SeqCst);
        assert_eq!(status(&url, &pool, "").await, 200);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn what_an_answer_says_of_its_connection_goes_no_further() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = "HTTP/1.1 200 OK\r\nconnection: X-Hop\r\nx-hop: 1\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n";
        let server = tokio::spawn(answers(listener, b"\r\n\r\n", 1, answer));
        let response = ask(&url, &Arc::default(), "").await;
        assert!(response.headers().contains_key("x-end") && !response.headers().contains_key("x-hop"));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn nor_does_a_trailer_that_is_for_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = "HTTP/1.1 200 OK\r\nconnection: X-Hop\r\ntransfer-encoding: chunked\r\n\r\n\
            2\r\nok\r\n0\r\nx-hop: 1\r\nx-end: 1\r\n\r\n";
        let server = tokio::spawn(answers(listener, b"\r\n\r\n", 1, answer));
        let body = ask(&url, &Arc::default(), "").await.into_body();
        let Ok(body) = body.collect().await else { panic!("the answer is whole") };
        let trailers = body.trailers().unwrap();
        assert!(trailers.contains_key("x-end") && !trailers.contains_key("x-hop"));
        server.await.unwrap();
    }

    /// By the thread that serves, whichever thread the guest is on.
    #[tokio::test]
    async fn what_a_guest_that_computes_connects_is_driven_by_the_thread_that_serves() {
        (0..2).for_each(|_| drop(turns::before(Party::new(), Instant::now())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(answers(listener, b"\r\n\r\nbody", 2, EMPTY));
        let pool = Arc::<Pool>::default();
        let (to, kept) = (url.clone(), pool.clone());
        let compute = offload::beside().unwrap();
        assert_eq!(compute.spawn(async move { status(&to, &kept, "body").await }).await.unwrap(), 200);
        let destination = Destination::of(&url.parse().unwrap()).unwrap();
        let waiting = loop {
            match pool.take(&destination) {
                Some(waiting) => break waiting,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let mut policy = Policy::sealed();
        policy.allow_all();
        let asked = Request::Env { name: "any".into() };
        let permit = Gate::new("test", policy, Vec::new()).check("test", asked).unwrap();
        let line = waiting.open(permit);
        assert_eq!(line.thread, std::thread::current().id());
        pool.keep(destination, line);
        assert_eq!(status(&url, &pool, "body").await, 200);
        server.await.unwrap();
    }

    #[test]
    fn a_request_ends_with_the_runtime_of_its_connection() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (drives, asks) = (runtime(), runtime());
        let silent = Silent(Arc::default());
        let mut line = drives.block_on(Line::http1(silent, ([127, 0, 0, 1], 80).into())).unwrap();
        let request = request("http://test/", "");
        let head = Head::of(&request).unwrap();
        let ended = std::thread::spawn(move || asks.block_on(line.send(request, &head)).is_err());
        drop(drives);
        assert!(ended.join().unwrap());
    }
}
