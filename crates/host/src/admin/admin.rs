//! The admin server: metrics, health checks and a status page, on an address of its own that no
//! route of an app reaches. Read-only.

use crate::admin::openmetrics;
use crate::admin::status::Status;
use crate::app::{Node, Phase};
use crate::http::{ConnectionSlots, StallTimeout};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// Connections at once. For a client beyond that, the connection closes that has idled or not been
/// read for longest.
const MAX_CONNECTIONS: usize = 64;
/// Longest time for the head of a request, and between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a client to read a response.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection. A client that needs more opens another.
const MAX_LIFETIME: Duration = Duration::from_secs(600);

const PAGE: &str = include_str!("page.html");
/// Content security policy of the page: it loads nothing, connects only to this server, and cannot
/// be framed.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                        base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An admin server that is bound to its address and does not accept yet.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Admin { listener, address })
    }

    /// Returns the address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the status of `node`, until the process ends.
    pub async fn serve(self, node: Arc<Node>) {
        let mut slots = ConnectionSlots::new(MAX_CONNECTIONS, STALL_TIMEOUT);
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // The client left, or the process is out of file descriptors for now.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Some(slot) = slots.take().await else { return };
            let (node, is_local) = (node.clone(), self.address.ip().is_loopback());
            // Responses are made at once; `StallTimeout` bounds the time to read them.
            let service = service_fn(move |request| {
                let response = respond_to(&node, is_local, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(StallTimeout::new(stream, STALL_TIMEOUT, slot.clone())), service);
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    _ = timeout(MAX_LIFETIME, connection) => {}
                    () = slot.wait_until_needed() => {}
                }
            });
        }
    }
}

fn respond_to(node: &Arc<Node>, is_local: bool, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    // DNS rebinding: a web page whose name resolves to this machine must not read the status
    // through a browser.
    if is_local && !names_this_machine(request) {
        return text(StatusCode::MISDIRECTED_REQUEST, "this address only answers requests for this machine\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this address is read-only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => {
            let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", PAGE);
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
            response
        }
        "/status.json" => match serde_json::to_string(&Status::of(node)) {
            Ok(status) => respond(StatusCode::OK, "application/json", status),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the status cannot be encoded\n"),
        },
        "/metrics" => match openmetrics::encode(node) {
            Ok(metrics) => {
                respond(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics)
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n"),
        },
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" => match node.phase() {
            Phase::Serving => text(StatusCode::OK, "serving\n"),
            Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Phase::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "not found; there is /, /metrics, /healthz, /readyz and /status.json\n"),
    }
}

/// Tells whether the request names this machine as its host, or no host at all.
fn names_this_machine(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(HOST) else { return true };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    // A browser sends no user, and other readers of the host may take the user for it.
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
