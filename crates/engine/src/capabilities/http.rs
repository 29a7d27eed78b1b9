//! `http`: requests that a guest sends. The URL is decided first, then each address that its host resolves to.

use crate::connections::{Connection, Connections};
use crate::gate::Gate;
use crate::limits::Limits;
use bytes::Bytes;
use http::uri::Scheme;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use walnut_policy::Request;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

const IMPORT: &str = "wasi:http/outgoing-handler.handle";
/// Where the guest sets no time-out of its own. The sandbox's deadline is usually sooner.
const PATIENCE: Duration = Duration::from_secs(600);

type Completion = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Completion), Error>;

/// Sends the requests of one sandbox.
pub(crate) struct Outbound {
    gate: Gate,
    connections: Connections,
    most_body: u64,
}

impl Outbound {
    pub fn new(gate: Gate, connections: Connections, limits: &Limits) -> Self {
        Outbound { gate, connections, most_body: limits.response_body }
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (gate, most_body) = (self.gate.clone(), self.most_body);
        let Some(connection) = self.connections.open() else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        Box::new(async move { send(gate, connection, most_body, request, Patience::of(options)).await })
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

/// Where a request goes.
struct Target {
    tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &http::Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        Ok(Target { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

async fn send(
    gate: Gate,
    slot: Connection,
    most_body: u64,
    mut request: http::Request<WasiBody>,
    patience: Patience,
) -> Sent {
    let target = Target::of(request.uri())?;
    let asked = Request::Http {
        method: request.method().as_str().to_owned(),
        scheme: target.scheme().to_owned(),
        host: target.host.clone(),
        port: target.port,
        path: request.uri().path().to_owned(),
    };
    let _permit = gate.check(IMPORT, asked).map_err(|_| Error::HttpRequestDenied)?;
    let stream = timeout(patience.connect, connect(&gate, &target)).await.map_err(|_| Error::ConnectionTimeout)??;
    // RFC 9112 section 3.2.1: to an origin server goes the path alone.
    let path =
        request.uri().path_and_query().map_or("/", |p| p.as_str()).parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    *request.uri_mut() = path;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await?;
    // Dropped with the response, or with the sandbox: a guest leaves no connection behind.
    let driver = wasmtime_wasi::runtime::spawn(async move {
        let _slot = slot;
        connection.await.map_err(Error::from)
    });
    let response = timeout(patience.first_byte, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let body = ResponseBody { inner: response.into_parts(), left: most_body, patience: patience.between_bytes };
    Ok((body.into_response(), Box::new(driver)))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(gate: &Gate, target: &Target) -> Result<Box<dyn Stream>, Error> {
    let stream = connect_to_first(permitted_addresses(gate, target).await?).await?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = rustls::pki_types::ServerName::try_from(target.host.clone()).map_err(|_| Error::TlsProtocolError)?;
    let stream = tokio_rustls::TlsConnector::from(tls_config()).connect(name, stream).await.map_err(Error::Tls)?;
    Ok(Box::new(stream))
}

async fn permitted_addresses(gate: &Gate, target: &Target) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
    let mut found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    found.retain(|address| {
        let asked =
            Request::HttpAddress { scheme: target.scheme().to_owned(), host: target.host.clone(), address: *address };
        gate.check(IMPORT, asked).is_ok()
    });
    if found.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(found) }
}

async fn connect_to_first(addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
    let mut last = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => last = Error::ConnectionRefused,
            Err(e) => last = Error::Connect(e),
        }
    }
    Err(last)
}

/// The public roots of the web, made once.
fn tls_config() -> Arc<rustls::ClientConfig> {
    static CONFIG: std::sync::LazyLock<Arc<rustls::ClientConfig>> = std::sync::LazyLock::new(|| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    });
    CONFIG.clone()
}

/// A response's body, with its size and its pauses bounded.
struct ResponseBody {
    inner: (http::response::Parts, hyper::body::Incoming),
    left: u64,
    patience: Duration,
}

impl ResponseBody {
    fn into_response(self) -> http::Response<WasiBody> {
        let (parts, incoming) = self.inner;
        let bounded = Bounded { incoming, left: self.left, patience: self.patience, pause: None };
        http::Response::from_parts(parts, UnsyncBoxBody::new(bounded.boxed_unsync()))
    }
}

struct Bounded {
    incoming: hyper::body::Incoming,
    left: u64,
    patience: Duration,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause = None;
                let size = frame.data_ref().map_or(0, |d| d.len() as u64);
                match self.left.checked_sub(size) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None)))),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let patience = self.patience;
                let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                pause.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.incoming.size_hint()
    }
}
