//! The handler: from the head of a request to the component or folder that answers it, and its
//! response.

use crate::app::{DeployedComponent, RouteTarget, ServedDir};
use crate::http::context::ServerContext;
use crate::http::error_responses;
use crate::http::exchange::{Exchange, ObservedBody};
use crate::http::head::{self, HeadRejection};
use crate::http::request_body::{FilteredBody, RequestBody};
use crate::http::slots::BusyGuard;
use crate::http::static_files;
use crate::http::write_coalescing;
use crate::telemetry::{Cause, RequestLine, request_id};
use http::header::HOST;
use http::{Request, Response};
use http_body::Body as HttpBody;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;
use walnut_engine::{Body, IdleTimeout, RequestId};

/// Answers a request of the client at `peer`. The connection is `busy` until the response's body
/// has been sent.
pub(crate) async fn handle(
    context: &ServerContext,
    peer: SocketAddr,
    busy: BusyGuard,
    mut request: Request<RequestBody>,
) -> Response<ObservedBody> {
    let started = Instant::now();
    write_coalescing::flush_overdue(started);
    let checked = head::check(&request);
    let target = checked.as_ref().ok().and_then(|host| context.router.route(host, request.uri().path()));
    let rejection = checked.err();
    let metrics = match &target {
        Some(RouteTarget::Component(component)) => component.metrics().clone(),
        Some(RouteTarget::Dir(dir)) => dir.metrics().clone(),
        None => context.node.metrics().unrouted.clone(),
    };
    let request_line = metrics.access_log.as_ref().map(|_| request_line(peer, &request));
    let telemetry = context.node.telemetry();
    let span = telemetry.and_then(|telemetry| telemetry.start_span(peer, metrics.labels(), &mut request));
    let id = request_id(request.headers());
    let mut exchange = Exchange::begin(metrics, started, id, request_line, request.method());
    exchange.set_span(span);
    let (cause, response) = match target {
        Some(RouteTarget::Component(component)) => run_component(context, &component, peer, request, id).await,
        Some(RouteTarget::Dir(dir)) => serve_file(context, &dir, request).await,
        None => rejection.map_or_else(|| (Cause::NotFound, error_responses::no_route()), rejected),
    };
    exchange.set_response(cause, &response);
    response.map(|inner| ObservedBody::new(inner, exchange, busy))
}

fn rejected(rejection: HeadRejection) -> (Cause, Response<Body>) {
    match rejection {
        HeadRejection::OptionsOfServer => (Cause::Ok, error_responses::options()),
        HeadRejection::Connect => (Cause::ClientError, error_responses::no_tunnels()),
        HeadRejection::InvalidHost => (Cause::ClientError, error_responses::invalid_host()),
        HeadRejection::InvalidTarget => (Cause::ClientError, error_responses::invalid_target()),
        HeadRejection::UnknownTransferCoding => (Cause::ClientError, error_responses::unknown_transfer_coding()),
        HeadRejection::PaddedValue => (Cause::ClientError, error_responses::padded_value()),
    }
}

async fn run_component(
    context: &ServerContext,
    component: &DeployedComponent,
    peer: SocketAddr,
    mut request: Request<RequestBody>,
    id: RequestId,
) -> (Cause, Response<Body>) {
    let trailers = head::strip_hop_by_hop(request.headers_mut(), context.config.trusts_forwarded);
    if context.config.sets_forwarded_for {
        head::set_forwarded_for(&mut request, peer.ip());
    }
    if request.body().size_hint().lower() > component.service.limits().request_body {
        component.service.refused_body();
        return (Cause::TooLarge, error_responses::body_too_large());
    }
    let Some(permit) = component.admit().await else { return (Cause::Overloaded, error_responses::overloaded()) };
    let (body_timeout, has_response) = (context.config.body_timeout, Arc::<AtomicBool>::default());
    let request = request.map(|body| {
        let body = FilteredBody { inner: body, trailers };
        let body = IdleTimeout::new(body, body_timeout, || io::ErrorKind::TimedOut.into());
        // After the response has begun, either side may be silent until the deadline.
        body.unlimited_if(has_response.clone())
    });
    let response = component.service.handle(request, id, permit).await;
    has_response.store(true, Relaxed);
    match response.and_then(head::finish_guest_response) {
        Ok(response) => (Cause::Ok, response),
        Err(failure) => {
            component.service.report(&failure, id);
            (Cause::of(&failure), error_responses::failed(&failure))
        }
    }
}

async fn serve_file(
    context: &ServerContext,
    dir: &Arc<ServedDir>,
    mut request: Request<RequestBody>,
) -> (Cause, Response<Body>) {
    head::strip_hop_by_hop(request.headers_mut(), context.config.trusts_forwarded);
    // The body is never read, however large it is.
    static_files::respond(dir, request.into_parts().0).await
}

fn request_line(peer: SocketAddr, request: &Request<RequestBody>) -> RequestLine {
    let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = request.uri().authority().map_or_else(header, |authority| authority.as_str());
    RequestLine::new(peer, request.method().as_str(), host, request.uri().path())
}
