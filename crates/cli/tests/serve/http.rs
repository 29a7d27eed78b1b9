//! The promises of HTTP, for components of 0.2 and 0.3 alike.

use crate::{serve, steady};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, Response, test_env};

const HELLO: &str = "hello from a sealed component\n";
const BOTH: [Guest; 2] = [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO];

#[test]
fn rust_0_2_says_hello() {
    serve(RUST_P2_HTTP_HELLO, &[]).get("/").is(200, HELLO);
}

#[test]
fn rust_0_3_says_hello() {
    serve(RUST_P3_HTTP_HELLO, &[]).get("/").is(200, HELLO);
}

#[test]
fn javascript_answers_and_survives_its_exceptions() {
    let server = serve(JS_P2_HTTP_HELLO, &[]);
    server.get("/").is(200, HELLO);
    let json = server.post("/json", r#"{"a": [1, null]}"#);
    json.is(200, r#"{"a":[1,null]}"#);
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(server.get("/throw").status, 500);
    server.get("/").is(200, HELLO);
}

#[test]
fn python_answers_and_survives_its_exceptions() {
    let server = serve(PY_P2_HTTP_HELLO, &[]);
    server.get("/").is(200, HELLO);
    let body = "ping ".repeat(3000);
    server.post("/echo", &body).is(200, &body);
    assert_eq!(server.get("/raise").status, 500);
    server.get("/").is(200, HELLO);
}

#[test]
fn bodies_and_headers_come_back() {
    for guest in BOTH {
        let server = serve(guest, &[]);
        let head =
            "POST /upper HTTP/1.1\r\nhost: test\r\nx-one: 1\r\nX-Two: two words\r\ncontent-length: 5\r\n\r\nhello";
        let response = server.connect().ask(head);
        response.is(200, "HELLO");
        assert_eq!((response.header("x-one"), response.header("x-two")), (Some("1"), Some("two words")));
        server.post("/echo", "").is(200, "");
        server.post("/hash", vec![7; 300_000]).is(200, "300000 bytes\n");
        let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        assert_eq!(server.post("/echo", &binary).body, binary);
    }
}

/// Each part is answered before the next is sent, which only works when nobody collects them.
#[test]
fn bodies_stream_both_ways() {
    for guest in BOTH {
        let server = serve(guest, &[]);
        let mut client = server.connect();
        client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        client.send_chunk("part 0").unwrap();
        let head = client.head().unwrap();
        assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
        assert_eq!(client.chunk().unwrap(), b"PART 0");
        for part in 1..5 {
            client.send_chunk(format!("part {part}")).unwrap();
            assert_eq!(client.chunk().unwrap(), format!("PART {part}").into_bytes());
        }
        client.send("0\r\n\r\n").unwrap();
        assert_eq!(client.chunk().unwrap(), b"");
        assert!(client.fields().unwrap().is_empty());
        client.get("/echo").is(200, "");
    }
}

#[test]
fn a_body_larger_than_all_memory_streams_through() {
    const PART: usize = 64 << 10;
    const PARTS: usize = 1024;
    for guest in BOTH {
        let server = serve(guest, &["--memory", "8MiB", "--sandboxes", "4"]);
        server.post("/upper", "warm up").is(200, "WARM UP");
        let before = server.resident();
        let mut client = server.connect();
        let mut writer = client.writer();
        client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let sending = thread::spawn(move || {
            (0..PARTS).for_each(|_| writer.send_chunk(vec![b'x'; PART]).unwrap());
            writer.send("0\r\n\r\n").unwrap();
        });
        assert_eq!(client.head().unwrap().status, 200);
        let (mut got, mut most) = (0, before);
        loop {
            let part = client.chunk().unwrap();
            if part.is_empty() {
                break;
            }
            assert!(part.iter().all(|byte| *byte == b'X'));
            got += part.len();
            most = most.max(server.resident());
        }
        sending.join().unwrap();
        assert_eq!(got, PART * PARTS);
        if let (Some(before), Some(most)) = (before, most) {
            assert!(most < before + (32 << 20), "{before} bytes grew to {most}");
        }
    }
}

#[test]
fn trailers_go_both_ways() {
    for guest in BOTH {
        for path in ["/echo", "/upper"] {
            let server = serve(guest, &[]);
            let mut client = server.connect();
            client
                .send(format!(
                    "POST {path} HTTP/1.1\r\nhost: test\r\nte: trailers\r\ntrailer: x-sum, x-more\r\n\
                     transfer-encoding: chunked\r\n\r\n"
                ))
                .unwrap();
            client.send_chunk("123").unwrap();
            client.send("0\r\nx-sum: six\r\nx-more: and more\r\n\r\n").unwrap();
            let response = client.response();
            response.is(200, "123");
            let mut trailers = response.trailers;
            trailers.sort();
            assert_eq!(trailers, [("x-more".into(), "and more".into()), ("x-sum".into(), "six".into())]);
            client.get("/echo").is(200, "");
        }
    }
}

#[test]
fn head_has_no_body() {
    for guest in [RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO] {
        let server = serve(guest, &[]);
        let mut client = server.connect();
        client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let head = client.head().unwrap();
        assert_eq!((head.status, head.header("content-length")), (200, Some("30")));
        // The next bytes are the next response, not a body.
        client.get("/").is(200, HELLO);
    }
}

#[test]
fn methods_and_targets_arrive_as_sent() {
    let server = serve(RUST_P2_HTTP_ECHO, &[]);
    let mut client = server.connect();
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        let target = "/method?a=b&c=%20/../";
        client
            .ask(format!("{method} {target} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"))
            .is(200, &format!("{method} {target}\n"));
    }
    client.ask("GET http://other.test/method HTTP/1.1\r\nhost: test\r\n\r\n").is(200, "GET /method\n");
}

#[test]
fn every_status_that_exists_is_passed_on() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    for code in [200, 201, 204, 304, 404, 418, 503, 599, 999] {
        let response = server.get(&format!("/split-status?code={code}"));
        assert_eq!(response.status, code);
        assert!(response.whole);
    }
}

