//! The announced length of a body: RFC 9110 section 8.6.

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

/// Returns the value of `content-length`, in bytes; `None` without a valid one.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
