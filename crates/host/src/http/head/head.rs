//! What the head of a request must be, and what of heads goes no further than to the next hop.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use std::net::IpAddr;
use walnut_engine::{Body, Failure, named_by_connection};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Bytes of the head of a request. Beyond it is 431.
pub(crate) const MAX_HEAD_BYTES: u32 = 64 << 10;

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

/// Makes one field of the cookies that HTTP/2 lets a client send in pieces, of which a guest knows nothing (RFC 9113
/// section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let pieces = || headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if pieces().nth(1).is_some()
        && let Ok(whole) = HeaderValue::from_bytes(&pieces().collect::<Vec<_>>().join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

/// What of the trailers of a request goes no further, which its head decides.
pub(crate) struct TrailerFilter {
    /// By the client, as meant for this hop.
    named: Vec<HeaderName>,
    trusts_forwarded: bool,
}

impl TrailerFilter {
    pub fn clean(&self, trailers: &mut HeaderMap) {
        let drops = |name: &HeaderName| is_dropped(name, self.trusts_forwarded) || self.named.contains(name);
        if trailers.keys().any(drops) {
            remove(trailers, drops);
        }
    }
}

/// Makes a head as it goes to a guest: without what was meant for this hop, and without what a client says about hops before
/// it unless it is trusted. The same is to be taken off the trailers.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, trusts_forwarded: bool) -> TrailerFilter {
    join_cookies(headers);
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
    TrailerFilter { named, trusts_forwarded }
}

/// Says who the client is: behind the hops that came with the request, if those are trusted, and otherwise alone.
pub(crate) fn set_forwarded_for<B>(request: &mut Request<B>, client: IpAddr) {
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
pub(crate) fn finish_guest_response(mut response: Response<Body>) -> Result<Response<Body>, Failure> {
    if response.status().is_informational() {
        // It would be followed by another, or by another protocol.
        return Err(Failure::GuestError(format!("status {}, which is no answer", response.status().as_u16())));
    }
    strip_response_hop_by_hop(response.headers_mut());
    // RFC 9110 sections 8.6 and 15.3.6: neither has a body, and only the second may say so.
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    }
    Ok(response)
}

/// Takes off what a guest has no say in, before its body and behind it: the connection is the server's.
pub(crate) fn strip_response_hop_by_hop(headers: &mut HeaderMap) {
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
    is_hop_by_hop(name) || ((!trusts_forwarded || name.as_str().contains('_')) && is_forwarded(name))
}

/// Also where `_` stands for `-`: a guest that takes names as CGI does cannot tell them apart, and no proxy writes them so.
fn is_forwarded(name: &HeaderName) -> bool {
    const BEGINNING: &[u8] = b"x-forwarded-";
    let is = |name: &[u8], like: &[u8]| {
        name.len() == like.len() && name.iter().zip(like).all(|(is, like)| is == like || (*is, *like) == (b'_', b'-'))
    };
    let name = name.as_str().as_bytes();
    let begins = name.get(..BEGINNING.len()).is_some_and(|start| is(start, BEGINNING));
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
            strip_hop_by_hop(&mut head.clone(), trusts).clean(&mut of);
            assert_eq!(of, headers(kept));
        }
        // What is named by none is kept.
        head.remove("connection");
        let mut of = headers(&lines);
        strip_hop_by_hop(&mut head, true).clean(&mut of);
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
        strip_response_hop_by_hop(&mut of);
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
        strip_hop_by_hop(&mut of, true);
        assert_eq!(of, headers(&lines));
        strip_hop_by_hop(&mut of, false);
        assert_eq!(of, headers(&lines[4..]));
        // Nobody is trusted in names that only look like those.
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
    fn an_answer_without_a_body_has_none() {
        let answer = |status: u16| {
            let body = Full::new(Bytes::from_static(b"abc")).map_err(|never| match never {}).boxed_unsync();
            let answer = Response::builder().status(status).header(CONTENT_LENGTH, 3).body(body).unwrap();
            let answer = finish_guest_response(answer).ok().unwrap();
            (answer.headers().contains_key(CONTENT_LENGTH), answer.body().size_hint().exact())
        };
        assert_eq!([204, 205].map(answer), [(false, Some(0)); 2]);
        // Of what a client has, the length is told.
        assert_eq!([200, 304].map(answer), [(true, Some(3)); 2]);
    }
}
