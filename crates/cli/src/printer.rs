//! Everything that Walnut says. stdout is data, stderr is talk; colours only on a terminal.

use anstyle::{AnsiColor, Style};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use walnut_engine::OutputLine;
use walnut_policy::is_hidden;

/// Says things on the standard streams.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    colour: bool,
}

impl Printer {
    pub fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Printer { colour: wanted && std::io::stderr().is_terminal() }
    }

    /// Data, to standard output. A reader that went away is no error.
    pub fn data(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Data that holds names of a component author's choice.
    pub fn names(&self, text: &str) {
        self.data(&shown(text));
    }

    /// Talk, as it is.
    pub fn say(&self, text: &str) {
        // In one piece: standard error has no buffer, and each piece would be a call of the system.
        let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
    }

    /// A line that the guest `name` wrote, to the stream that it wrote it to. In front is who wrote it, and for which request.
    pub fn guest_line(&self, name: &str, line: OutputLine<'_>) {
        let (name, text) = (shown(name), shown(line.text));
        let tagged = match line.request {
            Some(request) => format!("{name} {request}: {text}"),
            None => format!("{name}: {text}"),
        };
        self.guest_text(&tagged, line.is_stderr);
    }

    /// A line of a guest that tells already who wrote it, to the stream that it wrote it to.
    pub fn guest_text(&self, text: &str, is_stderr: bool) {
        if is_stderr { self.say(text) } else { self.data(&format!("{text}\n")) }
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
        let style = if self.colour { Style::new().fg_color(Some(colour.into())).bold() } else { Style::new() };
        self.say(&format!("{style}{heading}:{style:#} {}", shown(text)));
    }
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
