//! The requests of one command share connections as far as their server allows, and not their
//! limits.

use crate::{programs, run};
use walnut_test_programs::{RUST_P2_HTTP_ECHO, RUST_P3_SOCKETS};
use walnut_test_support::{RunOutput, ServeProcess, TestEnv, Upstream, certificate_and_key, guest, test_env};

/// Sends `count` requests to an HTTP/2 server.
fn storm(env: &TestEnv, server: &Upstream, program: &str, count: &str, flags: &[&str]) -> RunOutput {
    let roots = env.file("roots.pem", certificate_and_key().0);
    let url = format!("https://localhost:{}/a", server.address().port());
    let grants = ["--http", &url, "--connect", "127.0.0.1:*", "--deny-connect", "[::1]:*", "--deadline", "60s"];
    let args = [&["run"], &grants[..], flags, &[program, "http-storm", &url, count]].concat();
    env.walnut(args).env("SSL_CERT_FILE", roots).run()
}

#[test]
fn one_request_after_another_takes_the_same_connection() {
    let (env, server) = (test_env!(), Upstream::start());
    let url = format!("http://{}/a", server.address());
    run(&env, &guest(RUST_P3_SOCKETS), &["--http", &url], &["http-storm", &url, "3"]).prints("3 x status 200\n");
    assert_eq!(server.requests(), [1, 1, 1].map(|connection| (connection, "GET /a".to_owned())));
}

#[test]
fn one_connection_of_http_2_takes_many_requests_at_once() {
    let (env, [at_once, by_turns]) = (test_env!(), programs());
    for (program, waits) in [(at_once, 4), (by_turns, 1)] {
        let server = Upstream::http2(waits);
        storm(&env, &server, &program, "4", &[]).prints("4 x status 200\n");
        let requests = server.requests();
        let asked = format!("GET https://localhost:{}/a", server.address().port());
        assert_eq!(requests, vec![(requests[0].0, asked); 4]);
    }
}

#[test]
fn requests_that_share_a_connection_are_counted_each() {
    let env = test_env!();
    let [program, _] = programs();
    let refused = storm(&env, &Upstream::http2(1), &program, "3", &["--connections", "1"]);
    refused.prints("2 x connection-limit-reached\n1 x status 200\n");
    storm(&env, &Upstream::http2(3), &program, "3", &["--connections", "3"]).prints("3 x status 200\n");
}

#[test]
fn bodies_go_both_ways_over_http_2() {
    let env = test_env!();
    let (certificate, key) = certificate_and_key();
    let roots = env.file("cert.pem", certificate);
    env.file("key.pem", key);
    let flags = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let server = ServeProcess::start(&env, RUST_P2_HTTP_ECHO, flags);
    let url = format!("https://localhost:{}/echo", server.address().port());
    let grants = ["--http", &url, "--connect", "127.0.0.1:*", "--deny-connect", "[::1]:*"];
    // More than a frame of HTTP/2.
    let body = "x".repeat(50_000);
    for program in programs() {
        let args = [&["run"], &grants[..], &[&program, "http", "POST", &url, &body]].concat();
        let output = env.walnut(args).env("SSL_CERT_FILE", &roots).run().succeeds();
        assert!(output.stdout == format!("status 200\n{body}"), "{} bytes came", output.stdout.len());
    }
}
