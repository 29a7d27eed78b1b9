//! Every limit ends only the request that reached it, with the right status.

use crate::admin::{ADMIN, counts};
use crate::{Served, serve, steady};
use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{ServeProcess, test_env};

const SLOW: &str = "the component took too long\n";
const FAILED: &str = "the component failed\n";

/// Checks that the process is alive and answers the next good request.
#[track_caller]
fn is_well(server: &mut Served) {
    assert!(server.lives());
    server.get("/fine").is(200, "well behaved\n");
}

/// Asks for `path` while a good client is served on another connection.
#[track_caller]
fn others_go_on(server: &Served, path: &str, status: u16, text: &str) -> Duration {
    let started = Instant::now();
    let mut bad = server.connect();
    bad.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    let waiting = thread::spawn(move || bad.response());
    let mut good = server.connect();
    let mut answered = 0;
    while !waiting.is_finished() {
        good.get("/fine").is(200, "well behaved\n");
        answered += 1;
        thread::sleep(Duration::from_millis(5));
    }
    assert!(answered > 2, "{answered} answers meanwhile");
    waiting.join().unwrap().is(status, text);
    started.elapsed()
}

#[test]
fn a_loop_ends_while_others_go_on() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--cpu", "500ms"]);
    let took = others_go_on(&server, "/loop", 504, SLOW);
    // On a busy machine, CPU time passes more slowly than wall-clock time.
    assert!(took > Duration::from_millis(450) && took < Duration::from_secs(20), "{took:?}");
    server.says("used up its processor time (limit: 500ms)");
    server.says("hint: raise it with `--cpu");
    is_well(&mut server);
}

/// A guest that never reaches its handler.
#[test]
fn a_loop_in_start_ends_while_others_go_on() {
    let env = test_env!();
    let good = include_str!("../../../../examples/shop/greeter.wat");
    let spins = "(func $spin (loop $again (br $again))) (start $spin) (func (export \"handle\")";
    env.file("app/good.wat", good);
    env.file("app/bad.wat", good.replace("(func (export \"handle\")", spins));
    env.file(
        "app/walnut.toml",
        "[app]\nname = \"app\"\n[component.good]\nsource = \"good.wat\"\n[component.bad]\nsource = \"bad.wat\"\n\
         limits.cpu = \"500ms\"\n[[http]]\nroute = \"/fine\"\ncomponent = \"good\"\n\
         [[http]]\nroute = \"/bad\"\ncomponent = \"bad\"\n",
    );
    let server = Served { server: ServeProcess::of_apps(&env, ["app"]), env };
    let mut bad = server.connect();
    bad.send("GET /bad HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let waiting = thread::spawn(move || bad.response());
    let mut client = server.connect();
    while !waiting.is_finished() {
        client.get("/fine").is(200, "hello from a sealed component\n");
    }
    waiting.join().unwrap().is(504, SLOW);
    server.says("used up its processor time (limit: 500ms)");
}

/// The number of handles is limited, but the guest chooses how much memory the host keeps behind
/// each.
#[test]
fn what_the_host_keeps_for_a_guest_is_memory_too() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        let server = steady(guest, &["--memory", "16MiB", "--handles", "20000"]);
        server.get("/hoard-fields?count=50").is(200, "hoards 50\n");
        server.get("/hoard-fields?count=10000").is(500, FAILED);
        server.says("used up its memory (limit: 16MiB)");
        if let Some(resident) = server.resident() {
            assert!(resident < 256 << 20, "{resident}");
        }
    }
    let mut server = serve(RUST_P2_HTTP_BAD, &["--memory", "16MiB"]);
    server.get("/hoard-methods?count=2").is(200, "hoards 2\n");
    server.get("/hoard-methods?count=500").is(500, FAILED);
    server.says("used up its memory (limit: 16MiB)");
    is_well(&mut server);
}

/// While the host copies for one guest, nothing interrupts it.
#[test]
fn no_call_hands_over_more_than_others_can_wait_for() {
    let mut server = serve(RUST_P2_HTTP_BAD, &[]);
    server.get("/huge-call?mib=3").is(200, "handed over 3 MiB\n");
    server.get("/random?mib=4").is(200, "4194304 random bytes\n");
    server.get("/huge-call?mib=5").is(500, FAILED);
    server.says("it handed over more in one call than the host takes (128 MiB, or 4 MiB where it is not alone, as the host keeps it)");
    server.get("/random?mib=5").is(500, FAILED);
    server.says("it asked for more random bytes in one call than the host gives");
    is_well(&mut server);
}

