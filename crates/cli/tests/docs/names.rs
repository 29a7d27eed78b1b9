//! The names in the documents: tests, files and links must exist.

use crate::{pages, root};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of file names, and of folders, which documents write with a slash behind.
const ENDINGS: [&str; 8] = [".rs", ".md", ".toml", ".json", ".html", ".py", ".sh", "/"];

/// A folder in rules about folders, which stands for any.
const EXAMPLE: &str = "x/";

/// A promise that names a missing test is held by nothing.
#[test]
fn the_specification_names_tests_that_exist() {
    let text = read(&root().join("docs/SPECIFICATION.md"));
    let mut wrong = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let held_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let mut source = String::new();
        for word in code_words(held_by) {
            let is_test =
                word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if is_test && !source.contains(&format!("fn {word}()")) {
                wrong.push(format!("no test {word}"));
            } else if !is_test && !word.contains(' ') {
                let path = match word.split_once('/') {
                    Some(("cli" | "serve", _)) => root().join("crates/cli/tests").join(word),
                    _ => root().join(word),
                };
                source = fs::read_to_string(&path).unwrap_or_default();
                wrong.extend((!path.exists()).then(|| format!("no file {word}")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The paths in code font of the documents for contributors begin at the root or at `crates/`.
#[test]
fn paths_that_the_documents_for_contributors_name_exist() {
    let mut wrong = Vec::new();
    for document in ["docs/ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = without_blocks(&read(&root().join(document)));
        for word in text.lines().flat_map(code_words) {
            let is_path = word.contains('/')
                && ENDINGS.iter().any(|ending| word.ends_with(ending))
                && !word.starts_with(EXAMPLE)
                && !word.contains(['<', '$', '~', '*', ' ', ':']);
            if is_path && !root().join(word).exists() && !root().join("crates").join(word).exists() {
                wrong.push(format!("{document}: no file {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Each relative link leads to a file that exists and, after a `#`, to a heading in it.
#[test]
fn links_lead_somewhere() {
    let root = root();
    let folders = [root.clone(), root.join("docs"), root.join("docs/adr"), root.join("docs/guide")];
    let mut wrong = Vec::new();
    for page in folders.iter().flat_map(|folder| pages(folder)) {
        let text = without_blocks(&read(&page));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { beside(&page, path) };
            let is_elsewhere = link.contains("://");
            if !is_elsewhere && !(target.exists() && (heading.is_empty() || headings(&target).contains(heading))) {
                wrong.push(format!("{}: {link} leads nowhere", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn beside(page: &Path, path: &str) -> PathBuf {
    page.parent().expect("a page is in a folder").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The anchors of a page's headings, as web pages of repositories make them.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = without_blocks(&read(page));
    let titles = text.lines().filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()));
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    titles
        .map(|title| title.to_lowercase().chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

/// The words in code font of a line.
fn code_words(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The text outside of code blocks.
fn without_blocks(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}
