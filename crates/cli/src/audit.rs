//! The audit file of `--audit`: one line of JSON per decision.

use crate::error::{CommandError, of_system};
use crate::printer::Printer;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use walnut_engine::Audit;
use walnut_host::{Entry, LogWriter};

/// Bytes that may wait to be written.
const MAX_QUEUED: usize = 4 << 20;
/// Time that a decision waits for space in the queue. A disk that works frees some far sooner; one
/// that hangs must not hold up requests.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(100);

/// Opens the audit file of a process with one guest. Each line is written before the guest goes on,
/// so that no decision is missing from the file, however the process ends.
pub fn of_command(path: &Path, printer: Printer) -> Result<Audit, CommandError> {
    let out = Mutex::new(AuditFile::open(path, printer)?);
    Ok(Audit::new(move |line| {
        let mut out = out.lock();
        // A full disk must not end the guest. `AuditFile` has warned of it.
        let _ = out.write_all(line.as_bytes());
    }))
}

/// Audit file of a server. A thread of its own writes the file, so that a slow disk does not hold
/// up the threads that serve.
///
/// When the queue is full, the guest that caused the decision waits for space. So no guest can push
/// lines out of the file by causing many of them. Lines are lost only when the disk takes nothing
/// for [`QUEUE_TIMEOUT`]; the file and a warning then say how many.
#[derive(Clone)]
pub struct ServerAudit {
    lines: Arc<LogWriter<String>>,
    reopens: Arc<AtomicBool>,
}

impl ServerAudit {
    /// Opens the file and starts the thread.
    pub fn start(path: &Path, printer: Printer) -> Result<Self, CommandError> {
        let file = AuditFile::open(path, printer)?;
        let (reopens, place) = (file.reopens.clone(), path.display().to_string());
        let format = move |entry: Entry<String>, text: &mut String| match entry {
            Entry::Line(line) => text.push_str(&line),
            Entry::Lost(count) => {
                printer.warning(&format!(
                    "{count} decisions are missing from the audit file {place}, which could not be written fast enough"
                ));
                text.push_str(&lost(count));
            }
        };
        let lines = LogWriter::start("walnut-audit", MAX_QUEUED, file, format);
        let lines = lines.map_err(|e| of_system("the thread that writes the audit could not start", &e))?;
        Ok(ServerAudit { lines, reopens })
    }

    /// Returns a listener that writes decisions to the file.
    pub fn listener(&self) -> Audit {
        let lines = self.lines.clone();
        Audit::new(move |line| {
            let size = line.len();
            lines.push_within(line, size, QUEUE_TIMEOUT);
        })
    }

    /// Opens the file again before the next line, so that the old file can be moved away.
    pub fn reopen(&self) {
        self.reopens.store(true, Relaxed);
    }

    /// Returns the queue.
    pub fn lines(&self) -> Arc<LogWriter<String>> {
        self.lines.clone()
    }

    /// Waits until all queued lines are written, but no longer than to `until`.
    pub fn flush(&self, until: Instant) {
        self.lines.flush(until);
    }
}

/// Returns the line that replaces `count` lost lines.
fn lost(count: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{{\"v\":1,\"time\":{now},\"lost\":{count}}}\n")
}

/// The open file. Warns once when it cannot be written.
struct AuditFile {
    path: PathBuf,
    file: File,
    printer: Printer,
    has_failed: bool,
    reopens: Arc<AtomicBool>,
}

impl AuditFile {
    fn open(path: &Path, printer: Printer) -> Result<Self, CommandError> {
        let file = open(path).map_err(|e| {
            of_system(format!("the audit file {} cannot be written", path.display()), &e)
                .hint("name a file in an existing folder that you may write to: `--audit audit.jsonl`")
        })?;
        Ok(AuditFile { path: path.to_owned(), file, printer, has_failed: false, reopens: Arc::default() })
    }

    fn warn(&self, error: &io::Error, consequence: &str) {
        self.printer
            .warning(&format!("the audit file {} cannot be written: {error}; {consequence}", self.path.display()));
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for AuditFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reopens.swap(false, Relaxed) {
            match open(&self.path) {
                Ok(file) => (self.file, self.has_failed) = (file, false),
                Err(e) => self.warn(&e, "the previous file is still written"),
            }
        }
        let written = self.file.write(bytes);
        if let Err(e) = &written
            && e.kind() != io::ErrorKind::Interrupted
            && !std::mem::replace(&mut self.has_failed, true)
        {
            self.warn(e, "decisions are lost");
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
