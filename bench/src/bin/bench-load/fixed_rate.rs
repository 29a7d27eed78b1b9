//! Open-loop load at a fixed rate, on a few connections.

use crate::client::{ClientTally, LoadClient};
use crate::error::LoadResult;
use crate::request::RequestTemplate;
use crate::schedule::{ArrivalSchedule, wait_until};
use crate::tasks::run_all;
use serde_json::Value;
use std::time::Duration;

pub const CONNECTIONS: usize = 32;

/// Requests the hello `rate` times a second.
pub async fn fixed_rate(address: &str, length: Duration, rate: f64) -> LoadResult<Value> {
    let clients = LoadClient::connect_many(address, CONNECTIONS, &RequestTemplate::hello()).await?;
    // A server that is behind by the whole length will not catch up.
    let schedule = ArrivalSchedule::shared(rate, length, length);
    let work = |mut client: LoadClient| {
        let schedule = schedule.clone();
        async move {
            loop {
                // The holder of the schedule waits for the clock; the other free connections wait
                // for the schedule.
                let mut schedule = schedule.lock().await;
                let Some(due) = schedule.next() else { break };
                wait_until(due).await;
                drop(schedule);
                client.record(due).await;
            }
            client.tally
        }
    };
    let tallies = run_all(clients.into_iter().map(work)).await?;
    let mut report = ClientTally::sum(tallies).report(length);
    report["unsent"] = schedule.lock().await.unsent().into();
    Ok(report)
}
