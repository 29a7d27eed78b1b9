//! Everything that Walnut says. stdout is data, stderr is talk; colours only on a terminal.

use anstyle::{AnsiColor, Style};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;
use walnut_engine::OutputLine;
use walnut_host::{Entry, LogWriter};
use walnut_policy::is_hidden;

/// Bytes of each stream that wait to be written. Lines beyond that are lost.
const WAITING: usize = 4 << 20;

/// Says things on the standard streams.
#[derive(Clone, Copy)]
pub struct Printer {
    colour: bool,
    /// Where what is said on standard output and on standard error waits to be written. Without, it is written at once.
    queues: Option<&'static [Arc<LogWriter<String>>; 2]>,
}

impl Printer {
    pub fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Printer { colour: wanted && io::stderr().is_terminal(), queues: None }
    }

    /// The same for a process that serves: whoever says something does not wait until somebody reads it.
    pub fn queued(self) -> io::Result<Self> {
        let lost = move |count: u64, stream: &str| {
            let lines = if count == 1 { "1 line was".to_owned() } else { format!("{count} lines were") };
            self.heading("warning", AnsiColor::Yellow, &format!("{lines} lost, since standard {stream} took no more"))
                + "\n"
        };
        let stderr = queue("walnut-stderr", io::stderr(), move |count, text| text.push_str(&lost(count, "error")))?;
        let talk = stderr.clone();
        let stdout = queue("walnut-stdout", io::stdout(), move |count, _| hand_over(&talk, lost(count, "output")))?;
        // It lives as long as the process.
        Ok(Printer { queues: Some(Box::leak(Box::new([stdout, stderr]))), ..self })
    }

    /// What waits to be written, by the name of its stream.
    pub fn queues(&self) -> Vec<(&'static str, Arc<LogWriter<String>>)> {
        self.queues.map_or_else(Vec::new, |queues| ["stdout", "stderr"].into_iter().zip(queues.clone()).collect())
    }

    /// Waits until what was said is written, but no longer than to `until`.
    pub fn flush(&self, until: Instant) {
        self.queues.into_iter().flatten().for_each(|lines| lines.flush(until));
    }

    /// Data, to standard output. A reader that went away is no error.
    pub fn data(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Data that holds names of a component author's choice.
    pub fn names(&self, text: &str) {
        self.data(&shown(text));
    }

    /// Talk, as it is.
    pub fn say(&self, text: &str) {
        self.line(format!("{text}\n"), true);
    }

    /// A line with its end. It is in one piece: standard error has no buffer, and each piece would be a call of the system.
    fn line(&self, line: String, is_stderr: bool) {
        match self.queues {
            Some(queues) => hand_over(&queues[usize::from(is_stderr)], line),
            None if is_stderr => {
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
            None => self.data(&line),
        }
    }

    /// A line that the guest `name` wrote, to the stream that it wrote it to. In front is who wrote it, and for which request.
    pub fn guest_line(&self, name: &str, line: OutputLine<'_>) {
        let (name, text) = (shown(name), shown(line.text));
        let tagged = match line.request {
            Some(request) => format!("{name} {request}: {text}\n"),
            None => format!("{name}: {text}\n"),
        };
        self.line(tagged, line.is_stderr);
    }

    /// A line of a guest that tells already who wrote it, to the stream that it wrote it to.
    pub fn guest_text(&self, text: &str, is_stderr: bool) {
        self.line(format!("{text}\n"), is_stderr);
    }

    pub fn error(&self, text: &str) {
        self.headed("error", AnsiColor::Red, text);
    }

    pub fn warning(&self, text: &str) {
        self.headed("warning", AnsiColor::Yellow, text);
    }

    pub fn hint(&self, text: &str) {
        self.headed("hint", AnsiColor::Cyan, text);
    }

    /// A line that belongs to what was said before.
    pub fn detail(&self, text: &str) {
        self.say(&format!("  {}", shown(text)));
    }

    /// An explanation of the gate: its first word is its heading.
    pub fn explanation(&self, text: &str) {
        let mut lines = text.lines();
        if let Some((heading, rest)) = lines.next().and_then(|first| first.split_once(": ")) {
            self.headed(heading, AnsiColor::Yellow, rest);
        }
        lines.for_each(|line| self.say(&shown(line)));
    }

    fn headed(&self, heading: &str, colour: AnsiColor, text: &str) {
        self.say(&self.heading(heading, colour, text));
    }

    fn heading(&self, heading: &str, colour: AnsiColor, text: &str) -> String {
        let style = if self.colour { Style::new().fg_color(Some(colour.into())).bold() } else { Style::new() };
        format!("{style}{heading}:{style:#} {}", shown(text))
    }
}

/// A thread of this `name` that writes to `out`, and has `lost` tell of lines that were lost.
fn queue(
    name: &str,
    out: impl Write + Send + 'static,
    mut lost: impl FnMut(u64, &mut String) + Send + 'static,
) -> io::Result<Arc<LogWriter<String>>> {
    LogWriter::start(name, WAITING, out, move |said: Entry<String>, text: &mut String| match said {
        Entry::Line(line) => text.push_str(&line),
        Entry::Lost(count) => lost(count, text),
    })
}

fn hand_over(to: &LogWriter<String>, line: String) {
    let size = line.len();
    to.push(line, size);
}

/// Text in which names may be the component author's choice: what would drive the terminal is spelt out. Guests log without
/// end, so text without any of it is left as it is.
fn shown(text: &str) -> Cow<'_, str> {
    let drives = |c: char| !matches!(c, '\n' | '\t') && is_hidden(c);
    if !text.contains(drives) {
        return text.into();
    }
    let mut spelt = String::with_capacity(text.len());
    for c in text.chars() {
        match drives(c) {
            true => spelt.extend(c.escape_unicode()),
            false => spelt.push(c),
        }
    }
    spelt.into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_in_messages_cannot_drive_the_terminal() {
        assert_eq!(super::shown("it needs `a\u{1b}[2J`\n  b"), "it needs `a\\u{1b}[2J`\n  b");
        assert_eq!(super::shown("a\tb\nç"), "a\tb\nç");
    }
}
