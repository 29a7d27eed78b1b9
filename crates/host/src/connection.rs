//! One client's connection: with TLS or without, of HTTP/1.1 or of HTTP/2.

use crate::answer::{answer, refused};
use crate::head;
use crate::http2;
use crate::incoming::Incoming;
use crate::preface::Opened;
use crate::seats::{Leave, Why};
use crate::server::Shared;
use crate::stall::Stall;
use crate::tls::{self, Tls};
use crate::worker::Here;
use http::uri::Scheme;
use http::{Request, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
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
    let stream = Stall::new(stream, shared.config.stall_timeout, leave.seat.clone());
    tokio::spawn(async move {
        let _here = here;
        // What is not the common case is put aside, so that an idle connection is small.
        match shared.config.tls.clone() {
            None => plain(stream, peer, shared, leave).await,
            Some(tls) => Box::pin(secure(&tls, stream, peer, shared, leave)).await,
        }
    });
}

async fn plain(stream: Stall<TcpStream>, peer: SocketAddr, shared: Arc<Shared>, mut leave: Leave) {
    let client = Client { peer, is_secure: false };
    let opened = timeout(shared.config.head_timeout, Opened::new(stream));
    match leave.unless(opened).await {
        Ok(Ok(Ok((stream, true)))) => Box::pin(http2::serve(stream, client, shared, leave)).await,
        Ok(Ok(Ok((stream, false)))) => serve_http1(stream, client, shared, leave).await,
        // It is to end, or nothing came.
        Err(_) | Ok(Err(_) | Ok(Err(_))) => {}
    }
}

async fn secure(tls: &Tls, stream: Stall<TcpStream>, peer: SocketAddr, shared: Arc<Shared>, mut leave: Leave) {
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
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(head::MOST as usize)
        .serve_connection(TokioIo::new(io), answer);
    let mut connection = pin!(connection);
    let ended = match leave.unless(connection.as_mut()).await {
        Ok(ended) => ended,
        Err(Why::Needed) => return,
        Err(Why::Stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A connection that breaks is the client's affair; a guest that failed was reported where it did.
    if let Err(error) = ended
        && error.is_parse()
    {
        refused(&told, client.peer, refusal(&error));
    }
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
