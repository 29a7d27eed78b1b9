//! A stop finishes requests in flight, takes no new ones, and is bounded.

use crate::serve;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, Response, ServeProcess, test_env};

/// Sends a request and waits until the guest has begun to respond.
fn under_way(server: &ServeProcess, path: &str, milliseconds: u32) -> HttpClient {
    let mut client = server.connect();
    client.send(format!("GET {path}?ms={milliseconds} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    // Connections are accepted in order, and the head of an accepted one is read at once.
    server.get("/count");
    thread::sleep(Duration::from_millis(200));
    client
}

fn is_refused(server: &ServeProcess) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        match HttpClient::open(server.address()) {
            Err(_) => return true,
            Ok(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    false
}

#[test]
fn a_stop_answers_what_is_under_way_and_takes_nothing_new() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        for signal in [ServeProcess::terminate, ServeProcess::interrupt] {
            let served = serve(guest, &[]);
            let mut client = under_way(&served, "/sleep", 1500);
            let idle = served.connect();
            signal(&served);
            assert!(is_refused(&served));
            client.response().is(200, "slept 1500 ms\n");
            assert!(client.is_closed());
            drop(idle);
            let output = served.server.wait().exits_with(0);
            assert!(!output.stderr.contains("warning"), "{output}");
        }
    }
}

#[test]
fn an_idle_server_stops_at_once() {
    let served = serve(RUST_P2_HTTP_HELLO, &["--drain", "1h"]);
    let mut kept = served.connect();
    assert_eq!(kept.get("/").status, 200);
    let _output = served.server.stop().succeeds();
    assert!(kept.is_closed());
}

#[test]
fn a_stream_under_way_is_finished() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let served = serve(guest, &[]);
        let mut client = served.connect();
        client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        client.send_chunk("before").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(client.chunk().unwrap(), b"BEFORE");
        served.terminate();
        assert!(is_refused(&served));
        client.send_chunk("after").unwrap();
        assert_eq!(client.chunk().unwrap(), b"AFTER");
        client.send("0\r\n\r\n").unwrap();
        assert_eq!(client.chunk().unwrap(), b"");
        let _output = served.server.wait().succeeds();
    }
}

#[test]
fn the_drain_is_bounded() {
    let served = serve(RUST_P2_HTTP_BAD, &["--drain", "500ms", "--deadline", "1h"]);
    let mut client = under_way(&served, "/sleep", 60_000);
    let output = served.server.stop().succeeds();
    let _output = output.says("stopped before every request was answered; `--drain` gives them more time");
    let cut: Result<Response, _> = client.try_response();
    assert!(cut.is_err(), "{cut:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [(ServeProcess::terminate as fn(&ServeProcess), 143), (ServeProcess::interrupt, 130)] {
        let served = serve(RUST_P2_HTTP_BAD, &["--drain", "1h", "--deadline", "1h"]);
        let _client = under_way(&served, "/sleep", 60_000);
        signal(&served);
        assert!(is_refused(&served));
        signal(&served);
        let _output = served.server.wait().exits_with(code);
    }
}

/// A caught signal ends even the first process of a container, with the signal's own exit code.
#[test]
fn a_start_can_be_stopped() {
    for (signal, code) in [(ServeProcess::terminate as fn(&ServeProcess), 143), (ServeProcess::interrupt, 130)] {
        let env = test_env!();
        let stops = |waits: ServeProcess| {
            signal(&waits);
            let output = waits.wait().exits_with(code).says("warning: stopped before anything was served");
            assert!(!output.stderr.contains("serving"), "{output}");
        };
        // A server that waits until an error is fixed.
        stops(ServeProcess::that_waits(&env, Stdio::null(), ["none.wasm", "--watch"], "nothing is served yet"));
        // A server that the system holds in the middle of its start.
        let held = ["-", "--admin", "127.0.0.1:0"];
        stops(ServeProcess::that_waits(&env, Stdio::piped(), held, "admin page: "));
    }
}

/// A connection to another server outlives the thread that opened it while others have requests on
/// it.
#[test]
fn a_stop_leaves_outbound_connections_to_the_threads_that_use_them() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let ((held, is_held), (go_on, goes_on)) = (channel(), channel::<()>());
    let answers = thread::spawn(move || {
        let mut stream = BufReader::new(upstream.accept().unwrap().0);
        for nth in 0..2 {
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            if nth == 1 {
                held.send(()).unwrap();
                goes_on.recv().unwrap();
            }
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let served = serve(RUST_P2_HTTP_BAD, &["--http", &url, "--workers", "2"]);
    let target = format!("/outbound?url={url}/");
    let mut first = served.connect();
    first.get(&target).is(200, "status 200\n");
    // Until the upstream waits for the next request.
    thread::sleep(Duration::from_millis(200));
    let mut second = served.connect();
    second.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    is_held.recv_timeout(Duration::from_secs(60)).expect("it comes on the same connection");
    served.terminate();
    // The thread that opened the connection has nothing more to do.
    assert!(first.is_closed());
    thread::sleep(Duration::from_millis(300));
    go_on.send(()).unwrap();
    second.response().is(200, "status 200\n");
    answers.join().unwrap();
    served.server.wait().exits_with(0);
}
