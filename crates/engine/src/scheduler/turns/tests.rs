//! Turns of requests on a runtime.

use super::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

const A: FlowId = FlowId(1000);
const B: FlowId = FlowId(1001);

/// A request of `flow` that reports its turn and keeps it until it first waits.
fn request(flow: FlowId, told: &UnboundedSender<FlowId>) -> JoinHandle<()> {
    let told = told.clone();
    tokio::spawn(async move {
        let Some(turn) = before(flow, Instant::now()) else {
            let _ = told.send(flow);
            return;
        };
        begin(turn.await.expect("there is somebody who gives turns"));
        let _ = told.send(flow);
        end(flow, 1000);
    })
}

async fn next(heard: &mut UnboundedReceiver<FlowId>, count: usize) -> Vec<FlowId> {
    let mut order = Vec::new();
    while order.len() < count {
        order.push(tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.expect("turns go on").unwrap());
    }
    order
}

/// Makes both flows busy.
async fn make_both_busy(told: &UnboundedSender<FlowId>, heard: &mut UnboundedReceiver<FlowId>) {
    for flow in [A, B] {
        request(flow, told).await.unwrap();
        next(heard, 1).await;
    }
}

#[tokio::test]
async fn a_flow_that_is_alone_does_not_wait() {
    for _ in 0..3 {
        assert!(before(A, Instant::now()).is_none());
    }
    assert!(before(B, Instant::now()).is_some());
    assert!(before(A, Instant::now()).is_some());
    // Finally it is alone again.
    let later = Instant::now() + 2 * BUSY_WINDOW;
    assert!(before(A, later).is_none());
}

#[tokio::test]
async fn a_new_flow_goes_before_the_crowd_of_another() {
    // A task among others, unlike the test itself.
    let work = async {
        let (told, mut heard) = unbounded_channel();
        make_both_busy(&told, &mut heard).await;
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
async fn a_request_that_leaves_blocks_nobody() {
    let (told, mut heard) = unbounded_channel();
    make_both_busy(&told, &mut heard).await;
    let crowd: Vec<_> = (0..20).map(|_| request(A, &told)).collect();
    next(&mut heard, 2).await;
    // Some wait, and one may already know that it is next.
    crowd.iter().step_by(2).for_each(JoinHandle::abort);
    request(B, &told).await.unwrap();
    request(A, &told).await.unwrap();
    // A turn that is given and never used ends as well.
    let turn = before(A, Instant::now()).expect("both are busy");
    let unused = tokio::spawn(async move { turn.await.map(drop) });
    unused.await.unwrap().unwrap();
    request(B, &told).await.unwrap();
}

/// The end of a runtime leaves no queue without a dispatcher.
#[test]
fn a_request_after_the_end_of_its_runtime_has_a_turn() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (told, mut heard) = unbounded_channel();
    let first = runtime();
    let kept = first.block_on(async {
        make_both_busy(&told, &mut heard).await;
        let kept = before(A, Instant::now()).expect("both are busy").await.unwrap();
        request(B, &told);
        kept
    });
    drop(first);
    runtime().block_on(async { request(A, &told).await.unwrap() });
    drop(kept);
}
