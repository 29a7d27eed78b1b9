//! How a batch gets to the collector: one connection for each, of HTTP/1.1, with TLS where its address says so.

use async_trait::async_trait;
use bytes::Bytes;
use http::uri::Scheme;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of its answer, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Sends batches to a collector, from the library's own thread.
#[derive(Clone)]
pub(super) struct Client {
    warn: Arc<dyn Fn(&str) + Send + Sync>,
    /// Whether the last batch did not arrive.
    is_lost: Arc<AtomicBool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    pub fn new(warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Client { warn: Arc::new(warn), is_lost: Arc::default() }
    }

    fn report(&self, to: &http::Uri, sent: &Result<Response<Bytes>, HttpError>) {
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

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let to = request.uri().clone();
        // The library's thread waits for each batch anyway, and has no runtime for sockets.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sent = runtime.block_on(async { timeout(PATIENCE, send(request)).await });
        let sent = sent.unwrap_or_else(|_| Err("it does not answer".into()));
        self.report(&to, &sent);
        sent
    }
}

async fn send(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let authority = request.uri().authority().ok_or("its address names no host")?.clone();
    let is_secure = request.uri().scheme() == Some(&Scheme::HTTPS);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    request.headers_mut().insert(http::header::HOST, authority.as_str().parse()?);
    // RFC 9112 section 3.2.1: to an origin server goes the path alone.
    *request.uri_mut() = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
    if !is_secure {
        return exchange(stream, request).await;
    }
    let roots = walnut_engine::trusted_roots().ok_or("SSL_CERT_FILE cannot be read")?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    exchange(connector.connect(ServerName::try_from(host)?, stream).await?, request).await
}

async fn exchange<I>(stream: I, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
