//! Open-loop load beyond the capacity of a server, in which refusals are answers too.
//!
//! A connection has one request at a time. When all connections wait for the server, due requests
//! queue in the generator. Users would wait in that queue, so it is part of the latency. Requests
//! that are still in it at the end are reported as unsent.

use crate::client::LoadClient;
use crate::error::LoadResult;
use crate::latencies::Latencies;
use crate::request::RequestTemplate;
use crate::schedule::ArrivalSchedule;
use crate::tasks::run_all;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The outcomes of the requests.
#[derive(Default)]
struct FloodTally {
    good: AnswerLatencies,
    refused: AnswerLatencies,
    /// Responses that are neither the expected one nor a refusal.
    wrong: u64,
    /// Requests without a response.
    errors: u64,
}

#[derive(Default)]
struct AnswerLatencies {
    since_due: Latencies,
    since_sent: Latencies,
}

/// Requests the hello `rate` times a second, on so many connections.
pub async fn flood(address: &str, length: Duration, rate: f64, connections: usize) -> LoadResult<Value> {
    let clients = LoadClient::connect_many(address, connections, &RequestTemplate::hello()).await?;
    let before = processor_time();
    let schedule = ArrivalSchedule::shared(rate, length, Duration::ZERO);
    let work = |mut client: LoadClient| {
        let schedule = schedule.clone();
        async move {
            let mut tally = FloodTally::default();
            loop {
                let mut schedule = schedule.lock().await;
                let Some(due) = schedule.next() else { break };
                // Timers of milliseconds do: a loop that reads the clock would hide how much time
                // the generator has left.
                tokio::time::sleep_until(due.into()).await;
                drop(schedule);
                tally.record(&mut client, due).await;
            }
            tally
        }
    };
    let mut sum = FloodTally::default();
    for tally in run_all(clients.into_iter().map(work)).await? {
        sum.add(tally);
    }
    let used =
        before.zip(processor_time()).map(|(before, after)| (after - before).as_secs_f64() / length.as_secs_f64());
    Ok(json!({
        "seconds": length.as_secs_f64(),
        "good": sum.good.report(), "refused": sum.refused.report(),
        "wrong": sum.wrong, "errors": sum.errors, "unsent": schedule.lock().await.unsent(),
        "generator_used": used,
    }))
}

impl FloodTally {
    async fn record(&mut self, client: &mut LoadClient, due: Instant) {
        let sent = Instant::now();
        match client.exchange().await {
            Ok((status, true)) if status.is_success() => self.good.push(due, sent),
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => self.refused.push(due, sent),
            Ok(_) => self.wrong += 1,
            Err(_) => self.errors += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.good.add(other.good);
        self.refused.add(other.refused);
        self.wrong += other.wrong;
        self.errors += other.errors;
    }
}

impl AnswerLatencies {
    fn push(&mut self, due: Instant, sent: Instant) {
        self.since_due.push(due);
        self.since_sent.push(sent);
    }

    fn add(&mut self, other: Self) {
        self.since_due.add(other.since_due);
        self.since_sent.add(other.since_sent);
    }

    fn report(self) -> Value {
        json!({ "since_due": self.since_due.report(), "since_sent": self.since_sent.report() })
    }
}

/// Processor time of this thread, on which all clients run.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}
