//! Clients that abuse HTTP/2. After each attack the process is alive, the next good request is
//! answered and memory is back to its size before. Each has a twin that does a little of the same
//! and is served.

use crate::http2::open;
use crate::{Served, serve};
use std::io;
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::frames::*;
use walnut_test_support::{HttpClient, ServeProcess, request};

/// Measures the cost of an attack.
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
        // The connection is closed somewhere in the middle.
        let _ = frames.connection.send(flood);
        assert!(matches!(frames.goodbye(), Some(ENHANCE_YOUR_CALM) | None));
        watch.is_well(&mut server);
    }
    // A client that resets a few streams is served on.
    let mut client = open(&server);
    for _ in 0..50 {
        client.start(request("POST", "/hash"), false).reset();
        client.get("/method?").is(200, "GET /method?\n");
    }
}

/// Each is accepted before it is reset, so that each has a cost.
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

/// When a client does not read the replies, the server stops reading, and closes the connection
/// after a while.
#[test]
fn settings_flood() {
    let window = |size: u32| frame(SETTINGS, 0, 0, &[&[0, 4], &size.to_be_bytes()[..]].concat());
    let mut server = serve(RUST_P2_HTTP_ECHO, &UNREAD);
    let watch = Watch::new(&mut server);
    flood(&server, &window(70_000));
    watch.is_well(&mut server);
    let mut few = Frames::open(&server);
    (0..20).for_each(|i| few.connection.send(window(65_535 + i)).unwrap());
    (0..20).for_each(|_| drop(few.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap()));
    few.head(&get("/method"));
    assert_eq!(few.status(), OK);
}

/// The same holds for these frames.
#[test]
fn ping_flood() {
    let ping = frame(PING, 0, 0, b"pingpong");
    let mut server = serve(RUST_P2_HTTP_ECHO, &UNREAD);
    let watch = Watch::new(&mut server);
    flood(&server, &ping);
    watch.is_well(&mut server);
    let mut few = Frames::open(&server);
    (0..20).for_each(|_| few.connection.send(&ping).unwrap());
    (0..20).for_each(|_| drop(few.until(|frame| frame.kind == PING && frame.flags == ACK).unwrap()));
    few.head(&get("/method"));
    assert_eq!(few.status(), OK);
}

/// Without a request, a connection is idle whatever its frames, also while its client reads every
/// reply.
#[test]
fn floods_without_a_request_end_when_their_time_is_over() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &["--head-timeout", "1s", "--workers", "1"]);
    let watch = Watch::new(&mut server);
    for frame in [
        frame(PING, 0, 0, b"pingpong"),
        frame(SETTINGS, 0, 0, b""),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 0]),
        // An unknown type of frame, which RFC 9113 section 4.1 says to ignore.
        frame(200, 0, 0, b""),
    ] {
        let served = &server;
        thread::scope(|scope| {
            let flood = scope.spawn(move || flood_and_read(served, &frame));
            // Others are served meanwhile, on the same thread.
            while !flood.is_finished() {
                served.get("/method").is(200, "GET /method\n");
            }
            flood.join().unwrap();
        });
        watch.is_well(&mut server);
    }
    let mut few = Frames::open(&server);
    few.connection.send(frame(200, 0, 0, b"")).unwrap();
    few.connection.send(frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())).unwrap();
    few.head(&get("/method"));
    assert_eq!(few.status(), OK);
}

#[test]
fn a_flood_of_data_without_data() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let watch = Watch::new(&mut server);
    let mut frames = Frames::open(&server);
    let head = [get("/hash"), field("x", "y")].concat();
    frames.connection.send(frame(HEADERS, END_HEADERS, 1, &head)).unwrap();
    let empty = frame(DATA, 0, 1, b"").repeat(1000);
    let _ = (0..100).try_for_each(|_| frames.connection.send(&empty));
    assert!(matches!(frames.goodbye(), Some(ENHANCE_YOUR_CALM) | None));
    watch.is_well(&mut server);
    let mut few = Frames::open(&server);
    few.connection.send(frame(HEADERS, END_HEADERS, 1, &head)).unwrap();
    few.connection.send(frame(DATA, 0, 1, b"").repeat(5)).unwrap();
    few.connection.send(frame(DATA, END_STREAM, 1, b"abc")).unwrap();
    assert_eq!(few.status(), OK);
    assert_eq!(few.until(|frame| frame.kind == DATA && frame.stream == 1).unwrap().payload, b"3 bytes\n");
}

