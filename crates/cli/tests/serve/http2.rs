//! The promises of HTTP/2 to well-behaved clients.

use crate::{Served, serve, steady};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::frames::{BAD_REQUEST, Frames, NO_CONTENT, OK, OTHER, field};
use walnut_test_support::{Http2, ServeProcess, request};

const HELLO: &str = "hello from a sealed component\n";
const BOTH: [Guest; 2] = [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO];

#[track_caller]
pub(crate) fn open(server: &ServeProcess) -> Http2 {
    Http2::open(server.address()).expect("the server takes a connection")
}

#[test]
fn one_port_speaks_both() {
    for guest in [RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO] {
        let server = serve(guest, &[]);
        let mut client = open(&server);
        for _ in 0..20 {
            let answer = client.get("/");
            answer.is(200, HELLO);
            assert!(answer.header("date").is_some());
            server.get("/").is(200, HELLO);
        }
    }
}

#[test]
fn streams_of_a_connection_are_served_at_once() {
    let server = serve(RUST_P2_HTTP_BAD, &["--sandboxes", "100"]);
    let mut client = open(&server);
    client.get("/fine").is(200, "well behaved\n");
    let started = Instant::now();
    let answers = client.ask_all((0..60).map(|_| request("GET", "/sleep?ms=1000")));
    answers.iter().for_each(|answer| answer.is(200, "slept 1000 ms\n"));
    // Sequentially they would take a minute.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // Streams beyond the limit wait at the client.
    let answers = client.ask_all((0..300).map(|_| request("GET", "/fine")));
    answers.iter().for_each(|answer| answer.is(200, "well behaved\n"));
}

#[test]
fn methods_targets_and_headers_arrive_as_sent() {
    let server = serve(RUST_P2_HTTP_ECHO, &[]);
    let mut client = open(&server);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        let target = "/method?a=b&c=%20/../";
        client.ask(request(method, target), b"").is(200, &format!("{method} {target}\n"));
    }
    let mut with_headers = request("POST", "/upper");
    with_headers.headers_mut().insert("x-one", "1".parse().unwrap());
    let answer = client.ask(with_headers, b"hello");
    answer.is(200, "HELLO");
    assert_eq!(answer.header("x-one"), Some("1"));
}

/// Each part is answered before the next is sent, which only works when nobody collects them.
#[test]
fn bodies_stream_both_ways_and_trailers_end_them() {
    for guest in BOTH {
        for path in ["/upper", "/echo"] {
            let server = serve(guest, &[]);
            let mut client = open(&server);
            let mut exchange = client.start(request("POST", path), false);
            for i in 0..5 {
                exchange.send(format!("PART {i}")).unwrap();
                if i == 0 {
                    assert_eq!(exchange.head().unwrap().status, 200);
                }
                assert_eq!(exchange.part().unwrap(), format!("PART {i}").into_bytes());
            }
            exchange.finish(&[("x-sum", "five"), ("x-more", "and more")]).unwrap();
            assert_eq!(exchange.part().unwrap(), b"");
            let mut trailers = exchange.trailers().unwrap();
            trailers.sort();
            assert_eq!(trailers, [("x-more".into(), "and more".into()), ("x-sum".into(), "five".into())]);
            client.get("/echo").is(200, "");
        }
    }
}

#[test]
fn a_body_larger_than_all_memory_streams_through() {
    const PART: usize = 64 << 10;
    const PARTS: usize = 512;
    for guest in BOTH {
        let server = serve(guest, &["--memory", "8MiB", "--sandboxes", "4"]);
        let mut client = open(&server);
        client.ask(request("POST", "/upper"), b"warm up").is(200, "WARM UP");
        let before = server.resident();
        let mut exchange = client.start(request("POST", "/upper"), false);
        let mut got = 0;
        // A client that reads only after it has sent some, so that windows close on both sides.
        for round in 0..PARTS {
            exchange.send(vec![b'x'; PART]).unwrap();
            if round == 0 {
                assert_eq!(exchange.head().unwrap().status, 200);
            }
            while got < (round + 1) * PART {
                let part = exchange.part().unwrap();
                assert!(!part.is_empty() && part.iter().all(|byte| *byte == b'X'));
                got += part.len();
            }
        }
        exchange.finish(&[]).unwrap();
        assert_eq!(exchange.part().unwrap(), b"");
        if let (Some(before), Some(now)) = (before, server.resident()) {
            assert!(now < before + (32 << 20), "{before} bytes grew to {now}");
        }
    }
}

