//! The load generator of `cargo xtask bench http`. A program of its own, so that it is optimised and on a core of its own.
//!
//! ```text
//! bench-load closed ADDRESS SECONDS COUNT   as many requests as so many connections get answered
//! bench-load rate ADDRESS SECONDS RATE      RATE requests a second, whatever the server does
//! bench-load body ADDRESS BYTES             one POST to /echo, which must come back
//! ```
//!
//! It prints one line of JSON. With `rate` a request has a time at which it is due; its latency counts from then, also when no
//! connection was free to send it. A generator that waits for answers before it sends the next request asks a slow server
//! less, and so does not see the queue that people would stand in.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "its output is its result")]

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Uri,
    body::{Body, Bytes, Frame, SizeHint},
    client::conn::http1::{SendRequest, handshake},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::Mutex};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const HELLO: &[u8] = b"hello from a sealed component\n";
const CONNECTIONS: usize = 32;
const USAGE: &str = "usage: bench-load closed ADDRESS SECONDS COUNT | rate ADDRESS SECONDS RATE | body ADDRESS BYTES";

fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match words.as_slice() {
            ["closed", address, seconds, count] => {
                closed(address, Duration::from_secs_f64(seconds.parse()?), count.parse()?).await
            }
            ["rate", address, seconds, rate] => {
                rated(address, Duration::from_secs_f64(seconds.parse()?), rate.parse()?).await
            }
            ["body", address, bytes] => body(address, bytes.parse()?).await,
            _ => Err(USAGE.into()),
        }
    })?;
    println!("{result}");
    Ok(())
}

async fn closed(address: &str, length: Duration, count: usize) -> Outcome<Value> {
    let clients = connect_all(address, count).await?;
    let start = Instant::now();
    let end = start + length;
    let work = |mut client: Client| async move {
        while Instant::now() < end {
            client.ask(Instant::now()).await;
        }
        client.tally
    };
    let tally = together(clients.into_iter().map(work)).await?;
    Ok(tally.report(start.elapsed()))
}

async fn rated(address: &str, length: Duration, rate: f64) -> Outcome<Value> {
    let clients = connect_all(address, CONNECTIONS).await?;
    let start = Instant::now();
    let schedule = Schedule { next: start, step: Duration::from_secs_f64(1.0 / rate), start, length };
    let schedule = Arc::new(Mutex::new(schedule));
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
    let tally = together(clients.into_iter().map(work)).await?;
    let mut report = tally.report(length);
    report["unsent"] = schedule.lock().await.left().into();
    Ok(report)
}

async fn connect_all(address: &str, count: usize) -> Outcome<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let sender = Some(connect(address).await?);
        clients.push(Client { address: address.into(), sender, tally: Tally::default() });
    }
    Ok(clients)
}

/// Runs all at once and sums what they saw.
async fn together(work: impl Iterator<Item = impl Future<Output = Tally> + Send + 'static>) -> Outcome<Tally> {
    let tasks: Vec<_> = work.map(tokio::spawn).collect();
    let mut sum = Tally::default();
    for task in tasks {
        sum.add(task.await?);
    }
    Ok(sum)
}

/// When requests are due.
struct Schedule {
    next: Instant,
    step: Duration,
    start: Instant,
    length: Duration,
}

impl Schedule {
    fn next(&mut self) -> Option<Instant> {
        // A server that is this far behind does not catch up.
        if self.left() == 0 || self.start.elapsed() > self.length * 2 {
            return None;
        }
        let due = self.next;
        self.next += self.step;
        Some(due)
    }

    fn left(&self) -> u64 {
        let left = (self.start + self.length).saturating_duration_since(self.next);
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

/// One connection, made again when it breaks.
struct Client {
    address: Arc<str>,
    sender: Option<SendRequest<Empty<Bytes>>>,
    tally: Tally,
}

impl Client {
    async fn ask(&mut self, due: Instant) {
        match self.exchange().await {
            Ok(right) => {
                self.tally.latencies.push(due.elapsed());
                self.tally.wrong += u64::from(!right);
            }
            Err(_) => {
                self.tally.errors += 1;
                self.sender = None;
            }
        }
    }

    /// Whether the answer was the right one.
    async fn exchange(&mut self) -> Outcome<bool> {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.address).await?),
        };
        sender.ready().await?;
        let request = Request::get(Uri::from_static("/")).header(HOST, &*self.address).body(Empty::new())?;
        let response = sender.send_request(request).await?;
        let success = response.status().is_success();
        Ok(response.into_body().collect().await?.to_bytes() == HELLO && success)
    }
}

async fn connect<B: Body<Data = Bytes, Error = Infallible> + Send + 'static>(address: &str) -> Outcome<SendRequest<B>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // What ends the connection is told to whoever waits for an answer on it.
    tokio::spawn(async { connection.await.unwrap_or_default() });
    Ok(sender)
}

#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    /// Answers other than the expected one.
    wrong: u64,
    /// Requests with no answer.
    errors: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.wrong += other.wrong;
        self.errors += other.errors;
    }

    fn report(mut self, length: Duration) -> Value {
        self.latencies.sort();
        let at = |thousandths: usize| {
            let index = (self.latencies.len() * thousandths).div_ceil(1000).saturating_sub(1);
            self.latencies.get(index).map(|latency| latency.as_secs_f64() * 1e6)
        };
        json!({
            "requests": self.latencies.len(),
            "seconds": length.as_secs_f64(),
            "p50_us": at(500), "p99_us": at(990), "p999_us": at(999), "max_us": at(1000),
            "wrong": self.wrong,
            "errors": self.errors,
        })
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

/// A body that is one block again and again, and so takes no memory.
struct Pattern {
    block: Bytes,
    left: usize,
    length: usize,
}

impl Pattern {
    const BLOCK: usize = 64 * 1024;

    fn new(length: usize) -> Self {
        // 251 is a prime: no power of two that somebody mixes up looks right.
        Self { block: (0..=250).cycle().take(Self::BLOCK).collect(), left: length, length }
    }

    /// What comes next: to the end of the block or of the body.
    fn next(&mut self, at_most: usize) -> Bytes {
        let from = (self.length - self.left) % Self::BLOCK;
        let length = at_most.min(self.left).min(Self::BLOCK - from);
        self.left -= length;
        self.block.slice(from..from + length)
    }

    fn starts_with(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let part = self.next(data.len());
            if part.is_empty() || !data.starts_with(&part) {
                return false;
            }
            data = &data[part.len()..];
        }
        true
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.next(Self::BLOCK);
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
