use crate::{Response, tls};
use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Time-out of every wait: longer than any response takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A client's HTTP/2 connection, which can have several requests in flight.
pub struct Http2 {
    // Declared before the runtime, on which the connection runs, and so dropped first.
    requests: SendRequest<Bytes>,
    runtime: Runtime,
}

/// A request and its response, part by part.
pub struct Http2Exchange<'a> {
    runtime: &'a Runtime,
    sends: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    receives: Option<RecvStream>,
}

impl Http2 {
    /// Connects in the clear, with prior knowledge.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let runtime = runtime();
        let requests = runtime.block_on(async { shake(stream(address).await?).await })?;
        Ok(Http2 { requests, runtime })
    }

    /// Connects over TLS, trusting only `certificate` (PEM), and agrees on HTTP/2 by ALPN.
    pub fn over_tls(address: SocketAddr, certificate: &[u8]) -> io::Result<Self> {
        let runtime = runtime();
        let config = tls::client(certificate, &["h2"], &[]);
        let requests = runtime.block_on(async {
            let connector = tokio_rustls::TlsConnector::from(config);
            let stream = connector.connect(tls::name(), stream(address).await?).await?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(io::Error::other("the server did not agree on h2"));
            }
            shake(stream).await
        })?;
        Ok(Http2 { requests, runtime })
    }

    /// Sends a GET and reads the response.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(request("GET", target), b"")
    }

    /// Sends a request with a whole body, and reads the response.
    #[track_caller]
    pub fn ask(&mut self, request: Request<()>, body: &[u8]) -> Response {
        let mut exchange = self.start(request, body.is_empty());
        if !body.is_empty() {
            // A server that refuses a body because of the head need not read it.
            let _ = exchange.send(body);
            let _ = exchange.finish(&[]);
        }
        exchange.response()
    }

    /// Sends the head of a request; `ends` when there is no body.
    #[track_caller]
    pub fn start(&mut self, request: Request<()>, ends: bool) -> Http2Exchange<'_> {
        self.try_start(request, ends).expect("the server takes a request")
    }

    /// Sends the head of a request. Fails when the server takes no more requests on this
    /// connection.
    pub fn try_start(&mut self, request: Request<()>, ends: bool) -> io::Result<Http2Exchange<'_>> {
        let requests = &mut self.requests;
        let sent = self.runtime.block_on(async {
            timeout(TIMEOUT, poll_fn(|cx| requests.poll_ready(cx))).await?.map_err(io::Error::other)?;
            requests.send_request(request, ends).map_err(io::Error::other)
        });
        let (answer, sends) = sent?;
        Ok(Http2Exchange { runtime: &self.runtime, sends, answer: Some(answer), receives: None })
    }

    /// Sends many heads of requests without bodies, and reads each response as it comes.
    #[track_caller]
    pub fn ask_all(&mut self, requests: impl IntoIterator<Item = Request<()>>) -> Vec<Response> {
        let sends = &mut self.requests;
        let answers = requests.into_iter().map(|request| {
            self.runtime.block_on(poll_fn(|cx| sends.poll_ready(cx))).expect("the server takes a request");
            let (answer, _) = sends.send_request(request, true).expect("the server takes a request");
            self.runtime.spawn(async { timeout(TIMEOUT, whole(answer)).await })
        });
        let answers: Vec<_> = answers.collect();
        let read = |answer: JoinHandle<Result<_, Elapsed>>| {
            let answer: io::Result<Response> =
                self.runtime.block_on(answer).expect("it ends").expect("it ends in time");
            answer.expect("the server answers")
        };
        answers.into_iter().map(read).collect()
    }
}