#[test]
fn a_connection_serves_many_requests_until_it_is_asked_to_close() {
    let server = serve(RUST_P2_HTTP_HELLO, &[]);
    let mut client = server.connect();
    (0..50).for_each(|_| client.get("/").is(200, HELLO));
    client.ask("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").is(200, HELLO);
    assert!(client.is_closed());
    let mut old = server.connect();
    old.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n").unwrap();
    let answer = String::from_utf8(old.rest()).unwrap();
    assert!(answer.contains(" 200 OK\r\n") && answer.ends_with(HELLO), "{answer}");
    // A client of HTTP/1.0 asks to keep the connection open.
    let mut old = server.connect();
    old.send("GET / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\nhost: test\r\n\r\n")
        .unwrap();
    let answers = String::from_utf8(old.rest()).unwrap();
    assert!(answers.matches(HELLO).count() == 2 && answers.contains("connection: keep-alive"), "{answers}");
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let server = serve(RUST_P2_HTTP_ECHO, &[]);
    let mut client = server.connect();
    let all: String = (0..20).map(|i| format!("GET /method?{i} HTTP/1.1\r\nhost: test\r\n\r\n")).collect();
    client.send(all).unwrap();
    (0..20).for_each(|i| client.response().is(200, &format!("GET /method?{i}\n")));
}

/// Together the requests would exceed the limits of one sandbox.
#[test]
fn each_request_of_0_2_gets_a_fresh_sandbox() {
    let server = serve(RUST_P2_HTTP_BAD, &["--memory", "64MiB", "--handles", "1000"]);
    let mut client = server.connect();
    for _ in 0..5 {
        client.get("/memory?mib=40").is(200, "touched 40 MiB\n");
        client.get("/handles?count=400").is(200, "holding 400 handles\n");
    }
}

#[test]
fn requests_of_0_3_share_an_instance() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1"]);
    (1..=5).for_each(|count| server.get("/count").is(200, &format!("{count}\n")));
}

