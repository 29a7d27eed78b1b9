//! TLS of outbound connections.

use std::sync::LazyLock;
use wasmtime_wasi_http::Error;

/// Translates an error of TLS. WASI has an error of its own for an untrusted certificate.
pub(super) fn tls_error(error: std::io::Error) -> Error {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    if matches!(inner, Some(rustls::Error::InvalidCertificate(_))) {
        Error::TlsCertificateError
    } else {
        Error::Tls(error)
    }
}

/// Returns TLS settings that share their roots with all others, but no sessions.
pub(super) fn tls_config() -> Option<rustls::ClientConfig> {
    static CONFIG: LazyLock<Option<rustls::ClientConfig>> = LazyLock::new(|| {
        let builder = rustls::ClientConfig::builder().with_root_certificates(trusted_roots()?);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Some(config)
    });
    let mut config = CONFIG.clone()?;
    config.resumption = rustls::client::Resumption::default();
    Some(config)
}

/// Returns the trusted certificates: the public roots of the web, or those in the file that
/// `SSL_CERT_FILE` names. `None` if that file cannot be read.
pub fn trusted_roots() -> Option<rustls::RootCertStore> {
    use rustls::pki_types::pem::PemObject;
    let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) else {
        return Some(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() });
    };
    let certificates = rustls::pki_types::CertificateDer::pem_file_iter(file).ok()?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    Some(roots)
}
