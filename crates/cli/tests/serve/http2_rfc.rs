//! The rules of RFC 9113 for connections and frames (sections 3, 4 and 6). Each has a client that
//! breaks the rule, or that keeps it where a server could get it wrong. The rules for streams and
//! heads are in `http2_rfc_streams.rs` and `http2_rfc_heads.rs`.
//!
//! A case is a list of frames, sent on a connection of its own after both sides' settings, and the
//! required outcome. Two rules have no case, since h2 is lenient about them: it takes any frame as
//! a client's first (3.4), and drops pseudo-headers in trailers (8.1).

use crate::{Served, serve};
use walnut_test_programs::*;
use walnut_test_support::frames::*;
use walnut_test_support::{Secure, certificate_and_key};

/// Required outcome of a case.
#[derive(Clone, Copy)]
pub(crate) enum Must {
    /// A connection error (section 5.4.1): a GOAWAY with this reason, and the end. `PROTOCOL_ERROR`
    /// is the general reason (section 7), which may stand for each narrower reason.
    End(u32),
    /// A stream error (section 5.4.2): this stream is reset for this reason, and others go on.
    Reset(u32, u32),
    /// A stream error that may be treated as a connection error, as section 5.4.1 allows.
    Either(u32, u32),
    /// A stream error that is told by a response on stream 1, as section 8.1.1 allows: 400.
    Refuse,
    /// None: the connection goes on.
    GoOn,
}
pub(crate) use Must::{Either, End, GoOn, Refuse, Reset};

/// The section, a description, the bytes to send, and the required outcome.
pub(crate) type Case = (&'static str, &'static str, Vec<u8>, Must);

/// A stream that no case uses.
const UNUSED: u32 = 0x1001;

#[track_caller]
pub(crate) fn server() -> Served {
    serve(RUST_P3_HTTP_ECHO, &[])
}

/// Tries each case on a connection from `open`.
#[track_caller]
pub(crate) fn try_all(open: impl Fn() -> Frames, cases: impl IntoIterator<Item = Case>) {
    for (section, what, sent, must) in cases {
        let mut frames = open();
        frames.connection.send(sent).unwrap();
        let case = format!("section {section}: {what}");
        let is_for = |reason: u32, wanted| reason == wanted || reason == PROTOCOL_ERROR;
        match must {
            End(wanted) => {
                let reason = frames.goodbye();
                assert!(reason.is_some_and(|reason| is_for(reason, wanted)), "{case}: {reason:?}");
            }
            Reset(stream, wanted) | Either(stream, wanted) => {
                let end = frames.until(|frame| frame.reason().is_some()).unwrap();
                let reason = end.reason().unwrap();
                let is_end = matches!(must, Either(..)) && end.kind == GOAWAY && is_for(reason, wanted);
                if !is_end {
                    assert_eq!((end.kind, end.stream, reason), (RST_STREAM, stream, wanted), "{case}");
                    goes_on(&mut frames, &case);
                }
            }
            Refuse => {
                let answer = frames.until(|frame| frame.stream == 1 || frame.reason().is_some()).unwrap();
                assert_eq!((answer.kind, answer.payload[0]), (HEADERS, BAD_REQUEST), "{case}");
                goes_on(&mut frames, &case);
            }
            GoOn => goes_on(&mut frames, &case),
        }
    }
}

#[track_caller]
fn goes_on(frames: &mut Frames, case: &str) {
    frames.connection.send(request(UNUSED, &get("/"))).unwrap();
    let answer = frames.until(|frame| frame.stream == UNUSED || frame.reason().is_some());
    let answer = answer.unwrap_or_else(|e| panic!("{case}: {e}"));
    assert!(answer.kind == HEADERS && answer.payload[0] == OK, "{case}: {:?} {:?}", answer.kind, answer.payload);
}

