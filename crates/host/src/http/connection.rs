//! A connection of one client: TLS or plain, HTTP/1.1 or HTTP/2.

use crate::http::client::{Client, ConnectionGuard};
use crate::http::context::ServerContext;
use crate::http::exchange::record_rejected;
use crate::http::handler::handle;
use crate::http::head::{self, MAX_HEAD_BYTES};
use crate::http::http2;
use crate::http::preface::PeekedStream;
use crate::http::request_body::RequestBody;
use crate::http::slots::{CloseReason, CloseSignal};
use crate::http::slow_client::StallTimeout;
use crate::http::tls::{self, Tls};
use crate::http::write_coalescing::CoalescedStream;
use crate::telemetry::Cause;
use http::{Request, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Serves a connection on a task of its own, which holds `guard`.
pub(crate) fn spawn(stream: TcpStream, guard: ConnectionGuard, context: Arc<ServerContext>, close: CloseSignal) {
    let Ok(peer) = stream.peer_addr() else { return };
    let stream = StallTimeout::new(CoalescedStream::new(stream), context.config.stall_timeout, close.slot.clone());
    tokio::spawn(async move {
        let _guard = guard;
        // The less common cases are boxed, so that an idle connection takes little memory.
        match context.config.tls.clone() {
            None => serve_plain(stream, peer, context, close).await,
            Some(tls) => Box::pin(serve_tls(&tls, stream, peer, context, close)).await,
        }
    });
}

async fn serve_plain(
    stream: StallTimeout<CoalescedStream>,
    peer: SocketAddr,
    context: Arc<ServerContext>,
    mut close: CloseSignal,
) {
    let client = Client { peer, is_secure: false };
    let mut stream = PeekedStream::new(stream);
    let is_http2 = close.unless_closed(timeout(context.config.head_timeout, stream.is_http2())).await;
    let cause = match is_http2 {
        Ok(Ok(Ok(true))) => return Box::pin(http2::serve(stream, client, context, close)).await,
        Ok(Ok(Ok(false))) => return serve_http1(stream, client, context, close).await,
        Ok(Ok(Err(_))) | Err(CloseReason::Shutdown) => return,
        Ok(Err(_)) => Cause::ClientError,
        Err(CloseReason::SlotNeeded) => Cause::Overloaded,
    };
    if stream.has_begun() {
        record_rejected(&context, peer, None, cause);
    }
}

async fn serve_tls(
    tls: &Tls,
    stream: StallTimeout<CoalescedStream>,
    peer: SocketAddr,
    context: Arc<ServerContext>,
    mut close: CloseSignal,
) {
    let client = Client { peer, is_secure: true };
    let handshake = timeout(context.config.head_timeout, tls.acceptor().accept(stream));
    let Ok(Ok(Ok(stream))) = close.unless_closed(handshake).await else { return };
    match tls::agreed_on_http2(stream.get_ref().1) {
        true => http2::serve(stream, client, context, close).await,
        false => serve_http1(stream, client, context, close).await,
    }
}

async fn serve_http1<I>(io: I, client: Client, context: Arc<ServerContext>, mut close: CloseSignal)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let head_timeout = context.config.head_timeout;
    let context_of_errors = context.clone();
    let slot = close.slot.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (context, busy) = (context.clone(), slot.busy());
        let mut request = request.map(RequestBody::Http1);
        head::set_scheme(&mut request, client.scheme());
        async move { Ok::<_, Infallible>(handle(&context, client.peer, busy, request).await) }
    });
    // hyper's own limit of 100 fields is kept: setting it would cost an allocation for each
    // request.
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(MAX_HEAD_BYTES as usize)
        .serve_connection(TokioIo::new(io), service);
    let ended = match close.unless_closed(&mut connection).await {
        Err(CloseReason::Shutdown) => {
            Pin::new(&mut connection).graceful_shutdown();
            Ok((&mut connection).await)
        }
        ended => ended,
    };
    // Bytes that were read and belong to no request are half a head. An idle connection has none.
    let has_half_a_head = !connection.into_parts().read_buf.is_empty();
    // A broken connection is the client's affair; a failed guest has been reported where it failed.
    let (status, cause) = match ended {
        Ok(Err(error)) if error.is_parse() => (status_of(&error), Cause::ClientError),
        Ok(Err(error)) if has_half_a_head && error.is_timeout() => (None, Cause::ClientError),
        Err(_) if has_half_a_head => (None, Cause::Overloaded),
        _ => return,
    };
    record_rejected(&context_of_errors, client.peer, status, cause);
}

/// Returns the status with which hyper answered a head that it could not parse.
fn status_of(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_version_h2() {
        // Such a client would not understand a response of HTTP/1.1.
        return None;
    }
    Some(match error.is_parse_too_large() {
        // Never 414: a target that is too long by itself does not fit into the largest head either.
        true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        false => StatusCode::BAD_REQUEST,
    })
}
