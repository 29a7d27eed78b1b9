//! Limits on clients. Each takes effect; with the defaults, none would within the time of the test.

use crate::serve;
use std::io::ErrorKind;
use std::time::Duration;
use walnut_test_programs::*;
use walnut_test_support::frames::{DATA, END_STREAM, Frames, HEADERS, RST_STREAM, RawFrame, WINDOW_UPDATE, frame, get};

/// Shorter than the shortest of the defaults, which is that for bodies.
const SOON: Duration = Duration::from_millis(4500);
/// Shorter than the default for heads.
const SOON_FOR_HEADS: Duration = Duration::from_secs(9);

#[test]
fn as_many_clients_are_connected_as_said() {
    let server = serve(RUST_P2_HTTP_ECHO, &["--max-connections", "2", "--head-timeout", "1h"]);
    let mut first = server.connect();
    first.get("/method").is(200, "GET /method\n");
    let mut second = server.connect();
    second.get("/method").is(200, "GET /method\n");
    let mut third = server.connect();
    third.get("/method").is(200, "GET /method\n");
    assert!(first.is_closed());
    second.get("/method").is(200, "GET /method\n");
}

#[test]
fn a_head_has_the_time_that_is_said_and_so_has_an_idle_connection() {
    let server = serve(RUST_P2_HTTP_ECHO, &["--head-timeout", "1s"]);
    let mut silent = server.connect();
    let mut half = server.connect();
    half.send("GET /method HTTP/1.1\r\nhost: te").unwrap();
    let mut kept = server.connect();
    kept.get("/method").is(200, "GET /method\n");
    let mut http2 = Frames::open(&server);
    for client in [&mut silent, &mut half, &mut kept] {
        client.set_timeout(SOON_FOR_HEADS);
        assert!(client.is_closed());
    }
    http2.connection.set_timeout(SOON_FOR_HEADS);
    assert_eq!(http2.goodbye(), Some(0));
}

#[test]
fn a_body_may_pause_for_the_time_that_is_said() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let server = serve(guest, &["--body-timeout", "300ms"]);
        let mut client = server.connect();
        client.set_timeout(SOON);
        client.send("POST /hash HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n12345").unwrap();
        // The response depends on the guest.
        let ended = client.try_response();
        assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() != ErrorKind::WouldBlock));
    }
}

#[test]
fn a_client_may_not_read_for_the_time_that_is_said() {
    const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
    let server = serve(RUST_P2_HTTP_ECHO, &["--stall-timeout", "300ms"]);
    let mut frames = Frames::with_settings(&server, &NO_WINDOW);
    frames.connection.set_timeout(SOON);
    frames.head(&get("/method"));
    let first = frames.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM)).unwrap();
    assert_eq!(first.kind, HEADERS);
    assert_eq!(frames.until(|frame| frame.kind == RST_STREAM).unwrap().stream, 1);
    // A client that makes room meanwhile gets the whole response.
    frames.head(&get("/method"));
    frames.connection.send(frame(WINDOW_UPDATE, 0, 3, &100_u32.to_be_bytes())).unwrap();
    assert_eq!(frames.until(|frame| frame.kind == 0).unwrap().payload, b"GET /method\n");
}

/// 16 KiB, or the rest of the response, must be read in the time. A byte now and then does not
/// extend it.
#[test]
fn a_client_that_reads_a_byte_at_a_time_has_no_more_time() {
    let server = serve(RUST_P2_HTTP_ECHO, &["--stall-timeout", "1s"]);
    let mut frames = Frames::with_settings(&server, &[0, 4, 0, 0, 0, 1]);
    frames.head(&get("/method"));
    let mut sends = frames.connection.writer();
    std::thread::scope(|scope| {
        // The last of 12 bytes would come after 2.75 seconds. Bytes after the end are ignored.
        scope.spawn(move || {
            for _ in 0..11 {
                std::thread::sleep(Duration::from_millis(250));
                let _ = sends.send(frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()));
            }
        });
        let is_last = |frame: &RawFrame| frame.kind == DATA && frame.flags == END_STREAM;
        let end = frames.until(|frame| frame.kind == RST_STREAM || is_last(frame));
        assert_eq!(end.unwrap().kind, RST_STREAM);
    });
}
