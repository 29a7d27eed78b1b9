//! Hostile clients and guests. After each of them, the process is alive and the next good request
//! is answered.

use crate::admin::{ADMIN, counts};
use crate::{Served, serve, steady};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, ServeProcess};

const HOST: &str = "host: test\r\n";

#[track_caller]
fn is_well(server: &mut Served) {
    assert!(server.lives());
    server.get("/method").is(200, "GET /method\n");
}

/// Returns every status line in the bytes of a server.
fn statuses(sent: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(sent);
    text.match_indices("HTTP/1.1 ").map(|(at, found)| text[at + found.len()..].chars().take(3).collect()).collect()
}

/// Returns the server's reply to `bytes` until it closes the connection. A connection that stays
/// open is left after a while.
fn reply(server: &ServeProcess, bytes: &[u8]) -> Vec<u8> {
    let mut client = server.connect();
    client.set_timeout(Duration::from_millis(1500));
    let _ = client.send(bytes);
    client.rest()
}

#[test]
fn garbage_is_refused() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let huge_header = format!("GET / HTTP/1.1\r\n{HOST}x: {}\r\n\r\n", "a".repeat(2 << 20));
    let many_headers: String = (0..5000).map(|i| format!("x-{i}: {i}\r\n")).collect();
    let many_headers = format!("GET / HTTP/1.1\r\n{HOST}{many_headers}\r\n");
    let long_target = format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(2 << 20));
    let attacks: Vec<&[u8]> = vec![
        b"\0\0\0\0",
        b"\r\n\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: test\r\n\r\n",
        b"GET / HTTP/1.1\nhost test\n\n",
        b"GET / HTTP/1.1\r\nhost: test\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: test\r\nx y: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: test\r\nx: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: test\r\nx: a\r b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: test\r\n folded: 1\r\n\r\n",
        b"G\xc3\x9cT / HTTP/1.1\r\nhost: test\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: test\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1, 2\r\n\r\nab",
        huge_header.as_bytes(),
        many_headers.as_bytes(),
        long_target.as_bytes(),
    ];
    for attack in attacks {
        let statuses = statuses(&reply(&server, attack));
        let shown = String::from_utf8_lossy(&attack[..attack.len().min(80)]).into_owned();
        assert!(statuses.iter().all(|status| status.starts_with('4')), "{statuses:?} for {shown:?}");
        is_well(&mut server);
    }
}

#[test]
fn a_request_without_a_good_host_is_a_bad_one() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let server = serve(guest, &[]);
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: \r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: user@test\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: test:port\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: [test]:80\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: test/path\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: \u{fc}\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: one\r\nhost: two\r\n\r\n",
        ] {
            assert_eq!(statuses(&reply(&server, head.as_bytes())), ["400"], "{head:?}");
        }
        for host in ["test", "test:8080", "127.0.0.1", "[::1]:80", "TEST.example.", "xn--bcher-kva.example"] {
            let head = format!("GET /echo HTTP/1.1\r\nhost: {host}\r\n\r\n");
            assert_eq!(server.connect().ask(head).status, 200, "{host}");
        }
        // A client's mistake is not reported to the operator.
        let said = server.server.stop();
        assert!(!said.stderr.contains("error"), "{said}");
    }
}

/// Requests whose end two servers could see in different places. Nothing inside a body may be
/// answered.
#[test]
fn requests_cannot_be_smuggled() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let inner = "GET /method?smuggled HTTP/1.1\r\nhost: test\r\n\r\n";
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "content-length: 0\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding : chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding:\x0bchunked\r\n",
        "content-length: 0\r\ncontent-length: 60\r\n",
        "content-length: +60\r\n",
        "content-length: 0x3c\r\n",
        "content-length: 6 0\r\n",
    ] {
        let attack = format!("POST /hash HTTP/1.1\r\nhost: test\r\n{framing}\r\n0\r\n\r\n{inner}");
        let sent = reply(&server, attack.as_bytes());
        let text = String::from_utf8_lossy(&sent);
        assert!(!text.contains("smuggled"), "{framing:?} let it through:\n{text}");
        // The stricter of two readings is taken, or none.
        assert_eq!(statuses(&sent).len(), 1, "{framing:?}:\n{text}");
        is_well(&mut server);
    }
}

/// RFC 9112 section 6.1. Bytes after such a request are not read, since nobody knows where the next
/// request begins.
#[test]
fn a_body_in_an_unknown_coding_ends_the_connection() {
    let server = serve(RUST_P2_HTTP_ECHO, &[]);
    for coding in ["gzip, chunked", "chunked, chunked", "identity\r\ntransfer-encoding: chunked"] {
        let head = format!("POST /hash HTTP/1.1\r\n{HOST}transfer-encoding: {coding}\r\n\r\n0\r\n\r\n");
        let mut client = server.connect();
        client.ask(head).is(501, "the only supported transfer coding is chunked\n");
        assert!(client.is_closed(), "{coding}");
    }
}

