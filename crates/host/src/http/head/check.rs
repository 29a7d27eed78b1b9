//! Validates the head of a request, and finds the host that it is for.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use std::net::Ipv6Addr;

/// Reason for which the server itself answers a request, whatever it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadRejection {
    /// No valid host, or several.
    InvalidHost,
    /// The target is not a path.
    InvalidTarget,
    Connect,
    /// `OPTIONS *`
    OptionsOfServer,
    /// A transfer coding other than `chunked`.
    UnknownTransferCoding,
    /// A value with spaces around it, which HTTP/2 forbids.
    PaddedValue,
}

/// Returns the host that a request is for.
///
/// # Errors
/// When the request is not one that a component or a folder can answer.
pub(crate) fn check<B>(request: &Request<B>) -> Result<&str, HeadRejection> {
    let is_http2 = request.version() == Version::HTTP_2;
    if !has_known_coding(request.headers()) {
        return Err(HeadRejection::UnknownTransferCoding);
    }
    if is_http2 && request.headers().values().any(is_padded) {
        return Err(HeadRejection::PaddedValue);
    }
    let host = host(request).ok_or(HeadRejection::InvalidHost)?;
    match request.uri().path_and_query().map_or("", |target| target.as_str()) {
        _ if *request.method() == Method::CONNECT => Err(HeadRejection::Connect),
        path if path.starts_with('/') => Ok(host),
        // RFC 9112 section 3.2.2: an absolute URL without a path means `/`, also with a query.
        path if path.starts_with('?') && !is_http2 => Ok(host),
        "*" if *request.method() == Method::OPTIONS => Err(HeadRejection::OptionsOfServer),
        _ => Err(HeadRejection::InvalidTarget),
    }
}

/// Tells whether hyper has decoded the body: it knows only `chunked` (RFC 9112 section 6.1).
fn has_known_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// Tells whether a value has spaces around it (RFC 9113 section 8.2.1). The parser of HTTP/1.1
/// removes them.
fn is_padded(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// Returns the host of a request. RFC 9112 section 3.2: it has exactly one, and a valid one. RFC
/// 9113 section 8.3.1: `:authority` and `host` agree.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok().filter(|host| host.parse().is_ok_and(|host| is_valid(&host)))?),
        (None, None) => None,
        _ => return None,
    };
    match request.uri().authority() {
        Some(authority) => {
            let authority = Some(authority).filter(|authority| is_valid(authority))?.as_str();
            let agree = header.is_none_or(|host| host.eq_ignore_ascii_case(authority));
            (agree || request.version() != Version::HTTP_2).then_some(authority)
        }
        None => header,
    }
}

/// Checks host and port by RFC 3986 sections 3.2.2 and 3.2.3; the parser of `Authority` is more
/// lenient.
fn is_valid(authority: &Authority) -> bool {
    let (whole, host) = (authority.as_str(), authority.host());
    let Some(port) = whole.strip_prefix(host) else { return false };
    let is_number =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty(),
    };
    is_host && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_requests_are_for_the_server_itself() {
        let request = |method: &str, uri: &str| {
            Request::builder().method(method).uri(uri).header(HOST, "a.test").body(()).unwrap()
        };
        assert_eq!(check(&request("GET", "/")), Ok("a.test"));
        assert_eq!(check(&request("OPTIONS", "/")), Ok("a.test"));
        assert_eq!(check(&request("GET", "http://a.test?x=1")), Ok("a.test"));
        assert_eq!(check(&request("OPTIONS", "*")), Err(HeadRejection::OptionsOfServer));
        assert_eq!(check(&request("GET", "*")), Err(HeadRejection::InvalidTarget));
        assert_eq!(check(&request("GET", "a.test")), Err(HeadRejection::InvalidTarget));
        assert_eq!(check(&request("CONNECT", "a.test:443")), Err(HeadRejection::Connect));
    }

    #[test]
    fn http_2_names_its_host_once_or_twice_the_same() {
        let request = |uri: &str, header: Option<&str>, version| {
            let mut request = Request::builder().uri(uri).version(version);
            if let Some(header) = header {
                request = request.header(HOST, header);
            }
            request.body(()).unwrap()
        };
        for (uri, header, named) in [
            ("http://a.test/", None, Some("a.test")),
            ("/", Some("a.test"), Some("a.test")),
            ("http://a.test/", Some("A.test"), Some("a.test")),
            ("http://a.test/", Some("b.test"), None),
            ("http://u@a.test/", None, None),
            ("/", None, None),
        ] {
            assert_eq!(host(&request(uri, header, Version::HTTP_2)), named, "{uri} {header:?}");
        }
        // RFC 9112 section 3.2.2: there the target's counts.
        assert_eq!(host(&request("http://a.test/", Some("b.test"), Version::HTTP_11)), Some("a.test"));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port_digits() {
        let named = |host: &str| {
            let request = Request::builder().uri("/").header(HOST, host).body(()).unwrap();
            super::host(&request).is_some()
        };
        for good in ["a.test", "a.test:", "a.test:80", "a:65535", "127.0.0.1:80", "[::1]", "[::1]:80", "a_b"] {
            assert!(named(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:65536",
            "a:99999999999",
            "a:b",
            "a:8x",
            "a:-1",
            "a:1:2",
            "[xx]:1",
            "[]",
            "[::1",
            "[::1]80",
            "::1",
            "u@a",
            "a b",
            "a/b",
        ] {
            assert!(!named(bad), "{bad}");
        }
    }

    #[test]
    fn a_body_is_chunked_or_is_in_no_coding() {
        let checked = |codings: &[&str]| {
            let request = Request::builder().uri("/").header(HOST, "a.test");
            let request = codings.iter().fold(request, |request, coding| request.header(TRANSFER_ENCODING, *coding));
            check(&request.body(()).unwrap()).err()
        };
        assert_eq!([&[][..], &["chunked"], &["Chunked"]].map(checked), [None; 3]);
        let others = [&["gzip, chunked"][..], &["chunked, chunked"], &["identity", "chunked"], &["gzip"]];
        assert_eq!(others.map(checked), [Some(HeadRejection::UnknownTransferCoding); 4]);
    }

    #[test]
    fn http_2_has_no_spaces_around_a_value() {
        let checked = |version, value| {
            let request = Request::builder().uri("http://a.test/").version(version).header("x", value);
            check(&request.body(()).unwrap()).err()
        };
        assert_eq!(["", "a b"].map(|value| checked(Version::HTTP_2, value)), [None; 2]);
        for padded in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(checked(Version::HTTP_2, padded), Some(HeadRejection::PaddedValue), "{padded:?}");
        }
    }
}
