//! Open-loop load at a fixed rate that reports each request with its time.

use crate::client::LoadClient;
use crate::error::LoadResult;
use crate::fixed_rate::CONNECTIONS;
use crate::request::RequestTemplate;
use crate::schedule::{ArrivalSchedule, wait_until};
use crate::tasks::run_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub async fn trace(address: &str, length: Duration, rate: f64) -> LoadResult<Value> {
    let clients = LoadClient::connect_many(address, CONNECTIONS, &RequestTemplate::hello()).await?;
    let (start, started) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
    let schedule = ArrivalSchedule::shared(rate, length, length);
    let work = |mut client: LoadClient| {
        let schedule = schedule.clone();
        async move {
            let mut requests = Vec::new();
            loop {
                let mut schedule = schedule.lock().await;
                let Some(due) = schedule.next() else { break };
                wait_until(due).await;
                drop(schedule);
                let good = matches!(client.exchange().await, Ok((status, true)) if status.is_success());
                requests.push((due, due.elapsed(), good));
            }
            requests
        }
    };
    let mut requests = run_all(clients.into_iter().map(work)).await?.concat();
    requests.sort();
    let request = |(due, latency, good): &(Instant, Duration, bool)| {
        let due = started + due.duration_since(start);
        json!({ "due": due.as_secs_f64(), "latency_us": latency.as_secs_f64() * 1e6, "good": good })
    };
    let requests: Vec<_> = requests.iter().map(request).collect();
    Ok(json!({ "requests": requests, "unsent": schedule.lock().await.unsent() }))
}
