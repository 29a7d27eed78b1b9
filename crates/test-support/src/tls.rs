use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, Stream, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Time-out of a handshake: longer than it takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A self-signed certificate for `localhost` and 127.0.0.1, valid until 2126.
const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");
/// The same certificate, issued again with another key.
const RENEWED: (&[u8], &[u8]) = (include_bytes!("tls/renewed-certificate.pem"), include_bytes!("tls/renewed-key.pem"));

/// Versions of TLS that are in use.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Returns a certificate for `localhost` and its key, as PEM.
pub fn certificate_and_key() -> (&'static [u8], &'static [u8]) {
    (CERTIFICATE, KEY)
}

/// Returns a certificate for the same names, issued with another key.
pub fn renewed_certificate_and_key() -> (&'static [u8], &'static [u8]) {
    RENEWED
}

/// A client's TLS connection.
pub struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Secure {
    /// Connects to `localhost` at `address`, trusting only `certificate` (PEM). Offers `protocols`
    /// by ALPN and `versions` of TLS; an empty list offers all.
    pub fn open(
        address: SocketAddr,
        certificate: &[u8],
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Self> {
        let mut client =
            ClientConnection::new(client(certificate, protocols, versions), name()).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        while client.is_handshaking() {
            client.complete_io(&mut stream)?;
        }
        Ok(Secure { stream: StreamOwned::new(client, stream) })
    }

    /// Returns the protocol that both sides agreed on.
    pub fn protocol(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.stream.conn.alpn_protocol()?).into_owned())
    }

    /// Sends bytes, and reads until the server closes the connection.
    pub fn ask(&mut self, bytes: &[u8]) -> io::Result<String> {
        self.stream.write_all(bytes)?;
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("it is a name")
}

pub(crate) fn client(
    certificate: &[u8],
    protocols: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate).expect("it is a certificate")).expect("it can be trusted");
    let versions = if versions.is_empty() { rustls::ALL_VERSIONS } else { versions };
    let builder = ClientConfig::builder_with_protocol_versions(versions);
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A server that answers each request with "answer", with and without TLS on one port of 127.0.0.1.
///
/// Its certificate is self-signed, so that only clients that are told to trust it do.
pub struct TlsServer {
    address: SocketAddr,
    outcomes: Receiver<String>,
}

impl TlsServer {
    /// Serves until the end of the test.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let key = PrivateKeyDer::from_pem_slice(KEY).expect("the key is one");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate()], key);
        let config = Arc::new(config.expect("the key is the certificate's"));
        let (tell, outcomes) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, tell) = (config.clone(), tell.clone());
                thread::spawn(move || serve(stream, config, &tell));
            }
        });
        TlsServer { address, outcomes }
    }

    /// Returns the certificate, as PEM.
    pub fn certificate(&self) -> &'static [u8] {
        CERTIFICATE
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how the next handshake ended: `agreed`, or the error of rustls, which names the
    /// client's alert.
    ///
    /// # Panics
    /// When no client comes.
    #[track_caller]
    pub fn handshake(&self) -> String {
        self.outcomes.recv_timeout(TIMEOUT).expect("a client comes")
    }
}

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).expect("the certificate is one")
}

fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, tell: &Sender<String>) {
    let mut first = [0];
    // A handshake record starts with the byte 22, an HTTP request with a letter.
    if !stream.peek(&mut first).is_ok_and(|length| length == 1 && first == [22]) {
        let _ = answer(&mut stream);
        return;
    }
    let mut connection = ServerConnection::new(config).expect("the settings are sound");
    let mut outcome = Ok((0, 0));
    while connection.is_handshaking() && outcome.is_ok() {
        outcome = connection.complete_io(&mut stream);
    }
    let _ = tell.send(outcome.map_or_else(|e| e.to_string(), |_| "agreed".to_owned()));
    let _ = answer(&mut Stream::new(&mut connection, &mut stream));
}

fn answer(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nanswer")?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control: without it, tests of distrust would show nothing.
    #[test]
    fn who_is_told_to_trust_the_certificate_does() {
        let server = TlsServer::start();
        let mut roots = RootCertStore::empty();
        roots.add(certificate()).unwrap();
        let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        for name in ["localhost", "127.0.0.1"] {
            let mut client = ClientConnection::new(config.clone(), ServerName::try_from(name).unwrap()).unwrap();
            let mut stream = TcpStream::connect(server.address()).unwrap();
            let mut stream = Stream::new(&mut client, &mut stream);
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = [0; 256];
            let length = stream.read(&mut answer).unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK"), "{:?}", &answer[..length]);
            assert_eq!(server.handshake(), "agreed");
        }
    }
}
