//! How a batch gets to the collector: over HTTP/1.1, with TLS where its address says so, on one connection for as long as that
//! lasts.

use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// What is read of its answer, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Sends the batches of one signal to a collector, from the library's own thread.
pub(super) struct CollectorClient {
    report: Arc<CollectorWarnings>,
    /// How long a collector may take for a batch.
    patience: Duration,
    line: Mutex<Option<CollectorConnection>>,
}

/// What batches go on. The library's thread waits for each anyway, and has no runtime for sockets.
struct CollectorConnection {
    runtime: Runtime,
    /// A connection that is open, as far as is known.
    kept: Option<SendRequest<Full<Bytes>>>,
}

/// Tells that a collector takes nothing, once until it does.
pub(super) struct CollectorWarnings {
    warn: Box<dyn Fn(&str) + Send + Sync>,
    /// Whether the last batch did not arrive.
    is_lost: AtomicBool,
}

impl CollectorWarnings {
    pub fn new(warn: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(CollectorWarnings { warn: Box::new(warn), is_lost: AtomicBool::new(false) })
    }

    /// Tells of what is wrong at the start.
    pub fn tell(&self, what: &str) {
        (self.warn)(what);
    }

    fn hear(&self, to: &Uri, sent: &Result<Response<Bytes>, HttpError>) {
        let why = match sent {
            Ok(response) if response.status().is_success() => {
                self.is_lost.store(false, SeqCst);
                return;
            }
            Ok(response) => format!("it answered {}", response.status()),
            Err(error) => error.to_string(),
        };
        if !self.is_lost.swap(true, SeqCst) {
            (self.warn)(&format!("the collector {to} takes no telemetry: {why}"));
        }
    }
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectorClient")
    }
}

impl CollectorClient {
    /// A batch that takes longer than `patience` is given up.
    pub fn new(report: Arc<CollectorWarnings>, patience: Duration) -> Self {
        CollectorClient { report, patience, line: Mutex::default() }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let CollectorConnection { runtime, kept } = match &mut *line {
            Some(line) => line,
            none => none.insert(CollectorConnection {
                runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
                kept: None,
            }),
        };
        let sent = runtime.block_on(async { timeout(self.patience, send(kept, request)).await });
        sent.unwrap_or_else(|_| Err("it does not answer".into()))
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let to = request.uri().clone();
        let sent = self.send(request);
        self.report.hear(&to, &sent);
        sent
    }
}

async fn send(
    kept: &mut Option<SendRequest<Full<Bytes>>>,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let to = request.uri().clone();
    let authority = to.authority().ok_or("its address names no host")?;
    request.headers_mut().insert(HOST, authority.as_str().parse()?);
    // RFC 9112 section 3.2.1: to an origin server goes the path alone.
    *request.uri_mut() = to.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let request = request.map(Full::new);
    // A collector closes what idles, which may show only now. To get a batch twice does it no harm.
    if let Some(sender) = kept.take()
        && let Ok(response) = exchange(sender, request.clone(), kept).await
    {
        return Ok(response);
    }
    exchange(connect(&to, authority).await?, request, kept).await
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

/// The answer, to its end. Then the connection is kept.
async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    kept: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<Response<Bytes>, HttpError> {
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
    *kept = Some(sender);
    Ok(Response::from_parts(head, body))
}
