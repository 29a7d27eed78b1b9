//! Responses of the server itself: a status and a fixed text for each failure. Nothing about the
//! inside is revealed.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use walnut_engine::{Body, Failure};
use walnut_policy::Limit;

/// Responds to a request whose guest failed.
pub(crate) fn failed(failure: &Failure) -> Response<Body> {
    match failure {
        Failure::Limit { limit: Limit::Deadline | Limit::Cpu, .. } => {
            respond(StatusCode::GATEWAY_TIMEOUT, "the component took too long\n")
        }
        Failure::Limit { .. } | Failure::Trap { .. } | Failure::NoResponse | Failure::GuestError(_) => {
            respond(StatusCode::INTERNAL_SERVER_ERROR, "the component failed\n")
        }
        Failure::Busy => overloaded(),
        Failure::Host(_) => server_failed(),
    }
}

/// Responds when no sandbox, or no turn on the thread, was free in time.
pub(crate) fn overloaded() -> Response<Body> {
    let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, "the server is busy\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Responds to a body whose announced length exceeds the limit.
pub(crate) fn body_too_large() -> Response<Body> {
    respond(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large\n")
}

/// Responds to a request with no host, several, or an invalid one.
pub(crate) fn invalid_host() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, "the request has no valid host\n")
}

/// Responds to a request that matches no route.
pub(crate) fn no_route() -> Response<Body> {
    respond(StatusCode::NOT_FOUND, "nothing is served here\n")
}

/// Responds to a path that names no file of a folder, or a file that is not served.
pub(crate) fn no_file() -> Response<Body> {
    respond(StatusCode::NOT_FOUND, "there is no such file\n")
}

/// Responds to a file that may not be read, or that lies outside its folder.
pub(crate) fn forbidden() -> Response<Body> {
    respond(StatusCode::FORBIDDEN, "this file may not be read\n")
}

/// Responds to a method other than GET and HEAD on a file.
pub(crate) fn read_only() -> Response<Body> {
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, "files can only be read\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Redirects from a folder's name without its final slash.
pub(crate) fn redirect(location: HeaderValue) -> Response<Body> {
    let mut response = respond(StatusCode::MOVED_PERMANENTLY, "the path of a folder ends in a slash\n");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// Responds when a file does not meet the request's preconditions.
pub(crate) fn precondition_failed() -> Response<Body> {
    respond(StatusCode::PRECONDITION_FAILED, "the file has changed\n")
}

/// Responds to a range outside a file of `size` bytes.
pub(crate) fn range_not_satisfiable(size: u64) -> Response<Body> {
    let mut response = respond(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such range\n");
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Responds when the host itself failed.
pub(crate) fn server_failed() -> Response<Body> {
    respond(StatusCode::INTERNAL_SERVER_ERROR, "the server failed\n")
}

/// Responds to CONNECT.
pub(crate) fn no_tunnels() -> Response<Body> {
    respond(StatusCode::NOT_IMPLEMENTED, "this server is not a proxy\n")
}

/// Responds to a request whose target is not a path.
pub(crate) fn invalid_target() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, "the request's target is not a path\n")
}

/// Responds to a body in an unknown transfer coding. Its end cannot be found, so the connection
/// closes.
pub(crate) fn unknown_transfer_coding() -> Response<Body> {
    let mut response = respond(StatusCode::NOT_IMPLEMENTED, "the only supported transfer coding is chunked\n");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Responds to a value that HTTP/2 does not allow.
pub(crate) fn padded_value() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, "a header value begins or ends with a space\n")
}

/// Responds to `OPTIONS *`, which addresses the server and none of its components.
pub(crate) fn options() -> Response<Body> {
    let mut response = respond(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

fn respond(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::from_static(text.as_bytes())).map_err(|e| match e {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
