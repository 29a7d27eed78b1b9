//! Progress of a compilation: a spinner, only on a terminal and only after half a second.

use indicatif::{ProgressBar, ProgressStyle};
use std::any::Any;
use std::io::IsTerminal;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use walnut_engine::Progress;

/// Delay before the spinner is shown.
const SHOW_AFTER: Duration = Duration::from_millis(500);

/// Shows progress on standard error, if that is a terminal.
pub struct TerminalProgress;

impl Progress for TerminalProgress {
    fn compiling(&self, name: &str, bytes: usize) -> Box<dyn Any> {
        if !std::io::stderr().is_terminal() {
            return Box::new(());
        }
        let message = format!("compiling {name} ({}), which is kept for the next time", format_size(bytes));
        let (end, ended) = channel::<()>();
        let show = std::thread::spawn(move || {
            if ended.recv_timeout(SHOW_AFTER) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style).with_message(message);
            bar.enable_steady_tick(Duration::from_millis(100));
            let _ = ended.recv();
            bar.finish_and_clear();
        });
        Box::new(ProgressLine { end: Some(end), show: Some(show) })
    }
}

/// A spinner on the terminal. Removed on drop.
struct ProgressLine {
    end: Option<Sender<()>>,
    show: Option<JoinHandle<()>>,
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.end = None;
        if let Some(show) = self.show.take() {
            let _ = show.join();
        }
    }
}

fn format_size(bytes: usize) -> String {
    match bytes {
        b if b >= 10 << 20 => format!("{} MiB", b >> 20),
        b if b >= 1 << 20 => format!("{}.{} MiB", b >> 20, ((b % (1 << 20)) * 10) >> 20),
        b => format!("{} KiB", b.div_ceil(1 << 10)),
    }
}