/// A whole request.
pub(crate) fn request(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A request whose body is to follow.
pub(crate) fn begun(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

/// A request that is in flight for longer than a case takes.
pub(crate) fn long(stream: u32) -> Vec<u8> {
    request(stream, &get("/sleep?ms=20000"))
}

pub(crate) fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

const LARGEST_WINDOW: u32 = 0x7fff_ffff;
pub(crate) const DEPENDS_ON_1: [u8; 5] = [0, 0, 0, 1, 15];

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    let server = server();
    let mut client = server.connect();
    client.send([&PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    let first = client.exactly(5).unwrap();
    assert_eq!(first[3..], [SETTINGS, 0], "section 3.4: its first frame is one of settings");
    // In the clear, bytes that are no preface may be HTTP/1.1; where HTTP/2 was agreed on, they are
    // an error.
    let env = &server.env;
    let (certificate, key) = certificate_and_key();
    env.file("certificate.pem", certificate);
    env.file("key.pem", key);
    let secure = ["--tls-cert", "certificate.pem", "--tls-key", "key.pem"];
    let server = walnut_test_support::ServeProcess::start(env, RUST_P3_HTTP_ECHO, secure);
    let mut client = Secure::open(server.address(), certificate, &["h2"], &[]).unwrap();
    let answer = client.ask(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nGET / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert!(!answer.is_ok_and(|answer| answer.contains("HTTP/1.1")));
}

#[test]
fn frames_have_a_form_and_a_size() {
    let server = server();
    let of_size = |kind, stream, size| frame(kind, 0, stream, &vec![0; size]);
    let large_head = frame(HEADERS, END_HEADERS, 1, &[get("/"), field("x", &"a".repeat(17_000))].concat());
    let then = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    try_all(
        || Frames::open(&server),
        [
            ("4.1", "a kind of frame that nobody knows", frame(0xbb, 0xff, 1, b"anything"), GoOn),
            ("4.1", "flags that nobody knows", frame(PING, 0x16, 0, &[7; 8]), GoOn),
            ("4.1", "the reserved bit before the stream", frame(PING, 0, 1 << 31, &[7; 8]), GoOn),
            ("4.2", "the largest frame", then(begun(1, &get("/")), of_size(DATA, 1, 1 << 14)), GoOn),
            (
                "4.2",
                "a larger one of data",
                then(begun(1, &get("/")), of_size(DATA, 1, (1 << 14) + 1)),
                End(FRAME_SIZE_ERROR),
            ),
            ("4.2", "a larger one of headers", large_head, End(FRAME_SIZE_ERROR)),
            ("6.3", "PRIORITY of 4 bytes", then(begun(1, &get("/")), of_size(PRIORITY, 1, 4)), End(FRAME_SIZE_ERROR)),
            (
                "6.4",
                "RST_STREAM of 3 bytes",
                then(begun(1, &get("/")), of_size(RST_STREAM, 1, 3)),
                End(FRAME_SIZE_ERROR),
            ),
            ("6.5", "SETTINGS of 3 bytes", of_size(SETTINGS, 0, 3), End(FRAME_SIZE_ERROR)),
            (
                "6.5",
                "an answer to SETTINGS with a setting",
                frame(SETTINGS, ACK, 0, &[0, 4, 0, 0, 9, 9]),
                End(FRAME_SIZE_ERROR),
            ),
            ("6.7", "PING of 6 bytes", of_size(PING, 0, 6), End(FRAME_SIZE_ERROR)),
            ("6.8", "GOAWAY of 7 bytes", of_size(GOAWAY, 0, 7), End(FRAME_SIZE_ERROR)),
            ("6.9", "WINDOW_UPDATE of 3 bytes", of_size(WINDOW_UPDATE, 0, 3), End(FRAME_SIZE_ERROR)),
        ],
    );
}

#[test]
fn frames_are_for_a_stream_or_for_the_connection() {
    let server = server();
    let push = [&[0, 0, 0, 2][..], &get("/")].concat();
    try_all(
        || Frames::open(&server),
        [
            ("6.1", "DATA for the connection", frame(DATA, END_STREAM, 0, b"abc"), End(PROTOCOL_ERROR)),
            ("6.2", "HEADERS for the connection", request(0, &get("/")), End(PROTOCOL_ERROR)),
            ("6.3", "PRIORITY for the connection", frame(PRIORITY, 0, 0, &DEPENDS_ON_1), End(PROTOCOL_ERROR)),
            ("6.4", "RST_STREAM for the connection", reset(0), End(PROTOCOL_ERROR)),
            ("6.5", "SETTINGS for a stream", frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9]), End(PROTOCOL_ERROR)),
            ("6.7", "PING for a stream", frame(PING, 0, 1, &[7; 8]), End(PROTOCOL_ERROR)),
            ("6.8", "GOAWAY for a stream", frame(GOAWAY, 0, 1, &[0; 8]), End(PROTOCOL_ERROR)),
            ("8.4", "PUSH_PROMISE from a client", frame(PUSH_PROMISE, END_HEADERS, 1, &push), End(PROTOCOL_ERROR)),
        ],
    );
}

#[test]
fn padding_is_shorter_than_its_frame() {
    let server = server();
    let padded = |kind, flags, length: u8, content: &[u8], padding| {
        frame(kind, flags | PADDED, 1, &[&[length], content, &vec![0; padding]].concat())
    };
    let then = |data: Vec<u8>| [begun(1, &get("/")), data].concat();
    let head = get("/");
    try_all(
        || Frames::open(&server),
        [
            ("6.1", "DATA with padding", then(padded(DATA, END_STREAM, 5, b"abc", 5)), GoOn),
            ("6.1", "DATA with nothing else", then(padded(DATA, END_STREAM, 0, b"", 0)), GoOn),
            (
                "6.1",
                "DATA with more padding than bytes",
                then(padded(DATA, END_STREAM, 9, b"abc", 5)),
                End(PROTOCOL_ERROR),
            ),
            ("6.2", "HEADERS with padding", padded(HEADERS, END_HEADERS | END_STREAM, 5, &head, 5), GoOn),
            (
                "6.2",
                "HEADERS with more padding than bytes",
                padded(HEADERS, END_HEADERS, 255, &head, 0),
                End(PROTOCOL_ERROR),
            ),
        ],
    );
}

#[test]
fn settings_are_in_their_ranges_and_heeded() {
    let server = server();
    try_all(
        || Frames::open(&server),
        [
            ("6.5.2", "ENABLE_PUSH that is neither 0 nor 1", setting(2, 2), End(PROTOCOL_ERROR)),
            ("6.5.2", "INITIAL_WINDOW_SIZE that is too large", setting(4, LARGEST_WINDOW + 1), End(FLOW_CONTROL_ERROR)),
            ("6.5.2", "MAX_FRAME_SIZE that is too small", setting(5, (1 << 14) - 1), End(PROTOCOL_ERROR)),
            ("6.5.2", "MAX_FRAME_SIZE that is too large", setting(5, 1 << 24), End(PROTOCOL_ERROR)),
            ("6.5.2", "a setting that nobody knows", setting(0xff, 7), GoOn),
        ],
    );
    let mut frames = Frames::open(&server);
    frames.connection.send(setting(3, 100)).unwrap();
    frames.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).expect("section 6.5.3: they are answered");
    frames.connection.send(frame(PING, 0, 0, b"pingpong")).unwrap();
    let pong = frames.until(|frame| frame.kind == PING).expect("section 6.7: it is answered");
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"pingpong"[..]), "section 6.7");
    // An acknowledgement gets no reply: the next frame replies to another one.
    frames.connection.send([frame(PING, ACK, 0, b"an answe"), frame(PING, 0, 0, b"a second")].concat()).unwrap();
    assert_eq!(frames.until(|frame| frame.kind == PING).unwrap().payload, b"a second", "section 6.7");
    // The last of two values for the same setting counts.
    let twice = [0, 4, 0, 0, 0, 99, 0, 4, 0, 0, 0, 1];
    let mut frames = Frames::with_settings(&server, &twice);
    frames.head(&get("/sleep?ms=0"));
    assert_eq!(data(&mut frames), b"s", "section 6.5.3");
}

