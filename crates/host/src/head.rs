//! What the head of a request must be, and what of heads goes no further than to the next hop.

use http::header::{CONTENT_LENGTH, HOST, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use std::net::IpAddr;
use walnut_engine::{Body, Failure, named_by_connection};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Bytes of the head of a request. Beyond it is 431.
pub(crate) const MOST: u32 = 64 << 10;

/// A request that the server answers itself, whatever it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToServer {
    NoHost,
    NoPath,
    Connect,
    /// `OPTIONS *`
    Options,
}

/// The host that a request is for, if it is a request that a component can answer.
pub(crate) fn check<B>(request: &Request<B>) -> Result<&str, ToServer> {
    let host = host(request).ok_or(ToServer::NoHost)?;
    match request.uri().path() {
        _ if *request.method() == Method::CONNECT => Err(ToServer::Connect),
        path if path.starts_with('/') => Ok(host),
        "*" if *request.method() == Method::OPTIONS => Err(ToServer::Options),
        _ => Err(ToServer::NoPath),
    }
}

/// The host that a request is for. RFC 9112 section 3.2: it names one, and a valid one. RFC 9113 section 8.3.1: where it
/// can name it twice, it names the same.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let is_good = |authority: &Authority| !authority.as_str().contains('@');
    let mut named = request.headers().get_all(HOST).iter();
    let by_header = match (named.next(), named.next()) {
        (Some(host), None) => Some(host.to_str().ok().filter(|host| host.parse().is_ok_and(|host| is_good(&host)))?),
        (None, None) => None,
        _ => return None,
    };
    match request.uri().authority() {
        Some(authority) => {
            let authority = Some(authority).filter(|authority| is_good(authority))?.as_str();
            let agree = by_header.is_none_or(|host| host.eq_ignore_ascii_case(authority));
            (agree || request.version() != Version::HTTP_2).then_some(authority)
        }
        None => by_header,
    }
}

/// Gives a request the scheme that its client really used, which HTTP/1.1 does not say and HTTP/2 lets the client say.
pub(crate) fn set_scheme<B>(request: &mut Request<B>, scheme: Scheme) {
    let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let mut parts = request.uri().clone().into_parts();
    parts.authority = parts.authority.or_else(host);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    parts.scheme = Some(scheme);
    // What has no authority cannot have a scheme, and is answered with an error further on.
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// What of the trailers of a request goes no further, which its head decides.
pub(crate) struct Trailers {
    /// By the client, as meant for this hop.
    named: Vec<HeaderName>,
    trusts_forwarded: bool,
}

impl Trailers {
    pub fn clean(&self, trailers: &mut HeaderMap) {
        let drops = |name: &HeaderName| is_dropped(name, self.trusts_forwarded) || self.named.contains(name);
        if trailers.keys().any(drops) {
            remove(trailers, drops);
        }
    }
}

/// Takes off what was meant for this hop, and what a client says about hops before it unless it is trusted. The same is to be
/// taken off the trailers.
pub(crate) fn clean_request(headers: &mut HeaderMap, trusts_forwarded: bool) -> Trailers {
    let drops = |name: &HeaderName| is_dropped(name, trusts_forwarded);
    let mut named = Vec::new();
    // Most requests have none of them.
    if headers.keys().any(drops) {
        let wants_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
        named = remove(headers, drops);
        // A guest may want to know, and gRPC wants it to.
        if wants_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    Trailers { named, trusts_forwarded }
}

/// Says who the client is: behind the hops that came with the request, if those are trusted, and otherwise alone.
pub(crate) fn tell_client<B>(request: &mut Request<B>, client: IpAddr) {
    let secure = request.uri().scheme() == Some(&Scheme::HTTPS);
    let headers = request.headers_mut();
    let before = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let client = client.to_canonical().to_string();
    let hops: Vec<&[u8]> = before.chain([client.as_bytes()]).collect();
    // Parts of valid headers and an address are one.
    if let Ok(hops) = HeaderValue::from_bytes(&hops.join(&b", "[..])) {
        headers.insert(FORWARDED_FOR, hops);
    }
    let scheme = HeaderValue::from_static(if secure { "https" } else { "http" });
    // The first hop knows what the client really used.
    headers.entry(FORWARDED_PROTO).or_insert(scheme);
}

/// The response of a guest, as it may leave.
pub(crate) fn of_guest(mut response: Response<Body>) -> Result<Response<Body>, Failure> {
    if response.status().is_informational() {
        // It would be followed by another, or by another protocol.
        return Err(Failure::GuestError(format!("status {}, which is no answer", response.status().as_u16())));
    }
    clean_response(response.headers_mut());
    Ok(response)
}

/// Takes off what a guest has no say in, before its body and behind it: the connection is the server's.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    if headers.keys().any(is_hop_by_hop) {
        remove(headers, is_hop_by_hop);
    }
}

