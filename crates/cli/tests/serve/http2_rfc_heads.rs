//! The rules for the content of heads (RFC 9113 section 8), and for their encoding (RFC 7541). See
//! `http2_rfc.rs`.

use crate::http2_rfc::{Case, Either, End, GoOn, Must, Refuse, Reset, begun, request, server, try_all};
use walnut_test_support::frames::*;

/// Encodes a request with these fields and no others.
fn of(fields: &[(&str, &str)]) -> Vec<u8> {
    request(1, &fields.iter().map(|(name, value)| field(name, value)).collect::<Vec<_>>().concat())
}

/// Encodes a good request with one more field.
fn with(name: &str, value: &str) -> Vec<u8> {
    request(1, &[get("/"), field(name, value)].concat())
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "test");
/// Section 8.1.1.
const MALFORMED: Must = Reset(1, PROTOCOL_ERROR);
/// So malformed that h2 cannot read on.
const UNREADABLE: Must = Either(1, PROTOCOL_ERROR);

#[test]
fn names_and_values_are_well_formed() {
    let server = server();
    try_all(
        || Frames::open(&server),
        [
            ("8.2.1", "a name with a capital letter", with("X-Name", "value"), UNREADABLE),
            ("8.2.1", "a name with a space", with("x name", "value"), UNREADABLE),
            ("8.2.1", "a name with a colon in it", with("x:name", "value"), UNREADABLE),
            ("8.2.1", "a name with a letter that is not ASCII", with("x-n\u{e4}me", "value"), UNREADABLE),
            ("8.2.1", "a name without a letter", with("", "value"), UNREADABLE),
            ("8.2.1", "a value with a zero byte", with("x-name", "a\0b"), UNREADABLE),
            ("8.2.1", "a value with the end of a line", with("x-name", "a\r\nb"), UNREADABLE),
            ("8.2.1", "a value with a space before it", with("x-name", " a"), Refuse),
            ("8.2.1", "a value with a tab behind it", with("x-name", "a\t"), Refuse),
        ],
    );
}

#[test]
fn nothing_is_said_of_the_connection() {
    let server = server();
    try_all(
        || Frames::open(&server),
        [
            ("8.2.2", "connection", with("connection", "keep-alive"), MALFORMED),
            ("8.2.2", "keep-alive", with("keep-alive", "timeout=5"), MALFORMED),
            ("8.2.2", "proxy-connection", with("proxy-connection", "keep-alive"), MALFORMED),
            ("8.2.2", "transfer-encoding", with("transfer-encoding", "chunked"), MALFORMED),
            ("8.2.2", "upgrade", with("upgrade", "h2c"), MALFORMED),
            ("8.2.2", "te with trailers", with("te", "trailers"), GoOn),
            ("8.2.2", "te with anything else", with("te", "trailers, deflate;q=0.5"), MALFORMED),
        ],
    );
}

