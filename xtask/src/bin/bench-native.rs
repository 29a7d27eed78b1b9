//! The native peer of `cargo xtask bench http`: hyper on a runtime of one thread, and nothing else.
//!
//! `bench-native ADDRESS:PORT` answers `/echo` with the body it gets, as it comes, and everything else with the very bytes and
//! headers of the guest `rust_p2_http_hello`. It is the ceiling: what HTTP itself costs, with nothing isolated.

#![forbid(unsafe_code)]

use http_body_util::{Either, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, error::Error, time::Duration};
use tokio::net::TcpListener;

const HELLO: &[u8] = b"hello from a sealed component\n";
const LENGTH: HeaderValue = HeaderValue::from_static("30");
const _: () = assert!(HELLO.len() == 30);

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: bench-native ADDRESS:PORT")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&address))
}

async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No more descriptors, say. It passes.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        // A client that goes away in the middle is none of ours.
        tokio::spawn(async { connection.await.unwrap_or_default() });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    if request.uri().path() == "/echo" {
        return Ok(Response::new(Either::Right(request.into_body())));
    }
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(HELLO))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CONTENT_LENGTH, LENGTH);
    Ok(response)
}