#[test]
fn more_loops_than_processors_end_while_others_go_on() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--cpu", "300ms", "--sandboxes", "20"]);
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let mut bad = server.connect();
            bad.send("GET /loop HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            thread::spawn(move || bad.response())
        })
        .collect();
    let mut good = server.connect();
    (0..20).for_each(|_| good.get("/fine").is(200, "well behaved\n"));
    loops.into_iter().for_each(|bad| bad.join().unwrap().is(504, SLOW));
    is_well(&mut server);
}

#[test]
fn a_storm_of_host_calls_ends_while_others_go_on() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--cpu", "500ms"]);
    others_go_on(&server, "/storm", 504, SLOW);
    server.says("used up its processor time");
    is_well(&mut server);
}

#[test]
fn a_loop_ends_at_the_deadline_too() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--cpu", "1h", "--deadline", "500ms"]);
    others_go_on(&server, "/loop", 504, SLOW);
    server.says("used up its time (limit: 500ms)");
    is_well(&mut server);
}

#[test]
fn waiting_for_ever_ends_at_the_deadline() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--deadline", "500ms"]);
    others_go_on(&server, "/never", 504, SLOW);
    server.get("/sleep?ms=50").is(200, "slept 50 ms\n");
    is_well(&mut server);
}

#[test]
fn memory_is_bounded() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--memory", "32MiB"]);
    server.get("/memory?mib=16").is(200, "touched 16 MiB\n");
    for _ in 0..3 {
        server.get("/memory").is(500, FAILED);
    }
    server.says("used up its memory (limit: 32MiB)");
    is_well(&mut server);
    serve(RUST_P2_HTTP_BAD, &["--memory", "96MiB"]).get("/memory?mib=64").is(200, "touched 64 MiB\n");
}

/// A sandbox of 0.3 has its limits for all of its requests together, and another sandbox takes its
/// place.
#[test]
fn memory_and_handles_of_0_3_are_bounded() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1", "--memory", "32MiB", "--handles", "100"]);
    server.post("/hash", vec![b'x'; 4 << 20]).is(200, "4194304 bytes\n");
    server.get("/handles?count=40").is(200, "holding 40 handles\n");
    for _ in 0..3 {
        server.post("/hash", vec![b'x'; 64 << 20]).is(500, FAILED);
        server.get("/count").is(200, "1\n");
        server.get("/handles").is(500, FAILED);
        server.get("/count").is(200, "1\n");
    }
    server.says("used up its memory (limit: 32MiB)");
    server.says("used up its host-side handles (limit: 100)");
}

#[test]
fn the_stack_is_bounded() {
    let mut server = serve(RUST_P2_HTTP_BAD, &[]);
    (0..3).for_each(|_| server.get("/stack").is(500, FAILED));
    server.says("used up its call stack");
    is_well(&mut server);
}

#[test]
fn handles_are_bounded() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--handles", "100"]);
    server.get("/handles?count=40").is(200, "holding 40 handles\n");
    server.get("/handles").is(500, FAILED);
    server.says("used up its host-side handles (limit: 100)");
    is_well(&mut server);
}

#[test]
fn a_guest_that_answers_nothing_is_answered_for() {
    let mut server = serve(RUST_P2_HTTP_BAD, &[]);
    for path in ["/drop-outparam", "/forget-outparam", "/panic"] {
        server.get(path).is(500, FAILED);
    }
    server.says("the guest ended without a response");
    is_well(&mut server);
}

