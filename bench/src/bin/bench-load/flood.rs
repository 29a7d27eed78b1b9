//! More requests than a server can answer, at times that do not wait for it.
//!
//! A connection has one request at a time, so when all of them wait for the server, what is due stands in line here. That line
//! is what people would stand in: it is part of the latency, and what is still in it at the end is told as unsent.

use crate::client::{Ask, Client, Latencies};
use crate::{Outcome, Schedule, together};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What came of the requests.
#[derive(Default)]
struct Seen {
    good: Answers,
    refused: Answers,
    /// Neither the right answer nor a refusal.
    wrong: u64,
    /// Requests with no answer.
    errors: u64,
}

#[derive(Default)]
struct Answers {
    since_due: Latencies,
    since_sent: Latencies,
}

pub async fn flood(address: &str, length: Duration, rate: f64, count: usize) -> Outcome<Value> {
    let clients = Client::several(address, count, &Ask::hello()).await?;
    let before = busy();
    let schedule = Schedule::shared(rate, length, Duration::ZERO);
    let work = |mut client: Client| {
        let schedule = schedule.clone();
        async move {
            let mut seen = Seen::default();
            loop {
                let mut schedule = schedule.lock().await;
                let Some(due) = schedule.next() else { break };
                // To the millisecond: a generator that asked the clock all the time could not tell that it had time left.
                tokio::time::sleep_until(due.into()).await;
                drop(schedule);
                seen.ask(&mut client, due).await;
            }
            seen
        }
    };
    let mut sum = Seen::default();
    for seen in together(clients.into_iter().map(work)).await? {
        sum.add(seen);
    }
    let used = before.zip(busy()).map(|(before, after)| (after - before).as_secs_f64() / length.as_secs_f64());
    Ok(json!({
        "seconds": length.as_secs_f64(),
        "good": sum.good.report(), "refused": sum.refused.report(),
        "wrong": sum.wrong, "errors": sum.errors, "unsent": schedule.lock().await.left(),
        "generator_used": used,
    }))
}

impl Seen {
    async fn ask(&mut self, client: &mut Client, due: Instant) {
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

impl Answers {
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

/// Processor time of this thread, which is the only one that works.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}
