//! What a guest's standard streams are connected to.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

/// Takes a line of a guest's output; `true` marks standard error.
pub type LineSink = Arc<dyn Fn(bool, &str) + Send + Sync>;

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

/// How much a sandbox has said since its last request came.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<AtomicUsize>);

impl Said {
    /// Another request came, for which it may say as much again.
    pub fn renew(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Stdio {
    pub(crate) fn connect(&self, wasi: &mut WasiCtxBuilder) -> Said {
        let said = Said::default();
        match self {
            Stdio::Inherit => {
                wasi.inherit_stdio();
            }
            Stdio::Lines(sink) => {
                wasi.stdout(Lines::new(false, sink, &said));
                wasi.stderr(Lines::new(true, sink, &said));
            }
        }
        said
    }
}

/// An output stream that is cut into lines.
#[derive(Clone)]
struct Lines {
    is_stderr: bool,
    sink: LineSink,
    said: Said,
    /// What has no end of line yet.
    pending: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    fn new(is_stderr: bool, sink: &LineSink, said: &Said) -> Self {
        Lines { is_stderr, sink: sink.clone(), said: said.clone(), pending: Arc::default() }
    }

    fn take(&self, mut bytes: &[u8]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.said.0.fetch_add(bytes.len(), Relaxed);
        if before > MOST_OUTPUT {
            return;
        }
        if before + bytes.len() > MOST_OUTPUT {
            (self.sink)(self.is_stderr, "[the rest of this guest's output is left out]");
            return;
        }
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            pending.extend_from_slice(&bytes[..end]);
            self.emit(&mut pending);
            bytes = &bytes[end + 1..];
        }
        for piece in bytes.chunks(LONGEST_LINE) {
            pending.extend_from_slice(piece);
            if pending.len() >= LONGEST_LINE {
                self.emit(&mut pending);
            }
        }
    }

    fn emit(&self, pending: &mut Vec<u8>) {
        (self.sink)(self.is_stderr, &String::from_utf8_lossy(pending));
        pending.clear();
    }
}

/// What has no end of line yet is said when the sandbox ends.
impl Drop for Lines {
    fn drop(&mut self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.pending) == 1 && !pending.is_empty() {
            self.emit(&mut pending);
        }
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

    fn collect(writes: &[&str]) -> Vec<String> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink: LineSink = {
            let said = said.clone();
            Arc::new(move |_, line| said.lock().unwrap().push(line.to_owned()))
        };
        let counted = Said::default();
        let lines = Lines::new(false, &sink, &counted);
        for write in writes {
            match *write {
                RENEW => counted.renew(),
                text => lines.take(text.as_bytes()),
            }
        }
        drop(lines);
        let said = said.lock().unwrap();
        said.clone()
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
}
