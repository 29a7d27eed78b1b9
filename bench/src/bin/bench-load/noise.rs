//! Clients of a noisy app, which load the server while others are measured.
//!
//! They run on the thread of the measured clients: two programs that share a core delay each other
//! by milliseconds.

use crate::client::LoadClient;
use crate::error::LoadResult;
use crate::request::RequestTemplate;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Time before the measurement starts. It is longer when there is no response yet.
const SETTLE: Duration = Duration::from_millis(500);

pub struct NoiseClients {
    counts: SharedStatusCounts,
    /// Aborted when this is dropped.
    _clients: JoinSet<()>,
}

impl NoiseClients {
    /// Starts so many clients that always have a request under way.
    pub async fn request(address: &str, target: &str, count: usize) -> LoadResult<Self> {
        let (counts, mut clients) = (SharedStatusCounts::default(), JoinSet::new());
        for _ in 0..count {
            let (counts, address, target) = (counts.clone(), address.to_owned(), target.to_owned());
            clients.spawn(async move {
                loop {
                    if request_on_connection(&address, &target, &counts).await.is_err() {
                        counts.add(None);
                    }
                }
            });
        }
        counts.settle().await;
        Ok(Self { counts, _clients: clients })
    }

    /// Opens so many connections that idle after one request, and replaces `per_second` of them
    /// each second.
    pub async fn hold(address: &str, target: &str, count: usize, per_second: f64) -> LoadResult<Self> {
        let (counts, mut clients, request) =
            (SharedStatusCounts::default(), JoinSet::new(), RequestTemplate::any(target)?);
        let mut held = VecDeque::from(LoadClient::connect_many(address, count, &request).await?);
        for client in &mut held {
            counts.record(client).await;
        }
        let mut times = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        let (address, held_counts) = (address.to_owned(), counts.clone());
        clients.spawn(async move {
            loop {
                times.tick().await;
                held.pop_front();
                match LoadClient::connect(&address, request.clone()).await {
                    Ok(mut client) => {
                        held_counts.record(&mut client).await;
                        held.push_back(client);
                    }
                    Err(_) => held_counts.add(None),
                }
            }
        });
        counts.settle().await;
        Ok(Self { counts, _clients: clients })
    }

    /// Responses by status, and requests without a response as `none`.
    pub fn report(&self) -> Value {
        let counts = self.counts.lock();
        let name = |status: &Option<u16>| status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        counts.iter().map(|(status, count)| (name(status), json!(count))).collect()
    }
}

/// Sends requests on one connection until it breaks, with little work: the generator must not be
/// the bottleneck.
async fn request_on_connection(address: &str, target: &str, counts: &SharedStatusCounts) -> LoadResult {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut response = Vec::new();
    loop {
        stream.write_all(request.as_bytes()).await?;
        response.clear();
        while !is_whole(&response) {
            if stream.read_buf(&mut response).await? == 0 {
                return Err("the connection is closed".into());
            }
        }
        let status = response.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
        counts.add(Some(status.ok_or("the response has no status")?.parse()?));
    }
}

/// Whether a response of HTTP/1.1 is complete, by its length or its last chunk.
fn is_whole(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let body = response.len() - head - 4;
    let fields = String::from_utf8_lossy(&response[..head]).to_ascii_lowercase();
    match fields.split("\r\n").find_map(|field| field.strip_prefix("content-length: ")?.parse::<usize>().ok()) {
        Some(length) => body >= length,
        None => response.ends_with(b"\r\n0\r\n\r\n"),
    }
}

/// Responses by status; `None` counts requests without a response.
type StatusCounts = BTreeMap<Option<u16>, u64>;

#[derive(Clone, Default)]
struct SharedStatusCounts(Arc<Mutex<StatusCounts>>);

impl SharedStatusCounts {
    async fn record(&self, client: &mut LoadClient) {
        self.add(client.exchange().await.ok().map(|(status, _)| status.as_u16()));
    }

    /// Waits for [`SETTLE`] and the first response.
    async fn settle(&self) {
        tokio::time::sleep(SETTLE).await;
        while self.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn add(&self, status: Option<u16>) {
        *self.lock().entry(status).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, StatusCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
