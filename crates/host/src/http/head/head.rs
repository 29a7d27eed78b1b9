//! Rewrites heads between client and guest: scheme, hop-by-hop fields (RFC 9110 section 7.6.1),
//! `forwarded` fields and cookies.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use std::net::{IpAddr, SocketAddr};
use walnut_engine::{Body, Failure, named_by_connection};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Largest head of a request, in bytes. A larger one gets 431.
pub(crate) const MAX_HEAD_BYTES: u32 = 64 << 10;

/// Names the address of this server as the host of a request of HTTP/1.0 without one, which RFC
/// 9112 section 3.2 allows.
pub(crate) fn name_host_of_http_1_0<B>(request: &mut Request<B>, local: SocketAddr) {
    let is_named = request.headers().contains_key(HOST) || request.uri().authority().is_some();
    if request.version() <= Version::HTTP_10
        && !is_named
        && let Ok(host) = HeaderValue::from_str(&local.to_string())
    {
        request.headers_mut().insert(HOST, host);
    }
}

/// Sets the scheme of a request to that of its connection. HTTP/1.1 does not send it, and HTTP/2
/// lets the client choose.
pub(crate) fn set_scheme<B>(request: &mut Request<B>, scheme: Scheme) {
    let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let mut parts = request.uri().clone().into_parts();
    parts.authority = parts.authority.or_else(host);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    parts.scheme = Some(scheme);
    // Fails without an authority, as a URI with a scheme needs one. The check of the head rejects
    // such a request.
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Joins the `cookie` fields into one. HTTP/2 lets a client send several, which guests do not
/// expect (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let pieces = || headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if pieces().nth(1).is_some()
        && let Ok(whole) = HeaderValue::from_bytes(&pieces().collect::<Vec<_>>().join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

/// Removes the fields from a request's trailers that its head excludes.
pub(crate) struct TrailerFilter {
    /// Fields that the client's `connection` names.
    named: Vec<HeaderName>,
    trusts_forwarded: bool,
}

impl TrailerFilter {
    /// Removes the excluded fields.
    pub fn apply(&self, trailers: &mut HeaderMap) {
        let strips = |name: &HeaderName| is_stripped(name, self.trusts_forwarded) || self.named.contains(name);
        if trailers.keys().any(strips) {
            remove(trailers, strips);
        }
    }
}

/// Strips hop-by-hop fields off the head of a request, and `forwarded` fields unless the client is
/// trusted. Joins cookies. Returns the filter for the trailers.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, trusts_forwarded: bool) -> TrailerFilter {
    join_cookies(headers);
    let strips = |name: &HeaderName| is_stripped(name, trusts_forwarded);
    let mut named = Vec::new();
    // Most requests have none of these fields.
    if headers.keys().any(strips) {
        let wants_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
        named = remove(headers, strips);
        // `te: trailers` is passed on to the guest; gRPC requires it.
        if wants_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    TrailerFilter { named, trusts_forwarded }
}

/// Sets `x-forwarded-for` and `x-forwarded-proto`. The client is appended to the hops that the
/// request has, which are there only if they are trusted.
pub(crate) fn set_forwarded_for<B>(request: &mut Request<B>, client: IpAddr) {
    let secure = request.uri().scheme() == Some(&Scheme::HTTPS);
    let headers = request.headers_mut();
    let previous = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let client = client.to_canonical().to_string();
    let hops: Vec<&[u8]> = previous.chain([client.as_bytes()]).collect();
    // Valid values joined with an address are a valid value.
    if let Ok(hops) = HeaderValue::from_bytes(&hops.join(&b", "[..])) {
        headers.insert(FORWARDED_FOR, hops);
    }
    let scheme = HeaderValue::from_static(if secure { "https" } else { "http" });
    // A value of the first hop is kept: it knows the client's scheme.
    headers.entry(FORWARDED_PROTO).or_insert(scheme);
}

/// Checks and completes the head of a guest's response.
///
/// # Errors
/// A guest error for an informational status.
pub(crate) fn finish_guest_response(mut response: Response<Body>) -> Result<Response<Body>, Failure> {
    if response.status().is_informational() {
        // Such a status would announce another response, or another protocol.
        return Err(Failure::GuestError(format!("status {}, which is not a final status", response.status().as_u16())));
    }
    strip_response_hop_by_hop(response.headers_mut());
    // RFC 9110 sections 8.6 and 15.3.6: neither has a body, and 204 has no `content-length` either.
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    }
    Ok(response)
}

/// Strips hop-by-hop fields off a head or the trailers of a guest: the connection is the server's.
pub(crate) fn strip_response_hop_by_hop(headers: &mut HeaderMap) {
    if headers.keys().any(is_hop_by_hop) {
        remove(headers, is_hop_by_hop);
    }
}

/// Removes the fields that `strips` selects and those that `connection` names. Returns the latter.
#[cold]
fn remove(headers: &mut HeaderMap, strips: impl Fn(&HeaderName) -> bool) -> Vec<HeaderName> {
    let named = named_by_connection(headers);
    let listed: Vec<HeaderName> = headers.keys().filter(|name| strips(name)).cloned().collect();
    for name in listed.iter().chain(&named) {
        // `connection` must not remove the fields that frame and route the message.
        if *name != HOST && *name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    named
}

fn has_token(value: &HeaderValue, wanted: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
}

/// Tells whether a field is hop-by-hop: RFC 9110 section 7.6.1, and fields of older RFCs.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade" | "http2-settings"
    )
}

