//! TLS of the server: certificate and key from files, reloaded when the files change.
//!
//! A TLS handshake checks the files, at most once every few seconds. This needs no watcher that
//! could miss a change, no signal, and no work on a server without clients. Broken files cause a
//! warning; the certificate in use stays.

use crate::fingerprint::Fingerprint;
use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// Time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Protocol names in ALPN.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// TLS settings of a server.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// Outcome of a reload of changed files.
#[derive(Debug)]
pub enum CertificateReload {
    /// New connections get the new certificate.
    Done,
    /// The old certificate stays.
    Kept(TlsError),
}

/// Error of a certificate or its key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe them")]
pub enum TlsError {
    #[error("the {what} {} cannot be read: {error}", file.display())]
    Unreadable { what: &'static str, file: PathBuf, error: io::Error },
    #[error("{0}; {1}")]
    BothUnreadable(Box<TlsError>, Box<TlsError>),
    #[error("{} contains no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} contains no private key", .0.display())]
    NoKey(PathBuf),
    #[error("the private key in {} is encrypted", .0.display())]
    Encrypted(PathBuf),
    #[error("{} is damaged: {reason}", file.display())]
    Damaged { file: PathBuf, reason: String },
    #[error("{} is truncated: it has no `-----END {section}-----` line", file.display())]
    Truncated { file: PathBuf, section: String },
    #[error("the private key in {} does not match the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the certificate in {} and the private key in {} cannot be used: {reason}", certificate.display(), key.display())]
    Unusable { certificate: PathBuf, key: PathBuf, reason: String },
}

impl TlsError {
    /// Returns a hint on how to fix it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            TlsError::NoCertificate(_) => Some(
                "use a PEM file that starts with `-----BEGIN CERTIFICATE-----`, with the issuers after the certificate",
            ),
            TlsError::NoKey(_) => Some("use a PEM file with `-----BEGIN PRIVATE KEY-----`, of RSA, ECDSA or Ed25519"),
            TlsError::Damaged { .. } | TlsError::Truncated { .. } => Some(
                "copy it again from its issuer; `openssl x509 -in FILE` and `openssl pkey -in FILE` check that a file is complete",
            ),
            TlsError::Encrypted(_) => Some("`openssl pkey -in KEY -out PLAIN` removes the passphrase"),
            TlsError::Mismatch { .. } => {
                Some("a new certificate often comes with a new key; use the two files that were issued together")
            }
            _ => None,
        }
    }
}

impl Tls {
    /// Loads the certificate and the key from these files, and reloads them whenever they change.
    /// `report` receives the outcome of each reload.
    ///
    /// # Errors
    /// When the files cannot be used now.
    pub fn load(
        certificate: &Path,
        key: &Path,
        report: impl Fn(&CertificateReload) + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let files = CertificateFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        let fingerprints = files.fingerprints();
        let current = files.read(&provider)?;
        let unusable = |e: rustls::Error| files.unusable(&e);
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(unusable)?;
        let state = Mutex::new(CertificateState { current: Arc::new(current), fingerprints, checked: Instant::now() });
        let resolver = CertificateResolver { files, provider, state, report: Box::new(report) };
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Tls { acceptor: Arc::new(config).into() })
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Tells whether a handshake agreed on HTTP/2.
pub(crate) fn agreed_on_http2(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(HTTP2)
}

struct CertificateResolver {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    state: Mutex<CertificateState>,
    report: Box<dyn Fn(&CertificateReload) + Send + Sync>,
}

struct CertificateState {
    current: Arc<CertifiedKey>,
    /// Fingerprints of the files that were read last, valid or not.
    fingerprints: [Option<Fingerprint>; 2],
    checked: Instant,
}

impl CertificateResolver {
    fn current(&self) -> Arc<CertifiedKey> {
        let mut state = self.state.lock();
        if state.checked.elapsed() >= CHECK_INTERVAL {
            state.checked = Instant::now();
            let fingerprints = self.files.fingerprints();
            if fingerprints != state.fingerprints {
                state.fingerprints = fingerprints;
                (self.report)(&match self.files.read(&self.provider) {
                    Ok(new) => {
                        state.current = Arc::new(new);
                        CertificateReload::Done
                    }
                    Err(e) => CertificateReload::Kept(e),
                });
            }
        }
        state.current.clone()
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateResolver")
    }
}

struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl CertificateFiles {
    fn fingerprints(&self) -> [Option<Fingerprint>; 2] {
        [&self.certificate, &self.key].map(|file| Fingerprint::of(file))
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let (certificate, key) = (read_file("certificate", &self.certificate), read_file("private key", &self.key));
        let (pem, key) = match (certificate, key) {
            (Err(one), Err(other)) => return Err(TlsError::BothUnreadable(one.into(), other.into())),
            (certificate, key) => (certificate?, key),
        };
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|e| damaged(&self.certificate, &e))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.certificate.clone()));
        }
        let pem = key?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| match e {
            pem::Error::NoItemsFound if is_encrypted(&pem) => TlsError::Encrypted(self.key.clone()),
            pem::Error::NoItemsFound => TlsError::NoKey(self.key.clone()),
            e => damaged(&self.key, &e),
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|e| match e {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            e => self.unusable(&e),
        })
    }

    fn unusable(&self, error: &rustls::Error) -> TlsError {
        TlsError::Unusable { certificate: self.certificate.clone(), key: self.key.clone(), reason: error.to_string() }
    }
}

fn read_file(what: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| TlsError::Unreadable { what, file: file.to_owned(), error })
}

fn damaged(file: &Path, error: &pem::Error) -> TlsError {
    let file = file.to_owned();
    // The library's messages show lines as lists of numbers.
    let reason = match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            return TlsError::Truncated { file, section: String::from_utf8_lossy(end_marker).into_owned() };
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with `-----BEGIN` does not end in `-----`".to_owned()
        }
        error => error.to_string(),
    };
    TlsError::Damaged { file, reason }
}

fn is_encrypted(pem: &[u8]) -> bool {
    let marker = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(marker.len()).any(|part| part == marker)
}