#[test]
fn what_is_asked_for_is_said_first_and_once() {
    let server = server();
    let no_trailers = [begun(1, &get("/hash")), begun(1, &field("x-name", "value"))].concat();
    try_all(
        || Frames::open(&server),
        [
            ("8.3", "a pseudo-header that nobody knows", with(":test", "ok"), UNREADABLE),
            ("8.3", "the one of answers", of(&[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")]), MALFORMED),
            ("8.3", "one behind a header", of(&[METHOD, SCHEME, AUTHORITY, ("x-name", "value"), PATH]), MALFORMED),
            ("8.1", "trailers that do not end the stream", no_trailers, MALFORMED),
            ("8.3.1", "no method", of(&[SCHEME, PATH, AUTHORITY]), MALFORMED),
            ("8.3.1", "no scheme", of(&[METHOD, PATH, AUTHORITY]), MALFORMED),
            ("8.3.1", "no path", of(&[METHOD, SCHEME, AUTHORITY]), MALFORMED),
            ("8.3.1", "an empty path", of(&[METHOD, SCHEME, (":path", ""), AUTHORITY]), MALFORMED),
            ("8.3.1", "a path that is only a query", of(&[METHOD, SCHEME, (":path", "?x"), AUTHORITY]), Refuse),
            (
                "8.3.1",
                "an authority whose port is no number",
                of(&[METHOD, SCHEME, PATH, (":authority", "a:b")]),
                Refuse,
            ),
            ("8.3.1", "two methods", of(&[METHOD, METHOD, SCHEME, PATH, AUTHORITY]), MALFORMED),
            ("8.3.1", "two schemes", of(&[METHOD, SCHEME, SCHEME, PATH, AUTHORITY]), MALFORMED),
            ("8.3.1", "two paths", of(&[METHOD, SCHEME, PATH, PATH, AUTHORITY]), MALFORMED),
            ("8.3.1", "two authorities", of(&[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY]), MALFORMED),
            ("8.5", "CONNECT with a path", of(&[(":method", "CONNECT"), PATH, AUTHORITY]), MALFORMED),
        ],
    );
}

/// Malformed by section 8.1. h2 accepts the frames and drops these fields.
#[test]
fn what_is_asked_for_in_trailers_goes_nowhere() {
    let server = server();
    let echoed = |trailers: &[Vec<u8>]| {
        let mut frames = Frames::open(&server);
        frames.connection.send([begun(1, &get("/echo")), request(1, &trailers.concat())].concat()).unwrap();
        assert_eq!(frames.status(), OK);
        frames.until(|frame| frame.kind == HEADERS).unwrap().payload
    };
    let sum = || field("x-sum", "5");
    assert_eq!(echoed(&[field(":method", "GET"), field(":status", "404"), sum()]), echoed(&[sum()]));
}

#[test]
fn a_body_is_as_long_as_its_head_says() {
    let server = server();
    let sends = |length: &str, parts: &[&[u8]]| {
        let mut sent = begun(1, &[get("/hash"), field("content-length", length)].concat());
        let last = parts.len() - 1;
        for (i, part) in parts.iter().enumerate() {
            sent.extend(frame(DATA, if i == last { END_STREAM } else { 0 }, 1, part));
        }
        sent
    };
    try_all(
        || Frames::open(&server),
        [
            ("8.1.1", "as much as it says", sends("6", &[b"abc", b"def"]), GoOn),
            ("8.1.1", "less", sends("4", &[b"abc"]), MALFORMED),
            ("8.1.1", "more", sends("1", &[b"abc"]), MALFORMED),
            ("8.1.1", "less in parts", sends("7", &[b"abc", b"def"]), MALFORMED),
            ("8.1.1", "more in parts", sends("4", &[b"abc", b"def"]), MALFORMED),
            ("8.1.1", "none", with("content-length", "3"), MALFORMED),
            ("8.1.1", "a length that is none", sends("many", &[b"abc"]), MALFORMED),
        ],
    );
}

/// A good head, with these bytes before or after it.
fn written(case: (&'static str, &'static str, &[u8], Must)) -> Case {
    let (section, what, bytes, must) = case;
    (section, what, request(1, &[get("/"), bytes.to_vec()].concat()), must)
}

#[test]
fn heads_are_written_in_hpack() {
    let server = server();
    let bad = End(COMPRESSION_ERROR);
    try_all(
        || Frames::open(&server),
        [
            ("2.3.3 of RFC 7541", "a field of an index that there is not", &[0xff, 0x00][..], bad),
            ("2.3.3 of RFC 7541", "a name of an index that there is not", &[0x7f, 0x00, 1, b'a'], bad),
            ("4.2 of RFC 7541", "a change of the table's size behind a field", &[0x21], bad),
            (
                "5.1 of RFC 7541",
                "a number that is too large",
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                bad,
            ),
            ("5.1 of RFC 7541", "a number without an end", &[0xff, 0xff], bad),
            ("5.2 of RFC 7541", "a text without an end", &[0x00, 5, b'x'], bad),
            // Huffman code of the name `a`: the five bits 00011.
            ("5.2 of RFC 7541", "a text in Huffman's code", &[0x00, 0x81, 0x1f, 0], GoOn),
            ("5.2 of RFC 7541", "one that is padded by more than 7 bits", &[0x00, 0x82, 0x1f, 0xff, 0], bad),
            ("5.2 of RFC 7541", "one that is padded by zeros", &[0x00, 0x81, 0x18, 0], bad),
            ("5.2 of RFC 7541", "one with the symbol for its end", &[0x00, 0x85, 0x1f, 0xff, 0xff, 0xff, 0xff, 0], bad),
            ("6.1 of RFC 7541", "a field of the index 0", &[0x80], bad),
        ]
        .map(written),
    );
    let sized = |change: &[u8]| request(1, &[change, &get("/")].concat());
    try_all(
        || Frames::open(&server),
        [
            ("6.3 of RFC 7541", "a smaller table", sized(&[0x20]), GoOn),
            // 31 and 4066 more is one more than 4096.
            ("6.3 of RFC 7541", "a larger table than may be", sized(&[0x3f, 0xe2, 0x1f]), bad),
        ],
    );
}
