//! A busy component leaves other components on its thread their share. The tests count responses,
//! in the order in which the server finished them, and never time.

use crate::Served;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use walnut_test_programs::*;
use walnut_test_support::{Http2, HttpClient, ServeProcess, request, test_env};

/// Requests of the quiet component, one after another.
const QUIET: usize = 40;

/// Starts a server with one thread: the noisy component answers every host but that of the quiet
/// one. Both have the keys `route` at their routes.
fn two(guest: Guest, route: &str) -> Served {
    two_limited(guest, route, "")
}

/// Like [`two`], with the keys `component` for both components.
fn two_limited(guest: Guest, route: &str, component: &str) -> Served {
    let env = test_env!();
    let source = walnut_test_support::guest(guest);
    let mut manifest = "[app]\nname = \"two\"\n".to_owned();
    for (name, host) in [("noisy", ""), ("quiet", "host = \"quiet.test\"\n")] {
        manifest += &format!(
            "[component.{name}]\nsource = \"{source}\"\n{component}\n\
             [[http]]\n{host}route = \"/**\"\ncomponent = \"{name}\"\n{route}\n"
        );
    }
    env.file("walnut.toml", manifest);
    let flags = ["--workers", "1", "--tier", "optimised", "--access-log", "json", "."];
    Served { server: ServeProcess::of_apps(&env, flags), env }
}

fn requests(host: &str, count: usize) -> String {
    format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").repeat(count)
}

/// Sends `count` requests to the quiet component at once, and reads the responses.
fn ask_quietly(server: &ServeProcess, count: usize) {
    let mut client = server.connect();
    client.send(requests("quiet.test", count)).unwrap();
    (0..count).for_each(|_| assert_eq!(client.response().status, 200));
}

/// Counts responses of the noisy component between the first and the last response of the quiet
/// one.
fn noise_meanwhile(served: Served) -> usize {
    let output = served.server.stop().succeeds();
    let lines = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ended: Vec<String> = lines.map(|line| line["component"].as_str().expect("it has one").to_owned()).collect();
    let of_quiet = |name: &String| name == "quiet";
    let first = ended.iter().position(of_quiet).expect("there is a line of it");
    let last = ended.iter().rposition(of_quiet).expect("there is a line of it");
    let meanwhile = &ended[first..=last];
    assert_eq!(meanwhile.iter().filter(|name| of_quiet(name)).count(), QUIET);
    meanwhile.len() - QUIET
}

/// With a turn for each connection, there would be more than sixty for each.
#[test]
fn many_requests_of_one_component_leave_another_its_turn() {
    for (guest, more) in [(RUST_P2_HTTP_HELLO, ""), (RUST_P2_HTTP_HELLO, "reuse = 100"), (RUST_P3_HTTP_HELLO, "")] {
        let served = two(guest, more);
        let mut noisy: Vec<HttpClient> = (0..64).map(|_| served.connect()).collect();
        noisy.iter_mut().for_each(|client| client.send(requests("noisy.test", 50)).unwrap());
        ask_quietly(&served, QUIET);
        for client in &mut noisy {
            (0..50).for_each(|_| assert_eq!(client.response().status, 200));
        }
        let noise = noise_meanwhile(served);
        assert!(noise < QUIET * 8, "{noise} of the noisy ones for {QUIET} quiet ones ({guest:?} {more})");
    }
}

#[test]
fn many_streams_of_one_component_leave_another_its_turn() {
    let served = two(RUST_P2_HTTP_HELLO, "");
    let is_over = Arc::<AtomicBool>::default();
    let noise = |_| {
        let (address, is_over) = (served.address(), is_over.clone());
        thread::spawn(move || {
            let mut client = Http2::open(address).unwrap();
            while !is_over.load(SeqCst) {
                let answers = client.ask_all((0..100).map(|_| request("GET", "/")));
                answers.iter().for_each(|answer| assert_eq!(answer.status, 200));
            }
        })
    };
    let noisy: Vec<_> = (0..4).map(noise).collect();
    ask_quietly(&served, QUIET);
    is_over.store(true, SeqCst);
    noisy.into_iter().for_each(|client| client.join().unwrap());
    let noise = noise_meanwhile(served);
    assert!(noise < QUIET * 8, "{noise} of the noisy ones for {QUIET} quiet ones");
}

