//! `http`: requests that a guest sends. The URL is decided first, then each address that its host resolves to.

use crate::body::{Bounded, Patient};
use crate::connections::{Connection, Connections};
use crate::gate::{Gate, Permit};
use crate::limits::Limits;
use crate::packages::WASI_0_3;
use http::uri::Scheme;
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use walnut_policy::Request;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Where the guest sets no time-out of its own. The sandbox's deadline is usually sooner.
const PATIENCE: Duration = Duration::from_secs(600);

type Completion = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Completion), Error>;

/// Sends the requests of one sandbox.
pub(crate) struct Outbound {
    gate: Gate,
    connections: Connections,
    most_request: u64,
    most_response: u64,
    /// Through which the guest asks, which its version of WASI decides.
    import: &'static str,
}

impl Outbound {
    pub fn new(gate: Gate, connections: Connections, limits: &Limits, version: &str) -> Self {
        let import = if version == WASI_0_3 { "wasi:http/client.send" } else { "wasi:http/outgoing-handler.handle" };
        Outbound { gate, connections, most_request: limits.request_body, most_response: limits.response_body, import }
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (gate, import, most_response) = (self.gate.clone(), self.import, self.most_response);
        let (left, too_large) = (self.most_request, || Error::HttpRequestBodySize(None));
        let request = request.map(|inner| Bounded { inner, left, too_large, broken: |e| e }.boxed_unsync());
        let Some(connection) = self.connections.open() else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        Box::new(async move { send(gate, import, connection, most_response, request, Patience::of(options)).await })
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
    import: &'static str,
    slot: Connection,
    most_response: u64,
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
    let permit = gate.check(import, asked).map_err(|_| Error::HttpRequestDenied)?;
    let stream = timeout(patience.connect, connect(permit, &gate, import, &target))
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
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
    let too_large = || Error::HttpResponseBodySize(None);
    let bounded = |inner| Bounded { inner, left: most_response, too_large, broken: Error::from };
    let patient = |body| Patient::new(body, patience.between_bytes, || Error::ConnectionReadTimeout).boxed_unsync();
    Ok((response.map(|incoming| patient(bounded(incoming))), Box::new(driver)))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(_: Permit, gate: &Gate, import: &'static str, target: &Target) -> Result<Box<dyn Stream>, Error> {
    let stream = connect_to_first(permitted_addresses(gate, import, target).await?).await?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = rustls::pki_types::ServerName::try_from(target.host.clone()).map_err(|_| Error::TlsProtocolError)?;
    let stream = tokio_rustls::TlsConnector::from(tls_config()?).connect(name, stream).await.map_err(tls_error)?;
    Ok(Box::new(stream))
}

/// An address that may be connected to.
type Permitted = (Permit, SocketAddr);

async fn permitted_addresses(gate: &Gate, import: &'static str, target: &Target) -> Result<Vec<Permitted>, Error> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    let permitted = found.into_iter().filter_map(|address| {
        let asked = Request::HttpAddress { scheme: target.scheme().to_owned(), host: target.host.clone(), address };
        Some((gate.check(import, asked).ok()?, address))
    });
    let permitted: Vec<_> = permitted.collect();
    if permitted.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(permitted) }
}

async fn connect_to_first(addresses: Vec<Permitted>) -> Result<TcpStream, Error> {
    let mut last = Error::DestinationNotFound;
    for (_permit, address) in addresses {
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

/// A certificate that is not trusted has a word of its own in WASI.
fn tls_error(error: std::io::Error) -> Error {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    if matches!(inner, Some(rustls::Error::InvalidCertificate(_))) {
        Error::TlsCertificateError
    } else {
        Error::Tls(error)
    }
}

/// Made once.
fn tls_config() -> Result<Arc<rustls::ClientConfig>, Error> {
    static CONFIG: std::sync::LazyLock<Option<Arc<rustls::ClientConfig>>> = std::sync::LazyLock::new(|| {
        let roots = trusted_roots()?;
        Some(Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    });
    CONFIG.clone().ok_or(Error::ConfigurationError)
}

/// Whose certificates are trusted: the public roots of the web, or those in the file that `SSL_CERT_FILE` names. `None` when
/// that cannot be read.
pub fn trusted_roots() -> Option<rustls::RootCertStore> {
    use rustls::pki_types::pem::PemObject;
    let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) else {
        return Some(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() });
    };
    let certificates = rustls::pki_types::CertificateDer::pem_file_iter(file).ok()?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    Some(roots)
}
