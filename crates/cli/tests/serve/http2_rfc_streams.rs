//! The rules of RFC 9113 for the life of streams (section 5), and for heads that come in pieces
//! (6.10). See `http2_rfc.rs`.

use crate::http2_rfc::{DEPENDS_ON_1, Either, End, GoOn, begun, long, request, reset, server, try_all, window};
use crate::serve;
use walnut_test_programs::RUST_P3_HTTP_ECHO;
use walnut_test_support::frames::*;

fn body(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, b"abc")
}

fn more(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, block)
}

/// The first piece of a head.
fn piece(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &get("/"))
}

fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_stream_that_is_idle_begins_with_a_head() {
    let server = server();
    try_all(
        || Frames::open(&server),
        [
            ("5.1", "DATA on an idle stream", body(1), End(PROTOCOL_ERROR)),
            ("5.1", "RST_STREAM on an idle stream", reset(1), End(PROTOCOL_ERROR)),
            ("5.1", "WINDOW_UPDATE on an idle stream", window(1, 100), End(PROTOCOL_ERROR)),
            ("5.1", "CONTINUATION on an idle stream", more(1, END_HEADERS, &get("/")), End(PROTOCOL_ERROR)),
            ("5.1", "PRIORITY on an idle stream", frame(PRIORITY, 0, 3, &DEPENDS_ON_1), GoOn),
        ],
    );
}

#[test]
fn a_stream_whose_request_is_whole_takes_no_more_of_it() {
    let server = server();
    try_all(
        || Frames::open(&server),
        [
            ("5.1", "DATA after the request", all(&[long(1), body(1)]), Either(1, STREAM_CLOSED)),
            ("5.1", "HEADERS after the request", all(&[long(1), long(1)]), Either(1, STREAM_CLOSED)),
            (
                "5.1",
                "CONTINUATION after the request",
                all(&[long(1), more(1, END_HEADERS, &get("/"))]),
                End(PROTOCOL_ERROR),
            ),
            ("5.1", "WINDOW_UPDATE after the request", all(&[long(1), window(1, 100)]), GoOn),
            ("5.1", "PRIORITY after the request", all(&[long(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])]), GoOn),
            ("5.1", "RST_STREAM after the request", all(&[long(1), reset(1)]), GoOn),
        ],
    );
}

#[test]
fn a_stream_that_its_client_reset_takes_nothing() {
    let server = server();
    let then = |more: Vec<u8>| all(&[begun(1, &get("/")), reset(1), more]);
    try_all(
        || Frames::open(&server),
        [
            ("5.1", "DATA after RST_STREAM", then(body(1)), Either(1, STREAM_CLOSED)),
            ("5.1", "HEADERS after RST_STREAM", then(long(1)), Either(1, STREAM_CLOSED)),
            ("5.1", "CONTINUATION after RST_STREAM", then(more(1, END_HEADERS, &get("/"))), End(PROTOCOL_ERROR)),
            ("5.1", "PRIORITY after RST_STREAM", then(frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])), GoOn),
        ],
    );
}

#[test]
fn a_stream_that_was_answered_takes_nothing() {
    let server = server();
    let answered = || {
        let mut frames = Frames::open(&server);
        frames.connection.send(request(1, &get("/count"))).unwrap();
        frames.until(|frame| frame.kind == DATA && frame.flags == END_STREAM).unwrap();
        frames
    };
    try_all(
        answered,
        [
            ("5.1", "DATA after the answer", body(1), Either(1, STREAM_CLOSED)),
            ("5.1", "HEADERS after the answer", long(1), Either(1, STREAM_CLOSED)),
            ("5.1", "CONTINUATION after the answer", more(1, END_HEADERS, &get("/")), End(PROTOCOL_ERROR)),
            // It may have been sent before the response was there.
            ("5.1", "WINDOW_UPDATE after the answer", window(1, 100), GoOn),
            ("5.1", "RST_STREAM after the answer", reset(1), GoOn),
            ("5.1", "PRIORITY after the answer", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), GoOn),
        ],
    );
}

#[test]
fn streams_are_odd_and_go_up_and_have_a_number_at_once() {
    let server = server();
    let itself = [&DEPENDS_ON_1[..], &get("/")].concat();
    let itself = frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &itself);
    try_all(
        || Frames::open(&server),
        [
            ("5.1.1", "an even stream", request(2, &get("/")), End(PROTOCOL_ERROR)),
            ("5.1.1", "a lower stream", all(&[long(5), long(3)]), End(PROTOCOL_ERROR)),
            ("5.3.1 of RFC 7540", "HEADERS that depend on their own stream", itself, Either(1, PROTOCOL_ERROR)),
            (
                "5.3.1 of RFC 7540",
                "PRIORITY that depends on its own stream",
                all(&[long(1), frame(PRIORITY, 0, 1, &DEPENDS_ON_1)]),
                Either(1, PROTOCOL_ERROR),
            ),
        ],
    );
}

#[test]
fn streams_at_once_are_as_many_as_the_settings_say() {
    let server = serve(RUST_P3_HTTP_ECHO, &["--sandboxes", "200"]);
    let mut frames = Frames::open(&server);
    frames.connection.send((0..101).flat_map(|i| long(2 * i + 1)).collect::<Vec<_>>()).unwrap();
    let refused = frames.until(|frame| frame.reason().is_some()).unwrap();
    let refusal = (refused.kind, refused.stream, refused.reason());
    assert_eq!(refusal, (RST_STREAM, 201, Some(REFUSED_STREAM)), "section 5.1.2");
}

#[test]
fn nothing_comes_between_the_pieces_of_a_head() {
    let server = server();
    let name = field("x-name", "value");
    let last = || more(1, END_HEADERS, &name);
    try_all(
        || Frames::open(&server),
        [
            ("6.10", "a head in pieces", all(&[piece(1), more(1, 0, &name), last()]), GoOn),
            ("6.10", "a piece without anything", all(&[piece(1), more(1, 0, &[]), last()]), GoOn),
            ("6.10", "a piece after the last", all(&[piece(1), last(), last()]), End(PROTOCOL_ERROR)),
            ("6.10", "a piece after a whole head", all(&[begun(1, &get("/")), last()]), End(PROTOCOL_ERROR)),
            (
                "6.10",
                "a piece after DATA",
                all(&[begun(1, &get("/")), frame(DATA, 0, 1, b"abc"), last()]),
                End(PROTOCOL_ERROR),
            ),
            ("6.10", "a piece for the connection", all(&[piece(1), more(0, END_HEADERS, &name)]), End(PROTOCOL_ERROR)),
            ("6.10", "a piece for another stream", all(&[piece(1), more(3, END_HEADERS, &name)]), End(PROTOCOL_ERROR)),
            (
                "4.3",
                "PRIORITY between pieces",
                all(&[piece(1), frame(PRIORITY, 0, 1, &[0; 5]), last()]),
                End(PROTOCOL_ERROR),
            ),
            ("4.3", "HEADERS of another stream between pieces", all(&[piece(1), long(3), last()]), End(PROTOCOL_ERROR)),
            (
                "5.5",
                "what nobody knows between pieces",
                all(&[piece(1), frame(0xbb, 0, 0, b"any"), last()]),
                End(PROTOCOL_ERROR),
            ),
        ],
    );
}
