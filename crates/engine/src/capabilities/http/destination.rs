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
        let default = if tls { 443 } else { 80 };
        Ok(Destination { tls, host, port: port_of(authority.as_str(), default)? })
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// Returns the port of an authority, which RFC 3986 section 3.2.3 has in digits alone. An empty
/// port is the default.
fn port_of(authority: &str, default: u16) -> Result<u16, Error> {
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    let port = authority[after_brackets..].rsplit_once(':').map_or("", |(_, port)| port);
    if port.is_empty() {
        return Ok(default);
    }
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| port.parse().ok()).flatten().ok_or(Error::HttpRequestUriInvalid)
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

    #[test]
    fn a_port_is_digits() {
        let to = |authority: &str| {
            let uri = Uri::builder().scheme("http").authority(authority).path_and_query("/").build();
            uri.map_err(|_| Error::HttpRequestUriInvalid).and_then(|uri| Destination::of(&uri)).map(|to| to.port)
        };
        for (authority, port) in [("a:80", 80), ("a:", 80), ("a", 80), ("[::1]:8080", 8080), ("[::1]", 80)] {
            assert_eq!(to(authority).ok(), Some(port), "{authority}");
        }
        for authority in ["127.0.0.1:+18092", "a:65536", "a:99999999999", "a:-1", "a:0x50", "[::1]:+80"] {
            assert!(to(authority).is_err(), "{authority}");
        }
    }
}
