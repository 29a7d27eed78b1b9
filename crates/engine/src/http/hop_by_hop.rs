//! What of a head is for one connection alone.

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName};
use std::str::FromStr;

/// The fields that `Connection` names as meant for this connection alone (RFC 9110 section 7.6.1).
pub fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|name| HeaderName::from_str(name.trim()).ok()).collect()
}

/// Takes them off, but for what the message itself is told by, and tells which they are. What is for one connection whether it is
/// named or not never gets to a guest.
pub(crate) fn remove_named(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let mut named = named_by_connection(headers);
    named.retain(|name| *name != CONTENT_LENGTH);
    remove(headers, &named);
    named
}

/// Takes the fields of these names off.
pub(crate) fn remove(fields: &mut HeaderMap, named: &[HeaderName]) {
    for name in named {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_is_named_goes() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-One,, no name ,content-length"),
            ("connection", "x-two"),
            ("content-length", "3"),
            ("x-one", "1"),
            ("x-one", "2"),
            ("x-two", "1"),
            ("x-three", "1"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert!(remove_named(&mut headers).contains(&HeaderName::from_static("x-two")));
        let mut kept: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["connection", "content-length", "x-three"]);
    }
}
