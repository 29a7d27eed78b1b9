use std::fmt;
use std::process::ExitStatus;

/// RunOutput of one run of the binary, and how the run ended.
#[derive(Clone, Debug)]
pub struct RunOutput {
    /// Standard output. Bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error. Bytes that are not UTF-8 are replaced.
    pub stderr: String,
    /// Status of the process.
    pub status: ExitStatus,
    /// Text that differs between machines, and its replacement.
    pub(crate) replacements: Vec<(String, &'static str)>,
}

impl RunOutput {
    /// Returns the exit code.
    ///
    /// # Panics
    /// When a signal ended the process: walnut itself must survive everything that a guest does.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("walnut was killed: {}\n{self}", self.status))
    }

    /// Asserts that the exit code is `code`. Returns the output.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit code; the run was:\n{self}");
        self
    }

    /// Asserts that the exit code is 0. Returns the output.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Asserts that the run succeeded and printed exactly `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        let this = self.succeeds();
        assert_eq!(this.stdout, text, "standard output; the run was:\n{this}");
        this
    }

    /// Asserts that standard error contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "nothing says {text:?}; the run was:\n{self}");
        self
    }

    fn shown(&self, text: &str) -> String {
        self.replacements.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// Formats both streams and the exit code, with text that differs between machines replaced.
impl fmt::Display for RunOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "--- {name} ---\n{}", self.shown(text))?;
                // Marks a last line without a newline.
                if !text.ends_with('\n') {
                    writeln!(f, "[no end of line]")?;
                }
            }
        }
        match self.status.code() {
            Some(code) => write!(f, "--- exit code {code} ---"),
            None => write!(f, "--- {} ---", self.status),
        }
    }
}
