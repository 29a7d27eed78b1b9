//! HTTP/2: what it promises, and clients that abuse it. After each attack the process lives, the next good request is
//! answered and memory is where it was; beside each is a client that does a little of the same and is served.

use crate::{Served, serve, steady};
use std::io;
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{Connection, Http2, ServeProcess, request};

const HELLO: &str = "hello from a sealed component\n";
const BOTH: [Guest; 2] = [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO];

#[track_caller]
fn open(server: &ServeProcess) -> Http2 {
    Http2::open(server.address()).expect("the server takes a connection")
}

/// Watches what an attack costs.
struct Watch {
    before: Option<u64>,
}

impl Watch {
    fn new(server: &mut Served) -> Self {
        let watch = Watch { before: None };
        watch.is_well(server);
        Watch { before: server.resident() }
    }

    #[track_caller]
    fn is_well(&self, server: &mut Served) {
        assert!(server.lives());
        open(server).get("/method?").is(200, "GET /method?\n");
        server.get("/method?").is(200, "GET /method?\n");
        if let (Some(before), Some(now)) = (self.before, server.resident()) {
            assert!(now < before + (48 << 20), "{before} bytes grew to {now}");
        }
    }
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
    // One after the other they would take a minute.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // More than are allowed at once wait at the client.
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
        // A client that reads no sooner than it has sent some, so that windows close on both sides.
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

/// What gRPC needs of HTTP/2: its messages in both directions, one or many, and its status in the trailers.
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

/// The guest asks for the body, and then the client is asked for it.
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
        // What is refused by its head is not asked for.
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
    client.ask("CONNECT test:443 HTTP/1.1\r\nhost: test\r\n\r\n").is(501, "this server is no proxy\n");
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

    // It fails in the middle of its answer, which must not look whole.
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
        // It answers nothing any more, not even that it heard of the end.
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

// ---- Frames by hand, for clients that mean harm.

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: u32 = 8;
/// How HPACK begins a head with this status; all others begin alike.
const OK: u8 = 0x88;
const NO_CONTENT: u8 = 0x89;
const BAD_REQUEST: u8 = 0x8c;
const OTHER: u8 = 0x48;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field in HPACK, neither indexed nor compressed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| match u8::try_from(text.len()) {
        Ok(length @ 0..127) => [&[length], text.as_bytes()].concat(),
        // A prefix of 7 bits, and the rest in groups of 7.
        _ => {
            let (mut rest, mut bytes) = (text.len() - 127, vec![127]);
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
            bytes.extend(text.as_bytes());
            bytes
        }
    };
    [&[0], &text(name)[..], &text(value)].concat()
}

fn get(path: &str) -> Vec<u8> {
    [field(":method", "GET"), field(":scheme", "http"), field(":path", path), field(":authority", "test")].concat()
}

struct Frames {
    connection: Connection,
    stream: u32,
}

impl Frames {
    fn open(server: &ServeProcess) -> Self {
        Self::with_settings(server, &[])
    }

    fn with_settings(server: &ServeProcess, settings: &[u8]) -> Self {
        let mut connection = server.connect();
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        connection.send(frame(SETTINGS, 0, 0, settings)).unwrap();
        let mut frames = Frames { connection, stream: 1 };
        frames.until(|frame| frame.kind == SETTINGS && frame.flags == 0).unwrap();
        frames.connection.send(frame(SETTINGS, ACK, 0, &[])).unwrap();
        frames
    }

    /// Sends the head of a request without a body.
    fn head(&mut self, block: &[u8]) {
        self.connection.send(frame(HEADERS, END_HEADERS | END_STREAM, self.stream, block)).unwrap();
        self.stream += 2;
    }

    fn next(&mut self) -> io::Result<Frame> {
        let head = self.connection.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.connection.exactly(length as usize)?;
        if head[3] == PING && head[4] != ACK {
            self.connection.send(frame(PING, ACK, 0, &payload))?;
        }
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> io::Result<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }

    /// The first byte of the next head, which tells its status.
    #[track_caller]
    fn status(&mut self) -> u8 {
        self.until(|frame| frame.kind == HEADERS).expect("the server answers").payload[0]
    }

    /// Why the server ends the connection, if it says so.
    fn goodbye(&mut self) -> Option<u32> {
        let frame = self.until(|frame| frame.kind == GOAWAY).ok()?;
        Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()))
    }
}

#[test]
fn rapid_reset() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    for _ in 0..3 {
        let mut frames = Frames::open(&server);
        let both = |stream: u32| {
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/method"));
            [head, frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
        };
        let flood: Vec<u8> = (0..10_000).flat_map(|i| both(2 * i + 1)).collect();
        // It is cut off somewhere in the middle.
        let _ = frames.connection.send(flood);
        assert!(matches!(frames.goodbye(), Some(ENHANCE_YOUR_CALM) | None));
        watch.is_well(&mut server);
    }
    // A client that takes some back is served on.
    let mut client = open(&server);
    for _ in 0..50 {
        client.start(request("POST", "/hash"), false).reset();
        client.get("/method?").is(200, "GET /method?\n");
    }
}

