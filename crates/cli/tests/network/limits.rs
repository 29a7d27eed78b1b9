//! Limits of outbound requests: each is reached, and a request just within it is not.

use crate::{programs, run};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;
use walnut_test_support::test_env;

/// Answers each request with `head`, and after `pause` with a body of `size` bytes.
fn web(head: &'static str, pause: Duration, size: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}connection: close\r\n\r\n").as_bytes());
                thread::sleep(pause);
                let _ = stream.write_all(&vec![b'x'; size]);
            });
        }
    });
    address
}

#[test]
fn requests_at_once_are_as_many_as_connections() {
    let (env, server) = (test_env!(), web("content-length: 6\r\n", Duration::from_secs(2), 6));
    let url = format!("http://{server}/");
    for program in programs() {
        let storm = |most| {
            let flags = ["--http", url.as_str(), "--connections", most];
            run(&env, &program, &flags, &["http-storm", &url, "2"])
        };
        let refused = storm("1").says("used up its outbound connections (limit: 1)");
        refused.prints("1 x connection-limit-reached\n1 x status 200\n");
        let all = storm("2");
        assert!(!all.stderr.contains("used up"), "{all}");
        all.prints("2 x status 200\n");
    }
}

#[test]
fn sockets_at_once_are_as_many_as_connections() {
    let (env, listener) = (test_env!(), TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    let address = listener.local_addr().expect("it has an address").to_string();
    for (program, refusal) in programs().iter().zip(["new-socket-limit", "other"]) {
        let storm = |most| {
            let flags = ["--connect", address.as_str(), "--connections", most];
            run(&env, program, &flags, &["tcp-storm", &address, "2"])
        };
        let refused = storm("1").says("hint: raise it with `--connections N`");
        refused.prints(&format!("1 x connected\n1 x {refusal}\n"));
        storm("2").prints("2 x connected\n");
    }
}

#[test]
fn a_response_is_no_larger_than_its_limit() {
    let env = test_env!();
    // A body with a content-length, and a body that ends with the connection.
    for head in ["content-length: 65537\r\n", ""] {
        let server = web(head, Duration::ZERO, 65_537);
        let url = format!("http://{server}/");
        for program in programs() {
            let get = |most| {
                let flags = ["--http", url.as_str(), "--response-body", most];
                run(&env, &program, &flags, &["http", "GET", &url])
            };
            let refused = get("64KiB").exits_with(1);
            assert!(refused.stdout.len() < "status 200\n".len() + 65_537, "{} bytes came", refused.stdout.len());
            let _refused = refused.says("error: ").says("had a response body that is too large (limit: 64KiB)");
            let whole = get("65537").succeeds();
            assert_eq!(whole.stdout.len(), "status 200\n".len() + 65_537);
        }
    }
}

#[test]
fn a_request_is_no_larger_than_its_limit() {
    let (env, server) = (test_env!(), web("content-length: 0\r\n", Duration::from_millis(200), 0));
    let (url, body) = (format!("http://{server}/"), "x".repeat(1025));
    for program in programs() {
        let post = |most| {
            let flags = ["--http", url.as_str(), "--request-body", most];
            run(&env, &program, &flags, &["http", "POST", &url, &body])
        };
        let refused = post("1KiB").exits_with(1).says("error: ");
        let _refused = refused.says("had a request body that is too large (limit: 1KiB)");
        post("1025").prints("status 200\n");
    }
}