impl Http2Exchange<'_> {
    /// Sends a part of the body, as flow control allows it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut bytes = Bytes::copy_from_slice(bytes.as_ref());
        let sends = &mut self.sends;
        within(self.runtime, async {
            while !bytes.is_empty() {
                sends.reserve_capacity(bytes.len());
                let room = poll_fn(|cx| sends.poll_capacity(cx)).await.ok_or(io::ErrorKind::BrokenPipe)?;
                let room = room.map_err(io::Error::other)?;
                sends.send_data(bytes.split_to(room.min(bytes.len())), false).map_err(io::Error::other)?;
            }
            Ok(())
        })
    }

    /// Ends the body, with trailers if there are any.
    pub fn finish(&mut self, trailers: &[(&'static str, &'static str)]) -> io::Result<()> {
        if trailers.is_empty() {
            return self.sends.send_data(Bytes::new(), true).map_err(io::Error::other);
        }
        let fields = trailers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        self.sends.send_trailers(fields.collect()).map_err(io::Error::other)
    }

    /// Resets the stream.
    pub fn reset(mut self) {
        self.sends.send_reset(Reason::CANCEL);
    }

    /// Waits for an interim response, such as 100.
    pub fn informational(&mut self) -> io::Result<u16> {
        let answer = self.answer.as_mut().expect("the head was not read yet");
        within(self.runtime, async {
            let early = poll_fn(|cx| answer.poll_informational(cx)).await;
            early.ok_or(io::ErrorKind::NotFound)?.map_err(io::Error::other)
        })
        .map(|early| early.status().as_u16())
    }

    /// Reads the head of the response.
    pub fn head(&mut self) -> io::Result<Response> {
        let answer = self.answer.take().expect("there is one head");
        let (head, body) = within(self.runtime, head(answer))?;
        self.receives = Some(body);
        Ok(head)
    }

    /// Reads a part of the response body; an empty one is its end.
    pub fn part(&mut self) -> io::Result<Vec<u8>> {
        let body = self.receives.as_mut().expect("the head was read");
        within(self.runtime, part(body))
    }

    /// Reads the trailers, after the end of the body.
    pub fn trailers(&mut self) -> io::Result<Vec<(String, String)>> {
        let body = self.receives.as_mut().expect("the head was read");
        within(self.runtime, trailers(body))
    }

    /// Reads the response to its end.
    #[track_caller]
    pub fn response(mut self) -> Response {
        let answer = self.answer.take().expect("the head was not read yet");
        within(self.runtime, whole(answer)).expect("the server answers")
    }
}

async fn head(answer: ResponseFuture) -> io::Result<(Response, RecvStream)> {
    let (head, body) = answer.await.map_err(io::Error::other)?.into_parts();
    let (status, headers) = (head.status.as_u16(), fields(&head.headers));
    Ok((Response { status, headers, whole: true, ..Response::default() }, body))
}

async fn part(body: &mut RecvStream) -> io::Result<Vec<u8>> {
    loop {
        let Some(part) = body.data().await else { return Ok(Vec::new()) };
        let part = part.map_err(io::Error::other)?;
        let _ = body.flow_control().release_capacity(part.len());
        if !part.is_empty() {
            return Ok(part.to_vec());
        }
    }
}

async fn trailers(body: &mut RecvStream) -> io::Result<Vec<(String, String)>> {
    let trailers = body.trailers().await.map_err(io::Error::other)?;
    Ok(trailers.as_ref().map(fields).unwrap_or_default())
}

/// Reads a response. It is not [`Response::whole`] when its body breaks off.
async fn whole(answer: ResponseFuture) -> io::Result<Response> {
    let (mut response, mut body) = head(answer).await?;
    response.whole = loop {
        match part(&mut body).await {
            Ok(part) if part.is_empty() => break true,
            Ok(part) => response.body.extend(part),
            Err(_) => break false,
        }
    };
    if response.whole {
        match trailers(&mut body).await {
            Ok(trailers) => response.trailers = trailers,
            Err(_) => response.whole = false,
        }
    }
    Ok(response)
}

/// Creates the head of a request to the host `test`.
///
/// # Panics
/// When method or target are not valid.
pub fn request(method: &str, target: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://test{target}")).body(()).expect("it is one")
}

fn runtime() -> Runtime {
    // Drives the connection while the test does other work.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("the system has room for a thread")
}

async fn stream(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn shake(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<SendRequest<Bytes>> {
    let (requests, connection) = Builder::new().handshake(io).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(requests)
}

fn within<T>(runtime: &Runtime, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    runtime.block_on(async { timeout(TIMEOUT, work).await? })
}

fn fields(of: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    of.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