/// Each is taken before it is reset, so that each has cost something.
#[test]
fn reset_after_the_start() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        let mut server = serve(guest, &["--sandboxes", "4", "--deadline", "5s"]);
        let mut client = open(&server);
        let mut resets = 0;
        while resets < 1000 {
            let Ok(exchange) = client.try_start(request("GET", "/sleep?ms=60000"), true) else { break };
            thread::sleep(Duration::from_millis(5));
            exchange.reset();
            resets += 1;
        }
        assert!((100..500).contains(&resets), "{resets}");
        assert!(server.lives());
        assert_eq!(open(&server).get("/fine").status, 200);
    }
}

#[test]
fn settings_flood() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    let window = |size: u32| frame(SETTINGS, 0, 0, &[&[0, 4], &size.to_be_bytes()[..]].concat());
    flood(&server, &window(70_000).repeat(100));
    watch.is_well(&mut server);
    let mut few = Frames::open(&server);
    (0..20).for_each(|i| few.connection.send(window(65_535 + i)).unwrap());
    (0..20).for_each(|_| drop(few.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap()));
    few.head(&get("/method"));
    assert_eq!(few.status(), OK);
}

#[test]
fn ping_flood() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    let ping = frame(PING, 0, 0, b"pingpong");
    flood(&server, &ping.repeat(100));
    watch.is_well(&mut server);
    let mut few = Frames::open(&server);
    (0..20).for_each(|_| few.connection.send(&ping).unwrap());
    (0..20).for_each(|_| drop(few.until(|frame| frame.kind == PING && frame.flags == ACK).unwrap()));
    few.head(&get("/method"));
    assert_eq!(few.status(), OK);
}

#[test]
fn floods_of_frames_that_carry_nothing() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    let mut frames = Frames::open(&server);
    let head = [get("/hash"), field("x", "y")].concat();
    frames.connection.send(frame(HEADERS, END_HEADERS, 1, &head)).unwrap();
    let empty = frame(DATA, 0, 1, b"").repeat(1000);
    let _ = (0..100).try_for_each(|_| frames.connection.send(&empty));
    watch.is_well(&mut server);
    flood(&server, &frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(100));
    watch.is_well(&mut server);
    // Of a kind that nobody knows, which RFC 9113 section 4.1 says to ignore.
    flood(&server, &frame(200, 0, 0, b"").repeat(100));
    watch.is_well(&mut server);
    let mut few = Frames::open(&server);
    few.connection.send(frame(200, 0, 0, b"")).unwrap();
    few.connection.send(frame(HEADERS, END_HEADERS, 1, &head)).unwrap();
    few.connection.send(frame(DATA, 0, 1, b"").repeat(5)).unwrap();
    few.connection.send(frame(DATA, END_STREAM, 1, b"abc")).unwrap();
    assert_eq!(few.status(), OK);
    assert_eq!(few.until(|frame| frame.kind == DATA && frame.stream == 1).unwrap().payload, b"3 bytes\n");
}

/// Sends a lot of `bytes` and reads nothing, for as long as the server takes it or a while.
fn flood(server: &ServeProcess, bytes: &[u8]) {
    let mut frames = Frames::open(server);
    frames.connection.patience(Duration::from_secs(2));
    let _ = (0..1000).try_for_each(|_| frames.connection.send(bytes));
}

#[test]
fn continuation_flood() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    for part in [field("x", &"a".repeat(1000)), Vec::new(), field("x", "")] {
        let mut frames = Frames::open(&server);
        frames.connection.patience(Duration::from_secs(5));
        let _ = frames.connection.send(frame(HEADERS, END_STREAM, 1, &get("/method")));
        let more = frame(CONTINUATION, 0, 1, &part).repeat(100);
        let _ = (0..1000).try_for_each(|_| frames.connection.send(&more));
        assert!(frames.goodbye().is_none_or(|reason| reason == ENHANCE_YOUR_CALM));
        watch.is_well(&mut server);
    }
    let mut few = Frames::open(&server);
    few.connection.send(frame(HEADERS, END_STREAM, 1, &get("/method"))).unwrap();
    few.connection.send(frame(CONTINUATION, 0, 1, &field("x-one", "1"))).unwrap();
    few.connection.send(frame(CONTINUATION, END_HEADERS, 1, &field("x-two", "2"))).unwrap();
    assert_eq!(few.status(), OK);
}

