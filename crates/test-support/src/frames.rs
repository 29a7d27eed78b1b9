//! HTTP/2 by hand: frames as bytes, for clients that break its rules. Numbers are those of RFC
//! 9113.

use crate::{HttpClient, ServeProcess};
use std::io;

/// Type of a frame.
pub const DATA: u8 = 0;
/// Type of a frame.
pub const HEADERS: u8 = 1;
/// Type of a frame.
pub const PRIORITY: u8 = 2;
/// Type of a frame.
pub const RST_STREAM: u8 = 3;
/// Type of a frame.
pub const SETTINGS: u8 = 4;
/// Type of a frame.
pub const PUSH_PROMISE: u8 = 5;
/// Type of a frame.
pub const PING: u8 = 6;
/// Type of a frame.
pub const GOAWAY: u8 = 7;
/// Type of a frame.
pub const WINDOW_UPDATE: u8 = 8;
/// Type of a frame.
pub const CONTINUATION: u8 = 9;

/// Flag of DATA and HEADERS: the last frame of the stream.
pub const END_STREAM: u8 = 1;
/// Flag of SETTINGS and PING: an acknowledgement.
pub const ACK: u8 = 1;
/// Flag of HEADERS and CONTINUATION: the last frame of the head.
pub const END_HEADERS: u8 = 4;
/// Flag of DATA and HEADERS: padding follows.
pub const PADDED: u8 = 8;
/// Flag of HEADERS: the stream's dependency comes first.
pub const WITH_PRIORITY: u8 = 32;

/// Error code of a stream or connection.
pub const PROTOCOL_ERROR: u32 = 1;
/// Error code of a stream or connection.
pub const FLOW_CONTROL_ERROR: u32 = 3;
/// Error code of a stream or connection.
pub const STREAM_CLOSED: u32 = 5;
/// Error code of a stream or connection.
pub const FRAME_SIZE_ERROR: u32 = 6;
/// Error code of a stream or connection.
pub const REFUSED_STREAM: u32 = 7;
/// Error code of a stream or connection.
pub const CANCEL: u32 = 8;
/// Error code of a stream or connection.
pub const COMPRESSION_ERROR: u32 = 9;
/// Error code of a stream or connection.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// HPACK's first byte of a head with status 200.
pub const OK: u8 = 0x88;
/// HPACK's first byte of a head with status 204.
pub const NO_CONTENT: u8 = 0x89;
/// HPACK's first byte of a head with status 400.
pub const BAD_REQUEST: u8 = 0x8c;
/// HPACK's first byte of a head with a status that is not in its static table.
pub const OTHER: u8 = 0x48;

/// Preface of each connection.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that was received.
pub struct RawFrame {
    /// Type of the frame.
    pub kind: u8,
    /// Flags of the frame.
    pub flags: u8,
    /// Stream identifier; 0 is the connection itself.
    pub stream: u32,
    /// Payload, without the frame header.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// Returns the error code of RST_STREAM or GOAWAY.
    pub fn reason(&self) -> Option<u32> {
        let bytes = match self.kind {
            RST_STREAM => self.payload.first_chunk(),
            GOAWAY => self.payload[4..].first_chunk(),
            _ => None,
        };
        bytes.map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// Encodes a frame.
///
/// # Panics
/// When the payload is longer than a frame may be.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes a header field in HPACK, neither indexed nor compressed.
///
/// # Panics
/// When the field is longer than HPACK can express.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0], &text(name)[..], &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    match u8::try_from(text.len()) {
        Ok(length @ 0..127) => [&[length], text.as_bytes()].concat(),
        // HPACK's integers have a prefix of 7 bits, then groups of 7 bits.
        _ => {
            let (mut rest, mut bytes) = (text.len() - 127, vec![127]);
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).expect("it is less than 128") | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).expect("it is less than 128"));
            bytes.extend(text.as_bytes());
            bytes
        }
    }
}

/// Encodes the head of a request for `path`.
pub fn get(path: &str) -> Vec<u8> {
    [field(":method", "GET"), field(":scheme", "http"), field(":path", path), field(":authority", "test")].concat()
}

/// A client's connection on which any frame can be sent.
pub struct Frames {
    /// HttpClient that carries the frames.
    pub connection: HttpClient,
    stream: u32,
}

impl Frames {
    /// Connects and exchanges the first settings with the server.
    ///
    /// # Panics
    /// When the server refuses the connection.
    #[track_caller]
    pub fn open(server: &ServeProcess) -> Self {
        Self::with_settings(server, &[])
    }

    /// Connects with these settings.
    ///
    /// # Panics
    /// When the server refuses the connection.
    #[track_caller]
    pub fn with_settings(server: &ServeProcess, settings: &[u8]) -> Self {
        let mut connection = server.connect();
        connection.send(PREFACE).expect("the server reads");
        connection.send(frame(SETTINGS, 0, 0, settings)).expect("the server reads");
        let mut frames = Frames { connection, stream: 1 };
        frames.until(|frame| frame.kind == SETTINGS && frame.flags == 0).expect("the server has settings");
        frames.connection.send(frame(SETTINGS, ACK, 0, &[])).expect("the server reads");
        frames
    }

    /// Sends the head of a request without a body.
    ///
    /// # Panics
    /// When the server does not read.
    #[track_caller]
    pub fn head(&mut self, block: &[u8]) {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, self.stream, block);
        self.connection.send(head).expect("the server reads");
        self.stream += 2;
    }

    /// Receives the next frame. Answers a PING on the way.
    pub fn read(&mut self) -> io::Result<RawFrame> {
        let head = self.connection.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.connection.exactly(length as usize)?;
        if head[3] == PING && head[4] != ACK {
            self.connection.send(frame(PING, ACK, 0, &payload))?;
        }
        Ok(RawFrame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Receives the next frame that is `wanted`.
    pub fn until(&mut self, wanted: impl Fn(&RawFrame) -> bool) -> io::Result<RawFrame> {
        loop {
            let frame = self.read()?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }

    /// Receives the next head and returns its first byte, which encodes the status.
    ///
    /// # Panics
    /// When no head comes.
    #[track_caller]
    pub fn status(&mut self) -> u8 {
        self.until(|frame| frame.kind == HEADERS).expect("the server answers").payload[0]
    }

    /// Waits for the end of the connection, and returns the error code of the last GOAWAY, if there
    /// was one.
    ///
    /// # Panics
    /// When the server does not end the connection.
    #[track_caller]
    pub fn goodbye(&mut self) -> Option<u32> {
        let mut reason = None;
        loop {
            match self.read() {
                Ok(frame) if frame.kind == GOAWAY => reason = frame.reason(),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the connection goes on; why it was to end: {reason:?}");
                }
                Err(_) => return reason,
            }
        }
    }
}
