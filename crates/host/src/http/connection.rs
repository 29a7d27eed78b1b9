//! One client's connection: with TLS or without, of HTTP/1.1 or of HTTP/2.

use crate::http::exchange::{answer, refused};
use crate::http::head;
use crate::http::http2;
use crate::http::preface::Opened;
use crate::http::request_body::Incoming;
use crate::http::server::Shared;
use crate::http::slots::{Leave, Why};
use crate::http::slow_client::Stall;
use crate::http::tls::{self, Tls};
use crate::http::worker::Here;
use crate::http::write_coalescing::Together;
use crate::telemetry::cause::Cause;
use http::uri::Scheme;
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

/// Who is at the other end, and how.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub peer: SocketAddr,
    pub is_secure: bool,
}

impl Client {
    pub fn scheme(self) -> Scheme {
        if self.is_secure { Scheme::HTTPS } else { Scheme::HTTP }
    }
}

/// Serves a connection on a task of its own, which counts `here`.
pub(crate) fn spawn(stream: TcpStream, here: Here, shared: Arc<Shared>, leave: Leave) {
    let Ok(peer) = stream.peer_addr() else { return };
    let stream = Stall::new(Together::new(stream), shared.config.stall_timeout, leave.seat.clone());
    tokio::spawn(async move {
        let _here = here;
        // What is not the common case is put aside, so that an idle connection is small.
        match shared.config.tls.clone() {
            None => plain(stream, peer, shared, leave).await,
            Some(tls) => Box::pin(secure(&tls, stream, peer, shared, leave)).await,
        }
    });
}

async fn plain(stream: Stall<Together>, peer: SocketAddr, shared: Arc<Shared>, mut leave: Leave) {
    let client = Client { peer, is_secure: false };
    let mut opened = Opened::new(stream);
    let is_http2 = leave.unless(timeout(shared.config.head_timeout, opened.is_http2())).await;
    let cause = match is_http2 {
        Ok(Ok(Ok(true))) => return Box::pin(http2::serve(opened, client, shared, leave)).await,
        Ok(Ok(Ok(false))) => return serve_http1(opened, client, shared, leave).await,
        Ok(Ok(Err(_))) | Err(Why::Stop) => return,
        Ok(Err(_)) => Cause::ClientError,
        Err(Why::Needed) => Cause::Overloaded,
    };
    if opened.has_begun() {
        refused(&shared, peer, None, cause);
    }
}

async fn secure(tls: &Tls, stream: Stall<Together>, peer: SocketAddr, shared: Arc<Shared>, mut leave: Leave) {
    let client = Client { peer, is_secure: true };
    let handshake = timeout(shared.config.head_timeout, tls.acceptor().accept(stream));
    let Ok(Ok(Ok(stream))) = leave.unless(handshake).await else { return };
    match tls::agreed_on_http2(stream.get_ref().1) {
        true => http2::serve(stream, client, shared, leave).await,
        false => serve_http1(stream, client, shared, leave).await,
    }
}

async fn serve_http1<I>(io: I, client: Client, shared: Arc<Shared>, mut leave: Leave)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let head_timeout = shared.config.head_timeout;
    let told = shared.clone();
    let seat = leave.seat.clone();
    let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (shared, busy) = (shared.clone(), seat.busy());
        let mut request = request.map(Incoming::Http1);
        head::set_scheme(&mut request, client.scheme());
        async move { Ok::<_, Infallible>(answer(&shared, client.peer, busy, request).await) }
    });
    // That a head has at most 100 fields is hyper's own limit: setting it would cost an allocation for each request.
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(head::MOST as usize)
        .serve_connection(TokioIo::new(io), answer);
    let ended = match leave.unless(&mut connection).await {
        Err(Why::Stop) => {
            Pin::new(&mut connection).graceful_shutdown();
            Ok((&mut connection).await)
        }
        ended => ended,
    };
    // What was read and is no request yet is half a head. A connection that just idled has none.
    let has_half = !connection.into_parts().read_buf.is_empty();
    // A connection that breaks is the client's affair; a guest that failed was reported where it did.
    let (status, cause) = match ended {
        Ok(Err(error)) if error.is_parse() => (refusal(&error), Cause::ClientError),
        Ok(Err(error)) if has_half && error.is_timeout() => (None, Cause::ClientError),
        Err(_) if has_half => (None, Cause::Overloaded),
        _ => return,
    };
    refused(&told, client.peer, status, cause);
}

/// The status that hyper gave to a head that it could not read.
fn refusal(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_version_h2() {
        // That client would not understand an answer of HTTP/1.1.
        return None;
    }
    Some(match error.is_parse_too_large() {
        // A target that would be too long by itself (414) does not fit into a head that may be read.
        true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        false => StatusCode::BAD_REQUEST,
    })
}
