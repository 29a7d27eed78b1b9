//! The native peer of `cargo benchmarks http`: hyper on a runtime of one thread, and nothing else.
//!
//! `bench-native ADDRESS:PORT` answers as the guests do: `/echo` streams the body of the request
//! back, `/hash` returns its length, `/big` returns 1 MiB in pieces like the guest
//! `rust_p2_http_bad`, and any other path returns the bytes and headers of the guest
//! `rust_p2_http_hello`. Its rate is the ceiling: the cost of HTTP alone, without isolation.

#![forbid(unsafe_code)]

use futures_util::stream;
use http_body_util::{BodyExt, Either, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{error::Error, time::Duration};
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
            // The process may be out of file descriptors for a while.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        // An error means that the client went away.
        tokio::spawn(async { connection.await.unwrap_or_default() });
    }
}

/// The hello is not boxed, which saves an allocation.
type NativeResponse = Response<Either<Full<Bytes>, BoxBody<Bytes, hyper::Error>>>;

async fn answer(request: Request<Incoming>) -> Result<NativeResponse, hyper::Error> {
    match request.uri().path() {
        "/echo" => Ok(Response::new(Either::Right(request.into_body().boxed()))),
        "/hash" => Ok(text(format!("{} bytes\n", length(request.into_body()).await?).into())),
        "/big" => Ok(Response::new(Either::Right(StreamBody::new(stream::iter(big())).boxed()))),
        _ => Ok(hello()),
    }
}

fn hello() -> NativeResponse {
    let mut response = text(Bytes::from_static(HELLO));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CONTENT_LENGTH, LENGTH);
    response
}

fn text(text: Bytes) -> NativeResponse {
    Response::new(Either::Left(Full::new(text)))
}

async fn length(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}

/// 1 MiB of unannounced length, in pieces of 64 KiB.
fn big() -> impl Iterator<Item = Result<Frame<Bytes>, hyper::Error>> {
    static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
    std::iter::repeat_n(&PIECE, 16).map(|piece| Ok(Frame::data(Bytes::from_static(piece))))
}
