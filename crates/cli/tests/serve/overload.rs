//! More requests than sandboxes: they wait, and beyond that they get 503. Each gets a response.

use crate::serve;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, ServeProcess, test_env};

fn ask(server: &ServeProcess, count: usize, target: &str) -> Vec<HttpClient> {
    let mut clients: Vec<HttpClient> = (0..count).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    }
    clients
}

#[test]
fn requests_beyond_the_sandboxes_wait_their_turn() {
    let server = serve(RUST_P2_HTTP_BAD, &["--sandboxes", "4"]);
    let started = Instant::now();
    for mut client in ask(&server, 16, "/sleep?ms=250") {
        client.response().is(200, "slept 250 ms\n");
    }
    // Four at a time, so that four rounds were needed.
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
}

/// Two components with four sandboxes each share three of their node, so that ten requests need
/// four rounds.
#[test]
fn components_share_the_places_of_their_node() {
    let env = test_env!();
    let source = walnut_test_support::guest(RUST_P2_HTTP_BAD);
    let mut manifest = "[app]\nname = \"two\"\n".to_owned();
    for name in ["a", "b"] {
        manifest += &format!(
            "[component.{name}]\nsource = \"{source}\"\n\
             [[http]]\nhost = \"{name}.test\"\nroute = \"/**\"\ncomponent = \"{name}\"\nsandboxes = 4\n"
        );
    }
    env.file("walnut.toml", manifest);
    let server = ServeProcess::of_apps(&env, ["--node-sandboxes", "3", "."]);
    let started = Instant::now();
    let mut clients: Vec<HttpClient> = (0..10).map(|_| server.connect()).collect();
    for (client, name) in clients.iter_mut().zip(["a", "b"].into_iter().cycle()) {
        client.send(format!("GET /sleep?ms=250 HTTP/1.1\r\nhost: {name}.test\r\n\r\n")).unwrap();
    }
    clients.iter_mut().for_each(|client| client.response().is(200, "slept 250 ms\n"));
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
}

/// The node's limit is for requests. A sandbox that waits for the next request does not count.
#[test]
fn sandboxes_that_idle_have_room_on_a_small_node() {
    let names: Vec<_> = (0..10).map(|n| format!("c{n}")).collect();
    for (guest, reuse) in [(RUST_P2_HTTP_BAD, "reuse = 100"), (RUST_P3_HTTP_ECHO, "")] {
        let env = test_env!();
        let source = walnut_test_support::guest(guest);
        let mut manifest = "[app]\nname = \"ten\"\n".to_owned();
        for name in &names {
            manifest += &format!(
                "[component.{name}]\nsource = \"{source}\"\n\
                 [[http]]\nhost = \"{name}.test\"\nroute = \"/**\"\ncomponent = \"{name}\"\nsandboxes = 1\n{reuse}\n"
            );
        }
        env.file("walnut.toml", manifest);
        let flags = ["--node-sandboxes", "1", "--workers", "1", "--tier", "optimised", "."];
        let server = ServeProcess::of_apps(&env, flags);
        let mut client = server.connect();
        for nth in 1..=3 {
            for name in &names {
                let asked = client.ask(format!("GET /count HTTP/1.1\r\nhost: {name}.test\r\n\r\n"));
                asked.is(200, &format!("{nth}\n"));
            }
        }
    }
}

/// A component that uses all sandboxes of its node makes others wait, and they get 503 when that
/// takes too long.
#[test]
fn who_waits_too_long_for_the_node_is_told_to_come_again() {
    let server = serve(RUST_P2_HTTP_BAD, &["--node-sandboxes", "2", "--queue-timeout", "500ms"]);
    let mut busy = ask(&server, 2, "/sleep?ms=8000");
    std::thread::sleep(Duration::from_millis(500));
    for client in &mut ask(&server, 10, "/fine") {
        client.response().is(503, "the server is busy\n");
    }
    busy.iter_mut().for_each(|client| client.response().is(200, "slept 8000 ms\n"));
    (0..4).for_each(|_| server.get("/fine").is(200, "well behaved\n"));
}

#[test]
fn who_waits_too_long_is_told_to_come_again() {
    let server = serve(RUST_P2_HTTP_BAD, &["--sandboxes", "2"]);
    let mut busy = ask(&server, 2, "/sleep?ms=14000");
    std::thread::sleep(Duration::from_millis(500));
    let mut waiting = ask(&server, 30, "/fine");
    for client in &mut waiting {
        let refused = client.response();
        refused.is(503, "the server is busy\n");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    busy.iter_mut().for_each(|client| client.response().is(200, "slept 14000 ms\n"));
    // The same connections go on.
    waiting.iter_mut().for_each(|client| client.get("/fine").is(200, "well behaved\n"));
}

#[test]
fn nothing_is_dropped_without_an_answer() {
    for guest in [RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO] {
        let mut server = serve(guest, &["--sandboxes", "8"]);
        for _ in 0..5 {
            for mut client in ask(&server, 300, "/") {
                let response = client.response();
                assert!(response.whole && matches!(response.status, 200 | 503), "{response:?}");
            }
        }
        assert!(server.lives());
        assert_eq!(server.get("/").status, 200);
    }
}

/// A permit is given back however its request ends.
#[test]
fn sandboxes_come_back_from_every_end() {
    let server = serve(RUST_P2_HTTP_BAD, &["--sandboxes", "1", "--cpu", "200ms", "--deadline", "600ms"]);
    for path in ["/panic", "/loop", "/never", "/half", "/drop-outparam", "/forget-outparam", "/stack", "/memory"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
        let _ = client.try_response();
        server.get("/fine").is(200, "well behaved\n");
    }
    // A client that leaves gives its sandbox back as well.
    for _ in 0..5 {
        drop(ask(&server, 1, "/sleep?ms=500"));
    }
    server.get("/fine").is(200, "well behaved\n");
}

/// A request of 0.3 keeps its permit while its body streams, or many streams would use up the pool.
#[test]
fn streams_count_as_requests() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let server = serve(guest, &["--sandboxes", "4"]);
        let mut clients: Vec<HttpClient> = (0..12).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
            client.send_chunk("part").unwrap();
        }
        let answered = |client: &mut HttpClient| {
            client.set_timeout(Duration::from_millis(300));
            client.head().is_ok()
        };
        let first: Vec<bool> = clients.iter_mut().map(answered).collect();
        assert_eq!(first.iter().filter(|answered| **answered).count(), 4);
        // As they end, the others are admitted.
        for (client, _) in clients.iter_mut().zip(&first).filter(|(_, first)| **first) {
            client.set_timeout(Duration::from_secs(60));
            client.send("0\r\n\r\n").unwrap();
            assert_eq!((client.chunk().unwrap(), client.chunk().unwrap()), (b"PART".to_vec(), Vec::new()));
        }
        let mut others: Vec<_> = clients.iter_mut().zip(&first).filter(|(_, first)| !**first).collect();
        others.iter_mut().for_each(|(client, _)| client.send("0\r\n\r\n").unwrap());
        for (client, _) in others {
            client.set_timeout(Duration::from_secs(60));
            client.response().is(200, "PART");
        }
    }
}
