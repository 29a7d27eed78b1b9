//! What becomes of a turn.

use super::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

const A: Party = Party(1000);
const B: Party = Party(1001);

/// A request of `party` that tells when it has its turn, and keeps it for as long as nothing waits for something.
fn request(party: Party, told: &UnboundedSender<Party>) -> JoinHandle<()> {
    let told = told.clone();
    tokio::spawn(async move {
        let Some(turn) = before(party, Instant::now()) else {
            let _ = told.send(party);
            return;
        };
        begin(turn.await.expect("there is somebody who gives turns"));
        let _ = told.send(party);
        end(party, 1000);
    })
}

async fn next(heard: &mut UnboundedReceiver<Party>, count: usize) -> Vec<Party> {
    let mut order = Vec::new();
    while order.len() < count {
        order.push(tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.expect("turns go on").unwrap());
    }
    order
}

/// Both are busy from here on.
async fn share(told: &UnboundedSender<Party>, heard: &mut UnboundedReceiver<Party>) {
    for party in [A, B] {
        request(party, told).await.unwrap();
        next(heard, 1).await;
    }
}

#[tokio::test]
async fn who_is_alone_waits_for_nothing() {
    for _ in 0..3 {
        assert!(before(A, Instant::now()).is_none());
    }
    assert!(before(B, Instant::now()).is_some());
    assert!(before(A, Instant::now()).is_some());
    // In the end it is alone again.
    let later = Instant::now() + 2 * LATELY;
    assert!(before(A, later).is_none());
}

#[tokio::test]
async fn who_comes_goes_before_the_crowd_of_another() {
    // A task among the others, which the test itself is not.
    let work = async {
        let (told, mut heard) = unbounded_channel();
        share(&told, &mut heard).await;
        let crowd: Vec<_> = (0..50).map(|_| request(A, &told)).collect();
        next(&mut heard, 3).await;
        let quiet = request(B, &told);
        assert!(next(&mut heard, 4).await.contains(&B));
        quiet.await.unwrap();
        next(&mut heard, 50 - 6).await;
        for one in crowd {
            one.await.unwrap();
        }
    };
    tokio::spawn(work).await.unwrap();
}

#[tokio::test]
async fn who_leaves_holds_up_nobody() {
    let (told, mut heard) = unbounded_channel();
    share(&told, &mut heard).await;
    let crowd: Vec<_> = (0..20).map(|_| request(A, &told)).collect();
    next(&mut heard, 2).await;
    // Some wait, and one may have been told already that it is next.
    crowd.iter().step_by(2).for_each(JoinHandle::abort);
    request(B, &told).await.unwrap();
    request(A, &told).await.unwrap();
    // Turns that were given and never used end as well.
    let turn = before(A, Instant::now()).expect("both are busy");
    let unused = tokio::spawn(async move { turn.await.map(drop) });
    unused.await.unwrap().unwrap();
    request(B, &told).await.unwrap();
}

/// A runtime that ends leaves no line behind that nobody gives turns in.
#[test]
fn who_comes_after_its_runtime_ended_has_a_turn() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (told, mut heard) = unbounded_channel();
    let first = runtime();
    let kept = first.block_on(async {
        share(&told, &mut heard).await;
        let kept = before(A, Instant::now()).expect("both are busy").await.unwrap();
        request(B, &told);
        kept
    });
    drop(first);
    runtime().block_on(async { request(A, &told).await.unwrap() });
    drop(kept);
}
