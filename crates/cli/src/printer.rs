//! Output of this process: data on standard output, messages on standard error, colours only on a
//! terminal.

use anstyle::{AnsiColor, Style};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;
use walnut_engine::OutputLine;
use walnut_host::{Entry, LogWriter, Notice, Notices, Severity};
use walnut_policy::is_hidden;

/// Bytes of each stream that may wait to be written. Lines beyond that are lost.
const MAX_QUEUED: usize = 4 << 20;

/// Writes to the standard streams.
#[derive(Clone, Copy)]
pub struct Printer {
    colour: bool,
    /// Queues of standard output and standard error. Without them, lines are written at once.
    queues: Option<&'static [Arc<LogWriter<String>>; 2]>,
}

impl Printer {
    /// Creates a printer that writes at once. `NO_COLOR` and `TERM=dumb` turn colours off.
    pub fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Printer { colour: wanted && io::stderr().is_terminal(), queues: None }
    }

    /// Creates a printer for a server: lines are queued and written by other threads, so that a
    /// slow reader of the output does not hold up requests.
    pub fn queued(self) -> io::Result<Self> {
        let lost = move |count: u64, stream: &str| {
            let lines = if count == 1 { "1 line was".to_owned() } else { format!("{count} lines were") };
            self.label("warning", AnsiColor::Yellow, &format!("{lines} lost, since standard {stream} took no more"))
                + "\n"
        };
        let stderr = queue("walnut-stderr", io::stderr(), move |count, text| text.push_str(&lost(count, "error")))?;
        let talk = stderr.clone();
        let stdout = queue("walnut-stdout", io::stdout(), move |count, _| hand_over(&talk, lost(count, "output")))?;
        // The queues live as long as the process.
        Ok(Printer { queues: Some(Box::leak(Box::new([stdout, stderr]))), ..self })
    }

    /// Returns the queues, by the name of their stream.
    pub fn queues(&self) -> Vec<(&'static str, Arc<LogWriter<String>>)> {
        self.queues.map_or_else(Vec::new, |queues| ["stdout", "stderr"].into_iter().zip(queues.clone()).collect())
    }

    /// Waits until all queued lines are written, but no longer than to `until`.
    pub fn flush(&self, until: Instant) {
        self.queues.into_iter().flatten().for_each(|lines| lines.flush(until));
    }

    /// Writes data to standard output. A reader that has gone away is not an error.
    ///
    /// # Errors
    /// A stream that cannot be written to, such as a file on a full disk.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Writes data that contains names which the author of a component chose.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn escaped_data(&self, text: &str) -> io::Result<()> {
        self.data(&escape(text))
    }

    /// Writes a line to standard error as it is.
    pub fn info(&self, text: &str) {
        self.line(format!("{text}\n"), true);
    }

    /// Writes a line, which ends in a newline. The line is one string, since standard error is not
    /// buffered and each piece would be a system call.
    fn line(&self, line: String, is_stderr: bool) {
        match self.queues {
            Some(queues) => hand_over(&queues[usize::from(is_stderr)], line),
            None if is_stderr => {
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
            None => {
                let _ = self.data(&line);
            }
        }
    }

    /// Writes a line of the guest `name` to the stream that the guest wrote it to, with the name
    /// and the request in front.
    pub fn guest_line(&self, name: &str, line: OutputLine<'_>) {
        let (name, text) = (escape(name), escape(line.text));
        let tagged = match line.request {
            Some(request) => format!("{name} {request}: {text}\n"),
            None => format!("{name}: {text}\n"),
        };
        self.line(tagged, line.is_stderr);
    }

    /// Writes a line of a guest that is JSON, and so names the guest already.
    pub fn guest_json(&self, text: &str, is_stderr: bool) {
        self.line(format!("{text}\n"), is_stderr);
    }

    /// Writes an error message to standard error.
    pub fn error(&self, text: &str) {
        self.labelled("error", AnsiColor::Red, text);
    }

    /// Writes a warning to standard error.
    pub fn warning(&self, text: &str) {
        self.labelled("warning", AnsiColor::Yellow, text);
    }

    /// Writes a hint, which belongs to the message before it.
    pub fn hint(&self, text: &str) {
        self.labelled("hint", AnsiColor::Cyan, text);
    }

    /// Writes a detail of the message before it, indented.
    pub fn detail(&self, text: &str) {
        self.info(&format!("  {}", escape(text)));
    }

    /// Writes the explanation of a denial. Its first word is its label.
    pub fn explanation(&self, text: &str) {
        let mut lines = text.lines();
        if let Some((label, rest)) = lines.next().and_then(|first| first.split_once(": ")) {
            self.labelled(label, AnsiColor::Yellow, rest);
        }
        lines.for_each(|line| self.info(&escape(line)));
    }

    fn labelled(&self, label: &str, colour: AnsiColor, text: &str) {
        self.info(&self.label(label, colour, text));
    }

    fn label(&self, label: &str, colour: AnsiColor, text: &str) -> String {
        let style = if self.colour { Style::new().fg_color(Some(colour.into())).bold() } else { Style::new() };
        format!("{style}{label}:{style:#} {}", escape(text))
    }
}

impl Notices for Printer {
    fn notify(&self, notice: &Notice) {
        match notice.severity {
            Severity::Info => self.info(&notice.message),
            Severity::Warning => self.warning(&notice.message),
            Severity::Error => self.error(&notice.message),
        }
        notice.details.iter().for_each(|line| self.detail(line));
        notice.hints.iter().for_each(|hint| self.hint(hint));
    }
}

/// Starts a thread called `name` that writes queued lines to `out`. `lost` describes lines that
/// were lost.
fn queue(
    name: &str,
    out: impl Write + Send + 'static,
    mut lost: impl FnMut(u64, &mut String) + Send + 'static,
) -> io::Result<Arc<LogWriter<String>>> {
    LogWriter::start(name, MAX_QUEUED, out, move |entry: Entry<String>, text: &mut String| match entry {
        Entry::Line(line) => text.push_str(&line),
        Entry::Lost(count) => lost(count, text),
    })
}

fn hand_over(to: &LogWriter<String>, line: String) {
    let size = line.len();
    to.push(line, size);
}

/// Escapes characters that would control the terminal: names in `text` may be chosen by the author
/// of a component. Text without such characters is not copied, since guests log a lot.
fn escape(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| !matches!(c, '\n' | '\t') && is_hidden(c);
    if !text.contains(is_control) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match is_control(c) {
            true => escaped.extend(c.escape_unicode()),
            false => escaped.push(c),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_in_messages_cannot_drive_the_terminal() {
        assert_eq!(super::escape("it needs `a\u{1b}[2J`\n  b"), "it needs `a\\u{1b}[2J`\n  b");
        assert_eq!(super::escape("a\tb\nç"), "a\tb\nç");
    }
}
