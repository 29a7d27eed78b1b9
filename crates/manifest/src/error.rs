//! Errors of a manifest with their places and hints, and the report that collects them while a file
//! is read.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use walnut_policy::is_hidden;

/// Errors that are kept. Further ones are only counted, so that a file full of errors stays cheap.
const MOST: usize = 100;
/// Longest line of the file, in characters, that a message shows whole.
const WIDEST: usize = 160;
/// Longest problem or hint, in characters; the rest is cut.
const LONGEST: usize = 400;

/// Everything that is wrong with one manifest, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestErrors {
    errors: Vec<ManifestError>,
    more: usize,
}

/// An error in a manifest. Its text is safe to print: invisible characters of the file are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; 0 for an error about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 for an error about the file as a whole.
    pub column: usize,
    /// The line of the file, or the part of a long line that holds the error.
    pub text: String,
    /// The reason of the error.
    pub problem: String,
    /// Details and next steps, a line each.
    pub hints: Vec<String>,
    /// The part of `text` that is wrong, in characters.
    marked: Range<usize>,
}

impl ManifestErrors {
    /// The errors, at most 100 of them.
    pub fn errors(&self) -> &[ManifestError] {
        &self.errors
    }

    /// Returns the number of errors, with those that were not kept.
    pub fn count(&self) -> usize {
        self.errors.len() + self.more
    }
}

impl std::error::Error for ManifestErrors {}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            error.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}: {}\n{:>4} | {}", self.line, self.problem, self.line, self.text)?;
            let (before, marks) = (self.marked.start, self.marked.len().max(1));
            write!(f, "\n     | {:before$}{:^<marks$}", "", "")?;
        } else {
            write!(f, ": {}", self.problem)?;
        }
        self.hints.iter().try_for_each(|hint| write!(f, "\n  {hint}"))
    }
}

/// Where something stands in the manifest that it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSpan(pub(crate) Range<usize>);

impl SourceSpan {
    /// Its line in `text`, the manifest, from 1.
    pub fn line(&self, text: &str) -> usize {
        1 + text.bytes().take(self.0.start).filter(|byte| *byte == b'\n').count()
    }
}

/// Collects the errors of a manifest while it is read, and those that its reader finds later.
#[derive(Debug)]
pub struct ManifestReport {
    file: String,
    text: String,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
    /// Lines that are not TOML. Their values are guesses, so no further error is reported there.
    broken: BTreeSet<usize>,
    /// First line of the part that is not TOML at all.
    end: usize,
    found: Vec<ReportedError>,
}

#[derive(Debug)]
struct ReportedError {
    /// Range in bytes of the file; `None` for an error about the file as a whole.
    span: Option<Range<usize>>,
    problem: String,
    hints: Vec<String>,
}

impl ManifestReport {
    /// Adds an error about the value at `place`, such as a file that is absent. `hints` are a line
    /// each.
    pub fn wrong(&mut self, place: &SourceSpan, problem: impl Into<String>, hints: impl IntoIterator<Item = String>) {
        self.add(&place.0, problem.into(), hints.into_iter().collect());
    }

    /// Returns whether no error was found so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns all errors, in the order of their lines.
    pub fn result(self) -> Result<(), ManifestErrors> {
        if self.is_empty() { Ok(()) } else { Err(self.into_errors()) }
    }

    pub(crate) fn new(file: &str, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let (file, text) = (file.to_owned(), text.to_owned());
        ManifestReport { file, text, lines, broken: BTreeSet::new(), end: usize::MAX, found: Vec::new() }
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Returns the text of `span`.
    pub(crate) fn source(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The text of a line, from 1.
    pub(crate) fn line_text(&self, line: usize) -> &str {
        let (start, end) = (self.lines[line - 1], self.lines.get(line).copied().unwrap_or(self.text.len()));
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// Returns whether a part of the file is not TOML. An absent key may then be only unreadable.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Returns whether `span` begins in a line that is not TOML.
    pub(crate) fn is_line_broken(&self, span: &Range<usize>) -> bool {
        let line = self.line(span.start);
        line >= self.end || self.broken.contains(&line)
    }

    /// Returns whether more errors were found than are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() > MOST
    }

    /// Adds an error about a line that is not TOML, unless that line has an error already.
    pub(crate) fn syntax(&mut self, span: Range<usize>, problem: impl Into<String>, hint: Option<String>) {
        if !self.is_line_broken(&span) {
            self.broken.insert(self.line(span.start));
            self.found.push(ReportedError {
                span: Some(span),
                problem: problem.into(),
                hints: hint.into_iter().collect(),
            });
        }
    }

    /// Reports no further errors from `line` on.
    pub(crate) fn give_up(&mut self, line: usize) {
        self.end = self.end.min(line);
    }

    pub(crate) fn error(&mut self, span: &Range<usize>, problem: impl Into<String>, hint: impl Into<String>) {
        self.add(span, problem.into(), Some(hint.into()).filter(|hint| !hint.is_empty()).into_iter().collect());
    }

    fn add(&mut self, span: &Range<usize>, problem: String, hints: Vec<String>) {
        if !self.is_line_broken(span) {
            self.found.push(ReportedError { span: Some(span.clone()), problem, hints });
        }
    }

    /// Adds an error about the file as a whole.
    pub(crate) fn whole(&mut self, problem: impl Into<String>, hint: impl Into<String>) {
        self.found.push(ReportedError { span: None, problem: problem.into(), hints: vec![hint.into()] });
    }

    fn into_errors(mut self) -> ManifestErrors {
        let mut found = std::mem::take(&mut self.found);
        let more = found.len().saturating_sub(MOST);
        found.sort_by_key(|found| found.span.as_ref().map(|span| span.start));
        let errors = found.into_iter().take(MOST).map(|found| self.locate(found)).collect();
        ManifestErrors { errors, more }
    }

    fn locate(&self, found: ReportedError) -> ManifestError {
        let mut error = ManifestError {
            file: visible(&self.file),
            line: 0,
            column: 0,
            text: String::new(),
            problem: cut(&visible(&found.problem)),
            hints: found.hints.iter().map(|hint| cut(&visible(hint))).collect(),
            marked: 0..0,
        };
        let Some(span) = found.span else { return error };
        error.line = self.line(span.start);
        let (line, start) = (self.line_text(error.line), self.lines[error.line - 1]);
        let before = self.text.get(start..span.start).unwrap_or(line).chars().count();
        let marked = self.text.get(span).map_or("", |text| text.lines().next().unwrap_or_default()).chars().count();
        error.column = before + 1;
        // A third of the width before the error, the rest from it on.
        let skipped = if line.chars().count() > WIDEST { before.saturating_sub(WIDEST / 3) } else { 0 };
        let part = |from: usize, count: usize| visible(&line.chars().skip(from).take(count).collect::<String>());
        error.text = part(skipped, WIDEST);
        let shown = WIDEST.saturating_sub(before - skipped).min(marked);
        let indent = part(skipped, before - skipped).chars().count();
        error.marked = indent..indent + part(before, shown).chars().count();
        error
    }
}

/// Makes text safe to print on a terminal, on a single line.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
