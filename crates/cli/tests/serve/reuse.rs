//! `--reuse`: several requests have one sandbox, one after another, and every failure ends it.

use crate::admin::{ADMIN, counts};
use crate::{Served, serve, steady};
use std::fs;
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, ServeProcess, guest, test_env};

/// A single sandbox at once, so that the next request finds it returned or gone.
fn reused(most: &str, flags: &[&str]) -> Served {
    steady(RUST_P2_HTTP_BAD, &[&["--reuse", most, "--sandboxes", "1"], flags].concat())
}

/// Returns the number of requests that the answering sandbox has had.
#[track_caller]
fn is_request(client: &mut HttpClient, nth: u32) {
    client.get("/count").is(200, &format!("{nth}\n"));
}

#[test]
fn a_sandbox_is_fresh_unless_said_otherwise() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    let mut client = server.connect();
    (0..3).for_each(|_| is_request(&mut client, 1));
}

#[test]
fn a_sandbox_takes_as_many_requests_as_are_said() {
    let server = reused("3", &[]);
    let mut client = server.connect();
    [1, 2, 3, 1, 2, 3, 1].into_iter().for_each(|nth| is_request(&mut client, nth));
    // For every client, on every thread.
    [2, 3, 1].into_iter().for_each(|nth| is_request(&mut server.connect(), nth));
}

#[test]
fn a_manifest_says_it_for_each_component() {
    let env = test_env!();
    let bad = guest(RUST_P2_HTTP_BAD);
    let component = |name: &str, reuse: &str| {
        let route = format!("[[http]]\nhost = \"{name}\"\nroute = \"/**\"\ncomponent = \"{name}\"\n");
        format!("[component.{name}]\nsource = \"{bad}\"\n{route}sandboxes = 1\n{reuse}\n")
    };
    let text = format!("[app]\nname = \"shop\"\n{}{}", component("twice", "reuse = 2"), component("once", ""));
    env.file("walnut.toml", text);
    let server = ServeProcess::of_apps(&env, ["--tier", "optimised", "."]);
    let mut client = server.connect();
    for (host, nth) in [("twice", 1), ("once", 1), ("twice", 2), ("once", 1), ("twice", 1)] {
        client.ask(format!("GET /count HTTP/1.1\r\nhost: {host}\r\n\r\n")).is(200, &format!("{nth}\n"));
    }
}

#[test]
fn whatever_fails_ends_its_sandbox() {
    let server = reused("100", &["--cpu", "300ms", "--memory", "32MiB"]);
    let mut client = server.connect();
    for (path, status) in [
        ("/panic", 500),
        ("/loop", 504),
        ("/memory", 500),
        ("/stack", 500),
        ("/handles", 500),
        ("/forget-outparam", 500),
        ("/drop-outparam", 500),
    ] {
        is_request(&mut client, 1);
        is_request(&mut client, 2);
        assert_eq!(client.get(path).status, status, "{path}");
        is_request(&mut client, 1);
        assert_eq!(client.get("/panic").status, 500);
    }
}

#[test]
fn each_request_has_the_time_of_one() {
    let server = reused("100", &["--cpu", "500ms", "--deadline", "3s"]);
    let mut client = server.connect();
    (1..=6).for_each(|nth| client.get("/compute?ms=200").is(200, &format!("{nth}\n")));
    (0..5).for_each(|_| client.get("/sleep?ms=700").is(200, "slept 700 ms\n"));
    is_request(&mut client, 12);
}

#[test]
fn the_memory_is_that_of_one_sandbox() {
    let server = reused("100", &["--memory", "64MiB"]);
    let mut client = server.connect();
    // Memory that is given back is taken again.
    (0..5).for_each(|_| client.get("/memory?mib=24").is(200, "touched 24 MiB\n"));
    is_request(&mut client, 6);
    client.get("/memory?mib=100").is(500, "the component failed\n");
    is_request(&mut client, 1);
}

