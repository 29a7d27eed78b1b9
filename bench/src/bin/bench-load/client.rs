//! A client on one connection, what it asks for, and what it saw.

use crate::Outcome;
use crate::pattern::Pattern;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, Uri, header::HOST};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const HELLO: &[u8] = b"hello from a sealed component\n";

/// What is asked for, and the answer to it.
#[derive(Clone)]
pub struct Ask {
    method: Method,
    /// In turn.
    targets: Arc<[Uri]>,
    next: usize,
    upload: usize,
    right: Right,
}

/// The right answer.
#[derive(Clone)]
enum Right {
    Text(Bytes),
    /// As many bytes as this.
    Length(usize),
    Any,
}

impl Ask {
    fn get(targets: impl Iterator<Item = Uri>, right: Right) -> Self {
        Self { method: Method::GET, targets: targets.collect(), next: 0, upload: 0, right }
    }

    pub fn hello() -> Self {
        Self::get([Uri::from_static("/")].into_iter(), Right::Text(Bytes::from_static(HELLO)))
    }

    /// The hello at each of `/0`, `/1` and so on.
    pub fn routes(count: usize) -> Outcome<Self> {
        let targets = (0..count).map(|route| format!("/{route}").parse()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::get(targets.into_iter(), Right::Text(Bytes::from_static(HELLO))))
    }

    /// An answer of so many bytes.
    pub fn download(target: &str, bytes: usize) -> Outcome<Self> {
        Ok(Self::get([target.parse()?].into_iter(), Right::Length(bytes)))
    }

    /// A request of so many bytes, which are counted.
    pub fn upload(target: &str, bytes: usize) -> Outcome<Self> {
        let right = Right::Text(format!("{bytes} bytes\n").into());
        Ok(Self { method: Method::POST, upload: bytes, ..Self::get([target.parse()?].into_iter(), right) })
    }

    /// Whatever comes.
    pub fn any(target: &str) -> Outcome<Self> {
        Ok(Self::get([target.parse()?].into_iter(), Right::Any))
    }

    /// The same for one of `count` clients, each of which begins at another target.
    pub fn spread(&self, client: usize, count: usize) -> Self {
        Self { next: client * self.targets.len() / count, ..self.clone() }
    }

    fn request(&mut self, host: &str) -> Outcome<Request<Pattern>> {
        let target = self.targets[self.next % self.targets.len()].clone();
        self.next += 1;
        let request = Request::builder().method(self.method.clone()).uri(target).header(HOST, host);
        Ok(request.body(Pattern::new(self.upload))?)
    }
}

impl Right {
    /// Reads the answer to its end.
    async fn is(&self, mut body: Incoming) -> Outcome<bool> {
        if let Right::Text(text) = self {
            return Ok(body.collect().await?.to_bytes() == text);
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(matches!(self, Right::Any) || matches!(self, Right::Length(right) if *right == length))
    }
}

/// One connection, made again when it breaks.
pub struct Client {
    address: Arc<str>,
    sender: Option<SendRequest<Pattern>>,
    ask: Ask,
    pub tally: Tally,
}

impl Client {
    pub async fn connect(address: &str, ask: Ask) -> Outcome<Self> {
        let sender = Some(connect(address).await?);
        Ok(Self { address: address.into(), sender, ask, tally: Tally::default() })
    }

    /// As many clients as `count`.
    pub async fn several(address: &str, count: usize, ask: &Ask) -> Outcome<Vec<Self>> {
        let mut clients = Vec::new();
        for client in 0..count {
            clients.push(Self::connect(address, ask.spread(client, count)).await?);
        }
        Ok(clients)
    }

    /// Asks for what was due then, and keeps what came of it.
    pub async fn ask(&mut self, due: Instant) {
        match self.exchange().await {
            Ok((status, right)) => {
                self.tally.latencies.push(due);
                self.tally.wrong += u64::from(!(right && status.is_success()));
            }
            Err(_) => self.tally.errors += 1,
        }
    }

    /// The status of the answer, and whether it was the right one.
    pub async fn exchange(&mut self) -> Outcome<(StatusCode, bool)> {
        let outcome = self.try_exchange().await;
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn try_exchange(&mut self) -> Outcome<(StatusCode, bool)> {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.address).await?),
        };
        sender.ready().await?;
        let response = sender.send_request(self.ask.request(&self.address)?).await?;
        Ok((response.status(), self.ask.right.is(response.into_body()).await?))
    }
}

pub async fn connect(address: &str) -> Outcome<SendRequest<Pattern>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // What ends the connection is told to whoever waits for an answer on it.
    tokio::spawn(async { connection.await.unwrap_or_default() });
    Ok(sender)
}

#[derive(Default)]
pub struct Tally {
    latencies: Latencies,
    /// Answers other than the expected one.
    wrong: u64,
    /// Requests with no answer.
    errors: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.latencies.add(other.latencies);
        self.wrong += other.wrong;
        self.errors += other.errors;
    }

    pub fn report(self, length: Duration) -> Value {
        let mut report = self.latencies.report();
        report["seconds"] = length.as_secs_f64().into();
        report["wrong"] = self.wrong.into();
        report["errors"] = self.errors.into();
        report
    }
}

/// Since when each request waited, and how long.
#[derive(Default)]
pub struct Latencies(Vec<(Instant, Duration)>);

/// The system may take the processor from a server, or from this generator, for milliseconds, and a p99 of seconds is made of that.
const SLICE: Duration = Duration::from_millis(100);

impl Latencies {
    /// That of a request that is answered now.
    pub fn push(&mut self, since: Instant) {
        self.0.push((since, since.elapsed()));
    }

    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn report(mut self) -> Value {
        let sliced = self.p99_of_slices();
        self.0.sort_by_key(|(_, latency)| *latency);
        let at = |thousandths| at(&self.0, thousandths);
        json!({
            "requests": self.0.len(), "p99_us_of_slices": sliced,
            "p50_us": at(500), "p99_us": at(990), "p999_us": at(999), "max_us": at(1000),
        })
    }

    /// The p99 in a typical tenth of a second: the median of those of all tenths.
    fn p99_of_slices(&mut self) -> Option<f64> {
        self.0.sort_by_key(|(since, _)| *since);
        let start = self.0.first()?.0;
        let slice_of = |since: Instant| since.duration_since(start).as_nanos() / SLICE.as_nanos();
        let slices = self.0.chunk_by_mut(|(a, _), (b, _)| slice_of(*a) == slice_of(*b));
        let mut found: Vec<_> = slices
            .filter_map(|slice| {
                slice.sort_by_key(|(_, latency)| *latency);
                at(slice, 990)
            })
            .collect();
        found.sort_by(f64::total_cmp);
        found.get(found.len() / 2).copied()
    }
}

/// In microseconds, of what is sorted.
fn at(sorted: &[(Instant, Duration)], thousandths: usize) -> Option<f64> {
    let index = (sorted.len() * thousandths).div_ceil(1000).saturating_sub(1);
    sorted.get(index).map(|(_, latency)| latency.as_secs_f64() * 1e6)
}