#[test]
fn broken_chunks_end_the_body_and_the_connection() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    for chunks in [
        "zz\r\n",
        "-1\r\na\r\n",
        "ffffffffffffffffff\r\n",
        "5\r\nabc\r\n0\r\n\r\n",
        "1\r\naXX0\r\n\r\n",
        "1;ext\n=\r\na\r\n",
        "0\r\nbroken trailer\r\n\r\n",
        "0\r\nx: a\0b\r\n\r\n",
    ] {
        let attack = format!(
            "POST /echo HTTP/1.1\r\n{HOST}transfer-encoding: chunked\r\n\r\n{chunks}\
             GET /method?smuggled HTTP/1.1\r\n{HOST}\r\n"
        );
        let text = String::from_utf8_lossy(&reply(&server, attack.as_bytes())).into_owned();
        assert!(!text.contains("GET /method?smuggled\n"), "{chunks:?} let it through:\n{text}");
        is_well(&mut server);
    }
    let extension = format!("5;{}\r\nabcde\r\n", "x".repeat(1 << 20));
    let long = format!("POST /echo HTTP/1.1\r\n{HOST}transfer-encoding: chunked\r\n\r\n{extension}0\r\n\r\n");
    reply(&server, long.as_bytes());
    is_well(&mut server);
}

#[test]
fn a_guest_cannot_split_its_response() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    let split = server.get("/split-header");
    assert!(split.header("set-cookie").is_none() && split.text().starts_with("refused: "), "{split:?}");
    for code in [0, 1, 99, 1000, 65535] {
        let response = server.get(&format!("/split-status?code={code}"));
        response.is(200, "refused");
    }
    let mut client = server.connect();
    let response =
        client.ask(format!("GET /bad-trailer HTTP/1.1\r\n{HOST}te: trailers\r\ntrailer: content-length\r\n\r\n"));
    assert!(response.text().contains("transfer-encoding refused"), "{response:?}");
    assert!(response.text().contains("x-split refused"), "{response:?}");
    assert!(response.trailers.iter().all(|(name, _)| name != "content-length" && name != "b"), "{response:?}");
    // The connection is still in step.
    client.get("/fine").is(200, "well behaved\n");
}

#[test]
fn a_guest_of_0_3_cannot_split_its_response() {
    let server = serve(RUST_P3_HTTP_ECHO, &[]);
    let mut client = server.connect();
    let announced = "te: trailers\r\ntrailer: content-length, x-good\r\n";
    let response = client.ask(format!("GET /split HTTP/1.1\r\n{HOST}{announced}\r\n"));
    let said = response.text();
    assert!(response.status == 200 && said.lines().count() == 13 && !said.contains("accepted"), "{response:?}");
    assert!(response.header("set-cookie").is_none(), "{response:?}");
    assert!(response.trailers.iter().all(|(name, _)| name != "content-length"), "{response:?}");
    // The connection is still in step.
    client.get("/count").is(200, "2\n");
}

#[test]
fn a_client_of_one_byte_a_time_is_served_or_dropped_and_holds_up_nobody() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &["--sandboxes", "2", "--deadline", "2s"]);
    // A slow head that does not end is dropped in time. A slow body ends at the deadline.
    let slow = |head: &'static str, part: &'static str| {
        let mut client = server.connect();
        client.set_timeout(Duration::from_secs(30));
        thread::spawn(move || {
            let started = Instant::now();
            client.send(head).unwrap();
            while client.send(part).is_ok() && started.elapsed() < Duration::from_secs(40) {
                thread::sleep(Duration::from_millis(500));
            }
            started.elapsed()
        })
    };
    let head = slow("GET / HTTP/1.1\r\nhost: test\r\nx-slow: ", "a");
    let body = slow("POST /hash HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\na\r\n");
    while !head.is_finished() {
        server.get("/method").is(200, "GET /method\n");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(head.join().unwrap() < Duration::from_secs(35));
    assert!(body.join().unwrap() < Duration::from_secs(35));
    is_well(&mut server);
}

