use crate::certificate_and_key;
use h2::server::SendResponse;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Time-out of every wait: longer than anything takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Size of a body that is larger than the system's buffers of a connection.
const BIG: usize = 32 << 20;

/// A server for the requests of guests, on a port of 127.0.0.1. It answers each with 200 and an
/// empty body, and records which request came on which connection.
///
/// After `/close` it closes the connection without announcing that. `/big` has a body of 32 MiB.
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<SeenRequests>,
}

#[derive(Default)]
struct SeenRequests {
    seen: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    closed: usize,
    requests: Vec<(usize, String)>,
    /// HTTP/2 requests that wait for each other.
    waiting: Vec<SendResponse<bytes::Bytes>>,
}

impl Upstream {
    /// Serves HTTP/1.1 in the clear.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start() -> Self {
        let (listener, upstream) = Self::listen();
        let seen = upstream.seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, connection) = (seen.clone(), seen.connected());
                thread::spawn(move || {
                    let _ = serve(stream, connection, &seen);
                    seen.update(|counts| counts.closed += 1);
                });
            }
        });
        upstream
    }

    /// Serves HTTP/2 over TLS only, with the certificate of [`certificate_and_key`]. It answers
    /// once `at_once` requests wait.
    ///
    /// # Panics
    /// When no port is free.
    pub fn http2(at_once: usize) -> Self {
        let (listener, upstream) = Self::listen();
        let seen = upstream.seen.clone();
        listener.set_nonblocking(true).expect("a listener can be that");
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the system has room for it").block_on(accept_http2(listener, at_once, seen));
        });
        upstream
    }

    fn listen() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        (listener, Upstream { address, seen: Arc::default() })
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    /// Returns the requests: the number of the connection, from 1, and method and target.
    pub fn requests(&self) -> Vec<(usize, String)> {
        self.seen.lock().requests.clone()
    }

    /// Waits until this many HTTP/1.1 connections were closed by both sides.
    ///
    /// # Panics
    /// When they are not closed in time.
    #[track_caller]
    pub fn has_closed(&self, connections: usize) {
        let waited =
            self.seen.changed.wait_timeout_while(self.seen.lock(), TIMEOUT, |counts| counts.closed < connections);
        let (counts, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(counts.closed >= connections, "{} of {} connections are closed", counts.closed, counts.connections);
    }
}

impl SeenRequests {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn connected(&self) -> usize {
        self.update(|counts| {
            counts.connections += 1;
            counts.connections
        })
    }
}

fn serve(stream: TcpStream, connection: usize, seen: &SeenRequests) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line);
        }
        let asked = lines.first().and_then(|line| line.rsplit_once(' ')).map_or("", |(asked, _)| asked);
        seen.update(|counts| counts.requests.push((connection, asked.to_owned())));
        let size = if asked.ends_with("/big") { BIG } else { 0 };
        let out = stream.get_mut();
        out.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").as_bytes())?;
        out.write_all(&vec![b'x'; size])?;
        if asked.ends_with("/close") {
            out.shutdown(Shutdown::Write)?;
            return stream.read_to_end(&mut Vec::new()).map(drop);
        }
    }
}

async fn accept_http2(listener: TcpListener, at_once: usize, seen: Arc<SeenRequests>) {
    let (certificate, key) = certificate_and_key();
    let certificate = CertificateDer::from_pem_slice(certificate).expect("the certificate is one");
    let key = PrivateKeyDer::from_pem_slice(key).expect("the key is one");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("the key is the certificate's");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let connection = seen.connected();
            let Ok(mut requests) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, respond))) = requests.accept().await {
                let asked = format!("{} {}", request.method(), request.uri());
                seen.update(|counts| answer_together(counts, (connection, asked), respond, at_once));
            }
        });
    }
}

fn answer_together(counts: &mut Counts, request: (usize, String), respond: SendResponse<bytes::Bytes>, at_once: usize) {
    counts.requests.push(request);
    counts.waiting.push(respond);
    if counts.waiting.len() >= at_once {
        for mut respond in counts.waiting.drain(..) {
            let _ = respond.send_response(http::Response::new(()), true);
        }
    }
}
