//! Text of other people's choice, made safe to print.

use std::fmt;

/// Prints text of a guest or of a component's author in a line on a terminal: control,
/// bidirectional and invisible characters are escaped, and text that is longer than a line is cut.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        const MOST: usize = 256;
        for (i, c) in self.0.chars().enumerate() {
            if i == MOST {
                return f.write_str("…");
            }
            if is_hidden(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Returns whether a character changes what a terminal does or shows, without being seen itself.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_text_cannot_write_to_the_terminal() {
        assert_eq!(Printable("a\u{1b}[2J\u{202e}b").to_string(), "a\\u{1b}[2J\\u{202e}b");
    }

    #[test]
    fn guest_text_is_cut() {
        assert_eq!(Printable(&"x".repeat(10_000)).to_string().chars().count(), 257);
    }
}