#[test]
fn a_guest_that_fails_in_its_body_never_looks_whole() {
    let mut server = serve(RUST_P2_HTTP_BAD, &[]);
    let mut client = server.connect();
    client.send("GET /half HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let response = client.response();
    assert!(response.status == 500 || !response.whole, "{response:?}");
    server.says("trapped: it gave up");
    is_well(&mut server);
}

#[test]
fn response_bodies_are_bounded() {
    let mut server = serve(RUST_P2_HTTP_BAD, &["--response-body", "1MiB"]);
    let fits = server.get("/big?mib=1");
    assert!(fits.whole && fits.body.len() == 1 << 20);
    let mut client = server.connect();
    client.send("GET /big?mib=64 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let cut = client.response();
    assert!(!cut.whole && cut.body.len() <= 1 << 20, "{} bytes, whole: {}", cut.body.len(), cut.whole);
    is_well(&mut server);
    let server = serve(RUST_P3_HTTP_ECHO, &["--response-body", "100k"]);
    server.post("/echo", vec![b'x'; 100 << 10]).is(200, &"x".repeat(100 << 10));
    let mut client = server.connect();
    let head = format!("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", 200 << 10);
    let sent = client.send([head.as_bytes(), &vec![b'x'; 200 << 10]].concat());
    let cut = sent.and_then(|()| client.try_response());
    assert!(!cut.as_ref().is_ok_and(|cut| cut.whole || cut.body.len() > 100 << 10), "{cut:?}");
    server.post("/echo", "again").is(200, "again");
}

#[test]
fn request_bodies_are_bounded() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let mut server = serve(guest, &["--request-body", "100k"]);
        server.post("/hash", vec![1; 100 << 10]).is(200, "102400 bytes\n");
        server.post("/hash", vec![1; (100 << 10) + 1]).is(413, "the request body is too large\n");
        // A body of unknown size is cut where it exceeds the limit.
        let mut client = server.connect();
        client.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let mut writer = client.writer();
        let sending = thread::spawn(move || {
            (0..100).take_while(|_| writer.send_chunk(vec![b'x'; 10 << 10]).is_ok()).count();
            let _ = writer.send("0\r\n\r\n");
        });
        let echoed = client.try_response().map_or(0, |response| response.body.len());
        assert!(echoed <= 100 << 10, "{echoed} bytes");
        drop(client);
        sending.join().unwrap();
        assert!(server.lives());
        server.post("/hash", "again").is(200, "5 bytes\n");
    }
}

/// Guests that reach these limits go on. The operator is warned of each limit once, and the metrics
/// count each time.
#[test]
fn limits_that_end_no_sandbox_are_counted_and_said_once() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let limits = ["--connections", "1", "--request-body", "8KiB", "--response-body", "1KiB", "--workers", "1"];
    let server = steady(RUST_P3_HTTP_ECHO, &[&ADMIN[..], &limits, &["--http", &url]].concat());
    let reached = |limit: &str, times: u32| {
        let name = RUST_P3_HTTP_ECHO.path().file_name().unwrap().to_string_lossy().into_owned();
        let labels = format!(r#"app="{name}",component="component",limit="{limit}""#);
        counts(&server, &format!("walnut_limits_reached_total{{{labels}}} {times}"));
    };
    let target = format!("/outbound?url={url}/");
    let mut first = server.connect();
    first.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    let (mut stream, _) = upstream.accept().unwrap();
    (0..2).for_each(|_| server.get(&target).is(200, "error: connection-limit-reached\n"));
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
    first.response().is(200, "status 204\n");
    reached("connections", 2);
    // A body with a content-length, and a body without.
    server.post("/hash", [0; 8193]).is(413, "the request body is too large\n");
    let mut client = server.connect();
    client.send("POST /hash HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    client.send_chunk([0; 8193]).unwrap();
    client.response().is(500, FAILED);
    reached("request-body", 2);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 2000\r\n\r\n").unwrap();
    client.send([b'x'; 2000]).unwrap();
    assert!(!client.try_response().is_ok_and(|cut| cut.whole));
    reached("response-body", 1);
    for (deed, limit) in [
        ("used up its outbound connections (limit: 1)", "connections"),
        ("had a request body that is too large (limit: 8KiB)", "request-body"),
        ("had a response body that is too large (limit: 1KiB)", "response-body"),
    ] {
        server.says(&format!("hint: raise it with `--{limit} N`, or `limits.{limit}` in walnut.toml"));
        assert_eq!(server.stderr().matches(&format!("{deed}\n")).count(), 1, "{}", server.stderr());
    }
}

#[test]
fn a_loop_of_0_3_ends_and_the_instance_is_replaced() {
    let mut server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1", "--cpu", "500ms"]);
    for _ in 0..3 {
        server.get("/count").is(200, "1\n");
        server.get("/loop").is(504, SLOW);
    }
    server.says("used up its processor time (limit: 500ms)");
    assert!(server.lives());
    server.get("/count").is(200, "1\n");
}

/// Requests before it must not have saved up time for it.
#[test]
fn a_loop_of_0_3_has_the_time_of_one_request() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1", "--cpu", "500ms", "--deadline", "1h"]);
    let mut client = server.connect();
    (1..=200).for_each(|count| client.get("/count").is(200, &format!("{count}\n")));
    let started = Instant::now();
    client.get("/loop").is(504, SLOW);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// The deadline ends the request of a busy instance, and later requests do not wait for it.
#[test]
fn a_busy_instance_of_0_3_does_not_hold_up_the_next_request() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1", "--cpu", "1h", "--deadline", "1s"]);
    server.get("/count").is(200, "1\n");
    server.get("/loop").is(504, SLOW);
    server.get("/count").is(200, "1\n");
}

