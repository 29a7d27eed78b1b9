//! Range requests: RFC 9110 section 14.

use http::header::RANGE;
use http::{HeaderMap, Method};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use std::ops::RangeInclusive;

/// Range of a file that a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// The whole file.
    Whole,
    /// Positions of the first and the last byte.
    Bytes(RangeInclusive<u64>),
    /// Outside the file.
    Unsatisfiable,
}

/// Returns the range that a request asks for. Several ranges get the whole file, which RFC 9110
/// allows; clients that download files do not ask for several.
pub(super) fn requested_range(method: &Method, headers: &HeaderMap, size: u64) -> RequestedRange {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None, &Method::GET) = (lines.next(), lines.next(), method) else { return RequestedRange::Whole };
    // An invalid header is ignored, by RFC 9110 section 14.2.
    let Some(Ok(ranges)) = line.to_str().ok().map(parse_range_header) else { return RequestedRange::Whole };
    if ranges.len() > 1 {
        return RequestedRange::Whole;
    }
    match ranges.validate(size) {
        Ok(parts) => parts.into_iter().next().map_or(RequestedRange::Whole, RequestedRange::Bytes),
        Err(RangeUnsatisfiableError::Unsatisfiable) => RequestedRange::Unsatisfiable,
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
    fn a_range_is_within_the_file() {
        for (range, expected) in [
            ("bytes=0-0", RequestedRange::Bytes(0..=0)),
            ("bytes=2-", RequestedRange::Bytes(2..=9)),
            ("bytes=2-99999999999999999999999", RequestedRange::Bytes(2..=9)),
            ("bytes=-3", RequestedRange::Bytes(7..=9)),
            ("bytes=-30", RequestedRange::Bytes(0..=9)),
            ("Bytes=0-4", RequestedRange::Bytes(0..=4)),
            ("bytes=10-", RequestedRange::Unsatisfiable),
            ("bytes=10-12", RequestedRange::Unsatisfiable),
            ("bytes=-0", RequestedRange::Unsatisfiable),
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
    fn an_empty_file_has_no_ranges() {
        assert_eq!(get("bytes=0-", 0), RequestedRange::Unsatisfiable);
        assert_eq!(get("bytes=-5", 0), RequestedRange::Whole);
    }

    #[test]
    fn only_get_has_ranges_and_a_single_header() {
        let mut headers = HeaderMap::from_iter([(RANGE, "bytes=0-1".parse().unwrap())]);
        assert_eq!(requested_range(&Method::HEAD, &headers, 10), RequestedRange::Whole);
        headers.append(RANGE, "bytes=3-4".parse().unwrap());
        assert_eq!(requested_range(&Method::GET, &headers, 10), RequestedRange::Whole);
    }
}
