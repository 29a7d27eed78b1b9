use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::yield_now;

/// Opens connections and their clients.
async fn connections<const N: usize>() -> ([CoalescedStream; N], [TcpStream; N]) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..N {
        clients.push(TcpStream::connect(address).await.unwrap());
        servers.push(CoalescedStream::new(listener.accept().await.unwrap().0));
    }
    (servers.try_into().ok().unwrap(), clients.try_into().unwrap())
}

async fn respond(server: &mut CoalescedStream, text: &[u8]) {
    server.write_all(text).await.unwrap();
    server.flush().await.unwrap();
}

/// Answers as one of many, however long this thread was buffer up.
async fn respond_soon(server: &mut CoalescedStream, text: &[u8]) {
    PENDING.with_borrow_mut(|pending| pending.last = Some(Instant::now() + Duration::from_secs(3600)));
    respond(server, text).await;
}

/// Returns the bytes that have arrived.
fn arrived(client: &TcpStream) -> Option<Vec<u8>> {
    let mut bytes = [0; 64];
    match client.try_read(&mut bytes) {
        Ok(len) => Some(bytes[..len].to_vec()),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
        Err(e) => panic!("{e}"),
    }
}

async fn read(client: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Waits until a response counts as one that comes alone.
async fn pause() {
    tokio::time::sleep(QUICK_SUCCESSION * 2).await;
}

#[tokio::test]
async fn the_second_response_of_a_row_waits_and_the_first_does_not() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a, mut b, mut c], [mut x, mut y, mut z]) = connections().await;
    pause().await;
    respond(&mut a, b"one").await;
    respond_soon(&mut b, b"two").await;
    assert!(lock(&b.buffer).bytes == b"two" && lock(&a.buffer).bytes.is_empty());
    assert_eq!(read(&mut x, 3).await, b"one");
    respond(&mut c, b"three").await;
    assert_eq!((read(&mut y, 3).await, read(&mut z, 5).await), (b"two".to_vec(), b"three".to_vec()));
}

#[tokio::test]
async fn an_overdue_response_is_sent_before_another_request_begins() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a, mut b], [_x, y]) = connections().await;
    respond(&mut a, b"one").await;
    respond_soon(&mut b, b"two").await;
    let since = PENDING.with_borrow(|pending| pending.since).unwrap();
    flush_overdue(since + MAX_WAIT);
    assert!(!lock(&b.buffer).bytes.is_empty());
    flush_overdue(since + MAX_WAIT * 2);
    assert!(lock(&b.buffer).bytes.is_empty());
    y.readable().await.unwrap();
    assert_eq!(arrived(&y).unwrap(), b"two");
}

#[tokio::test]
async fn a_response_alone_is_sent_at_once() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a, mut b], [x, y]) = connections().await;
    for (server, client) in [(&mut a, &x), (&mut b, &y)] {
        pause().await;
        respond(server, b"alone").await;
        assert!(lock(&server.buffer).bytes.is_empty());
        client.readable().await.unwrap();
        assert_eq!(arrived(client).unwrap(), b"alone");
    }
}

#[tokio::test]
async fn without_a_flush_task_nothing_waits() {
    let ([mut a, mut b], [mut x, mut y]) = connections().await;
    respond(&mut a, b"one").await;
    respond(&mut b, b"two").await;
    assert!(lock(&b.buffer).bytes.is_empty());
    assert_eq!((read(&mut x, 3).await, read(&mut y, 3).await), (b"one".to_vec(), b"two".to_vec()));
}

#[tokio::test]
async fn responses_of_a_connection_keep_their_order() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a], [mut x]) = connections().await;
    let large = vec![b'x'; MAX_COALESCED + 1];
    let mut expected = Vec::new();
    for text in [&b"one"[..], b"two", &large, b"three", &large, &large, b"four"] {
        respond(&mut a, text).await;
        expected.extend_from_slice(text);
    }
    assert!(read(&mut x, expected.len()).await == expected);
}

#[tokio::test]
async fn bytes_that_the_system_does_not_take_are_sent_later() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a], [mut x]) = connections().await;
    // Until nothing more fits.
    let mut sent = 0;
    while let Ok(len) = lock(&a.buffer).stream.try_write(&[b'x'; 1 << 16]) {
        sent += len;
    }
    let answered = tokio::spawn(async move {
        respond_soon(&mut a, b"the last").await;
        while !matches!(lock(&a.buffer).state, BufferState::Blocked) {
            yield_now().await;
        }
        a.flush().await.unwrap();
        assert!(lock(&a.buffer).bytes.is_empty());
        a
    });
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(!answered.is_finished());
    read(&mut x, sent).await;
    assert_eq!(read(&mut x, 8).await, b"the last");
    answered.await.unwrap();
}

#[tokio::test]
async fn a_pending_response_is_sent_though_its_connection_ends() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a, mut b], [_x, mut y]) = connections().await;
    respond(&mut a, b"one").await;
    respond_soon(&mut b, b"two").await;
    drop(b);
    let mut all = Vec::new();
    y.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"two");
}

#[tokio::test]
async fn a_failure_to_send_is_reported() {
    tokio::spawn(run_flush_task());
    yield_now().await;
    let ([mut a], [x]) = connections().await;
    drop(x);
    let failed = async {
        loop {
            a.write_all(b"to nobody").await?;
            a.flush().await?;
            yield_now().await;
        }
    };
    let failed: io::Result<()> = failed.await;
    assert!(failed.is_err());
}

#[tokio::test]
async fn a_response_waits_for_turns_that_come_soon_and_not_for_ever() {
    for (more, waits) in [(always as fn() -> bool, true), (never, false)] {
        PENDING.take();
        let flush_task = tokio::spawn(flush_unless(more));
        yield_now().await;
        let ([mut a], [mut x]) = connections().await;
        respond_soon(&mut a, b"one").await;
        let start = Instant::now();
        while !lock(&a.buffer).bytes.is_empty() {
            yield_now().await;
        }
        // The thread may have been buffer up for longer.
        assert!(!waits || start.elapsed() > MAX_WAIT_FOR_TURNS / 2, "{:?}", start.elapsed());
        assert_eq!(read(&mut x, 3).await, b"one");
        flush_task.abort();
    }
}

fn always() -> bool {
    true
}

fn never() -> bool {
    false
}