#[test]
fn sleeping_past_the_deadline_in_0_3_ends_that_request_only() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--deadline", "1s"]);
    let mut sleeper = server.connect();
    sleeper.send("GET /sleep?ms=60000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    server.get("/sleep?ms=200").is(200, "slept 200 ms\n");
    sleeper.response().is(504, SLOW);
    assert_eq!(server.get("/count").status, 200);
}

/// Its neighbours in the instance wait with it, but later requests do not.
#[test]
fn a_loop_of_0_3_does_not_hold_up_who_comes_later() {
    let server = steady(RUST_P3_HTTP_ECHO, &["--workers", "1", "--cpu", "3s"]);
    server.get("/count").is(200, "1\n");
    let mut bad = server.connect();
    bad.send("GET /loop HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let waiting = thread::spawn(move || bad.response());
    thread::sleep(Duration::from_millis(100));
    let mut answered = 0;
    while !waiting.is_finished() {
        server.post("/upper", "fine").is(200, "FINE");
        answered += 1;
    }
    waiting.join().unwrap().is(504, SLOW);
    // Two would be the one that was sent before it and the one that found it dead.
    assert!(answered > 2, "{answered} answers meanwhile");
}

/// A response ends at the deadline, whichever side is slow.
#[test]
fn a_stream_ends_at_the_deadline() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let server = serve(guest, &["--deadline", "1s"]);
        let mut client = server.connect();
        client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        client.send_chunk("part").unwrap();
        let response = client.response();
        assert!(!response.whole && response.body == b"PART", "{response:?}");
        server.says("used up its time (limit: 1s)");
        server.post("/upper", "again").is(200, "AGAIN");
    }
}

/// They share its thread. Each response takes a few of the loop's turns; if sockets were polled
/// only now and then, the responses would take longer than the loop lives.
#[test]
fn a_loop_leaves_its_neighbours_their_sockets() {
    for (guest, good) in [(RUST_P2_HTTP_BAD, "/fine"), (RUST_P3_HTTP_ECHO, "/count")] {
        let server = serve(guest, &["--workers", "1", "--cpu", "60s", "--deadline", "20s"]);
        let mut stuck = server.connect();
        stuck.send("GET /loop HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(300));
        for _ in 0..50 {
            assert_eq!(server.get(good).status, 200);
        }
        assert!(!server.stderr().contains("used up its time"), "the loop ended before its neighbours");
    }
}

/// Each of the loops has its turn, but only one of them before a request that needs a moment.
#[test]
fn many_loops_leave_their_neighbours_their_turn() {
    let server =
        serve(RUST_P2_HTTP_BAD, &["--workers", "1", "--sandboxes", "100", "--cpu", "10m", "--deadline", "10m"]);
    let mut loops: Vec<_> = (0..60).map(|_| server.connect()).collect();
    loops.iter_mut().for_each(|client| client.send("GET /loop HTTP/1.1\r\nhost: test\r\n\r\n").unwrap());
    thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    let mut client = server.connect();
    (0..100).for_each(|_| client.get("/fine").is(200, "well behaved\n"));
    // Behind all sixty of them each would take more than 60 ms.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}
