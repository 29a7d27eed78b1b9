//! A client with one connection.

use crate::error::LoadResult;
use crate::latencies::Latencies;
use crate::pattern::PatternBody;
use crate::request::RequestTemplate;
use hyper::StatusCode;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Sends requests on one connection, and reconnects when it breaks.
pub struct LoadClient {
    address: Arc<str>,
    sender: Option<SendRequest<PatternBody>>,
    request: RequestTemplate,
    pub tally: ClientTally,
}

impl LoadClient {
    pub async fn connect(address: &str, request: RequestTemplate) -> LoadResult<Self> {
        let sender = Some(connect(address).await?);
        Ok(Self { address: address.into(), sender, request, tally: ClientTally::default() })
    }

    pub async fn connect_many(address: &str, count: usize, request: &RequestTemplate) -> LoadResult<Vec<Self>> {
        let mut clients = Vec::new();
        for client in 0..count {
            clients.push(Self::connect(address, request.for_client(client, count)).await?);
        }
        Ok(clients)
    }

    /// Sends one request and records its outcome. The latency counts from `due`.
    pub async fn record(&mut self, due: Instant) {
        match self.exchange().await {
            Ok((status, is_expected)) => {
                self.tally.latencies.push(due);
                self.tally.wrong += u64::from(!(is_expected && status.is_success()));
            }
            Err(_) => self.tally.errors += 1,
        }
    }

    /// Sends one request. Returns the status, and whether the body was the expected one.
    pub async fn exchange(&mut self) -> LoadResult<(StatusCode, bool)> {
        let outcome = self.try_exchange().await;
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn try_exchange(&mut self) -> LoadResult<(StatusCode, bool)> {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.address).await?),
        };
        sender.ready().await?;
        let response = sender.send_request(self.request.build(&self.address)?).await?;
        Ok((response.status(), self.request.expected.matches(response.into_body()).await?))
    }
}

pub async fn connect(address: &str) -> LoadResult<SendRequest<PatternBody>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // `send_request` reports an error of the connection.
    tokio::spawn(async { connection.await.unwrap_or_default() });
    Ok(sender)
}

/// The outcomes of a client's requests.
#[derive(Default)]
pub struct ClientTally {
    latencies: Latencies,
    /// Responses other than the expected one.
    wrong: u64,
    /// Requests without a response.
    errors: u64,
}

impl ClientTally {
    pub fn sum(tallies: Vec<Self>) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            sum.latencies.add(tally.latencies);
            sum.wrong += tally.wrong;
            sum.errors += tally.errors;
        }
        sum
    }

    pub fn report(self, length: Duration) -> Value {
        let mut report = self.latencies.report();
        report["seconds"] = length.as_secs_f64().into();
        report["wrong"] = self.wrong.into();
        report["errors"] = self.errors.into();
        report
    }
}
