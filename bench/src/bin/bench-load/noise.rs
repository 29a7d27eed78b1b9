//! Clients of a neighbour, who make noise while others are measured.
//!
//! They live in the same thread as those, since two programs that share a core hold each other up for milliseconds.

use crate::Outcome;
use crate::client::{Ask, Client};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long the noise goes on before it counts. At least until there was an answer.
const SETTLE: Duration = Duration::from_millis(500);

pub struct Noise {
    heard: Heard,
    /// Ended when this is dropped.
    _clients: JoinSet<()>,
}

impl Noise {
    /// So many clients that ask all the time.
    pub async fn ask(address: &str, target: &str, count: usize) -> Outcome<Self> {
        let (heard, mut clients) = (Heard::default(), JoinSet::new());
        for _ in 0..count {
            let (heard, address, target) = (heard.clone(), address.to_owned(), target.to_owned());
            clients.spawn(async move {
                loop {
                    if ask_on(&address, &target, &heard).await.is_err() {
                        heard.add(None);
                    }
                }
            });
        }
        heard.settle().await;
        Ok(Self { heard, _clients: clients })
    }

    /// So many connections that asked once and idle. Of these, so many a second go and others come.
    pub async fn hold(address: &str, target: &str, count: usize, a_second: f64) -> Outcome<Self> {
        let (heard, mut clients, ask) = (Heard::default(), JoinSet::new(), Ask::any(target)?);
        let mut held = VecDeque::from(Client::several(address, count, &ask).await?);
        for client in &mut held {
            heard.listen(client).await;
        }
        let mut times = tokio::time::interval(Duration::from_secs_f64(1.0 / a_second));
        let (to, told) = (address.to_owned(), heard.clone());
        clients.spawn(async move {
            loop {
                times.tick().await;
                held.pop_front();
                match Client::connect(&to, ask.clone()).await {
                    Ok(mut client) => {
                        told.listen(&mut client).await;
                        held.push_back(client);
                    }
                    Err(_) => told.add(None),
                }
            }
        });
        heard.settle().await;
        Ok(Self { heard, _clients: clients })
    }

    /// How many answers there were with each status, and how many requests without one.
    pub fn report(&self) -> Value {
        let heard = self.heard.lock();
        let name = |status: &Option<u16>| status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        heard.iter().map(|(status, count)| (name(status), json!(count))).collect()
    }
}

/// Asks on one connection for as long as it lasts. With as little work as can be: the generator must not be what all wait for.
async fn ask_on(address: &str, target: &str, heard: &Heard) -> Outcome {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut answer = Vec::new();
    loop {
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection is closed".into());
            }
        }
        let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
        heard.add(Some(status.ok_or("an answer without a status")?.parse()?));
    }
}

/// Whether an answer of HTTP/1.1 is at its end, by its length or its last chunk.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let body = answer.len() - head - 4;
    let fields = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    match fields.split("\r\n").find_map(|field| field.strip_prefix("content-length: ")?.parse::<usize>().ok()) {
        Some(length) => body >= length,
        None => answer.ends_with(b"\r\n0\r\n\r\n"),
    }
}

/// How many there were of each status.
type Answers = BTreeMap<Option<u16>, u64>;

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Answers>>);

impl Heard {
    async fn listen(&self, client: &mut Client) {
        self.add(client.exchange().await.ok().map(|(status, _)| status.as_u16()));
    }

    async fn settle(&self) {
        tokio::time::sleep(SETTLE).await;
        while self.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn add(&self, status: Option<u16>) {
        *self.lock().entry(status).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
