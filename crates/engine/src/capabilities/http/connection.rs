//! An outbound connection: how it is opened, and which protocol it speaks.

use crate::capabilities::http::destination::Destination;
use crate::capabilities::http::tls::tls_error;
use crate::gate::gate::Permit;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioTimer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, WasiBody};

/// Requests under way on one connection of HTTP/2.
const MAX_STREAMS: u8 = 64;
/// Bytes that a server may send for a request before the guest reads them. The connection has room
/// for all streams, so a guest that does not read holds up nobody else.
const WINDOW: u32 = 256 << 10;
const ALL_WINDOWS: u32 = MAX_STREAMS as u32 * WINDOW;
/// Interval of the pings on a connection of HTTP/2 with requests under way, and the time for an
/// answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// An address that may be connected to, with its permit.
pub(super) type PermittedAddress = (Permit, SocketAddr);

/// Handle of a connection, which ends with its last handle.
pub(super) struct OutboundConnection {
    pub address: SocketAddr,
    /// Thread that drives the connection.
    pub thread: ThreadId,
    sender: Sender,
    life: Arc<watch::Sender<()>>,
}

enum Sender {
    /// Takes a request at a time.
    Http1(http1::SendRequest<WasiBody>),
    /// Takes many requests at once.
    Http2(http2::SendRequest<WasiBody>),
}

impl OutboundConnection {
    /// Connects to the first address that answers, and agrees on a protocol. `tls` returns the
    /// settings that the component's TLS connections share.
    pub async fn connect(
        addresses: Vec<PermittedAddress>,
        destination: &Destination,
        tls: impl FnOnce() -> Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Self, Error> {
        let (stream, address) = connect_to_first(addresses).await?;
        if !destination.tls {
            return OutboundConnection::http1(stream, address).await;
        }
        let name =
            rustls::pki_types::ServerName::try_from(destination.host.clone()).map_err(|_| Error::TlsProtocolError)?;
        let connector = tokio_rustls::TlsConnector::from(tls().ok_or(Error::ConfigurationError)?);
        let stream = connector.connect(name, stream).await.map_err(tls_error)?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            OutboundConnection::http2(stream, address).await
        } else {
            OutboundConnection::http1(stream, address).await
        }
    }

    pub(super) async fn http1(stream: impl Stream, address: SocketAddr) -> Result<Self, Error> {
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        let (life, tasks) = ConnectionTasks::new();
        tasks.execute(connection);
        Ok(OutboundConnection { address, thread: thread::current().id(), sender: Sender::Http1(sender), life })
    }

    async fn http2(stream: impl Stream, address: SocketAddr) -> Result<Self, Error> {
        let (life, tasks) = ConnectionTasks::new();
        let mut builder = http2::Builder::new(tasks.clone());
        builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(ALL_WINDOWS);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tasks.execute(connection);
        Ok(OutboundConnection { address, thread: thread::current().id(), sender: Sender::Http2(sender), life })
    }

    /// Returns another handle of the same connection, if it takes several requests at once.
    pub fn share(&self) -> Option<OutboundConnection> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let (sender, life) = (Sender::Http2(sender.clone()), self.life.clone());
        Some(OutboundConnection { address: self.address, thread: self.thread, sender, life })
    }

    /// Returns whether `other` is a handle of the same connection.
    pub fn is(&self, other: &OutboundConnection) -> bool {
        Arc::ptr_eq(&self.life, &other.life)
    }

    /// Returns whether the connection has other handles.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.life) > 1
    }

    /// Returns whether the connection takes a request now. The peer may have closed it a moment
    /// ago.
    pub fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            // The pool has a handle, too.
            Sender::Http2(sender) => !sender.is_closed() && Arc::strong_count(&self.life) <= MAX_STREAMS.into(),
        }
    }

    /// Returns whether the connection takes no more requests.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until the connection takes another request. Returns whether it does.
    pub async fn becomes_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request to `head`. Returns an unsent request with the error.
    pub async fn send(
        &mut self,
        mut request: Request<WasiBody>,
        head: &RequestTarget,
    ) -> Result<Response<Incoming>, Box<TrySendError<Request<WasiBody>>>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                head.for_http1(&mut request);
                sender.try_send_request(request).await.map_err(Box::new)
            }
            Sender::Http2(sender) => {
                head.for_http2(&mut request);
                sender.try_send_request(request).await.map_err(Box::new)
            }
        }
    }
}

/// Target of a request, in the form of each protocol.
pub(super) struct RequestTarget {
    /// The path alone, for HTTP/1.1: RFC 9112 section 3.2.1.
    path: Uri,
    host: Option<HeaderValue>,
    /// The whole URI, for HTTP/2: RFC 9113 section 8.3.1.
    whole: Uri,
}

impl RequestTarget {
    pub fn of(request: &Request<WasiBody>) -> Result<Self, Error> {
        let invalid = || Error::HttpRequestUriInvalid;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| invalid())?;
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        let whole = Uri::from_parts(parts).map_err(|_| invalid())?;
        Ok(RequestTarget { path, host: request.headers().get(HOST).cloned(), whole })
    }

    fn for_http1(&self, request: &mut Request<WasiBody>) {
        *request.uri_mut() = self.path.clone();
        *request.version_mut() = Version::HTTP_11;
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
    }

    fn for_http2(&self, request: &mut Request<WasiBody>) {
        *request.uri_mut() = self.whole.clone();
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
    }
}

/// Spawns the tasks that drive a connection on the current runtime. They end when the sender of the
/// pair is dropped, on any thread.
#[derive(Clone)]
struct ConnectionTasks(watch::Receiver<()>);

impl ConnectionTasks {
    fn new() -> (Arc<watch::Sender<()>>, Self) {
        let (life, over) = watch::channel(());
        (Arc::new(life), ConnectionTasks(over))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for ConnectionTasks {
    fn execute(&self, task: F) {
        let mut over = self.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                // The sender of a request gets the error of its connection.
                _ = task => {}
                _ = over.changed() => {}
            }
        });
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

async fn connect_to_first(addresses: Vec<PermittedAddress>) -> Result<(TcpStream, SocketAddr), Error> {
    let mut last = Error::DestinationNotFound;
    for (_permit, address) in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => last = Error::ConnectionRefused,
            Err(e) => last = Error::Connect(e),
        }
    }
    Err(last)
}