/// The needs of gRPC: messages in both directions, one or many, and the status in the trailers.
#[test]
fn calls_of_the_shape_of_grpc_pass() {
    let call = || {
        let mut call = request("POST", "/walnut.Echo/Echo");
        call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        call.headers_mut().insert("te", "trailers".parse().unwrap());
        call.headers_mut().insert("grpc-timeout", "20S".parse().unwrap());
        call
    };
    let message = |text: &str| {
        let length = u32::try_from(text.len()).unwrap();
        [&[0], &length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let status = [("grpc-status", "0"), ("grpc-message", "fine")];
    let told = |trailers: Vec<(String, String)>| {
        status.iter().all(|(name, value)| trailers.contains(&((*name).into(), (*value).into())))
    };
    for guest in BOTH {
        let server = serve(guest, &[]);
        let mut client = open(&server);
        let mut unary = client.start(call(), false);
        unary.send(message("one")).unwrap();
        unary.finish(&status).unwrap();
        let answer = unary.response();
        assert_eq!((answer.status, answer.whole, &answer.body), (200, true, &message("one")));
        assert!(told(answer.trailers));

        let mut stream = client.start(call(), false);
        for i in 0..20 {
            let message = message(&format!("message {i}"));
            stream.send(&message).unwrap();
            if i == 0 {
                assert_eq!(stream.head().unwrap().status, 200);
            }
            assert_eq!(stream.part().unwrap(), message);
        }
        stream.finish(&status).unwrap();
        assert_eq!(stream.part().unwrap(), b"");
        assert!(told(stream.trailers().unwrap()));
    }
}

#[test]
fn answers_without_a_body_have_none() {
    for guest in [RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO] {
        let server = serve(guest, &[]);
        let answer = open(&server).ask(request("HEAD", "/"), b"");
        answer.is(200, "");
        assert_eq!(answer.header("content-length"), Some("30"));
    }
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    let mut client = open(&server);
    for code in [200, 201, 204, 304, 404, 418, 503, 599, 999] {
        let answer = client.get(&format!("/split-status?code={code}"));
        assert!(answer.status == code && answer.whole, "{answer:?}");
        assert!(answer.body.is_empty() || !matches!(code, 204 | 304), "{answer:?}");
    }
}

/// The client is asked for the body once the guest asks for it.
#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    for guest in BOTH {
        let server = serve(guest, &["--request-body", "1MiB"]);
        let mut client = open(&server);
        let mut waits = request("POST", "/hash");
        waits.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let mut exchange = client.start(waits.clone(), false);
        assert_eq!(exchange.informational().unwrap(), 100);
        exchange.send("12345").unwrap();
        exchange.finish(&[]).unwrap();
        exchange.response().is(200, "5 bytes\n");
        // The body of a request that is refused by its head is not asked for.
        waits.headers_mut().insert("content-length", "2000000".parse().unwrap());
        let mut exchange = client.start(waits, false);
        assert!(exchange.informational().is_err());
        assert_eq!(exchange.response().status, 413);
        // HTTP/1.1 does the same.
        let waits = |length: u32| {
            let mut client = server.connect();
            let head = format!("POST /hash HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n");
            client.send(head + "expect: 100-continue\r\n\r\n").unwrap();
            let status = client.head().unwrap().status;
            (client, status)
        };
        let (mut client, status) = waits(5);
        assert_eq!(status, 100);
        client.send("12345").unwrap();
        client.response().is(200, "5 bytes\n");
        assert_eq!(waits(2_000_000).1, 413);
    }
}

