//! Transcripts in the documents: every block marked `console` is run, and its output compared.
//!
//! A block starts in a folder that holds only `examples/`, a guest `api.wasm`, and the document's
//! own blocks marked `toml` or `wat` whose first line is a comment, `# PATH` or `;; PATH`. Lines
//! after `$ ` are typed; the lines below are the terminal's output. A line `...` stands for any
//! number of lines, and `...` in a line for any text.

use crate::shell::Shell;
use std::fs;
use std::path::Path;

/// The message of a server on its first start, as soon as its code is optimised; the time depends
/// on the machine.
const OPTIMISED: &str = ": optimised code from now on";

/// Runs all transcripts of a document and returns how many there are.
pub fn replay(document: &Path) -> usize {
    let text = fs::read_to_string(document).expect("the document is there");
    let (blocks, files) = (blocks(&text), described(&text));
    let name = document.display();
    let wrong: Vec<_> =
        blocks.iter().filter_map(|block| Some(format!("{name}:{}", block.replay(&files).err()?))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    blocks.len()
}

/// Returns path and content of the files that a document describes. The content begins with the
/// line that names the path, so that line numbers are those that a reader counts.
fn described(text: &str) -> Vec<(&str, &str)> {
    let block = |(open, comment): (&str, &'static str)| {
        let blocks = text.split(open).skip(1).filter_map(|rest| rest.split("\n```").next());
        blocks.filter_map(|block| Some((block.lines().next()?.strip_prefix(comment)?, block))).collect::<Vec<_>>()
    };
    [("```toml\n", "# "), ("```wat\n", ";; ")].into_iter().flat_map(block).collect()
}

/// A transcript.
struct Block {
    /// Commands: the line in the document, the typed text, the lines of output.
    steps: Vec<(usize, String, Vec<String>)>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line) {
            (None, "```console") => open = Some(Block { steps: Vec::new() }),
            (None, _) => {}
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), _) => match line.strip_prefix("$ ") {
                Some(typed) => block.steps.push((number, typed.to_owned(), Vec::new())),
                None => {
                    let (_, _, shown) = block.steps.last_mut().expect("a transcript starts with a command");
                    shown.push(line.to_owned());
                }
            },
        }
    }
    assert!(open.is_none(), "a transcript does not end");
    blocks
}

impl Block {
    fn replay(&self, files: &[(&str, &str)]) -> Result<(), String> {
        let mut shell = Shell::new(files);
        for (line, typed, expected) in &self.steps {
            let shown = shell.run(typed).map_err(|e| format!("{line}: {typed}: {e}"))?;
            let shown: Vec<&str> = shown.lines().filter(|line| !line.ends_with(OPTIMISED)).collect();
            if !fits(expected, &shown) {
                let (expected, shown) = (expected.join("\n"), shown.join("\n"));
                return Err(format!(
                    "{line}: {typed}\n--- the document shows\n{expected}\n--- but this happens\n{shown}\n---"
                ));
            }
        }
        Ok(())
    }
}

/// Compares output with the expected lines, where `...` is any number of lines.
fn fits(expected: &[String], shown: &[&str]) -> bool {
    match expected.split_first() {
        None => shown.is_empty(),
        Some((first, rest)) if first == "..." => (0..=shown.len()).any(|skip| fits(rest, &shown[skip..])),
        Some((first, rest)) => {
            shown.split_first().is_some_and(|(line, below)| line_fits(first, line) && fits(rest, below))
        }
    }
}

fn line_fits(expected: &str, shown: &str) -> bool {
    match expected.split_once("...") {
        None => expected == shown,
        Some((start, end)) => shown.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

#[test]
fn three_dots_stand_for_any_lines() {
    let expected: Vec<String> = ["a", "...", "c"].map(String::from).to_vec();
    assert!(fits(&expected, &["a", "c"]) && fits(&expected, &["a", "b", "c", "c"]));
    assert!(!fits(&expected, &["a", "b"]) && !fits(&expected, &["b", "c"]));
    assert!(line_fits("a...c", "abc") && !line_fits("a...c", "abd"));
}
