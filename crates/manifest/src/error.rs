//! What is wrong with a manifest, where, and what to do; and how errors are collected while a file is read.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use walnut_policy::is_hidden;

/// More errors than this are counted, not kept: nobody reads them, and a file of nothing but errors must stay cheap.
const MOST: usize = 100;
/// Longer lines are shown in part.
const WIDEST: usize = 160;
/// Longer words of the file are cut in messages.
const LONGEST: usize = 400;

/// Everything that is wrong with one manifest, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestErrors {
    errors: Vec<ManifestError>,
    more: usize,
}

/// One thing that is wrong with a manifest. Its text is safe to print: what the file hides from the eye is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, as the caller named it.
    pub file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// In characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// The line of the file; of a long line the part that the error is in.
    pub text: String,
    /// What is wrong.
    pub problem: String,
    /// What belongs to it and what to do about it, a line each.
    pub hints: Vec<String>,
    /// The part of `text` that is wrong, in characters.
    marked: Range<usize>,
}

impl ManifestErrors {
    /// The errors, at most 100 of them.
    pub fn errors(&self) -> &[ManifestError] {
        &self.errors
    }

    /// How many there are, with those that were not kept.
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

/// Collects what is wrong with a manifest: while it is read, and then what its reader finds.
#[derive(Debug)]
pub struct ManifestReport {
    file: String,
    text: String,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
    /// Lines that are not TOML. What was made of them is a guess, about which nothing more is said.
    broken: BTreeSet<usize>,
    /// From this line on, nothing is.
    end: usize,
    found: Vec<ReportedError>,
}

#[derive(Debug)]
struct ReportedError {
    /// In bytes of the file; `None` when it is about the file as a whole.
    span: Option<Range<usize>>,
    problem: String,
    hints: Vec<String>,
}

impl ManifestReport {
    /// Adds what is wrong with what stands at `place`, as with a file that it names. `hints` are a line each.
    pub fn wrong(&mut self, place: &SourceSpan, problem: impl Into<String>, hints: impl IntoIterator<Item = String>) {
        self.add(&place.0, problem.into(), hints.into_iter().collect());
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All that is wrong, in the order of its lines.
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

    /// Whether some of the file is not TOML, so that what seems absent may be only unreadable.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Whether `span` begins in a line that is not TOML.
    pub(crate) fn is_line_broken(&self, span: &Range<usize>) -> bool {
        let line = self.line(span.start);
        line >= self.end || self.broken.contains(&line)
    }

    /// Whether there is more than will be told.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() > MOST
    }

    /// A line that is not TOML. What follows from its first fault is not told again.
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

    /// Of this line and those after it nothing more is said.
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

    /// An error about the file as a whole.
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

/// Safe on a terminal, and of one line.
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