#[test]
fn what_is_for_the_server_itself_is_answered_by_it() {
    let server = serve(RUST_P2_HTTP_ECHO, &[]);
    let mut client = server.connect();
    client.ask("OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n").is(204, "");
    client.ask("GET * HTTP/1.1\r\nhost: test\r\n\r\n").is(400, "the request's target is not a path\n");
    client.ask("OPTIONS /method HTTP/1.1\r\nhost: test\r\n\r\n").is(200, "OPTIONS /method\n");
    client.ask("CONNECT test:443 HTTP/1.1\r\nhost: test\r\n\r\n").is(501, "this server is not a proxy\n");
    let mut frames = Frames::open(&server);
    for (head, status) in [
        (
            vec![
                field(":method", "OPTIONS"),
                field(":scheme", "http"),
                field(":path", "*"),
                field(":authority", "test"),
            ],
            NO_CONTENT,
        ),
        (
            vec![field(":method", "GET"), field(":scheme", "http"), field(":path", "*"), field(":authority", "test")],
            BAD_REQUEST,
        ),
        (vec![field(":method", "CONNECT"), field(":authority", "test:443")], OTHER),
    ] {
        frames.head(&head.concat());
        assert_eq!(frames.status(), status);
    }
}

#[test]
fn a_host_is_named_once_or_twice_the_same() {
    for guest in BOTH {
        let server = serve(guest, &[]);
        let mut frames = Frames::open(&server);
        let get = [field(":method", "GET"), field(":scheme", "http"), field(":path", "/echo")].concat();
        for (more, status) in [
            (vec![field(":authority", "test")], OK),
            (vec![field("host", "test")], OK),
            (vec![field(":authority", "test"), field("host", "TEST")], OK),
            (vec![], BAD_REQUEST),
            (vec![field(":authority", "test"), field("host", "other")], BAD_REQUEST),
            (vec![field(":authority", "test"), field("host", "test"), field("host", "test")], BAD_REQUEST),
            (vec![field(":authority", "user@test")], BAD_REQUEST),
        ] {
            frames.head(&[get.clone(), more.concat()].concat());
            assert_eq!(frames.status(), status, "{more:?}");
        }
    }
}

#[test]
fn what_was_meant_for_one_hop_does_not_reach_the_guest() {
    for guest in BOTH {
        let server = serve(guest, &[]);
        let mut client = server.connect();
        let answer = client.ask(
            "POST /echo HTTP/1.1\r\nhost: test\r\nconnection: keep-alive, X-Drop, content-length\r\nx-drop: 1\r\n\
             x-keep: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nhi",
        );
        answer.is(200, "hi");
        assert_eq!((answer.header("x-drop"), answer.header("x-keep")), (None, Some("1")));
        client.get("/echo").is(200, "");
    }
}

#[test]
fn what_a_client_says_of_hops_before_it_is_believed_only_when_told_to() {
    for guest in BOTH {
        for (flags, passes) in [(&[][..], false), (&["--trust-forwarded"][..], true)] {
            let server = serve(guest, flags);
            let h1 = server.connect().ask(
                "GET /echo HTTP/1.1\r\nhost: test\r\nx-forwarded-for: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nx-other: 1\r\n\r\n",
            );
            let mut get = request("GET", "/echo");
            for name in ["x-forwarded-for", "x-real-ip", "x-other"] {
                get.headers_mut().insert(name, "1.2.3.4".parse().unwrap());
            }
            for answer in [h1, open(&server).ask(get, b"")] {
                assert!(answer.header("x-other").is_some());
                for name in ["x-forwarded-for", "x-real-ip"] {
                    assert_eq!(answer.header(name).is_some(), passes, "{name}: {answer:?}");
                }
            }
        }
    }
}

