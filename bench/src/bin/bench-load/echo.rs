//! Sends a body through an echo.

use crate::client::connect;
use crate::error::LoadResult;
use crate::pattern::PatternBody;
use http_body_util::BodyExt;
use hyper::{Request, Uri, header::HOST};
use serde_json::{Value, json};
use std::time::Instant;

/// Posts `length` bytes to `/echo` and compares each byte that comes back.
pub async fn echo(address: &str, length: usize) -> LoadResult<Value> {
    let mut expected = PatternBody::new(length);
    let mut sender = connect(address).await?;
    let request = Request::post(Uri::from_static("/echo")).header(HOST, address).body(PatternBody::new(length))?;
    let start = Instant::now();
    let response = sender.send_request(request).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("/echo answers {status}").into());
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if !expected.skip_equal(&data) {
            return Err(format!("/echo differs, {} bytes before its end", expected.left).into());
        }
    }
    if expected.left > 0 {
        return Err(format!("/echo kept {} of {length} bytes", expected.left).into());
    }
    Ok(json!({ "bytes": length, "seconds": start.elapsed().as_secs_f64() }))
}
