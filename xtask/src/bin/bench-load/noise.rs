//! Clients of a neighbour, who make noise while others are measured.
//!
//! They live in the same thread as those, since two programs that share a core hold each other up for milliseconds.

use crate::Outcome;
use crate::client::{Ask, Client};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
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
        for mut client in Client::several(address, count, &Ask::any(target)?).await? {
            let heard = heard.clone();
            clients.spawn(async move {
                loop {
                    heard.listen(&mut client).await;
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