#[test]
fn trailers_say_no_more_of_hops_than_heads() {
    for guest in BOTH {
        for (flags, passing) in
            [(&[][..], &["x-sum"][..]), (&["--trust-forwarded"][..], &["x-forwarded-for", "x-sum"][..])]
        {
            let server = serve(guest, flags);
            let h1 = server.connect().ask(
                "POST /echo HTTP/1.1\r\nhost: test\r\nconnection: x-drop\r\nte: trailers\r\n\
                 trailer: x-sum, x-forwarded-for, x-drop\r\ntransfer-encoding: chunked\r\n\r\n\
                 3\r\n123\r\n0\r\nx-sum: 3\r\nx-forwarded-for: 1.2.3.4\r\nx-drop: 1\r\n\r\n",
            );
            let mut client = open(&server);
            let mut exchange = client.start(request("POST", "/echo"), false);
            exchange.send("123").unwrap();
            exchange.finish(&[("x-sum", "3"), ("x-forwarded-for", "1.2.3.4"), ("te", "trailers")]).unwrap();
            for answer in [h1, exchange.response()] {
                answer.is(200, "123");
                let mut names: Vec<_> = answer.trailers.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                assert_eq!(names, passing, "{guest:?} {flags:?}");
            }
        }
    }
}

#[test]
fn who_the_client_is_is_told_only_when_asked_for() {
    for guest in BOTH {
        for (flags, told) in [
            (&[][..], (None, None)),
            (&["--trust-forwarded"], (Some("1.2.3.4"), None)),
            (&["--forward-client"], (Some("127.0.0.1"), Some("http"))),
            (&["--forward-client", "--trust-forwarded"], (Some("1.2.3.4, 127.0.0.1"), Some("http"))),
        ] {
            let server = serve(guest, flags);
            let h1 = server.connect().ask("GET /echo HTTP/1.1\r\nhost: test\r\nx-forwarded-for: 1.2.3.4\r\n\r\n");
            let mut get = request("GET", "/echo");
            get.headers_mut().insert("x-forwarded-for", "1.2.3.4".parse().unwrap());
            for answer in [h1, open(&server).ask(get, b"")] {
                let found = (answer.header("x-forwarded-for"), answer.header("x-forwarded-proto"));
                assert_eq!(found, told, "{flags:?}");
            }
        }
    }
}

#[test]
fn failures_end_their_stream_and_no_other() {
    let server = serve(RUST_P2_HTTP_BAD, &["--deadline", "2s", "--request-body", "1MiB"]);
    let mut client = open(&server);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/never").status, 504);
    let half = client.get("/half?ms=100");
    assert!(half.status == 200 && !half.whole, "{half:?}");
    assert_eq!(client.ask(request("POST", "/fine"), &[b'x'; 100]).status, 200);
    let mut large = request("POST", "/fine");
    large.headers_mut().insert("content-length", "2000000".parse().unwrap());
    assert_eq!(client.start(large, false).response().status, 413);
    client.get("/fine").is(200, "well behaved\n");

    // It fails in the middle of its response, which must not look whole.
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1"]);
    let mut client = open(&server);
    let mut exchange = client.start(request("POST", "/upper"), false);
    exchange.send("part").unwrap();
    assert_eq!((exchange.head().unwrap().status, exchange.part().unwrap()), (200, b"PART".to_vec()));
    assert_eq!(server.get("/panic").status, 500);
    assert!(exchange.part().is_err());
    drop(exchange);
    client.get("/count").is(200, "1\n");
}

#[test]
fn a_stop_finishes_the_streams_under_way_and_takes_no_more() {
    for guest in BOTH {
        let served = serve(guest, &["--drain", "1h"]);
        let idle = open(&served);
        // It replies to nothing any more, not even to the GOAWAY.
        let silent = Frames::open(&served);
        let mut client = open(&served);
        let mut exchange = client.start(request("POST", "/upper"), false);
        exchange.send("before").unwrap();
        assert_eq!((exchange.head().unwrap().status, exchange.part().unwrap()), (200, b"BEFORE".to_vec()));
        served.terminate();
        thread::sleep(Duration::from_millis(300));
        exchange.send("after").unwrap();
        assert_eq!(exchange.part().unwrap(), b"AFTER");
        exchange.finish(&[]).unwrap();
        assert_eq!(exchange.part().unwrap(), b"");
        drop(exchange);
        assert!(client.try_start(request("GET", "/"), true).is_err());
        let started = Instant::now();
        let Served { server, env: _env } = served;
        let output = server.wait().succeeds();
        assert!(!output.stderr.contains("warning") && started.elapsed() < Duration::from_secs(20), "{output}");
        drop((idle, silent));
    }
}