fn data(frames: &mut Frames) -> Vec<u8> {
    frames.until(|frame| frame.kind == DATA).expect("it goes on").payload
}

#[test]
fn windows_hold_back_and_do_not_overflow() {
    let server = server();
    let then = |more: Vec<u8>| [long(1), more].concat();
    let twice = |stream| [window(stream, LARGEST_WINDOW), window(stream, LARGEST_WINDOW)].concat();
    try_all(
        || Frames::open(&server),
        [
            ("6.9", "a window of the connection that grows by nothing", window(0, 0), End(PROTOCOL_ERROR)),
            ("6.9", "a window of a stream that grows by nothing", then(window(1, 0)), Either(1, PROTOCOL_ERROR)),
            ("6.9.1", "a window of the connection that overflows", twice(0), End(FLOW_CONTROL_ERROR)),
            ("6.9.1", "a window of a stream that overflows", then(twice(1)), Reset(1, FLOW_CONTROL_ERROR)),
            (
                "6.9.2",
                "a setting by which one overflows",
                then([window(1, LARGEST_WINDOW - 70_000), setting(4, LARGEST_WINDOW)].concat()),
                End(FLOW_CONTROL_ERROR),
            ),
        ],
    );
    let mut frames = Frames::with_settings(&server, &[0, 4, 0, 0, 0, 1]);
    frames.head(&get("/sleep?ms=0"));
    assert_eq!(data(&mut frames), b"s", "section 6.9.1: no more than there is room for");
    frames.connection.send(setting(4, 3)).unwrap();
    assert_eq!(data(&mut frames), b"le", "section 6.9.2: a setting makes room on streams that there are");
    // The window is negative after this setting; two bytes make room for one.
    frames.connection.send([setting(4, 2), window(1, 1)].concat()).unwrap();
    frames.connection.send([window(1, 1), frame(PING, 0, 0, b"pingpong")].concat()).unwrap();
    assert_eq!(data(&mut frames), b"p", "section 6.9.2: a window can be less than nothing");
}