/// A request that leaves while it waits for its turn gives back its permit and its place in the
/// queue.
#[test]
fn who_leaves_before_its_turn_holds_up_nobody() {
    for (guest, more) in [(RUST_P2_HTTP_HELLO, ""), (RUST_P2_HTTP_HELLO, "reuse = 100"), (RUST_P3_HTTP_HELLO, "")] {
        let served = two(guest, &format!("sandboxes = 8\n{more}"));
        for _ in 0..10 {
            let mut noisy: Vec<HttpClient> = (0..64).map(|_| served.connect()).collect();
            noisy.iter_mut().for_each(|client| client.send(requests("noisy.test", 5)).unwrap());
            ask_quietly(&served, 4);
            drop(noisy);
            let mut client = Http2::open(served.address()).unwrap();
            for _ in 0..10 {
                client.start(request("GET", "/"), true).reset();
            }
            ask_quietly(&served, 4);
        }
        let mut last: Vec<HttpClient> = (0..16).map(|_| served.connect()).collect();
        last.iter_mut().for_each(|client| client.send(requests("noisy.test", 2)).unwrap());
        for client in &mut last {
            (0..2).for_each(|_| assert_eq!(client.response().status, 200));
        }
    }
}

/// A request that began takes too long; one that did not begin may be sent again.
#[test]
fn a_request_without_a_turn_until_its_deadline_is_answered_503() {
    let served = two_limited(RUST_P2_HTTP_BAD, "", "limits = { deadline = \"20ms\" }");
    // Only threads that several components use have turns.
    for host in ["noisy.test", "quiet.test"] {
        served.connect().ask(requests(host, 1)).is(200, "well behaved\n");
    }
    let answers = Http2::open(served.address()).unwrap().ask_all((0..100).map(|_| request("GET", "/loop")));
    let (busy, slow): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 503);
    assert!(!busy.is_empty(), "all had a turn in time");
    for answer in &busy {
        assert_eq!((answer.header("retry-after"), answer.text().as_str()), (Some("1"), "the server is busy\n"));
    }
    for answer in &slow {
        assert_eq!((answer.status, answer.text().as_str()), (504, "the component took too long\n"));
    }
    let log = served.server.stop().succeeds().stdout;
    assert_eq!(log.matches(r#""cause":"overloaded""#).count(), busy.len(), "{log}");
}

/// A long computation moves to another thread only where it disturbs others; a sandbox with much
/// memory always ends on another thread.
#[test]
fn what_takes_long_leaves_the_thread_of_the_others() {
    let served = two_limited(RUST_P2_HTTP_BAD, "", "limits = { cpu = \"300ms\", memory = \"64MiB\" }");
    let threads = |name: &str| {
        let threads = served.threads()?;
        Some(threads.iter().filter(|thread| *thread == name).count())
    };
    if served.threads().is_none() {
        return;
    }
    // A thread has its name once it runs.
    let soon_one = |name: &str| {
        for _ in 0..1000 {
            if threads(name) == Some(1) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?} has no {name}", served.threads());
    };
    let slow = "the component took too long\n";
    assert_eq!(served.get("/loop").status, 504);
    assert_eq!(threads("walnut-compute"), Some(0), "it was alone");
    assert_eq!(served.get("/memory?mib=1").status, 200);
    assert_eq!(threads("walnut-drop"), Some(0), "it has hardly grown");
    assert_eq!(served.get("/memory").status, 500);
    soon_one("walnut-drop");
    ask_quietly(&served, 1);
    let mut noisy = served.connect();
    noisy.send("GET /loop HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    ask_quietly(&served, QUIET);
    let answer = noisy.response();
    assert_eq!((answer.status, answer.text().as_str()), (504, slow));
    soon_one("walnut-compute");
    // Its limit is reported as for a guest that stays where it began.
    served.says("cpu");
}
