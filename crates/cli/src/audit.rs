//! The file that `--audit` names: a line for every decision.

use crate::error::{CommandError, of_system};
use crate::printer::Printer;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use walnut_engine::Audit;
use walnut_host::{Entry, LogWriter};

/// Bytes that wait to be written by a server.
const WAITING: usize = 4 << 20;
/// How long a decision waits for room. A disk that works makes some in far less, one that does not must not hold up requests.
const PATIENCE: Duration = Duration::from_millis(100);

/// The audit of a process with one guest. Each line is written before the guest goes on: nobody else waits for it, and
/// whatever ends the process, what was decided is in the file.
pub fn of_command(path: &Path, printer: Printer) -> Result<Audit, CommandError> {
    let out = Mutex::new(AuditFile::open(path, printer)?);
    Ok(Audit::new(move |line| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end the guest. The file told of it.
        let _ = out.write_all(line.as_bytes());
    }))
}

/// The audit of a server, which a thread of its own writes: a disk that stalls must not stop every request on a thread.
///
/// A guest that asks for more than the disk can take waits for it, so that no guest can push the lines of another, or of
/// itself, out of the file by asking for much. Only a disk that takes nothing for a while costs lines. They are counted,
/// and the file and standard error say how many there were.
#[derive(Clone)]
pub struct ServerAudit {
    lines: Arc<LogWriter<String>>,
    opens_anew: Arc<AtomicBool>,
}

impl ServerAudit {
    pub fn start(path: &Path, printer: Printer) -> Result<Self, CommandError> {
        let file = AuditFile::open(path, printer)?;
        let (opens_anew, place) = (file.opens_anew.clone(), path.display().to_string());
        let spell = move |said: Entry<String>, text: &mut String| match said {
            Entry::Line(line) => text.push_str(&line),
            Entry::Lost(count) => {
                printer
                    .warning(&format!("{count} decisions are missing from the audit file {place}, which took no more"));
                text.push_str(&lost(count));
            }
        };
        let lines = LogWriter::start("walnut-audit", WAITING, file, spell);
        let lines = lines.map_err(|e| of_system("the thread that writes the audit could not start", &e))?;
        Ok(ServerAudit { lines, opens_anew })
    }

    /// What tells it of decisions.
    pub fn listener(&self) -> Audit {
        let lines = self.lines.clone();
        Audit::new(move |line| {
            let size = line.len();
            lines.push_within(line, size, PATIENCE);
        })
    }

    /// What comes from now on goes to whatever file has its name then, so that a file can be moved away.
    pub fn open_anew(&self) {
        self.opens_anew.store(true, Relaxed);
    }

    /// What waits to be written.
    pub fn lines(&self) -> Arc<LogWriter<String>> {
        self.lines.clone()
    }

    /// Waits until what was decided is written, but no longer than to `until`.
    pub fn flush(&self, until: Instant) {
        self.lines.flush(until);
    }
}

/// The line in the place of lines that were lost.
fn lost(count: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{{\"v\":1,\"time\":{now},\"lost\":{count}}}\n")
}

/// The file, which says once that it cannot be written.
struct AuditFile {
    path: PathBuf,
    file: File,
    printer: Printer,
    has_failed: bool,
    opens_anew: Arc<AtomicBool>,
}

impl AuditFile {
    fn open(path: &Path, printer: Printer) -> Result<Self, CommandError> {
        let file = open(path).map_err(|e| {
            of_system(format!("the audit file {} cannot be written", path.display()), &e)
                .hint("name a file in a folder that is there and that you may write to: `--audit audit.jsonl`")
        })?;
        Ok(AuditFile { path: path.to_owned(), file, printer, has_failed: false, opens_anew: Arc::default() })
    }

    fn fail(&self, error: &io::Error, so: &str) {
        self.printer.warning(&format!("the audit file {} cannot be written: {error}; {so}", self.path.display()));
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for AuditFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.opens_anew.swap(false, Relaxed) {
            match open(&self.path) {
                Ok(file) => (self.file, self.has_failed) = (file, false),
                Err(e) => self.fail(&e, "the file from before is still written"),
            }
        }
        let written = self.file.write(bytes);
        if let Err(e) = &written
            && e.kind() != io::ErrorKind::Interrupted
            && !std::mem::replace(&mut self.has_failed, true)
        {
            self.fail(e, "decisions are lost");
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