fn is_stripped(name: &HeaderName, trusts_forwarded: bool) -> bool {
    is_hop_by_hop(name) || ((!trusts_forwarded || name.as_str().contains('_')) && is_forwarded(name))
}

/// Tells whether a field describes earlier hops. Also matches names with `_` for `-`: a guest that
/// maps names as CGI does cannot tell them apart, and no proxy writes them so.
fn is_forwarded(name: &HeaderName) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    let is = |name: &[u8], like: &[u8]| {
        name.len() == like.len() && name.iter().zip(like).all(|(is, like)| is == like || (*is, *like) == (b'_', b'-'))
    };
    let name = name.as_str().as_bytes();
    let begins = name.get(..PREFIX.len()).is_some_and(|start| is(start, PREFIX));
    begins || is(name, b"forwarded") || is(name, b"x-real-ip")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::Full;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hop_by_hop_fields_are_stripped() {
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
            ("te", "gzip, TrailerFilter;q=0, trailers"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut of, true);
        let kept = headers(&[("host", "a.test"), ("content-length", "3"), ("te", "trailers"), ("accept", "*/*")]);
        assert_eq!(of, kept);
        let mut of = headers(&[("te", "gzip"), ("x-ok", "1")]);
        strip_hop_by_hop(&mut of, false);
        assert_eq!(of, headers(&[("x-ok", "1")]));
    }

    #[test]
    fn trailers_lose_the_fields_that_their_head_would() {
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
            strip_hop_by_hop(&mut head.clone(), trusts).apply(&mut of);
            assert_eq!(of, headers(kept));
        }
        // Without `connection` the field is kept.
        head.remove("connection");
        let mut of = headers(&lines);
        strip_hop_by_hop(&mut head, true).apply(&mut of);
        assert!(of.contains_key("x-secret"));
    }

    #[test]
    fn a_guest_does_not_control_the_connection() {
        let mut of = headers(&[
            ("content-length", "3"),
            ("connection", "close, x-secret, content-length"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "1.2.3.4"),
        ]);
        strip_response_hop_by_hop(&mut of);
        assert_eq!(of, headers(&[("content-length", "3"), ("x-forwarded-for", "1.2.3.4")]));
    }

    #[test]
    fn forwarded_fields_are_trusted_only_if_configured() {
        let lines = [
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.2.3.4"),
            ("x-forward", "kept"),
        ];
        let mut of = headers(&lines);
        strip_hop_by_hop(&mut of, true);
        assert_eq!(of, headers(&lines));
        strip_hop_by_hop(&mut of, false);
        assert_eq!(of, headers(&lines[4..]));
        // Look-alike names are never trusted.
        for trusts in [false, true] {
            for name in ["x_forwarded_for", "x-forwarded_host", "x_forwarded-proto", "x_real_ip", "x-forwarded-a_b"] {
                let mut of = headers(&[(name, "1.2.3.4"), ("x_forward", "kept")]);
                strip_hop_by_hop(&mut of, trusts);
                assert_eq!(of, headers(&[("x_forward", "kept")]), "{name}");
            }
        }
    }

    #[test]
    fn a_client_is_the_last_of_the_hops() {
        let told = |uri: &str, client: &str, lines: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            *request.headers_mut() = headers(lines);
            set_forwarded_for(&mut request, client.parse().unwrap());
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
    fn cookies_in_pieces_are_one() {
        for (pieces, whole) in [
            (&[][..], &[][..]),
            (&[("cookie", "a=1")], &[("cookie", "a=1")]),
            (&[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2; c=3")], &[("cookie", "a=1; b=2; c=3"), ("x-a", "1")]),
        ] {
            let mut of = headers(pieces);
            strip_hop_by_hop(&mut of, false);
            assert_eq!(of, headers(whole));
        }
    }

    #[test]
    fn a_response_without_a_body_has_none() {
        let answer = |status: u16| {
            let body = Full::new(Bytes::from_static(b"abc")).map_err(|never| match never {}).boxed_unsync();
            let answer = Response::builder().status(status).header(CONTENT_LENGTH, 3).body(body).unwrap();
            let answer = finish_guest_response(answer).ok().unwrap();
            (answer.headers().contains_key(CONTENT_LENGTH), answer.body().size_hint().exact())
        };
        assert_eq!([204, 205].map(answer), [(false, Some(0)); 2]);
        // 304 announces the length of the body that the client has.
        assert_eq!([200, 304].map(answer), [(true, Some(3)); 2]);
    }
}
