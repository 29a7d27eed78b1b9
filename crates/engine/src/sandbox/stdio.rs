//! What a guest's standard streams are connected to.

use crate::request_id::RequestId;
use bytes::Bytes;
use smallvec::SmallVec;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

/// A line that a guest wrote.
#[derive(Clone, Copy, Debug)]
pub struct OutputLine<'a> {
    /// The line, without its end.
    pub text: &'a str,
    /// Whether it went to standard error.
    pub is_stderr: bool,
    /// The request that it was written for, where that can be told.
    pub request: Option<RequestId>,
}

/// Takes the lines of a guest's output.
pub type LineSink = Arc<dyn Fn(OutputLine<'_>) + Send + Sync>;

/// What a guest's standard streams are connected to.
#[derive(Clone)]
pub enum Stdio {
    /// This process's own.
    Inherit,
    /// Input is empty, and output is handed over line by line.
    Lines(LineSink),
}

/// A line longer than this is handed over in pieces.
const LONGEST_LINE: usize = 8 << 10;
/// What a sandbox may say for one request. A guest that logs without end must not fill a disk.
const MOST_OUTPUT: usize = 1 << 20;

/// What a sandbox says, and for whom.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Output>>);

impl Said {
    /// For a sandbox whose streams are connected to `stdio`.
    pub fn new(stdio: &Stdio) -> Self {
        let sink = match stdio {
            Stdio::Inherit => None,
            Stdio::Lines(sink) => Some(sink.clone()),
        };
        let mut output = Output::default();
        output.sink = sink;
        Said(Arc::new(Mutex::new(output)))
    }

    /// The streams of a sandbox.
    pub fn connect(&self, wasi: &mut WasiCtxBuilder) {
        if self.lock().sink.is_none() {
            wasi.inherit_stdio();
        } else {
            wasi.stdout(Lines { is_stderr: false, said: self.clone() });
            wasi.stderr(Lines { is_stderr: true, said: self.clone() });
        }
    }

    /// From now on all that is said is for `request`, and it may be as much again. What has no end of line yet was for the
    /// one before.
    pub fn turn_to(&self, request: Option<RequestId>) {
        let mut output = self.lock();
        output.end_lines();
        output.bytes = 0;
        output.requests.clear();
        output.requests.extend(request);
    }

    /// Another request came, for which as much may be said again.
    pub fn renew(&self) {
        self.lock().bytes = 0;
    }

    /// `request` is under way, with others perhaps, for as long as the guard lives.
    pub fn during(&self, request: RequestId) -> During {
        self.lock().requests.push(request);
        During { said: self.clone(), request }
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
pub(crate) struct During {
    said: Said,
    request: RequestId,
}

impl Drop for During {
    fn drop(&mut self) {
        let mut output = self.said.lock();
        if let Some(at) = output.requests.iter().position(|request| *request == self.request) {
            output.requests.swap_remove(at);
        }
    }
}

#[derive(Default)]
struct Output {
    sink: Option<LineSink>,
    /// Those under way. Which of several a line is for, nobody outside the guest can tell.
    requests: SmallVec<[RequestId; 1]>,
    /// How much was said since the last request came.
    bytes: usize,
    /// Of standard output and of standard error.
    begun: [Begun; 2],
}

/// What has no end of line yet.
#[derive(Default)]
struct Begun {
    bytes: Vec<u8>,
    /// The request for which it began.
    request: Option<RequestId>,
}

impl Output {
    fn take(&mut self, is_stderr: bool, mut bytes: &[u8]) {
        let before = self.bytes;
        self.bytes = before.saturating_add(bytes.len());
        if before > MOST_OUTPUT {
            return;
        }
        if self.bytes > MOST_OUTPUT {
            self.hand_over(is_stderr, "[the rest of this guest's output is left out]", self.request());
            return;
        }
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.add(is_stderr, &bytes[..end]);
            self.end_line(is_stderr);
            bytes = &bytes[end + 1..];
        }
        for piece in bytes.chunks(LONGEST_LINE) {
            self.add(is_stderr, piece);
            if self.begun[usize::from(is_stderr)].bytes.len() >= LONGEST_LINE {
                self.end_line(is_stderr);
            }
        }
    }

    fn add(&mut self, is_stderr: bool, bytes: &[u8]) {
        let request = self.request();
        let begun = &mut self.begun[usize::from(is_stderr)];
        if begun.bytes.is_empty() {
            begun.request = request;
        }
        begun.bytes.extend_from_slice(bytes);
    }

    fn end_line(&mut self, is_stderr: bool) {
        let Begun { mut bytes, request } = std::mem::take(&mut self.begun[usize::from(is_stderr)]);
        self.hand_over(is_stderr, &String::from_utf8_lossy(&bytes), request);
        bytes.clear();
        self.begun[usize::from(is_stderr)].bytes = bytes;
    }

    fn end_lines(&mut self) {
        for is_stderr in [false, true] {
            if !self.begun[usize::from(is_stderr)].bytes.is_empty() {
                self.end_line(is_stderr);
            }
        }
    }

    fn hand_over(&self, is_stderr: bool, text: &str, request: Option<RequestId>) {
        if let Some(sink) = &self.sink {
            sink(OutputLine { text, is_stderr, request });
        }
    }

    /// The request under way, if it is the only one.
    fn request(&self) -> Option<RequestId> {
        match self.requests[..] {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// What has no end of line yet is said when the sandbox ends.
impl Drop for Output {
    fn drop(&mut self) {
        self.end_lines();
    }
}

/// An output stream that is cut into lines.
#[derive(Clone)]
struct Lines {
    is_stderr: bool,
    said: Said,
}

impl Lines {
    fn take(&self, bytes: &[u8]) {
        self.said.lock().take(self.is_stderr, bytes);
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEW: &str = "(another request)";

    fn id(number: u128) -> RequestId {
        RequestId::new(std::num::NonZeroU128::new(number).unwrap(), None)
    }

    type Heard = Arc<Mutex<Vec<(Option<RequestId>, String)>>>;

    fn heard() -> (Said, Heard) {
        let heard = Heard::default();
        let sink: LineSink = {
            let heard = heard.clone();
            Arc::new(move |line| heard.lock().unwrap().push((line.request, line.text.to_owned())))
        };
        (Said::new(&Stdio::Lines(sink)), heard)
    }

    fn collect(writes: &[&str]) -> Vec<String> {
        let (said, heard) = heard();
        let lines = Lines { is_stderr: false, said };
        for write in writes {
            match *write {
                RENEW => lines.said.renew(),
                text => lines.take(text.as_bytes()),
            }
        }
        drop(lines);
        let heard = heard.lock().unwrap();
        heard.iter().map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn output_is_cut_into_lines() {
        assert_eq!(collect(&["a", "b\nc\n", "", "d"]), ["ab", "c", "d"]);
    }

    #[test]
    fn a_log_bomb_is_cut_off_once() {
        let said = collect(&vec!["x".repeat(1000).as_str(); 5000]);
        let bytes: usize = said.iter().map(String::len).sum();
        assert!(bytes <= MOST_OUTPUT + 100, "{bytes}");
        assert_eq!(said.iter().filter(|l| l.contains("left out")).count(), 1);
    }

    #[test]
    fn each_request_may_say_as_much_again() {
        let bomb = "x".repeat(MOST_OUTPUT + 1);
        assert!(!collect(&[&bomb, "unheard\n"]).contains(&"unheard".to_owned()));
        assert!(collect(&[&bomb, RENEW, "heard\n"]).contains(&"heard".to_owned()));
    }
    #[test]
    fn a_line_is_of_the_request_in_which_it_began() {
        let (said, heard) = heard();
        let (out, err) =
            (Lines { is_stderr: false, said: said.clone() }, Lines { is_stderr: true, said: said.clone() });
        out.take(b"at the start\n");
        said.turn_to(Some(id(1)));
        out.take(b"one\nwithout ");
        err.take(b"an end");
        said.turn_to(Some(id(2)));
        out.take(b"two\n");
        let expected = [
            (None, "at the start"),
            (Some(id(1)), "one"),
            (Some(id(1)), "without "),
            (Some(id(1)), "an end"),
            (Some(id(2)), "two"),
        ];
        assert_eq!(*heard.lock().unwrap(), expected.map(|(id, text)| (id, text.to_owned())));
    }

    #[test]
    fn of_several_requests_none_is_named() {
        let (said, heard) = heard();
        let lines = Lines { is_stderr: true, said: said.clone() };
        let first = said.during(id(1));
        lines.take(b"alone\nbegun alone, ");
        let second = said.during(id(2));
        lines.take(b"ended together\ntogether\n");
        drop(first);
        lines.take(b"alone again\n");
        drop(second);
        lines.take(b"after all\n");
        let expected = [
            (Some(id(1)), "alone"),
            (Some(id(1)), "begun alone, ended together"),
            (None, "together"),
            (Some(id(2)), "alone again"),
            (None, "after all"),
        ];
        assert_eq!(*heard.lock().unwrap(), expected.map(|(id, text)| (id, text.to_owned())));
    }
}
