//! The load generator of `cargo benchmarks http`. A program of its own, so that it is optimised and on a core of its own.
//!
//! ```text
//! bench-load closed ADDRESS SECONDS COUNT WHAT    as many requests as so many connections get answered
//! bench-load rate ADDRESS SECONDS RATE [NOISE]    RATE requests for the hello a second, whatever the server does
//! bench-load flood ADDRESS SECONDS RATE COUNT     the same over so many connections, and refusals are answers too
//! bench-load trace ADDRESS SECONDS RATE           the same, and each single request is told
//! bench-load body ADDRESS BYTES                   one POST to /echo, which must come back
//!
//! WHAT   hello                               at /
//!        routes COUNT                        the hello at /0, /1 and so on, in turn
//!        download TARGET BYTES               an answer of that length
//!        upload TARGET BYTES                 a request of that length, whose bytes are counted
//! NOISE  ask TARGET COUNT                    so many more connections that ask all the time
//!        hold TARGET COUNT A_SECOND          so many more that idle, of which so many a second are made anew
//! ```
//!
//! It prints one line of JSON. With `rate` a request has a time at which it is due; its latency counts from then, also when no
//! connection was free to send it. A generator that waits for answers before it sends the next request asks a slow server
//! less, and so does not see the queue that people would stand in.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "its output is its result")]

mod client;
mod flood;
mod noise;
mod pattern;
mod trace;

use client::{Ask, Client, Tally, connect};
use http_body_util::BodyExt;
use hyper::{Request, Uri, header::HOST};
use noise::Noise;
use pattern::Pattern;
use serde_json::{Value, json};
use std::{
    error::Error,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const CONNECTIONS: usize = 32;
const USAGE: &str = "usage: bench-load closed ADDRESS SECONDS COUNT WHAT | rate ADDRESS SECONDS RATE [NOISE] | \
     flood ADDRESS SECONDS RATE COUNT | trace ADDRESS SECONDS RATE | body ADDRESS BYTES";

fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match words.as_slice() {
            ["closed", address, seconds, count, what @ ..] => {
                closed(address, length(seconds)?, count.parse()?, &what_to_ask(what)?).await
            }
            ["rate", address, seconds, rate, noise @ ..] => {
                let noise = noise_of(address, noise).await?;
                let mut report = rated(address, length(seconds)?, rate.parse()?).await?;
                report["noise"] = noise.map(|noise| noise.report()).into();
                Ok(report)
            }
            ["flood", address, seconds, rate, count] => {
                flood::flood(address, length(seconds)?, rate.parse()?, count.parse()?).await
            }
            ["trace", address, seconds, rate] => trace::trace(address, length(seconds)?, rate.parse()?).await,
            ["body", address, bytes] => body(address, bytes.parse()?).await,
            _ => Err(USAGE.into()),
        }
    })?;
    println!("{result}");
    Ok(())
}

fn length(seconds: &str) -> Outcome<Duration> {
    Ok(Duration::from_secs_f64(seconds.parse()?))
}

fn what_to_ask(words: &[&str]) -> Outcome<Ask> {
    match words {
        ["hello"] => Ok(Ask::hello()),
        ["routes", count] => Ask::routes(count.parse()?),
        ["download", target, bytes] => Ask::download(target, bytes.parse()?),
        ["upload", target, bytes] => Ask::upload(target, bytes.parse()?),
        _ => Err(USAGE.into()),
    }
}

async fn noise_of(address: &str, words: &[&str]) -> Outcome<Option<Noise>> {
    Ok(match words {
        [] => None,
        ["ask", target, count] => Some(Noise::ask(address, target, count.parse()?).await?),
        ["hold", target, count, a_second] => {
            Some(Noise::hold(address, target, count.parse()?, a_second.parse()?).await?)
        }
        _ => return Err(USAGE.into()),
    })
}

async fn closed(address: &str, length: Duration, count: usize, ask: &Ask) -> Outcome<Value> {
    let clients = Client::several(address, count, ask).await?;
    let start = Instant::now();
    let end = start + length;
    let work = |mut client: Client| async move {
        while Instant::now() < end {
            client.ask(Instant::now()).await;
        }
        client.tally
    };
    let tallies = together(clients.into_iter().map(work)).await?;
    Ok(sum(tallies).report(start.elapsed()))
}

async fn rated(address: &str, length: Duration, rate: f64) -> Outcome<Value> {
    let clients = Client::several(address, CONNECTIONS, &Ask::hello()).await?;
    // A server that is a whole length behind does not catch up.
    let schedule = Schedule::shared(rate, length, length);
    let work = |mut client: Client| {
        let schedule = schedule.clone();
        async move {
            loop {
                // Whoever holds the schedule is the one connection that waits for the clock; the others wait in line.
                let mut schedule = schedule.lock().await;
                let Some(due) = schedule.next() else { break };
                until(due).await;
                drop(schedule);
                client.ask(due).await;
            }
            client.tally
        }
    };
    let tallies = together(clients.into_iter().map(work)).await?;
    let mut report = sum(tallies).report(length);
    report["unsent"] = schedule.lock().await.left().into();
    Ok(report)
}

/// Runs all at once, and gives what each saw.
async fn together<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Outcome<Vec<T>> {
    let tasks: Vec<_> = work.map(tokio::spawn).collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await?);
    }
    Ok(seen)
}

fn sum(tallies: Vec<Tally>) -> Tally {
    let mut sum = Tally::default();
    for tally in tallies {
        sum.add(tally);
    }
    sum
}

/// When requests are due.
struct Schedule {
    next: Instant,
    step: Duration,
    /// No request is due from then on.
    end: Instant,
    /// None is sent from then on.
    close: Instant,
}

impl Schedule {
    /// From now on. What is due may be sent for as long as `grace` after the end.
    fn shared(rate: f64, length: Duration, grace: Duration) -> Arc<Mutex<Self>> {
        let next = Instant::now();
        let end = next + length;
        Arc::new(Mutex::new(Self { next, step: Duration::from_secs_f64(1.0 / rate), end, close: end + grace }))
    }

    fn next(&mut self) -> Option<Instant> {
        if self.left() == 0 || Instant::now() > self.close {
            return None;
        }
        let due = self.next;
        self.next += self.step;
        Some(due)
    }

    fn left(&self) -> u64 {
        let left = self.end.saturating_duration_since(self.next);
        u64::try_from(left.as_nanos() / self.step.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

/// To the microsecond. The runtime's own timers know milliseconds, which is longer than what is measured, so the last of them
/// are spent asking; each time round the runtime looks after the connections.
async fn until(due: Instant) {
    const COARSE: Duration = Duration::from_millis(3);
    if let Some(ahead) = due.saturating_duration_since(Instant::now()).checked_sub(COARSE) {
        tokio::time::sleep(ahead).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

async fn body(address: &str, length: usize) -> Outcome<Value> {
    let pattern = Pattern::new(length);
    let mut expected = Pattern::new(length);
    let mut sender = connect(address).await?;
    let request = Request::post(Uri::from_static("/echo")).header(HOST, address).body(pattern)?;
    let start = Instant::now();
    let response = sender.send_request(request).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("/echo answers {status}").into());
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if !expected.starts_with(&data) {
            return Err(format!("/echo gave back something else, {} bytes before its end", expected.left).into());
        }
    }
    if expected.left > 0 {
        return Err(format!("/echo kept {} of {length} bytes", expected.left).into());
    }
    Ok(json!({ "bytes": length, "seconds": start.elapsed().as_secs_f64() }))
}
