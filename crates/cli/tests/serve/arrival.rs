//! Answers arrive, also at clients that still send, and at clients that have stopped.

use crate::{serve, steady};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;
use walnut_test_programs::{RUST_P2_HTTP_ECHO, RUST_P2_HTTP_HELLO};

/// Sends a head with a body of this length, all of it, whatever the server says meanwhile. Returns
/// the answer.
fn upload(address: SocketAddr, path: &str, length: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let piece = [b'z'; 64 << 10];
        for _ in 0..length / piece.len() {
            sender.write_all(&piece)?;
        }
        sender.write_all(&piece[..length % piece.len()])
    });
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    sending.join().unwrap().expect("the server reads on");
    answer
}

#[test]
fn an_answer_before_the_end_of_a_body_arrives() {
    let server = serve(RUST_P2_HTTP_HELLO, &[]);
    for length in [100_000, 5_000_000, 20_000_000] {
        let answer = upload(server.address(), "/", length);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    let server = serve(RUST_P2_HTTP_ECHO, &["--request-body", "1MiB"]);
    let answer = upload(server.address(), "/echo", 20_000_000);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("the request body is too large\n"), "{answer}");
    // A body that is small, or read, leaves the connection open.
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        let answer = client.response();
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
}

#[test]
fn a_client_that_stops_sending_gets_its_answer() {
    let server = steady(RUST_P2_HTTP_ECHO, &[]);
    for (method, body) in [("GET", ""), ("POST", "content-length: 2\r\n\r\nhi")] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let end = if body.is_empty() { "\r\n" } else { body };
        stream.write_all(format!("{method} / HTTP/1.1\r\nhost: test\r\n{end}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let server = serve(RUST_P2_HTTP_HELLO, &[]);
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK"),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/1.1\r\nhost: test:65536\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/1.1\r\nhost: test:65535\r\n\r\n", "HTTP/1.1 200 OK"),
    ] {
        let mut client = server.connect();
        client.send(request).unwrap();
        client.finish();
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        assert_eq!(answer.lines().next(), Some(status), "{request}");
    }
}