#[test]
fn a_client_that_pauses_in_its_body_gives_its_sandbox_back() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        // Neither the deadline nor the queue timeout ends it.
        let server = serve(guest, &["--sandboxes", "1", "--queue-timeout", "60s", "--deadline", "120s"]);
        let mut client = server.connect();
        client.send("POST /hash HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n12345").unwrap();
        thread::sleep(Duration::from_secs(1));
        client.send("67890").unwrap();
        assert_eq!(client.response().status, 200);
        // Now the rest does not come, and another request waits for the only sandbox.
        client.send("POST /hash HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n12345").unwrap();
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn a_client_that_never_reads_costs_one_sandbox_until_the_deadline() {
    let server = serve(RUST_P2_HTTP_BAD, &["--sandboxes", "1", "--deadline", "2s"]);
    let before = server.resident();
    let mut client = server.connect();
    client.send(format!("GET /big?mib=100 HTTP/1.1\r\n{HOST}\r\n")).unwrap();
    // There is one sandbox, so this is answered once that sandbox is given back.
    server.get("/fine").is(200, "well behaved\n");
    server.says("used up its time (limit: 2s)");
    if let (Some(before), Some(now)) = (before, server.resident()) {
        assert!(now < before + (64 << 20), "{before} bytes grew to {now}");
    }
    assert!(!client.response().whole);
}

#[test]
fn clients_that_leave_take_their_sandboxes_with_them() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        let mut server = serve(guest, &["--sandboxes", "2", "--deadline", "4s"]);
        for _ in 0..10 {
            // In the middle of the head, of the request body, before the response, in the middle of
            // the response.
            drop(server.connect().send("GET / HT"));
            drop(server.connect().send(format!("POST /echo HTTP/1.1\r\n{HOST}content-length: 100\r\n\r\nabc")));
            drop(server.connect().send(format!("GET /sleep?ms=1000 HTTP/1.1\r\n{HOST}\r\n")));
            let mut client = server.connect();
            client.send(format!("GET /big?mib=64 HTTP/1.1\r\n{HOST}\r\n")).unwrap();
            let _ = client.head();
        }
        assert_eq!(server.get("/fine").status, 200);
        assert!(server.lives());
    }
}

#[test]
fn clients_that_send_nothing_or_half_a_head_keep_nobody_out() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let mut under_way = server.connect();
    under_way.send(format!("POST /upper HTTP/1.1\r\n{HOST}transfer-encoding: chunked\r\n\r\n")).unwrap();
    under_way.send_chunk("before").unwrap();
    assert_eq!(under_way.head().unwrap().status, 200);
    let mut idle: Vec<HttpClient> = (0..2000).map(|_| server.connect()).collect();
    is_well(&mut server);
    // There are more than may be connected, so the first of them had to go.
    assert!(idle.iter_mut().take(900).all(HttpClient::is_closed));
    drop(idle);
    is_well(&mut server);
    let mut slow: Vec<HttpClient> = (0..900).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nhost: te").unwrap());
    is_well(&mut server);
    // A connection with a request in flight is not one of them.
    assert_eq!(under_way.chunk().unwrap(), b"BEFORE");
    under_way.send_chunk("after").unwrap();
    assert_eq!(under_way.chunk().unwrap(), b"AFTER");
}

#[test]
fn a_flood_of_requests_on_one_connection_waits_for_its_answers() {
    let mut server = serve(RUST_P2_HTTP_ECHO, &[]);
    let before = server.resident();
    let mut client = server.connect();
    let mut writer = client.writer();
    let one = format!("GET /method HTTP/1.1\r\n{HOST}\r\n").repeat(100);
    let flood = thread::spawn(move || (0..20).all(|_| writer.send(&one).is_ok()));
    (0..2000).for_each(|_| client.response().is(200, "GET /method\n"));
    assert!(flood.join().unwrap());
    if let (Some(before), Some(now)) = (before, server.resident()) {
        assert!(now < before + (64 << 20), "{before} bytes grew to {now}");
    }
    is_well(&mut server);
}

#[test]
fn a_log_bomb_is_cut_off() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    server.get("/log-bomb?mib=16").is(200, "logged 16 MiB\n");
    server.says("[the rest of this guest's output is left out]");
    assert!(server.stderr().len() < 4 << 20);
    server.get("/fine").is(200, "well behaved\n");
}

/// Has 8 requests write 1 MiB of lines each, with traces of their number.
fn write_much(server: &ServeProcess) {
    for trace in 1..=8 {
        let trace = format!("traceparent: 00-{trace:032x}-b7ad6b7169203331-01\r\n");
        let response = server.connect().ask(format!("GET /log-bomb?mib=1 HTTP/1.1\r\n{HOST}{trace}\r\n"));
        response.is(200, "logged 1 MiB\n");
    }
    // A request that fails is reported in the same way.
    assert_eq!(server.get("/panic").status, 500);
    server.get("/fine").is(200, "well behaved\n");
}

