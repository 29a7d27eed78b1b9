//! Code that several guests share: names of errors, and parsed URLs.

use std::fmt::Debug;

/// Returns the WIT name of an error, from the variant of its bindings: `ErrorCode::DnsError(..)` is
/// `dns-error`.
pub fn error_name(error: &impl Debug) -> String {
    let shown = format!("{error:?}");
    // A payload may contain names of its own, so it is removed first.
    let variant = shown.split(['(', '{', ' ']).next().unwrap_or_default();
    let variant = variant.rsplit("::").next().unwrap_or_default();
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// Splits `http://host:port/path?query` into scheme, authority and the rest.
pub fn split_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    Some(match rest.find(['/', '?']) {
        Some(end) => (scheme, &rest[..end], &rest[end..]),
        None => (scheme, rest, "/"),
    })
}

/// Splits `/path?query` into path and query.
pub fn split_path(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Returns the value of a name in a query, percent-decoded.
pub fn query_value(query: &str, wanted: &str) -> Option<String> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted).map(|(_, value)| {
        let mut plain = Vec::new();
        let mut bytes = value.bytes();
        while let Some(byte) = bytes.next() {
            plain.push(match byte {
                b'%' => {
                    let mut digit = || bytes.next().and_then(|digit| (digit as char).to_digit(16)).unwrap_or(0) as u8;
                    digit() * 16 + digit()
                }
                b'+' => b' ',
                other => other,
            });
        }
        String::from_utf8_lossy(&plain).into_owned()
    })
}

/// Returns the number of a name in a query.
pub fn query_number(query: &str, wanted: &str) -> Option<u64> {
    query_value(query, wanted)?.parse().ok()
}

/// Returns the response of a gRPC call whose messages are all there: for `/walnut.Echo/Repeat` each
/// of them twenty times, for `/walnut.Echo/Join` a single one with the text of all. `None` for
/// another path.
pub fn grpc_answer(path: &str, mut messages: &[u8]) -> Vec<u8> {
    if path == "/walnut.Echo/Repeat" {
        return messages.repeat(20);
    }
    let mut said = Vec::new();
    while let Some((head, rest)) = messages.split_first_chunk::<5>().filter(|_| path == "/walnut.Echo/Join") {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else { break };
        said.extend_from_slice(message);
        messages = rest;
    }
    match path {
        "/walnut.Echo/Join" => [&[0], &(said.len() as u32).to_be_bytes()[..], &said].concat(),
        _ => said,
    }
}
