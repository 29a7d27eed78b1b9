//! Which requested_range of a file a request is for: the header `range`, RFC 9110 section 14.

use http::header::RANGE;
use http::{HeaderMap, Method};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use std::ops::RangeInclusive;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestedRange {
    Whole,
    /// From the first to the last byte of it.
    Bytes(RangeInclusive<u64>),
    /// The file has no such requested_range.
    None,
}

/// Several parts are the whole: a server may, and nobody who loads a file asks for them.
pub(super) fn requested_range(method: &Method, headers: &HeaderMap, size: u64) -> RequestedRange {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None, &Method::GET) = (lines.next(), lines.next(), method) else { return RequestedRange::Whole };
    // What cannot be read is passed over, as if it were not there.
    let Some(Ok(ranges)) = line.to_str().ok().map(parse_range_header) else { return RequestedRange::Whole };
    if ranges.len() > 1 {
        return RequestedRange::Whole;
    }
    match ranges.validate(size) {
        Ok(parts) => parts.into_iter().next().map_or(RequestedRange::Whole, RequestedRange::Bytes),
        Err(RangeUnsatisfiableError::Unsatisfiable) => RequestedRange::None,
        Err(_) => RequestedRange::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(range: &'static str, size: u64) -> RequestedRange {
        requested_range(&Method::GET, &HeaderMap::from_iter([(RANGE, range.parse().unwrap())]), size)
    }

    #[test]
    fn a_part_is_within_the_file() {
        for (range, expected) in [
            ("bytes=0-0", RequestedRange::Bytes(0..=0)),
            ("bytes=2-", RequestedRange::Bytes(2..=9)),
            ("bytes=2-99999999999999999999999", RequestedRange::Bytes(2..=9)),
            ("bytes=-3", RequestedRange::Bytes(7..=9)),
            ("bytes=-30", RequestedRange::Bytes(0..=9)),
            ("Bytes=0-4", RequestedRange::Bytes(0..=4)),
            ("bytes=10-", RequestedRange::None),
            ("bytes=10-12", RequestedRange::None),
            ("bytes=-0", RequestedRange::None),
            ("bytes=0-1,3-4", RequestedRange::Whole),
            ("bytes=4-2", RequestedRange::Whole),
            ("bytes=a-b", RequestedRange::Whole),
            ("bytes=", RequestedRange::Whole),
            ("bytes", RequestedRange::Whole),
            ("lines=0-1", RequestedRange::Whole),
            ("bytes=+1-2", RequestedRange::Whole),
            ("bytes=-1-2", RequestedRange::Whole),
        ] {
            assert_eq!(get(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        assert_eq!(get("bytes=0-", 0), RequestedRange::None);
        assert_eq!(get("bytes=-5", 0), RequestedRange::Whole);
    }

    #[test]
    fn only_get_asks_for_parts_and_once() {
        let mut headers = HeaderMap::from_iter([(RANGE, "bytes=0-1".parse().unwrap())]);
        assert_eq!(requested_range(&Method::HEAD, &headers, 10), RequestedRange::Whole);
        headers.append(RANGE, "bytes=3-4".parse().unwrap());
        assert_eq!(requested_range(&Method::GET, &headers, 10), RequestedRange::Whole);
    }
}
