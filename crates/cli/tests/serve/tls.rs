//! TLS: agreed protocols, certificates that change while the server runs, and wrong flags.

use crate::Served;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{
    Http2, RunOutput, Secure, ServeProcess, TestEnv, certificate_and_key, guest, renewed_certificate_and_key, test_env,
};

const ASK: &[u8] = b"GET /method HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Serves the echo guest over TLS, with more flags.
#[track_caller]
fn serve(flags: &[&str]) -> Served {
    let env = test_env!();
    let (certificate, key) = certificate_and_key();
    env.file("cert.pem", certificate);
    env.file("key.pem", key);
    let all = [&["--tls-cert", "cert.pem", "--tls-key", "key.pem"], flags].concat();
    Served { server: ServeProcess::start(&env, RUST_P2_HTTP_ECHO, all), env }
}

#[track_caller]
fn is_well(server: &mut Served) {
    assert!(server.lives());
    Http2::over_tls(server.address(), certificate_and_key().0).unwrap().get("/method").is(200, "GET /method\n");
}

#[test]
fn it_speaks_what_the_client_prefers_of_1_1_and_2() {
    let mut server = serve(&[]);
    let trusted = certificate_and_key().0;
    for protocols in [&["http/1.1"][..], &["http/1.1", "h2"], &["h2", "http/1.1"], &[]] {
        let mut client = Secure::open(server.address(), trusted, protocols, &[]).unwrap();
        // With two protocols in common, the server's preference decides.
        if protocols.contains(&"h2") {
            assert_eq!(client.protocol().as_deref(), Some("h2"));
            continue;
        }
        assert_eq!(client.protocol().as_deref(), protocols.first().copied());
        let answer = client.ask(ASK).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("GET /method\n"), "{answer}");
    }
    let other = Secure::open(server.address(), trusted, &["spdy/3"], &[]);
    assert!(other.is_err());
    let mut client = Http2::over_tls(server.address(), trusted).unwrap();
    (0..10).for_each(|_| client.get("/method").is(200, "GET /method\n"));
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let answer = client.ask(walnut_test_support::request("POST", "/echo"), &body);
    assert!(answer.whole && answer.body == body);
    is_well(&mut server);
}

#[test]
fn tls_1_2_and_1_3_are_spoken() {
    let server = serve(&[]);
    for version in walnut_test_support::VERSIONS {
        let trusted = certificate_and_key().0;
        let mut client = Secure::open(server.address(), trusted, &["http/1.1"], &[version]).unwrap();
        assert!(client.ask(ASK).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

/// The address in its message can be opened.
#[test]
fn it_says_https() {
    let server = serve(&[]);
    server.says("on https://127.0.0.1:");
}

#[test]
fn who_does_not_shake_hands_is_dropped_and_holds_up_nobody() {
    let mut server = serve(&[]);
    let plain: [&[u8]; 2] = [b"GET / HTTP/1.1\r\nhost: test\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let garbage: [&[u8]; 2] = [b"\x16\x03\x01\xff\xff", b"\0"];
    for (bytes, is_plain) in plain.map(|bytes| (bytes, true)).into_iter().chain(garbage.map(|bytes| (bytes, false))) {
        let mut client = server.connect();
        client.send(bytes).unwrap();
        client.finish();
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        assert_eq!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), is_plain, "{answer}");
        assert_eq!(answer.ends_with("this port speaks HTTPS, not HTTP\n"), is_plain, "{answer}");
        is_well(&mut server);
    }
    let started = Instant::now();
    let mut silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    silent.iter_mut().step_by(2).for_each(|client| client.send(b"\x16\x03\x01\x02").unwrap());
    is_well(&mut server);
    assert!(silent.iter_mut().all(walnut_test_support::HttpClient::is_closed));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    // A client that does not trust the certificate sends an alert and leaves.
    assert!(Http2::over_tls(server.address(), renewed_certificate_and_key().0).is_err());
    is_well(&mut server);
}

#[test]
fn a_stop_closes_what_idles_and_finishes_what_is_under_way() {
    let server = serve(&["--drain", "1h"]);
    let trusted = certificate_and_key().0;
    let mut client = Http2::over_tls(server.address(), trusted).unwrap();
    let mut exchange = client.start(walnut_test_support::request("POST", "/upper"), false);
    exchange.send("before").unwrap();
    assert_eq!((exchange.head().unwrap().status, exchange.part().unwrap()), (200, b"BEFORE".to_vec()));
    let _half = server.connect();
    let _idle = Secure::open(server.address(), trusted, &["http/1.1"], &[]).unwrap();
    server.terminate();
    thread::sleep(Duration::from_millis(300));
    exchange.send("after").unwrap();
    assert_eq!(exchange.part().unwrap(), b"AFTER");
    exchange.finish(&[]).unwrap();
    assert_eq!(exchange.part().unwrap(), b"");
    let Served { server, env: _env } = server;
    let output = server.wait().succeeds();
    assert!(!output.stderr.contains("warning"), "{output}");
}

/// Returns whether a new client that trusts only `certificate` is served within a while.
fn comes_to_serve(server: &Served, certificate: &[u8]) -> bool {
    (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        Http2::over_tls(server.address(), certificate).is_ok_and(|mut client| client.get("/method").status == 200)
    })
}

#[test]
fn a_new_certificate_is_taken_without_a_restart() {
    let mut server = serve(&[]);
    let ((old, _), (new, new_key)) = (certificate_and_key(), renewed_certificate_and_key());
    let mut kept = Http2::over_tls(server.address(), old).unwrap();
    thread::sleep(Duration::from_secs(3));
    // Unchanged files change nothing.
    assert!(Http2::over_tls(server.address(), new).is_err());
    is_well(&mut server);
    server.env.file("cert.pem", new);
    server.env.file("key.pem", new_key);
    assert!(comes_to_serve(&server, new));
    server.says("the new certificate is in use");
    assert!(Http2::over_tls(server.address(), old).is_err());
    // A client with a finished handshake stays connected.
    kept.get("/method").is(200, "GET /method\n");
}

#[test]
fn a_broken_new_certificate_leaves_the_old_one_and_is_said_once() {
    let mut server = serve(&[]);
    let kept = "the previous certificate stays in use";
    server.env.file("cert.pem", "no certificate");
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(200));
        is_well(&mut server);
    }
    server.says("cert.pem contains no certificate; the previous certificate stays in use");
    assert_eq!(server.stderr().matches(kept).count(), 1, "{}", server.stderr());
    fs::remove_file(server.env.path("cert.pem")).unwrap();
    thread::sleep(Duration::from_millis(2500));
    is_well(&mut server);
    server.says("cert.pem cannot be read");
    assert_eq!(server.stderr().matches(kept).count(), 2, "{}", server.stderr());
    // Once the file is whole again, it is used.
    let (new, new_key) = renewed_certificate_and_key();
    server.env.file("key.pem", new_key);
    server.env.file("cert.pem", new);
    assert!(comes_to_serve(&server, new));
}

