//! The admin address: metrics, health, and a page to look at. Apart from what is served, so that no route of an app reaches
//! it, and read-only.

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

/// Connections at once. For one beyond that the one closes which idles for longest, or which is not read from for longest.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may idle between two.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take to read what a page has.
const STALL: Duration = Duration::from_secs(10);
/// How long a connection lives. Whoever wants more opens another.
const LIFE: Duration = Duration::from_secs(600);

const PAGE: &str = include_str!("page.html");
/// The page has everything in it; it asks nobody but this server, and nobody may frame it.
const PAGE_MAY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                        base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A bound admin address that does not accept yet.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Admin { listener, address })
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells of `node`, until the process ends.
    pub async fn serve(self, node: Arc<Node>) {
        let mut slots = ConnectionSlots::new(CONNECTIONS, STALL);
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // The client left, or there are too many files for now.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Some(slot) = slots.take().await else { return };
            let (node, is_local) = (node.clone(), self.address.ip().is_loopback());
            // An answer is there at once, and then for its client to read, which `StallTimeout` sees.
            let answer = service_fn(move |request| {
                let response = answer(&node, is_local, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(StallTimeout::new(stream, STALL, slot.clone())), answer);
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    _ = timeout(LIFE, connection) => {}
                    () = slot.is_needed() => {}
                }
            });
        }
    }
}

fn answer(node: &Arc<Node>, is_local: bool, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    // A page of the web whose name was made to point here must not read this by its visitors' browsers.
    if is_local && !names_this_machine(request) {
        return text(StatusCode::MISDIRECTED_REQUEST, "this address is for this machine alone\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "there is nothing to change here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => {
            let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", PAGE);
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_MAY));
            response
        }
        "/status.json" => match serde_json::to_string(&Status::of(node)) {
            Ok(status) => respond(StatusCode::OK, "application/json", status),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the status cannot be written\n"),
        },
        "/metrics" => match openmetrics::encode(node) {
            Ok(metrics) => {
                respond(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics)
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
        },
        "/healthz" => text(StatusCode::OK, "it lives\n"),
        "/readyz" => match node.phase() {
            Phase::Serving => text(StatusCode::OK, "serving\n"),
            Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Phase::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "there is /, /metrics, /healthz, /readyz and /status.json\n"),
    }
}

fn names_this_machine(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(HOST) else { return true };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
