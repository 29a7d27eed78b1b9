//! Puts syntax errors and duplicate keys of a file into words for people.

use crate::error::ManifestReport;
use std::collections::HashMap;
use std::ops::Range;
use toml::de::Error;
use walnut_policy::Printable;

/// The parser's message about a value without quotes.
const UNQUOTED: &str = "string values must be quoted, expected literal string";

/// Puts the parser's errors into the report.
///
/// `has_list` says whether the routes were read as a list. Otherwise the reader of the routes
/// reports that, and a `[[http]]` after `[http]` is not reported as a duplicate.
pub(crate) fn report_errors(text: &str, errors: Vec<Error>, has_list: bool, report: &mut ManifestReport) {
    let headers = headers(text);
    let (twice, mut broken): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(|error| error.message() == "duplicate key");
    broken.sort_by_key(|error| error.span().map(|span| span.start));
    for error in broken {
        report_broken(error.span().unwrap_or_default(), error.message(), report);
    }
    for span in twice.into_iter().map(|error| error.span().unwrap_or_default()) {
        let is_of_routes = header(report.line_text(report.line(span.start))).is_some_and(|h| name_of(h) == "http");
        if has_list || !is_of_routes {
            report_duplicate(text, span, &headers, report);
        }
    }
}

fn report_broken(span: Range<usize>, message: &str, report: &mut ManifestReport) {
    let line = report.line(span.start);
    if message == UNQUOTED && header(report.line_text(line)).is_some() {
        report.syntax(span, "a table begins inside a list", Some("close the list above it with `]`".to_owned()));
        // The parser takes the rest of the file for a part of the list.
        report.give_up(line);
        return;
    }
    let (problem, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let hint = match expected {
        _ if message == UNQUOTED => Some("write text in quotes: `\"text\"`".to_owned()),
        "" | "nothing" => None,
        expected => Some(format!("expected {expected}")),
    };
    report.syntax(span, problem, hint);
}

fn report_duplicate(text: &str, span: Range<usize>, headers: &HashMap<&str, usize>, report: &mut ManifestReport) {
    let line = report.line(span.start);
    let Some(header) = header(report.line_text(line)) else {
        let key = text.get(span.clone()).unwrap_or_default();
        report.error(&span, format!("the key `{}` is there twice", Printable(key)), "keep one of the two");
        return;
    };
    let first = headers.get(name_of(header)).filter(|first| **first < line);
    let first = first.map(|line| format!(", first on line {line}")).unwrap_or_default();
    report.error(&span, format!("{} is there twice{first}", Printable(header)), "put what both say into one of them");
}

/// Returns the place of the first line with content, if that line is YAML: `---`, or `key:`.
pub(crate) fn find_yaml(text: &str) -> Option<Range<usize>> {
    let is_silent = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let start = text.split_inclusive('\n').take_while(|line| is_silent(line)).map(str::len).sum();
    let line = text[start..].lines().next()?.trim_end();
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let has_key = line.split_once(':').is_some_and(|(key, after)| {
        is_word(key) && (after.is_empty() || after.starts_with(' ')) && !after.contains('=')
    });
    (has_key || line == "---").then(|| start..start + line.len())
}

/// The first line of each table's header, by the table's name.
fn headers(text: &str) -> HashMap<&str, usize> {
    let mut found = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(header) = header(line) {
            found.entry(name_of(header)).or_insert(at + 1);
        }
    }
    found
}

/// The table of a header, be it one or a list.
fn name_of(header: &str) -> &str {
    header.trim_matches(['[', ']'])
}

/// The header that `line` is, rather than a list.
fn header(line: &str) -> Option<&str> {
    let line = line.split('#').next()?.trim();
    let name = line.trim_start_matches('[').starts_with(|c: char| c.is_ascii_alphabetic());
    (name && line.starts_with('[') && line.ends_with(']')).then_some(line)
}
