//! Closed-loop load: each connection sends a request as soon as it has the response to the last.

use crate::client::{ClientTally, LoadClient};
use crate::error::LoadResult;
use crate::request::RequestTemplate;
use crate::tasks::run_all;
use serde_json::Value;
use std::time::{Duration, Instant};

pub async fn closed_loop(
    address: &str,
    length: Duration,
    connections: usize,
    request: &RequestTemplate,
) -> LoadResult<Value> {
    let clients = LoadClient::connect_many(address, connections, request).await?;
    let start = Instant::now();
    let end = start + length;
    let work = |mut client: LoadClient| async move {
        while Instant::now() < end {
            client.record(Instant::now()).await;
        }
        client.tally
    };
    let tallies = run_all(clients.into_iter().map(work)).await?;
    Ok(ClientTally::sum(tallies).report(start.elapsed()))
}
