//! A connection of one client: TLS or plain, HTTP/1.1 or HTTP/2.

use crate::http::client::{Client, ConnectionGuard};
use crate::http::context::ServerContext;
use crate::http::exchange::record_rejected;
use crate::http::handler::handle;
use crate::http::head::{self, MAX_HEAD_BYTES};
use crate::http::http2;
use crate::http::linger::{HalfCloseGrace, linger};
use crate::http::preface::PeekedStream;
use crate::http::request_body::{Http1Body, RequestBody, UnreadBody};
use crate::http::slots::{CloseReason, CloseSignal};
use crate::http::slow_client::StallTimeout;
use crate::http::tls::{self, Tls};
use crate::http::write_coalescing::CoalescedStream;
use crate::telemetry::Cause;
use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Serves a connection on a task of its own, which holds `guard`.
pub(crate) fn spawn(stream: TcpStream, guard: ConnectionGuard, context: Arc<ServerContext>, close: CloseSignal) {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let client = Client { peer, local, is_secure: context.config.tls.is_some() };
    tokio::spawn(async move {
        let _guard = guard;
        // The less common cases are boxed, so that an idle connection takes little memory.
        match context.config.tls.clone() {
            None => serve_plain(wrap(stream, &context, &close), client, context, close).await,
            Some(tls) => Box::pin(serve_tls(&tls, stream, client, context, close)).await,
        }
    });
}

fn wrap(stream: TcpStream, context: &ServerContext, close: &CloseSignal) -> StallTimeout<CoalescedStream> {
    StallTimeout::new(CoalescedStream::new(stream), context.config.stall_timeout, close.slot.clone())
}

async fn serve_plain(
    stream: StallTimeout<CoalescedStream>,
    client: Client,
    context: Arc<ServerContext>,
    mut close: CloseSignal,
) {
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
        record_rejected(&context, client.peer, None, cause);
    }
}

async fn serve_tls(tls: &Tls, stream: TcpStream, client: Client, context: Arc<ServerContext>, mut close: CloseSignal) {
    let is_plain = timeout(context.config.head_timeout, speaks_plainly(&stream));
    let Ok(Ok(is_plain)) = close.unless_closed(is_plain).await else { return };
    let mut stream = wrap(stream, &context, &close);
    if is_plain {
        record_rejected(&context, client.peer, Some(StatusCode::BAD_REQUEST), Cause::ClientError);
        let _ = timeout(context.config.head_timeout, stream.write_all(SPEAKS_HTTPS)).await;
        let _ = close.unless_closed(linger(stream)).await;
        return;
    }
    let handshake = timeout(context.config.head_timeout, tls.acceptor().accept(stream).into_fallible());
    let stream = match close.unless_closed(handshake).await {
        Ok(Ok(Ok(stream))) => stream,
        Ok(Ok(Err((_, stream)))) => {
            record_rejected(&context, client.peer, None, Cause::ClientError);
            // TLS has sent an alert, which a reset would overtake.
            let _ = close.unless_closed(linger(stream)).await;
            return;
        }
        Ok(Err(_)) => return record_rejected(&context, client.peer, None, Cause::ClientError),
        Err(_) => return,
    };
    match tls::agreed_on_http2(stream.get_ref().1) {
        true => http2::serve(stream, client, context, close).await,
        false => serve_http1(stream, client, context, close).await,
    }
}

/// Answer to plain HTTP on a port of HTTPS.
const SPEAKS_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
content-length: 33\r\nconnection: close\r\n\r\nthis port speaks HTTPS, not HTTP\n";

/// Tells whether a client speaks plain HTTP: no record of TLS begins with a letter, and each method
/// of HTTP does.
async fn speaks_plainly(stream: &TcpStream) -> bool {
    let mut first = [0; 1];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0].is_ascii_alphabetic()
}

async fn serve_http1<I>(io: I, client: Client, context: Arc<ServerContext>, mut close: CloseSignal)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let head_timeout = context.config.head_timeout;
    let context_of_errors = context.clone();
    let slot = close.slot.clone();
    let unread = Arc::<UnreadBody>::default();
    let unread_of_request = unread.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (context, busy, unread) = (context.clone(), slot.busy(), unread_of_request.clone());
        let mut request = request.map(|body| RequestBody::Http1(Http1Body::new(body, &unread)));
        head::name_host_of_http_1_0(&mut request, client.local);
        head::set_scheme(&mut request, client.scheme());
        async move {
            let mut response = handle(&context, client.peer, busy, request).await;
            if unread.is_large() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    // hyper's own limit of 100 fields is kept: setting it would cost an allocation for each
    // request.
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(MAX_HEAD_BYTES as usize)
        .serve_connection(TokioIo::new(HalfCloseGrace::new(io, close.slot.clone())), service);
    let ended = match close.unless_closed(&mut connection).await {
        Err(CloseReason::Shutdown) => {
            Pin::new(&mut connection).graceful_shutdown();
            Ok((&mut connection).await)
        }
        ended => ended,
    };
    // Bytes that were read and belong to no request are half a head. An idle connection has none.
    let parts = connection.into_parts();
    let has_half_a_head = !parts.read_buf.is_empty() && !unread.is_unread();
    if matches!(ended, Ok(Ok(()))) && unread.is_unread() {
        let _ = close.unless_closed(linger(parts.io.into_inner().into_inner())).await;
    }
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