#[test]
fn requests_of_0_3_overlap_in_one_instance() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1"]);
    server.get("/count").is(200, "1\n");
    let started = Instant::now();
    let mut clients: Vec<HttpClient> = (0..16).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET /sleep?ms=1000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap());
    clients.iter_mut().for_each(|client| client.response().is(200, "slept 1000 ms\n"));
    // Sequentially they would take 16 s.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    server.get("/count").is(200, "18\n");
}

#[test]
fn an_instance_of_0_3_that_trapped_is_replaced() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1"]);
    (1..=3).for_each(|count| server.get("/count").is(200, &format!("{count}\n")));
    let mut neighbour = server.connect();
    neighbour.send("GET /sleep?ms=60000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    // It shares the instance, which shows once its turn has been.
    let neighbour_is_in = (4..200).any(|own| {
        thread::sleep(Duration::from_millis(10));
        server.get("/count").text() == format!("{}\n", own + 1)
    });
    assert!(neighbour_is_in);
    server.get("/panic").is(500, "the component failed\n");
    neighbour.response().is(500, "the component failed\n");
    server.get("/count").is(200, "1\n");
    server.says("trapped: it gave up");
}

#[test]
fn a_stream_of_an_instance_that_trapped_never_looks_whole() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1"]);
    let mut client = server.connect();
    client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    client.send_chunk("part").unwrap();
    let mut response = client.head().unwrap();
    assert_eq!((response.status, client.chunk().unwrap()), (200, b"PART".to_vec()));
    assert_eq!(server.get("/panic").status, 500);
    response.whole = client.chunk().is_ok();
    assert!(!response.whole);
}

/// Longer than an instance without requests is kept.
#[test]
fn a_pause_in_a_stream_of_0_3_does_not_cut_it() {
    let server = steady(RUST_P3_HTTP_ECHO, &[]);
    let mut client = server.connect();
    client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    client.send_chunk("before").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.chunk().unwrap(), b"BEFORE");
    thread::sleep(Duration::from_secs(12));
    client.send_chunk("after").unwrap();
    assert_eq!(client.chunk().unwrap(), b"AFTER");
    client.send("0\r\n\r\n").unwrap();
    assert_eq!(client.chunk().unwrap(), b"");
}

#[test]
fn what_is_not_a_service_is_refused_before_it_listens() {
    let env = test_env!();
    for guest in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO] {
        let path = walnut_test_support::guest(guest);
        let refused = env.run(["serve", &path, "--addr", "127.0.0.1:0"]).exits_with(126);
        let refused = refused.says("it is a command, not an HTTP service");
        assert!(refused.stderr.contains("hint: run it: `walnut run"), "{refused}");
        assert!(!refused.stderr.contains("serving"), "{refused}");
    }
}

#[test]
fn an_address_in_use_is_said_with_what_to_do() {
    let server = serve(RUST_P2_HTTP_HELLO, &[]);
    let path = walnut_test_support::guest(RUST_P2_HTTP_HELLO);
    let second = server.env.run(["serve", &path, "--addr", &server.address().to_string()]).exits_with(125);
    second
        .says("cannot listen on")
        .says("another program listens there already")
        .stdout
        .is_empty()
        .then_some(())
        .unwrap();
}

#[test]
fn a_small_answer_is_whole_before_it_leaves() {
    let served = serve(RUST_P2_HTTP_BAD, &[]);
    // On a busy machine, a tick in the midst of the guest now and then lets the response leave
    // early.
    let fine = || {
        let fine = served.get("/fine");
        fine.is(200, "well behaved\n");
        fine
    };
    let is_announced = |answer: &Response| answer.header("content-length") == Some("13");
    let fine = (0..20).map(|_| fine()).find(is_announced).expect("one of twenty has its length");
    assert_eq!(fine.header("transfer-encoding"), None);
    // The response of a guest that fails in the middle never looks whole, whether or not some of it
    // has left.
    let half = served.get("/half");
    assert!(half.status == 500 || !half.whole, "{half:?}");
    // The response so far leaves while the guest waits for something else.
    let half = served.get("/half?ms=100");
    assert_eq!((half.status, half.whole, half.text()), (200, false, "half of a body\n".to_owned()));
}
