//! Destination of an outbound request.

use http::Uri;
use http::uri::Scheme;
use wasmtime_wasi_http::Error;

/// Scheme, host and port of a request. Requests to the same destination may share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub tls: bool,
    /// The host, without brackets.
    pub host: String,
    pub port: u16,
}

impl Destination {
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // RFC 9110 section 4.2.4: a user and a password are an error here, and in a grant. They
        // would be sent as part of `Host`.
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        Ok(Destination { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_no_part_of_where_a_request_goes() {
        let to = |url: &str| Destination::of(&url.parse().unwrap());
        assert_eq!(to("http://127.0.0.1:9120/a@b").unwrap().port, 9120);
        for url in ["http://user:pw@127.0.0.1:9120/", "https://user@test/", "http://@test/"] {
            assert!(matches!(to(url), Err(Error::HttpRequestUriInvalid)), "{url}");
        }
    }
}
