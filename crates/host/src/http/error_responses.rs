//! From a cause to what a client sees: a status and a fixed text. Nothing of the inside goes out.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use walnut_engine::{Body, Failure, Limit};

/// The answer to a request whose guest failed.
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

/// The answer when no sandbox, or no turn on the thread, got free in time.
pub(crate) fn overloaded() -> Response<Body> {
    let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, "the server is busy\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The answer to a body that announces itself as larger than it may be.
pub(crate) fn body_too_large() -> Response<Body> {
    respond(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large\n")
}

/// The answer to a request that names no host, two, or one that is none.
pub(crate) fn invalid_host() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, "the request names no valid host\n")
}

/// The answer to a request that no route is for.
pub(crate) fn no_route() -> Response<Body> {
    respond(StatusCode::NOT_FOUND, "nothing is served here\n")
}

/// The answer to a path that names no file of a folder, or one that is not served.
pub(crate) fn no_file() -> Response<Body> {
    respond(StatusCode::NOT_FOUND, "there is no such file\n")
}

/// The answer to a file that the system or its folder's wall refuses.
pub(crate) fn forbidden() -> Response<Body> {
    respond(StatusCode::FORBIDDEN, "this file may not be read\n")
}

/// The answer to whoever wants to do more with a file than to read it.
pub(crate) fn read_only() -> Response<Body> {
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, "files are only read here\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// The answer to a folder's name without its final slash.
pub(crate) fn redirect(to: HeaderValue) -> Response<Body> {
    let mut response = respond(StatusCode::MOVED_PERMANENTLY, "it ends in a slash\n");
    response.headers_mut().insert(header::LOCATION, to);
    response
}

/// The answer when the file is not the one that the client has in mind.
pub(crate) fn precondition_failed() -> Response<Body> {
    respond(StatusCode::PRECONDITION_FAILED, "the file is another by now\n")
}

/// The answer to a part that a file of `size` bytes does not have.
pub(crate) fn range_not_satisfiable(size: u64) -> Response<Body> {
    let mut response = respond(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such part\n");
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// The answer when the host itself failed.
pub(crate) fn server_failed() -> Response<Body> {
    respond(StatusCode::INTERNAL_SERVER_ERROR, "the server failed\n")
}

/// The answer to CONNECT.
pub(crate) fn no_tunnels() -> Response<Body> {
    respond(StatusCode::NOT_IMPLEMENTED, "this server is no proxy\n")
}

/// The answer to a request whose target is no path.
pub(crate) fn invalid_target() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, "the request's target is not a path\n")
}

/// The answer to a body in a transfer coding that is not known here. Nobody knows where it ends, and so the connection does.
pub(crate) fn unknown_transfer_coding() -> Response<Body> {
    let mut response = respond(StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked\n");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer to a field that HTTP/2 does not allow.
pub(crate) fn padded_value() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, "a header begins or ends with a space\n")
}

/// The answer to `OPTIONS *`, which asks the server and none of its components, and for no more than a sign of life.
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
