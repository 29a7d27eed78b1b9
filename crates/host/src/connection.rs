//! One client's connection.

use crate::rescue;
use crate::server::Shared;
use crate::stall::Stall;
use http::header::HOST;
use http::uri::Authority;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use walnut_engine::{Body, Patient};

/// Serves a connection on a task of its own. `slot` is its place among the connections.
pub(crate) fn spawn(stream: TcpStream, slot: OwnedSemaphorePermit, shared: Arc<Shared>, graceful: &GracefulShutdown) {
    let io = TokioIo::new(Stall::new(stream, shared.config.stall_timeout));
    let head_timeout = shared.config.head_timeout;
    let answer = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(io, answer);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _slot = slot;
        // A connection that breaks is the client's affair; a guest that failed was reported where it did.
        let _ = connection.await;
    });
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    if request.body().size_hint().lower() > shared.config.request_body {
        return rescue::body_too_large();
    }
    if !names_host(&request) {
        return rescue::no_host();
    }
    let Ok(Ok(slot)) = timeout(shared.config.patience, shared.sandboxes.clone().acquire_owned()).await else {
        return rescue::overloaded();
    };
    let patience = shared.config.body_timeout;
    let request =
        request.map(|body| Patient::new(body.map_err(io::Error::other), patience, || io::ErrorKind::TimedOut.into()));
    match shared.service.handle(request, slot).await {
        Ok(response) => response,
        Err(failure) => {
            (shared.report)(&failure);
            rescue::failed(&failure)
        }
    }
}

/// RFC 9112 section 3.2: a request names one host, and a valid one.
fn names_host(request: &Request<Incoming>) -> bool {
    let is_good = |authority: &Authority| !authority.as_str().contains('@');
    let mut named = request.headers().get_all(HOST).iter();
    let by_header = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().is_ok_and(|host| host.parse().is_ok_and(|host| is_good(&host))),
        (None, None) => request.uri().authority().is_some(),
        _ => false,
    };
    by_header && request.uri().authority().is_none_or(is_good)
}
