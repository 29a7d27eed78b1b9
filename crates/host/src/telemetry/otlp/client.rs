//! Client of the collector: sends batches over HTTP/1.1, with TLS for an `https` address, and keeps
//! its connection.

use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longest response that is read, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// Sends the batches of a signal to a collector. Called from the library's own thread.
pub(super) struct CollectorClient {
    warnings: Arc<CollectorWarnings>,
    /// Longest time for a batch.
    timeout: Duration,
    connection: Mutex<Option<CollectorConnection>>,
}

/// Connection to the collector, and the runtime that drives it: the library's thread has none, and
/// waits for each batch.
struct CollectorConnection {
    runtime: Runtime,
    /// The open connection, as far as is known.
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Warns that a collector cannot be reached, once until it can.
pub(super) struct CollectorWarnings {
    warn: Box<dyn Fn(&str) + Send + Sync>,
    /// Whether the last batch failed.
    has_failed: AtomicBool,
}

impl CollectorWarnings {
    pub fn new(warn: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(CollectorWarnings { warn: Box::new(warn), has_failed: AtomicBool::new(false) })
    }

    /// Passes on a warning about the settings.
    pub fn warn(&self, warning: &str) {
        (self.warn)(warning);
    }

    fn record(&self, collector: &Uri, sent: &Result<Response<Bytes>, HttpError>) {
        let why = match sent {
            Ok(response) if response.status().is_success() => {
                self.has_failed.store(false, SeqCst);
                return;
            }
            Ok(response) => format!("it answered {}", response.status()),
            Err(error) => error.to_string(),
        };
        if !self.has_failed.swap(true, SeqCst) {
            (self.warn)(&format!("the collector {collector} takes no telemetry: {why}"));
        }
    }
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectorClient")
    }
}

impl CollectorClient {
    /// Creates a client that gives a batch up after `timeout`.
    pub fn new(warnings: Arc<CollectorWarnings>, timeout: Duration) -> Self {
        CollectorClient { warnings, timeout, connection: Mutex::default() }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut connection = self.connection.lock();
        let CollectorConnection { runtime, sender } = match &mut *connection {
            Some(connection) => connection,
            none => none.insert(CollectorConnection {
                runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
                sender: None,
            }),
        };
        let sent = runtime.block_on(async { timeout(self.timeout, send(sender, request)).await });
        sent.unwrap_or_else(|_| Err("it does not answer".into()))
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let collector = request.uri().clone();
        let sent = self.send(request);
        self.warnings.record(&collector, &sent);
        sent
    }
}

async fn send(
    idle: &mut Option<SendRequest<Full<Bytes>>>,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let to = request.uri().clone();
    let authority = to.authority().ok_or("its address names no host")?;
    request.headers_mut().insert(HOST, authority.as_str().parse()?);
    // RFC 9112 section 3.2.1: an origin server is sent the path alone.
    *request.uri_mut() = to.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let request = request.map(Full::new);
    // The collector may have closed the idle connection, which shows only now. A batch sent twice
    // does no harm.
    if let Some(sender) = idle.take()
        && let Ok(response) = exchange(sender, request.clone(), idle).await
    {
        return Ok(response);
    }
    exchange(connect(&to, authority).await?, request, idle).await
}

async fn connect(to: &Uri, authority: &Authority) -> Result<SendRequest<Full<Bytes>>, HttpError> {
    let is_secure = to.scheme() == Some(&Scheme::HTTPS);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    if !is_secure {
        return shake(stream).await;
    }
    let roots = walnut_engine::trusted_roots().ok_or("SSL_CERT_FILE cannot be read")?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    shake(connector.connect(ServerName::try_from(host)?, stream).await?).await
}

async fn shake<I>(stream: I) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends the request and reads the response to its end. Keeps the connection afterwards.
async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    idle: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<Response<Bytes>, HttpError> {
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
    *idle = Some(sender);
    Ok(Response::from_parts(head, body))
}
