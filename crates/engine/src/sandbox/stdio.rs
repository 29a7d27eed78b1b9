//! Standard streams of a guest.

use crate::request_id::RequestId;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

/// A line that a guest wrote.
#[derive(Clone, Copy, Debug)]
pub struct OutputLine<'a> {
    /// The line, without its line feed.
    pub text: &'a str,
    /// Whether the line was written to standard error.
    pub is_stderr: bool,
    /// The request for which the line was written, if it can be told.
    pub request: Option<RequestId>,
}

/// Receives the lines of a guest's output.
pub type LineSink = Arc<dyn Fn(OutputLine<'_>) + Send + Sync>;

/// Destination of a guest's standard streams.
#[derive(Clone)]
pub enum Stdio {
    /// The standard streams of this process.
    Inherit,
    /// Input is empty; output is passed on line by line.
    Lines(LineSink),
}

/// Bytes of a line; longer lines are passed on in pieces.
const MAX_LINE: usize = 8 << 10;
/// Bytes of output per request. A guest that logs without end must not fill a disk.
const MAX_OUTPUT: usize = 1 << 20;

/// Output of a sandbox, attributed to requests.
#[derive(Clone, Default)]
pub(crate) struct GuestOutput(Arc<Mutex<OutputState>>);

impl GuestOutput {
    /// Creates the output of a sandbox with these streams.
    pub fn new(stdio: &Stdio) -> Self {
        let sink = match stdio {
            Stdio::Inherit => None,
            Stdio::Lines(sink) => Some(sink.clone()),
        };
        let mut output = OutputState::default();
        output.sink = sink;
        GuestOutput(Arc::new(Mutex::new(output)))
    }

    /// Connects the streams of a sandbox.
    pub fn connect(&self, wasi: &mut WasiCtxBuilder) {
        if self.lock().sink.is_none() {
            wasi.inherit_stdio();
        } else {
            wasi.stdout(LineStream { is_stderr: false, output: self.clone() });
            wasi.stderr(LineStream { is_stderr: true, output: self.clone() });
        }
    }

    /// Attributes further output to `request`, with a fresh budget. An unfinished line belongs to
    /// the previous request.
    pub fn switch_to(&self, request: Option<RequestId>) {
        let mut output = self.lock();
        output.flush_lines();
        output.bytes = 0;
        output.requests.clear();
        output.requests.extend(request);
    }

    /// Renews the budget for another request.
    pub fn reset_budget(&self) {
        self.lock().bytes = 0;
    }

    /// Adds `request` to those under way, until the guard is dropped.
    pub fn begin_request(&self, request: RequestId) -> RequestScope {
        self.lock().requests.push(request);
        RequestScope { output: self.clone(), request }
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.0.lock()
    }
}

/// A request under way.
pub(crate) struct RequestScope {
    output: GuestOutput,
    request: RequestId,
}

impl Drop for RequestScope {
    fn drop(&mut self) {
        let mut output = self.output.lock();
        if let Some(at) = output.requests.iter().position(|request| *request == self.request) {
            output.requests.swap_remove(at);
        }
    }
}

#[derive(Default)]
struct OutputState {
    sink: Option<LineSink>,
    /// Requests under way. With several, the request of a line is unknown outside the guest.
    requests: SmallVec<[RequestId; 1]>,
    /// Bytes written since the latest request came.
    bytes: usize,
    /// Unfinished lines of standard output and standard error.
    partial: [PartialLine; 2],
}

/// A line without its line feed.
#[derive(Default)]
struct PartialLine {
    bytes: Vec<u8>,
    /// The request for which the line began.
    request: Option<RequestId>,
}

impl OutputState {
    fn write(&mut self, is_stderr: bool, mut bytes: &[u8]) {
        let before = self.bytes;
        self.bytes = before.saturating_add(bytes.len());
        if before > MAX_OUTPUT {
            return;
        }
        if self.bytes > MAX_OUTPUT {
            self.emit(is_stderr, "[the rest of this guest's output is left out]", self.request());
            return;
        }
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.add(is_stderr, &bytes[..end]);
            self.flush_line(is_stderr);
            bytes = &bytes[end + 1..];
        }
        for piece in bytes.chunks(MAX_LINE) {
            self.add(is_stderr, piece);
            if self.partial[usize::from(is_stderr)].bytes.len() >= MAX_LINE {
                self.flush_line(is_stderr);
            }
        }
    }

    fn add(&mut self, is_stderr: bool, bytes: &[u8]) {
        let request = self.request();
        let partial = &mut self.partial[usize::from(is_stderr)];
        if partial.bytes.is_empty() {
            partial.request = request;
        }
        partial.bytes.extend_from_slice(bytes);
    }

    fn flush_line(&mut self, is_stderr: bool) {
        let PartialLine { mut bytes, request } = std::mem::take(&mut self.partial[usize::from(is_stderr)]);
        self.emit(is_stderr, &String::from_utf8_lossy(&bytes), request);
        bytes.clear();
        self.partial[usize::from(is_stderr)].bytes = bytes;
    }

    fn flush_lines(&mut self) {
        for is_stderr in [false, true] {
            if !self.partial[usize::from(is_stderr)].bytes.is_empty() {
                self.flush_line(is_stderr);
            }
        }
    }

    fn emit(&self, is_stderr: bool, text: &str, request: Option<RequestId>) {
        if let Some(sink) = &self.sink {
            sink(OutputLine { text, is_stderr, request });
        }
    }

    /// Returns the request under way, if it is the only one.
    fn request(&self) -> Option<RequestId> {
        match self.requests[..] {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Unfinished lines are passed on when the sandbox ends.
impl Drop for OutputState {
    fn drop(&mut self) {
        self.flush_lines();
    }
}

/// Output stream that is cut into lines.
#[derive(Clone)]
struct LineStream {
    is_stderr: bool,
    output: GuestOutput,
}

impl LineStream {
    fn take_bytes(&self, bytes: &[u8]) {
        self.output.lock().write(self.is_stderr, bytes);
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take_bytes(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take_bytes(bytes);
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

    fn heard() -> (GuestOutput, Heard) {
        let heard = Heard::default();
        let sink: LineSink = {
            let heard = heard.clone();
            Arc::new(move |line| heard.lock().push((line.request, line.text.to_owned())))
        };
        (GuestOutput::new(&Stdio::Lines(sink)), heard)
    }

    fn collect(writes: &[&str]) -> Vec<String> {
        let (output, heard) = heard();
        let lines = LineStream { is_stderr: false, output };
        for write in writes {
            match *write {
                RENEW => lines.output.reset_budget(),
                text => lines.take_bytes(text.as_bytes()),
            }
        }
        drop(lines);
        let heard = heard.lock();
        heard.iter().map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn output_is_cut_into_lines() {
        assert_eq!(collect(&["a", "b\nc\n", "", "d"]), ["ab", "c", "d"]);
    }

    #[test]
    fn a_log_bomb_is_cut_off_once() {
        let output = collect(&vec!["x".repeat(1000).as_str(); 5000]);
        let bytes: usize = output.iter().map(String::len).sum();
        assert!(bytes <= MAX_OUTPUT + 100, "{bytes}");
        assert_eq!(output.iter().filter(|l| l.contains("left out")).count(), 1);
    }

    #[test]
    fn each_request_has_a_budget_of_output() {
        let bomb = "x".repeat(MAX_OUTPUT + 1);
        assert!(!collect(&[&bomb, "unheard\n"]).contains(&"unheard".to_owned()));
        assert!(collect(&[&bomb, RENEW, "heard\n"]).contains(&"heard".to_owned()));
    }
    #[test]
    fn a_line_is_of_the_request_in_which_it_began() {
        let (output, heard) = heard();
        let (out, err) = (
            LineStream { is_stderr: false, output: output.clone() },
            LineStream { is_stderr: true, output: output.clone() },
        );
        out.take_bytes(b"at the start\n");
        output.switch_to(Some(id(1)));
        out.take_bytes(b"one\nwithout ");
        err.take_bytes(b"an end");
        output.switch_to(Some(id(2)));
        out.take_bytes(b"two\n");
        let expected = [
            (None, "at the start"),
            (Some(id(1)), "one"),
            (Some(id(1)), "without "),
            (Some(id(1)), "an end"),
            (Some(id(2)), "two"),
        ];
        assert_eq!(*heard.lock(), expected.map(|(id, text)| (id, text.to_owned())));
    }

    #[test]
    fn lines_of_concurrent_requests_name_none() {
        let (output, heard) = heard();
        let lines = LineStream { is_stderr: true, output: output.clone() };
        let first = output.begin_request(id(1));
        lines.take_bytes(b"alone\nbegun alone, ");
        let second = output.begin_request(id(2));
        lines.take_bytes(b"ended together\ntogether\n");
        drop(first);
        lines.take_bytes(b"alone again\n");
        drop(second);
        lines.take_bytes(b"after all\n");
        let expected = [
            (Some(id(1)), "alone"),
            (Some(id(1)), "begun alone, ended together"),
            (None, "together"),
            (Some(id(2)), "alone again"),
            (None, "after all"),
        ];
        assert_eq!(*heard.lock(), expected.map(|(id, text)| (id, text.to_owned())));
    }
}
