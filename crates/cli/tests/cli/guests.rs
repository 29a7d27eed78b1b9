//! Each guest on its good path, under its own name.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use walnut_test_programs::{self as programs, Guest, assert_test_exists, foreach_guest};
use walnut_test_support::{RunOutput, guest, test_env};

foreach_guest!(assert_test_exists);

const HELLO: &str = "hello from a sealed component\n";

fn run(program: Guest, args: &[&str]) -> RunOutput {
    let path = guest(program);
    test_env!().run(["run", &path].iter().chain(args))
}

fn call(program: Guest, call: &str) -> RunOutput {
    test_env!().run(["call", &guest(program), call])
}

/// Guests that the tests of `serve` exercise.
#[track_caller]
fn is_a_service(program: Guest) {
    let output = test_env!().run(["inspect", &guest(program)]).succeeds();
    assert!(output.stdout.contains(" walnut serve "), "{output}");
}

#[test]
fn c_p1_crash() {
    run(programs::C_P1_CRASH, &[]).exits_with(2).says("unknown way to crash");
}

#[test]
fn c_p1_hello() {
    run(programs::C_P1_HELLO, &[]).prints(HELLO);
}

#[test]
fn go_p1_hello() {
    run(programs::GO_P1_HELLO, &[]).prints(HELLO);
    reads_a_file(programs::GO_P1_HELLO);
    let refused = run(programs::GO_P1_HELLO, &["read", "/data/name.txt"]).exits_with(1);
    assert_eq!(refused.stdout, "", "{refused}");
    let _refused = refused.says("allow it: --dir ./data::/data");
}

/// Go's heap takes the memory after it for its own, where the adapter of 0.1 has its state.
#[test]
fn go_grows_its_heap() {
    run(programs::GO_P1_HELLO, &["heap", "64"]).prints("whole: 64 MiB\n");
    let path = guest(programs::GO_P1_HELLO);
    test_env!().run(["run", "--memory", "32MiB", &path, "heap", "64"]).exits_with(137).says("used up its memory");
}

#[test]
fn js_p2_http_hello() {
    is_a_service(programs::JS_P2_HTTP_HELLO);
}

#[test]
fn py_p2_hello() {
    test_env!().run(["run", &crate::python(), "eins", "zwei"]).prints("eins\nzwei\n");
}

#[test]
fn py_p2_http_hello() {
    is_a_service(programs::PY_P2_HTTP_HELLO);
}

#[test]
fn rust_p1_bombs() {
    run(programs::RUST_P1_BOMBS, &["sleep", "1"]).prints("slept\n");
}

#[test]
fn rust_p1_files() {
    reads_a_file(programs::RUST_P1_FILES);
}

#[test]
fn rust_p1_hello() {
    run(programs::RUST_P1_HELLO, &[]).prints(HELLO);
}

#[test]
fn rust_p1_reactor() {
    call(programs::RUST_P1_REACTOR, "add(1, 2)").prints("3\n");
    call(programs::RUST_P1_REACTOR, "speak()").prints("the reactor speaks\n()\n");
}

#[test]
fn rust_p2_hello() {
    run(programs::RUST_P2_HELLO, &[]).prints(HELLO);
}

#[test]
fn rust_p2_http_bad() {
    is_a_service(programs::RUST_P2_HTTP_BAD);
}

#[test]
fn rust_p2_http_echo() {
    is_a_service(programs::RUST_P2_HTTP_ECHO);
}

#[test]
fn rust_p2_http_hello() {
    is_a_service(programs::RUST_P2_HTTP_HELLO);
}

#[test]
fn rust_p2_library() {
    call(programs::RUST_P2_LIBRARY, "greet(\"Ada\")").prints("\"hello, Ada\"\n");
}

#[test]
fn rust_p2_sockets() {
    talks_over_tcp(programs::RUST_P2_SOCKETS);
}

#[test]
fn rust_p3_files() {
    reads_a_file(programs::RUST_P3_FILES);
}

#[test]
fn rust_p3_hello() {
    run(programs::RUST_P3_HELLO, &[]).prints(HELLO);
}

#[test]
fn rust_p3_http_echo() {
    is_a_service(programs::RUST_P3_HTTP_ECHO);
}

#[test]
fn rust_p3_http_hello() {
    is_a_service(programs::RUST_P3_HTTP_HELLO);
}

#[test]
fn rust_p3_sockets() {
    talks_over_tcp(programs::RUST_P3_SOCKETS);
}

#[test]
fn wat_bad_alignment() {
    call(programs::WAT_BAD_ALIGNMENT, "fine()").prints("\"fine\"\n");
}

#[test]
fn wat_core_add() {
    call(programs::WAT_CORE_ADD, "add(1, 2)").prints("3\n");
    call(programs::WAT_CORE_ADD, "add-floats(0.5, 0.25)").prints("0.75\n");
}

/// It has no good path; at best it is stopped.
#[test]
fn wat_loop_in_start() {
    let path = guest(programs::WAT_LOOP_IN_START);
    test_env!().run(["run", "--cpu", "100ms", &path]).exits_with(124).says("used up its processor time");
}

#[test]
fn wat_missing_import() {
    run(programs::WAT_MISSING_IMPORT, &[]).exits_with(126).says("acme:missing/thing@1.0.0");
}

#[test]
fn wat_table_bomb() {
    let path = guest(programs::WAT_TABLE_BOMB);
    test_env!().run(["run", "--memory", "32MiB", &path]).exits_with(137).says("used up its memory");
}

#[test]
fn wat_two_memories() {
    let path = guest(programs::WAT_TWO_MEMORIES);
    test_env!().run(["run", "--memory", "32MiB", &path]).exits_with(137).says("used up its memory");
}

#[test]
fn wat_unknown_core_import() {
    run(programs::WAT_UNKNOWN_CORE_IMPORT, &[]).exits_with(126).says("env.thing");
}

#[test]
fn wat_version_skew() {
    run(programs::WAT_VERSION_SKEW, &[]).exits_with(126).says("version 1.2.3");
}

#[track_caller]
fn reads_a_file(program: Guest) {
    let env = test_env!();
    env.file("data/name.txt", "Ada\n");
    env.run(["run", "--dir", "data::/data", &guest(program), "read", "/data/name.txt"]).prints("Ada\n");
}

#[track_caller]
fn talks_over_tcp(program: Guest) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection comes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it sends text");
        stream.write_all(text.to_uppercase().as_bytes()).expect("it reads");
    });
    let output = test_env!().run(["run", "--connect", &address, &guest(program), "tcp", &address, "ahoy"]);
    output.prints("AHOY");
    server.join().expect("the server answers");
}
