//! One client's connection.

use crate::node::{Destination, Hosted};
use crate::rescue;
use crate::server::Shared;
use crate::stall::Stall;
use crate::worker::Here;
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
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::net::TcpStream;
use walnut_engine::{Body, Patient};

/// Serves a connection on a task of its own. `here` is its place among the connections.
pub(crate) fn spawn(stream: TcpStream, here: Here, shared: Arc<Shared>, graceful: &GracefulShutdown) {
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
        let _here = here;
        // A connection that breaks is the client's affair; a guest that failed was reported where it did.
        let _ = connection.await;
    });
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let Some(host) = host(&request) else { return rescue::no_host() };
    match shared.node.route(host, request.uri().path()) {
        Some(Destination::Component(component)) => component_answer(shared, &component, request).await,
        None => rescue::no_route(),
    }
}

async fn component_answer(shared: &Shared, component: &Hosted, request: Request<Incoming>) -> Response<Body> {
    if request.body().size_hint().lower() > component.service.limits().request_body {
        return rescue::body_too_large();
    }
    let Some(place) = component.admit().await else { return rescue::overloaded() };
    let (patience, answered) = (shared.config.body_timeout, Arc::<AtomicBool>::default());
    let request = request.map(|body| {
        let body = Patient::new(body.map_err(io::Error::other), patience, || io::ErrorKind::TimedOut.into());
        // From then on it is a conversation, in which either side may be silent until the deadline.
        body.unless(answered.clone())
    });
    let response = component.service.handle(request, place).await;
    answered.store(true, Relaxed);
    match response {
        Ok(response) => response,
        Err(failure) => {
            component.service.report(&failure);
            rescue::failed(&failure)
        }
    }
}

/// The host that a request is for. RFC 9112 section 3.2: it names one, and a valid one.
fn host(request: &Request<Incoming>) -> Option<&str> {
    let is_good = |authority: &Authority| !authority.as_str().contains('@');
    let mut named = request.headers().get_all(HOST).iter();
    let by_header = match (named.next(), named.next()) {
        (Some(host), None) => Some(host.to_str().ok().filter(|host| host.parse().is_ok_and(|host| is_good(&host)))?),
        (None, None) => None,
        _ => return None,
    };
    match request.uri().authority() {
        Some(authority) => is_good(authority).then_some(authority.as_str()),
        None => by_header,
    }
}
