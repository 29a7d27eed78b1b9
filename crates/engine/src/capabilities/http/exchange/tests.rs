//! Requests to servers of the test.

use super::*;
use crate::capabilities::connection_limit::ConnectionLimit;
use crate::capabilities::http::pool::ConnectionPool;
use crate::gate::gate::Gate;
use crate::http::body::WithGuard;
use crate::sandbox::setup::Setup;
use crate::sandbox::stdio::Stdio;
use crate::scheduler::fair_queue::FlowId;
use crate::scheduler::offload;
use crate::scheduler::turns;
use http_body_util::Full;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;
use walnut_policy::{Capability, Limits, Policy};

/// Connection that its peer closes unnoticed until the next use.
struct Silent(Arc<AtomicBool>);

impl AsyncRead for Silent {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.load(SeqCst) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Silent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Answers `times` requests that end in `end`, all on one connection.
async fn answers(listener: TcpListener, end: &'static [u8], times: usize, answer: &'static str) {
    let (mut stream, _) = listener.accept().await.unwrap();
    drop(listener);
    for _ in 0..times {
        let mut request = Vec::new();
        while !request.ends_with(end) {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn request(url: &str, body: &'static str) -> http::Request<WasiBody> {
    let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
    http::Request::builder().uri(url).header("host", "test").body(body).unwrap()
}

/// Returns the response to a request with this body.
async fn ask(url: &str, pool: &Arc<ConnectionPool>, body: &'static str) -> http::Response<WasiBody> {
    let mut policy = Policy::sealed();
    policy.allow(Capability::Http, url).unwrap();
    let gate = Gate::new("test", policy, Vec::new());
    let mut setup = Setup::new(gate, Limits::for_service(), Stdio::Inherit, false).unwrap();
    setup.pool = pool.clone();
    let setup = Arc::new(setup);
    let exchange = OutboundExchange {
        slot: Arc::new(ConnectionLimit::new(1, setup.clone()).open().unwrap()),
        context: setup,
        import: "test",
        timeouts: Timeouts::of(None),
    };
    let slot = exchange.slot.clone();
    let request = request(url, body).map(|inner| WithGuard { inner, _guard: slot }.boxed_unsync());
    exchange.send(request).await.map_err(|e| e.to_string()).unwrap().0
}

/// Returns the status of the response.
async fn status(url: &str, pool: &Arc<ConnectionPool>, body: &'static str) -> u16 {
    ask(url, pool, body).await.status().as_u16()
}

#[tokio::test]
async fn a_request_with_a_body_leaves_its_connection_to_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(answers(listener, b"\r\n\r\nbody", 2, EMPTY));
    let pool = Arc::default();
    assert_eq!((status(&url, &pool, "body").await, status(&url, &pool, "body").await), (200, 200));
    server.await.unwrap();
}

#[tokio::test]
async fn an_unsent_request_goes_on_a_new_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/");
    let server = tokio::spawn(answers(listener, b"\r\n\r\n", 1, EMPTY));
    let (pool, is_closed) = (Arc::<ConnectionPool>::default(), Arc::<AtomicBool>::default());
    let mut connection = OutboundConnection::http1(Silent(is_closed.clone()), address).await.unwrap();
    assert!(connection.becomes_ready().await);
    pool.keep(Destination::of(&url.parse().unwrap()).unwrap(), connection);
    is_closed.store(true, SeqCst);
    assert_eq!(status(&url, &pool, "").await, 200);
    server.await.unwrap();
}

#[tokio::test]
async fn hop_by_hop_headers_of_a_response_are_removed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = "HTTP/1.1 200 OK\r\nconnection: X-Hop\r\nx-hop: 1\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n";
    let server = tokio::spawn(answers(listener, b"\r\n\r\n", 1, answer));
    let response = ask(&url, &Arc::default(), "").await;
    assert!(response.headers().contains_key("x-end") && !response.headers().contains_key("x-hop"));
    server.await.unwrap();
}

#[tokio::test]
async fn hop_by_hop_trailers_of_a_response_are_removed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = "HTTP/1.1 200 OK\r\nconnection: X-Hop\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\nok\r\n0\r\nx-hop: 1\r\nx-end: 1\r\n\r\n";
    let server = tokio::spawn(answers(listener, b"\r\n\r\n", 1, answer));
    let body = ask(&url, &Arc::default(), "").await.into_body();
    let Ok(body) = body.collect().await else { panic!("the answer is whole") };
    let trailers = body.trailers().unwrap();
    assert!(trailers.contains_key("x-end") && !trailers.contains_key("x-hop"));
    server.await.unwrap();
}

/// The serving thread drives the connection, whichever thread the guest is on.
#[tokio::test]
async fn the_serving_thread_drives_connections_of_an_offloaded_guest() {
    (0..2).for_each(|_| drop(turns::before(FlowId::new(), Instant::now())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(answers(listener, b"\r\n\r\nbody", 2, EMPTY));
    let pool = Arc::<ConnectionPool>::default();
    let (to, kept) = (url.clone(), pool.clone());
    let compute = offload::compute_thread().unwrap();
    assert_eq!(compute.spawn(async move { status(&to, &kept, "body").await }).await.unwrap(), 200);
    let destination = Destination::of(&url.parse().unwrap()).unwrap();
    let waiting = loop {
        match pool.take(&destination) {
            Some(waiting) => break waiting,
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    let mut policy = Policy::sealed();
    policy.allow_all();
    let asked = Request::Env { name: "any".into() };
    let permit = Gate::new("test", policy, Vec::new()).check("test", asked).unwrap();
    let connection = waiting.open(permit);
    assert_eq!(connection.thread, std::thread::current().id());
    pool.keep(destination, connection);
    assert_eq!(status(&url, &pool, "body").await, 200);
    server.await.unwrap();
}

#[test]
fn a_request_ends_with_the_runtime_of_its_connection() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (drives, asks) = (runtime(), runtime());
    let silent = Silent(Arc::default());
    let mut connection = drives.block_on(OutboundConnection::http1(silent, ([127, 0, 0, 1], 80).into())).unwrap();
    let request = request("http://test/", "");
    let head = RequestTarget::of(&request).unwrap();
    let ended = std::thread::spawn(move || asks.block_on(connection.send(request, &head)).is_err());
    drop(drives);
    assert!(ended.join().unwrap());
}
