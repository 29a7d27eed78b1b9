//! Every single request, with its time, for who knows what happened when.

use crate::client::{Ask, Client};
use crate::{CONNECTIONS, Outcome, Schedule, together, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub async fn trace(address: &str, length: Duration, rate: f64) -> Outcome<Value> {
    let clients = Client::several(address, CONNECTIONS, &Ask::hello()).await?;
    let (start, started) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
    let schedule = Schedule::shared(rate, length, length);
    let work = |mut client: Client| {
        let schedule = schedule.clone();
        async move {
            let mut seen = Vec::new();
            loop {
                let mut schedule = schedule.lock().await;
                let Some(due) = schedule.next() else { break };
                until(due).await;
                drop(schedule);
                let good = matches!(client.exchange().await, Ok((status, true)) if status.is_success());
                seen.push((due, due.elapsed(), good));
            }
            seen
        }
    };
    let mut seen = together(clients.into_iter().map(work)).await?.concat();
    seen.sort();
    let request = |(due, latency, good): &(Instant, Duration, bool)| {
        let due = started + due.duration_since(start);
        json!({ "due": due.as_secs_f64(), "latency_us": latency.as_secs_f64() * 1e6, "good": good })
    };
    let requests: Vec<_> = seen.iter().map(request).collect();
    Ok(json!({ "requests": requests, "unsent": schedule.lock().await.left() }))
}
