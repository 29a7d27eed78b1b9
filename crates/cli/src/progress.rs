//! Shows that something takes its time. Only on a terminal, and only after half a second.

use crate::printer::Printer;
use indicatif::{ProgressBar, ProgressStyle};
use std::any::Any;
use std::io::IsTerminal;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use walnut_engine::Progress;

/// What is quicker than this is not worth a line.
const WORTH_SHOWING: Duration = Duration::from_millis(500);

/// Progress on a terminal.
pub struct Terminal;

impl Terminal {
    /// Says that the component `name` took longer, and why, to whoever waited for it. Where standard error is no terminal it is the
    /// program's own, and nobody waits who could wonder.
    pub fn unfit(name: &str, reason: &str, printer: Printer) {
        if std::io::stderr().is_terminal() {
            printer.say(&unfit(name, reason));
        }
    }
}

/// Why a component took longer to compile than others of its size.
pub fn unfit(name: &str, reason: &str) -> String {
    format!("{name}: took longer to compile, as the baseline compiler cannot: {reason}")
}

impl Progress for Terminal {
    fn compiling(&self, name: &str, bytes: usize) -> Box<dyn Any> {
        if !std::io::stderr().is_terminal() {
            return Box::new(());
        }
        let message = format!("compiling {name} ({}), which is kept for the next time", size(bytes));
        let (end, ended) = channel::<()>();
        let show = std::thread::spawn(move || {
            if ended.recv_timeout(WORTH_SHOWING) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style).with_message(message);
            bar.enable_steady_tick(Duration::from_millis(100));
            let _ = ended.recv();
            bar.finish_and_clear();
        });
        Box::new(Shown { end: Some(end), show: Some(show) })
    }
}

/// Takes the line away when it is dropped.
struct Shown {
    end: Option<Sender<()>>,
    show: Option<JoinHandle<()>>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.end = None;
        if let Some(show) = self.show.take() {
            let _ = show.join();
        }
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        b if b >= 10 << 20 => format!("{} MiB", b >> 20),
        b if b >= 1 << 20 => format!("{}.{} MiB", b >> 20, ((b % (1 << 20)) * 10) >> 20),
        b => format!("{} KiB", b.div_ceil(1 << 10)),
    }
}
