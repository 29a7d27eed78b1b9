//! Requests, and the responses that are expected to them.

use crate::error::LoadResult;
use crate::pattern::PatternBody;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Uri, header::HOST};
use std::sync::Arc;

const HELLO: &[u8] = b"hello from a sealed component\n";

/// A kind of request.
#[derive(Clone)]
pub struct RequestTemplate {
    method: Method,
    /// Requested in turn.
    targets: Arc<[Uri]>,
    next: usize,
    upload: usize,
    pub expected: ExpectedResponse,
}

#[derive(Clone)]
pub enum ExpectedResponse {
    Text(Bytes),
    /// A body of so many bytes.
    Length(usize),
    Any,
}

impl RequestTemplate {
    fn get(targets: impl Iterator<Item = Uri>, expected: ExpectedResponse) -> Self {
        Self { method: Method::GET, targets: targets.collect(), next: 0, upload: 0, expected }
    }

    /// The hello at `/`.
    pub fn hello() -> Self {
        Self::get([Uri::from_static("/")].into_iter(), ExpectedResponse::Text(Bytes::from_static(HELLO)))
    }

    /// The hello at each of `/0`, `/1` and so on.
    pub fn routes(count: usize) -> LoadResult<Self> {
        let targets = (0..count).map(|route| format!("/{route}").parse()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::get(targets.into_iter(), ExpectedResponse::Text(Bytes::from_static(HELLO))))
    }

    /// A response of so many bytes.
    pub fn download(target: &str, bytes: usize) -> LoadResult<Self> {
        Ok(Self::get([target.parse()?].into_iter(), ExpectedResponse::Length(bytes)))
    }

    /// A request of so many bytes, which the server counts.
    pub fn upload(target: &str, bytes: usize) -> LoadResult<Self> {
        let expected = ExpectedResponse::Text(format!("{bytes} bytes\n").into());
        Ok(Self { method: Method::POST, upload: bytes, ..Self::get([target.parse()?].into_iter(), expected) })
    }

    /// A request with any response.
    pub fn any(target: &str) -> LoadResult<Self> {
        Ok(Self::get([target.parse()?].into_iter(), ExpectedResponse::Any))
    }

    /// The same for one of `count` clients, each of which begins at another target.
    pub fn for_client(&self, client: usize, count: usize) -> Self {
        Self { next: client * self.targets.len() / count, ..self.clone() }
    }

    pub fn build(&mut self, host: &str) -> LoadResult<Request<PatternBody>> {
        let target = self.targets[self.next % self.targets.len()].clone();
        self.next += 1;
        let request = Request::builder().method(self.method.clone()).uri(target).header(HOST, host);
        Ok(request.body(PatternBody::new(self.upload))?)
    }
}

impl ExpectedResponse {
    /// Reads the body to its end and compares it.
    pub async fn matches(&self, mut body: Incoming) -> LoadResult<bool> {
        if let ExpectedResponse::Text(text) = self {
            return Ok(body.collect().await?.to_bytes() == text);
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(match self {
            ExpectedResponse::Length(expected) => *expected == length,
            _ => true,
        })
    }
}