/// The idle time-out is off.
const UNREAD: [&str; 4] = ["--stall-timeout", "1s", "--head-timeout", "1h"];

/// Sends one frame over and over and reads nothing, until the server ends the connection.
#[track_caller]
fn flood(server: &ServeProcess, frame: &[u8]) {
    endless(&mut Frames::open(server).connection, frame);
}

/// Sends one frame over and over and reads the replies, until the server ends the connection.
#[track_caller]
fn flood_and_read(server: &ServeProcess, frame: &[u8]) {
    let mut frames = Frames::open(server);
    let mut writer = frames.connection.writer();
    thread::scope(|scope| {
        scope.spawn(move || frames.connection.rest());
        endless(&mut writer, frame);
    });
}

/// Time after which a client that does not answer pings is disconnected, whatever else it does.
const NOT_THERE: Duration = Duration::from_secs(28);

#[track_caller]
fn endless(connection: &mut HttpClient, frame: &[u8]) {
    let (many, started) = (frame.repeat(1000), Instant::now());
    while connection.send(&many).is_ok() && started.elapsed() < NOT_THERE {}
    assert!(started.elapsed() < NOT_THERE, "the connection goes on");
}

#[test]
fn continuation_flood() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &["--head-timeout", "1h"]);
    let watch = Watch::new(&mut server);
    for part in [field("x", &"a".repeat(1000)), Vec::new(), field("x", "")] {
        let mut frames = Frames::open(&server);
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

/// 64 KiB, as HTTP/2 counts it: 32 more bytes for each field. HTTP/1.1 has the same limit, and
/// another one of 100 fields.
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
    // A field that is sent once and referenced ten thousand times.
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
        let mut server = serve(guest, &["--sandboxes", "200", "--deadline", "5s", "--stall-timeout", "8s"]);
        let before = server.resident();
        let mut attackers: Vec<Frames> = (0..20).map(|_| Frames::with_settings(&server, &NO_WINDOW)).collect();
        for frames in &mut attackers {
            (0..50).for_each(|_| frames.head(&get(path)));
        }
        // Others are served meanwhile, or get 503.
        let mut client = open(&server);
        for _ in 0..20 {
            assert!(matches!(client.get("/echo").status, 200 | 503));
        }
        if let (Some(before), Some(now)) = (before, server.resident()) {
            assert!(now < before + (256 << 20), "{before} bytes grew to {now}");
        }
        let reset = attackers[0].until(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!(reset.payload, CANCEL.to_be_bytes());
        // The other clients did not even answer the ping.
        for frames in &mut attackers[1..] {
            let ended = frames.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
            assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock));
        }
        assert!(server.lives());
        assert_eq!(open(&server).get("/echo").status, 200);
        // A client that opens its window late gets the whole response.
        let mut late = Frames::with_settings(&server, &NO_WINDOW);
        late.head(&get(path));
        thread::sleep(Duration::from_secs(3));
        late.connection.send(frame(WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes())).unwrap();
        assert!(!late.until(|frame| frame.kind == DATA).unwrap().payload.is_empty());
    }
}

/// A client may do anything with the streams that it may have.
#[test]
fn one_connection_leaves_sandboxes_to_others() {
    let server = serve(RUST_P2_HTTP_ECHO, &["--queue-timeout", "100ms", "--sandboxes", "110"]);
    let mut frames = Frames::open(&server);
    for stream in (1..).step_by(2).take(110) {
        frames.connection.send(frame(HEADERS, END_HEADERS, stream, &get("/echo"))).unwrap();
    }
    assert_eq!(frames.until(|frame| frame.kind == RST_STREAM).unwrap().reason(), Some(REFUSED_STREAM));
    open(&server).get("/method").is(200, "GET /method\n");
}

/// The connection limit is the same for all clients, so a client that does nothing with its
/// connection loses it.
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
    half.goodbye();
    assert_eq!(pings.goodbye(), Some(0));
    pinging.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    watch.is_well(&mut server);
}

/// The server pings the client. A client that answers may wait as long as the response takes.
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
