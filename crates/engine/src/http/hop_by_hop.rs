//! Hop-by-hop fields of a head.

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName};
use std::str::FromStr;

/// Returns the fields that `Connection` names as hop-by-hop (RFC 9110 section 7.6.1).
pub fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|name| HeaderName::from_str(name.trim()).ok()).collect()
}

/// Removes the fields that `Connection` names, except `content-length`, and returns their names.
/// Fields that are always hop-by-hop never reach a guest anyway.
pub(crate) fn remove_named(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let mut named = named_by_connection(headers);
    named.retain(|name| *name != CONTENT_LENGTH);
    remove(headers, &named);
    named
}

/// Removes the fields with these names.
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
    fn named_fields_are_removed() {
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