#[test]
fn requests_at_once_have_sandboxes_of_their_own() {
    let server = steady(RUST_P2_HTTP_BAD, &["--reuse", "100", "--workers", "1"]);
    let mut slow = server.connect();
    slow.send("GET /sleep?ms=1500 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    // A single thread reads requests in the order of their arrival.
    let mut other = server.connect();
    (1..=3).for_each(|nth| is_request(&mut other, nth));
    slow.response().is(200, "slept 1500 ms\n");
}

#[test]
fn what_a_request_leaves_behind_is_bounded() {
    let server = reused("100", &["--handles", "100"]);
    let mut client = server.connect();
    client.get("/forget?count=10").is(200, "1: forgot 10 handles\n");
    client.get("/forget?count=10").is(200, "2: forgot 10 handles\n");
    // Later requests must not fail for it.
    client.get("/forget?count=10").is(200, "3: forgot 10 handles\n");
    client.get("/handles?count=40").is(200, "holding 40 handles\n");
    is_request(&mut client, 2);
}

#[test]
fn an_answer_that_nobody_ended_ends_with_its_call() {
    let server = reused("100", &["--deadline", "1h"]);
    let mut client = server.connect();
    is_request(&mut client, 1);
    client.get("/forget-body").is(200, "2: forgot the body\n");
    is_request(&mut client, 1);
}

#[test]
fn a_request_that_was_kept_holds_no_connection() {
    let server = reused("100", &["--deadline", "1h"]);
    let mut client = server.connect();
    client.send("POST /forget-request HTTP/1.1\r\nhost: test\r\ncontent-length: 6\r\n\r\nabc").unwrap();
    client.response().is(200, "1: forgot the request\n");
    assert!(client.is_closed());
    is_request(&mut server.connect(), 2);
}

#[test]
fn a_client_that_leaves_ends_its_sandbox() {
    let server = reused("100", &["--deadline", "1h"]);
    is_request(&mut server.connect(), 1);
    let mut leaves = server.connect();
    leaves.send("GET /never HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(leaves);
    is_request(&mut server.connect(), 1);
    // In the middle of a response, too.
    let mut leaves = server.connect();
    leaves.send("GET /big?mib=64 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(leaves.head().unwrap().status, 200);
    drop(leaves);
    is_request(&mut server.connect(), 1);
}

#[test]
fn a_stream_gives_its_sandbox_back_at_its_end() {
    let server = reused("100", &[]);
    let mut client = server.connect();
    for nth in [1, 3, 5] {
        is_request(&mut client, nth);
        assert_eq!(client.get("/big?mib=1").body.len(), 1 << 20);
    }
    let server = steady(RUST_P2_HTTP_ECHO, &["--reuse", "100", "--sandboxes", "1"]);
    let body = vec![b'x'; 3 << 20];
    (0..3).for_each(|_| assert_eq!(server.post("/upper", &body).body.len(), body.len()));
}

#[test]
fn one_that_idles_is_counted_and_goes_with_its_version() {
    let env = test_env!();
    env.file("app.wasm", fs::read(RUST_P2_HTTP_BAD.path()).unwrap());
    let flags = ["app.wasm", "--reuse", "100", "--sandboxes", "1"];
    let server = ServeProcess::of_apps(&env, [&["--tier", "optimised"], &flags[..], &ADMIN].concat());
    let mut client = server.connect();
    is_request(&mut client, 1);
    is_request(&mut client, 2);
    counts(&server, r#"walnut_sandboxes{app="app.wasm",component="component"} 1"#);
    counts(&server, r#"walnut_admission_permits_in_use{app="app.wasm",component="component"} 0"#);
    server.hang_up();
    server.says("reloaded");
    counts(&server, r#"walnut_sandboxes{app="app.wasm",component="component"} 0"#);
    is_request(&mut client, 1);
}

#[test]
fn a_component_of_0_3_decides_itself() {
    let env = test_env!();
    let p3 = guest(RUST_P3_HTTP_ECHO);
    let refused = env.run(["serve", "--addr", "127.0.0.1:0", "--reuse", "2", &p3]).exits_with(126);
    let _ = refused.says("cannot be served with `reuse`: it is of WASI 0.3").says("hint: leave `reuse` out");
}