#[must_use]
fn refused(env: &TestEnv, flags: &[&str], code: i32) -> RunOutput {
    let target = guest(RUST_P2_HTTP_ECHO);
    let all = [&["serve", &target, "--addr", "127.0.0.1:0"], flags].concat();
    let refused = env.run(all).exits_with(code);
    assert!(!refused.stderr.contains("serving"), "{refused}");
    refused
}

#[test]
fn what_is_wrong_with_the_files_is_said_before_it_listens() {
    let env = test_env!();
    let ((certificate, key), (_, other)) = (certificate_and_key(), renewed_certificate_and_key());
    env.file("cert.pem", certificate);
    env.file("key.pem", key);
    env.file("other.pem", other);
    env.file("empty.pem", "");
    env.file("cut.pem", &certificate[..300]);
    env.file("begun.pem", "-----BEGIN CERTIFICATE\n");
    env.file("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n");
    env.file("strange.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    for (certificate, key, message) in [
        ("none.pem", "key.pem", "error: the certificate none.pem cannot be read: No such file or directory"),
        ("empty.pem", "key.pem", "error: empty.pem contains no certificate\nhint: use a PEM file"),
        ("key.pem", "key.pem", "error: key.pem contains no certificate"),
        (
            "cut.pem",
            "key.pem",
            "error: cut.pem is truncated: it has no `-----END CERTIFICATE-----` line\nhint: copy it again",
        ),
        ("begun.pem", "key.pem", "error: begun.pem is damaged: a line that begins with `-----BEGIN` does not end"),
        (
            "strange.pem",
            "key.pem",
            "error: the certificate in strange.pem and the private key in key.pem cannot be used",
        ),
        ("cert.pem", "none.pem", "error: the private key none.pem cannot be read: No such file or directory"),
        ("none.pem", "no.pem", "(os error 2); the private key no.pem cannot be read: No such file or directory"),
        ("cert.pem", "cert.pem", "error: cert.pem contains no private key\nhint: use a PEM file"),
        ("cert.pem", "encrypted.pem", "error: the private key in encrypted.pem is encrypted\nhint: `openssl pkey"),
        ("cert.pem", "other.pem", "error: the private key in other.pem does not match the certificate in cert.pem"),
    ] {
        let _said = refused(&env, &["--tls-cert", certificate, "--tls-key", key], 125).says(message);
    }
}

#[test]
fn a_certificate_without_a_key_and_a_key_without_a_certificate_are_wrong_usage() {
    let env = test_env!();
    let _said = refused(&env, &["--tls-cert", "cert.pem"], 2).says("--tls-key <FILE>");
    let _said = refused(&env, &["--tls-key", "key.pem"], 2).says("--tls-cert <FILE>");
}