/// Returns the traces of [`write_much`] that have lines in `stderr`, in their order, and the number
/// of lines.
fn much(stderr: &str) -> Vec<(u8, usize)> {
    let logged = stderr.lines().filter_map(|line| line.split_once(": log log ")?.0.rsplit_once(' '));
    let mut counts: Vec<(u8, usize)> = Vec::new();
    for (_, trace) in logged {
        let trace = u8::from_str_radix(trace, 16).expect("it is tagged with its request");
        match counts.last_mut() {
            Some((last, count)) if *last == trace => *count += 1,
            _ => counts.push((trace, 1)),
        }
    }
    counts
}

#[test]
fn lines_that_nobody_reads_are_lost_and_hold_up_no_request() {
    let flags = [&ADMIN[..], &["--workers", "1"]].concat();
    let server = steady(RUST_P2_HTTP_BAD, &flags);
    server.read_stderr(false);
    write_much(&server);
    server.read_stderr(true);
    server.says("lines were lost, since standard error took no more\n");
    // From here on standard error is read, and no line is lost.
    server.get("/panic");
    server.says("trapped: ");
    let said = server.stderr();
    let lost: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    let [lost] = lost[..] else { panic!("it is said once:\n{lost:?}") };
    let lost: usize = lost.split(' ').next().unwrap().parse().unwrap();
    counts(&server, &format!("walnut_output_lost_lines_total{{stream=\"stderr\"}} {lost}"));
    counts(&server, "walnut_output_lost_lines_total{stream=\"stdout\"} 0");
    let much = much(&said);
    let written: usize = much.iter().map(|(_, count)| count).sum();
    assert!(much.is_sorted() && written < 8 * 1024 && lost >= 8 * 1024 - written, "{lost} of {much:?}");
}

#[test]
fn lines_that_are_read_are_complete_and_in_order() {
    let server = steady(RUST_P2_HTTP_BAD, &["--workers", "1"]);
    write_much(&server);
    let said = server.server.stop().succeeds().stderr;
    assert_eq!(much(&said), (1..=8).map(|trace| (trace, 1024)).collect::<Vec<_>>());
    assert!(said.contains("trapped: ") && !said.contains("lost"), "{said}");
}

#[test]
fn a_server_ends_though_nobody_reads_its_lines() {
    let server = steady(RUST_P2_HTTP_BAD, &["--workers", "1"]);
    server.read_stderr(false);
    write_much(&server);
    server.server.stop().succeeds();
}

#[test]
fn a_log_bomb_of_0_3_is_cut_off() {
    let server = serve(RUST_P3_HTTP_ECHO, &[]);
    // The second request may write as much again.
    (0..2).for_each(|_| server.get("/log-bomb?mib=16").is(200, "logged\n"));
    let said = server.server.stop().succeeds().stdout;
    let cut = said.matches("[the rest of this guest's output is left out]").count();
    assert!(cut == 2 && said.len() < 4 << 20, "{cut} times cut, {} bytes", said.len());
}

#[test]
fn what_a_guest_logs_cannot_drive_the_terminal() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    let _ = server.get("/outbound?url=http://evil.test/%1b[2J%0adenied:%20forged");
    let _ = server.get("/file?path=/%1b[2J%0aerror:%20forged");
    thread::sleep(Duration::from_millis(100));
    let said = server.stderr();
    assert!(!said.contains('\u{1b}') && !said.lines().any(|line| line.starts_with("error: forged")), "{said:?}");
}

#[test]
fn memory_is_steady_over_a_long_series() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let mut server = serve(guest, &["--sandboxes", "10", "--cpu", "100ms", "--deadline", "5s"]);
        let body = vec![b'x'; 256 << 10];
        let round = |server: &Served| {
            let mut client = server.connect();
            (0..40).for_each(|_| assert_eq!(client.get("/hash").status, 200));
            assert_eq!(server.post("/upper", &body).body.len(), body.len());
            let mut leaves = server.connect();
            leaves.send(format!("POST /echo HTTP/1.1\r\n{HOST}content-length: 1000\r\n\r\nabc")).unwrap();
            drop(leaves);
            // Only the guest of 0.3 has this path. Its neighbours there would fail with it.
            let _ = server.get("/panic");
            let _ = reply_at_once(server, b"\0garbage\r\n\r\n");
        };
        (0..5).for_each(|_| round(&server));
        let before = server.resident();
        (0..40).for_each(|_| round(&server));
        if let (Some(before), Some(now)) = (before, server.resident()) {
            assert!(now < before + (48 << 20), "{before} bytes grew to {now}");
        }
        assert!(server.lives());
        assert_eq!(server.get("/hash").status, 200);
    }
}

/// Like [`reply`], for connections that the server closes at once.
fn reply_at_once(server: &ServeProcess, bytes: &[u8]) -> Vec<u8> {
    let mut client = server.connect();
    client.set_timeout(Duration::from_millis(500));
    let _ = client.send(bytes);
    client.rest()
}