/// 64 KiB, as HTTP/2 counts it: 32 bytes more for each field. HTTP/1.1 has the same limit, and one of 100 fields.
#[test]
fn heads_have_a_limit() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    let head = |count: usize| [get("/method"), field("y", &"a".repeat(4000)).repeat(count)].concat();
    let send = |frames: &mut Frames, block: &[u8]| {
        let mut parts = block.chunks(16_000).peekable();
        let (mut kind, mut first) = (HEADERS, END_STREAM);
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            frames.connection.send(frame(kind, first | last, 1, part)).unwrap();
            (kind, first) = (CONTINUATION, 0);
        }
    };
    let mut frames = Frames::open(&server);
    send(&mut frames, &head(15));
    assert_eq!(frames.status(), OK);
    let mut frames = Frames::open(&server);
    send(&mut frames, &head(17));
    assert_eq!(frames.status(), OTHER);
    // One field that is sent once and named ten thousand times.
    let mut frames = Frames::open(&server);
    let stored = [&[0x40, 1, b'y'][..], &field("", &"a".repeat(4000))[2..]].concat();
    send(&mut frames, &[get("/method"), stored, vec![0xbe; 10_000]].concat());
    let answer = frames.until(|frame| matches!(frame.kind, HEADERS | GOAWAY));
    assert!(answer.is_err() || answer.is_ok_and(|frame| frame.kind == GOAWAY || frame.payload[0] == OTHER));
    watch.is_well(&mut server);

    let field = |size: usize| format!("GET /method HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n", "a".repeat(size));
    server.connect().ask(field(60 << 10)).is(200, "GET /method\n");
    assert_eq!(server.connect().ask(field(66 << 10)).status, 431);
    let fields = |count: usize| {
        let fields: String = (0..count).map(|i| format!("y-{i}: {i}\r\n")).collect();
        format!("GET /method HTTP/1.1\r\nhost: test\r\n{fields}\r\n")
    };
    server.connect().ask(fields(99)).is(200, "GET /method\n");
    assert_eq!(server.connect().ask(fields(100)).status, 431);
    watch.is_well(&mut server);
}

/// Settings by which no stream has room for a byte.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

#[test]
fn a_window_that_never_opens_holds_a_stream_for_a_while_and_no_sandbox() {
    for (guest, path) in [(RUST_P2_HTTP_ECHO, "/method"), (RUST_P3_HTTP_ECHO, "/sleep?ms=1")] {
        let mut server = serve(guest, &["--sandboxes", "200", "--deadline", "5s"]);
        let before = server.resident();
        let mut attackers: Vec<Frames> = (0..10).map(|_| Frames::with_settings(&server, &NO_WINDOW)).collect();
        for frames in &mut attackers {
            (0..100).for_each(|_| frames.head(&get(path)));
        }
        // Others are served meanwhile, or told to come again.
        let mut client = open(&server);
        for _ in 0..20 {
            assert!(matches!(client.get("/echo").status, 200 | 503));
        }
        if let (Some(before), Some(now)) = (before, server.resident()) {
            assert!(now < before + (256 << 20), "{before} bytes grew to {now}");
        }
        let reset = attackers[0].until(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!(reset.payload, CANCEL.to_be_bytes());
        // The others did not even answer when they were asked whether they are there.
        for frames in &mut attackers[1..] {
            let ended = frames.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
            assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock));
        }
        assert!(server.lives());
        assert_eq!(open(&server).get("/echo").status, 200);
        // One that opens its window late gets it all.
        let mut late = Frames::with_settings(&server, &NO_WINDOW);
        late.head(&get(path));
        thread::sleep(Duration::from_secs(3));
        late.connection.send(frame(WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes())).unwrap();
        assert!(!late.until(|frame| frame.kind == DATA).unwrap().payload.is_empty());
    }
}

/// Its connections are as few as everybody's, so who does nothing with one gives it up.
#[test]
fn connections_on_which_nothing_happens_are_closed() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let half_a_head = |frames: &mut Frames| {
        frames.connection.send(frame(HEADERS, END_STREAM, 1, &get("/method"))).unwrap();
    };
    let mut half_a_preface = server.connect();
    half_a_preface.send(&preface[..20]).unwrap();
    let mut only_a_preface = server.connect();
    only_a_preface.send(preface).unwrap();
    let (mut idle, mut half, mut pings) = (Frames::open(&server), Frames::open(&server), Frames::open(&server));
    half_a_head(&mut half);
    let started = Instant::now();
    let mut writer = pings.connection.writer();
    let pinging = thread::spawn(move || {
        while writer.send(frame(PING, 0, 0, b"pingpong")).is_ok() && started.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let _ = half_a_preface.rest();
    let _ = only_a_preface.rest();
    assert_eq!(idle.goodbye(), Some(0));
    let _ = (idle.connection.rest(), half.connection.rest());
    assert_eq!(pings.goodbye(), Some(0));
    let _ = pings.connection.rest();
    pinging.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    watch.is_well(&mut server);
}

/// It is asked whether it is there. A client that says so may wait as long as the answer takes.
#[test]
fn a_client_that_is_gone_is_noticed_while_its_request_runs() {
    let server = serve(RUST_P2_HTTP_BAD, &["--deadline", "5m"]);
    let mut gone = Frames::open(&server);
    gone.head(&get("/sleep?ms=200000"));
    let mut there = open(&server);
    let mut waits = there.start(request("GET", "/sleep?ms=40000"), true);
    let started = Instant::now();
    let _ = gone.connection.rest();
    let took = started.elapsed();
    assert!(Duration::from_secs(15) < took && took < Duration::from_secs(60), "{took:?}");
    assert_eq!(waits.head().unwrap().status, 200);
}