/// Takes off what `drops` says and what `Connection` names. Gives the latter.
#[cold]
fn remove(headers: &mut HeaderMap, drops: impl Fn(&HeaderName) -> bool) -> Vec<HeaderName> {
    let named = named_by_connection(headers);
    let listed: Vec<HeaderName> = headers.keys().filter(|name| drops(name)).cloned().collect();
    for name in listed.iter().chain(&named) {
        // What the message itself is told by cannot be named away.
        if *name != HOST && *name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    named
}

fn has_token(value: &HeaderValue, wanted: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
}

/// RFC 9110 section 7.6.1, and what of it is written in older ones.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade" | "http2-settings"
    )
}

fn is_dropped(name: &HeaderName, trusts_forwarded: bool) -> bool {
    is_hop_by_hop(name) || (!trusts_forwarded && is_forwarded(name))
}

fn is_forwarded(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_is_for_one_hop_goes_no_further() {
        let mut of = headers(&[
            ("host", "a.test"),
            ("content-length", "3"),
            ("connection", "close, X-Secret, host"),
            ("connection", "content-length"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("te", "gzip, Trailers;q=0, trailers"),
            ("accept", "*/*"),
        ]);
        clean_request(&mut of, true);
        let kept = headers(&[("host", "a.test"), ("content-length", "3"), ("te", "trailers"), ("accept", "*/*")]);
        assert_eq!(of, kept);
        let mut of = headers(&[("te", "gzip"), ("x-ok", "1")]);
        clean_request(&mut of, false);
        assert_eq!(of, headers(&[("x-ok", "1")]));
    }

    #[test]
    fn trailers_lose_what_their_head_would() {
        let mut head = headers(&[("connection", "x-secret"), ("x-forwarded-for", "1.2.3.4"), ("te", "trailers")]);
        let lines = [
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-sum", "5"),
            ("x-forwarded-for", "1.2.3.4"),
        ];
        for (trusts, kept) in [(false, &lines[3..4]), (true, &lines[3..])] {
            let mut of = headers(&lines);
            clean_request(&mut head.clone(), trusts).clean(&mut of);
            assert_eq!(of, headers(kept));
        }
        // What is named by none is kept.
        head.remove("connection");
        let mut of = headers(&lines);
        clean_request(&mut head, true).clean(&mut of);
        assert!(of.contains_key("x-secret"));
    }

    #[test]
    fn a_guest_has_no_say_in_the_connection() {
        let mut of = headers(&[
            ("content-length", "3"),
            ("connection", "close, x-secret, content-length"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "1.2.3.4"),
        ]);
        clean_response(&mut of);
        assert_eq!(of, headers(&[("content-length", "3"), ("x-forwarded-for", "1.2.3.4")]));
    }

    #[test]
    fn what_a_client_says_of_others_is_trusted_only_when_told_to() {
        let lines = [
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.2.3.4"),
            ("x-forward", "kept"),
        ];
        let mut of = headers(&lines);
        clean_request(&mut of, true);
        assert_eq!(of, headers(&lines));
        clean_request(&mut of, false);
        assert_eq!(of, headers(&lines[4..]));
    }

    #[test]
    fn a_client_is_the_last_of_the_hops() {
        let told = |uri: &str, client: &str, lines: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            *request.headers_mut() = headers(lines);
            tell_client(&mut request, client.parse().unwrap());
            request.into_parts().0.headers
        };
        let alone = headers(&[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")]);
        assert_eq!(told("https://a.test/", "::ffff:192.0.2.7", &[]), alone);
        let hops =
            [("x-forwarded-for", "1.2.3.4, 5.6.7.8"), ("x-forwarded-for", "::9"), ("x-forwarded-proto", "https")];
        let last = headers(&[("x-forwarded-for", "1.2.3.4, 5.6.7.8, ::9, ::1"), ("x-forwarded-proto", "https")]);
        assert_eq!(told("http://a.test/", "::1", &hops), last);
    }

    #[test]
    fn some_requests_are_for_the_server_itself() {
        let request = |method: &str, uri: &str| {
            Request::builder().method(method).uri(uri).header(HOST, "a.test").body(()).unwrap()
        };
        assert_eq!(check(&request("GET", "/")), Ok("a.test"));
        assert_eq!(check(&request("OPTIONS", "/")), Ok("a.test"));
        assert_eq!(check(&request("OPTIONS", "*")), Err(ToServer::Options));
        assert_eq!(check(&request("GET", "*")), Err(ToServer::NoPath));
        assert_eq!(check(&request("GET", "a.test")), Err(ToServer::NoPath));
        assert_eq!(check(&request("CONNECT", "a.test:443")), Err(ToServer::Connect));
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
}
