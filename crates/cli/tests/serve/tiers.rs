//! Two compilers: a service starts with baseline code, and changes over to optimised code while it
//! serves.

use crate::Served;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{ServeProcess, TestEnv, guest, test_env};

const HELLO: &str = "hello from a sealed component\n";
const CHANGED: &str = "optimised code from now on";

fn serve_cold(guest: Guest, flags: &[&str]) -> Served {
    let env = test_env!().with_own_cache();
    Served { server: ServeProcess::start(&env, guest, flags), env }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn no_request_is_lost_when_the_code_is_changed_over() {
    for (guest, target) in [(RUST_P2_HTTP_ECHO, "/method"), (RUST_P3_HTTP_ECHO, "/count")] {
        let server = serve_cold(guest, &["--access-log", "off"]);
        let (over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            // However this ends, the clients do too.
            let _over = Over(&over);
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut client = server.connect();
                    while !over.load(SeqCst) {
                        // The rest of the time is for the compiler.
                        thread::sleep(Duration::from_millis(1));
                        let response = client.get(target);
                        assert_eq!(response.status, 200, "{response:?}");
                        answered.fetch_add(1, SeqCst);
                    }
                });
            }
            server.says(CHANGED);
            let before = answered.load(SeqCst);
            while answered.load(SeqCst) < before + 50 {
                thread::yield_now();
            }
        });
    }
}

/// The optimiser takes seconds for it, and every CPU.
#[test]
fn requests_are_answered_while_the_optimised_code_is_made() {
    let server = serve_cold(JS_P2_HTTP_HELLO, &["--access-log", "off"]);
    let (mut client, mut answered, started) = (server.connect(), 0, Instant::now());
    let mut longest = Duration::ZERO;
    while !server.stderr().contains(CHANGED) {
        let asked = Instant::now();
        client.get("/").is(200, HELLO);
        longest = longest.max(asked.elapsed());
        answered += u32::from(!server.stderr().contains(CHANGED));
        // The rest of the time is for the compiler, and for other tests.
        thread::sleep(Duration::from_millis(20));
        assert!(started.elapsed() < Duration::from_secs(600), "there is no optimised code after {answered} answers");
    }
    let took = started.elapsed();
    client.get("/").is(200, HELLO);
    assert!(answered > 20, "{answered} answers meanwhile");
    // A service that waits for the compiler waits for all of its time, however fast the machine is.
    assert!(longest < took / 2, "{longest:?} for one of {answered} answers in {took:?}");
}

/// The baseline compiler does not know tail calls.
#[test]
fn what_the_baseline_compiler_cannot_compile_is_served_and_said() {
    let good = include_str!("../../../../examples/shop/greeter.wat");
    let calls_last = "(func $again (return_call $again)) (func (export \"handle\")";
    let unfit = good.replace("(func (export \"handle\")", calls_last);
    for (text, is_said) in [(good, false), (unfit.as_str(), true)] {
        let env = test_env!().with_own_cache();
        env.file("app.wat", text);
        let server = ServeProcess::of_apps(&env, ["app.wat"]);
        server.get("/").is(200, HELLO);
        server.says(CHANGED);
        let said = server.stop().succeeds().stderr;
        let words = "app.wat: took longer to compile, as the baseline compiler cannot: ";
        assert_eq!(said.contains(words), is_said, "{said}");
    }
}

#[test]
fn a_stream_under_way_ends_on_the_code_that_it_began_on() {
    let server = serve_cold(RUST_P3_HTTP_ECHO, &[]);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").unwrap();
    server.says(CHANGED);
    assert_eq!(server.get("/count").status, 200);
    client.send("3\r\ntwo\r\n0\r\n\r\n").unwrap();
    client.response().is(200, "onetwo");
}

#[test]
fn the_next_start_has_the_optimised_code() {
    let Served { server, env } = serve_cold(RUST_P2_HTTP_HELLO, &[]);
    server.says(CHANGED);
    server.stop();
    let again = ServeProcess::start(&env, RUST_P2_HTTP_HELLO, ["--access-log", "off"]);
    assert_eq!(again.get("/").status, 200);
    let said = again.stop();
    assert!(!said.stderr.contains(CHANGED), "{said}");
}

/// An app whose route `/n` leads to its `n`th component, each of the same file.
fn alike(env: &TestEnv, count: usize) {
    let source = guest(RUST_P2_HTTP_HELLO);
    let component = |n| {
        format!(
            "[component.c{n}]\nsource = \"{source}\"\n[[http]]\nroute = \"/{n}\"\ncomponent = \"c{n}\"\nsandboxes = 4\n"
        )
    };
    let components: String = (0..count).map(component).collect();
    env.file("app/walnut.toml", format!("[app]\nname = \"app\"\n{components}"));
}

#[test]
fn components_of_one_file_share_its_code_and_each_changes_over() {
    const ALL: usize = 8;
    let env = test_env!().with_own_cache();
    let answers = |server: &ServeProcess| (0..ALL).for_each(|n| server.get(&format!("/{n}")).is(200, HELLO));
    alike(&env, ALL);
    let server = ServeProcess::of_apps(&env, ["app"]);
    answers(&server);
    server.says_times(CHANGED, ALL);
    answers(&server);
    server.stop().succeeds();
    // This time from the cache.
    let server = ServeProcess::of_apps(&env, ["app"]);
    answers(&server);
    let of_all = server.mappings(".code");
    server.stop().succeeds();
    alike(&env, 1);
    let server = ServeProcess::of_apps(&env, ["app"]);
    server.get("/0").is(200, HELLO);
    assert_eq!(of_all, server.mappings(".code"));
    assert_ne!(of_all, Some(0), "it runs from the cache's file");
}
