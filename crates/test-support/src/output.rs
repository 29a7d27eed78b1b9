use std::fmt;
use std::process::ExitStatus;

/// What one run of the binary said and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output. What is not text is replaced.
    pub stdout: String,
    /// Standard error, in the same way.
    pub stderr: String,
    /// How the process ended.
    pub status: ExitStatus,
    /// Text that differs between machines, and what stands for it.
    pub(crate) replacements: Vec<(String, &'static str)>,
}

impl Output {
    /// The exit code.
    ///
    /// # Panics
    /// When a signal ended the process: walnut itself must survive whatever a guest does.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("walnut was killed: {}\n{self}", self.status))
    }

    /// Asserts that it ended with `code`, and gives itself back.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit code; the run was:\n{self}");
        self
    }

    /// Asserts that it ended with 0, and gives itself back.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Asserts that it succeeded and printed exactly `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        let this = self.succeeds();
        assert_eq!(this.stdout, text, "standard output; the run was:\n{this}");
        this
    }

    /// Asserts that `text` is somewhere in what it said to the person.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "nothing says {text:?}; the run was:\n{self}");
        self
    }

    fn shown(&self, text: &str) -> String {
        self.replacements.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// Both streams and the end, with what differs between machines replaced.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "--- {name} ---\n{}", self.shown(text))?;
                // A last line that does not end must be told from one that does.
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
