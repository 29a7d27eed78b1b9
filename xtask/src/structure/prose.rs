//! Holds the width of comments and pages, and that no sentence begins with a word that stands for
//! its subject.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The most columns that a line of prose has.
const MAX_COLUMNS: usize = 100;

/// Words that no sentence begins with: they stand where its subject should be named.
const FORBIDDEN: &[&str] = &["What", "Whatever", "Who", "Whoever", "Whose", "Of", "One"];

/// Folders in which nothing is written here.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "corpus", "artifacts", "snapshots"];

/// Checks the comments of every source, and every page, below `root`.
///
/// # Errors
/// A file that cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut findings = Vec::new();
    for file in files {
        let Some(marker) = Marker::of(&file) else { continue };
        // A file that is not text has no prose.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let lines = marker.prose(&text);
        for (line, problem) in too_wide(&text, &lines).chain(bad_starts(&lines)) {
            findings.push(format!("{}:{line}: {problem}", file.display()));
        }
    }
    Ok(findings)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                collect(&entry.path(), files)?;
            }
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// How a kind of file marks its prose.
#[derive(Clone, Copy)]
enum Marker {
    /// Comments that begin with `//`.
    Slashes,
    /// Comments that begin with `#`.
    Hash,
    /// All but code blocks, tables, and headings.
    Markdown,
}

impl Marker {
    fn of(file: &Path) -> Option<Self> {
        let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let is_script = extension.is_empty()
            && file.parent().and_then(Path::file_name).is_some_and(|name| name == "tools" || name == ".ci");
        match extension {
            "rs" | "c" | "go" | "js" => Some(Marker::Slashes),
            "toml" | "py" | "sh" => Some(Marker::Hash),
            "md" => Some(Marker::Markdown),
            _ => is_script.then_some(Marker::Hash),
        }
    }

    /// The lines of prose, each with its number and without its marker. An empty line ends a
    /// paragraph.
    fn prose(self, text: &str) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let lines = text.lines().zip(1..).map(|(line, number)| {
            let trimmed = line.trim();
            let said = match self {
                Marker::Slashes => {
                    trimmed.strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim_start())
                }
                Marker::Hash => trimmed.strip_prefix('#').filter(|rest| !rest.starts_with('!')).map(str::trim_start),
                Marker::Markdown => Some(trimmed),
            };
            let Some(said) = said else { return (number, "") };
            let is_fence = said.starts_with("```") || said.starts_with("~~~");
            is_code ^= is_fence;
            let is_link = said.starts_with('[') && said.contains("]: ");
            let is_prose = !is_code && !is_fence && !said.starts_with(['|', '#']) && !is_link;
            (number, if is_prose { said } else { "" })
        });
        lines.collect()
    }
}

fn too_wide<'a>(text: &'a str, prose: &'a [(usize, &str)]) -> impl Iterator<Item = (usize, String)> + 'a {
    text.lines().zip(prose).filter_map(|(line, (number, said))| {
        let columns = line.chars().count();
        // A word without a space in it, such as an address, cannot be wrapped.
        let can_wrap = said.trim_start_matches(['-', '*', ' ']).contains(' ');
        (columns > MAX_COLUMNS && can_wrap)
            .then(|| (*number, format!("{columns} columns; prose has at most {MAX_COLUMNS}")))
    })
}

fn bad_starts<'a>(prose: &'a [(usize, &'a str)]) -> impl Iterator<Item = (usize, String)> + 'a {
    let mut is_start = true;
    prose.iter().flat_map(move |(number, line)| {
        let item = line.trim_start_matches(['-', '*', '>', ' ']);
        let mut starts = Vec::new();
        if is_start || item.len() < line.len() {
            starts.push(item);
        }
        for end in [". ", "! ", "? "] {
            starts.extend(line.match_indices(end).map(|(at, _)| line[at + end.len()..].trim_start()));
        }
        is_start = line.is_empty() || line.ends_with(['.', '!', '?']);
        let bad = starts.into_iter().filter_map(|start| {
            let word = start.split(|c: char| !c.is_alphabetic()).next()?;
            FORBIDDEN.contains(&word).then(|| (*number, format!("a sentence begins with {word:?}; name its subject")))
        });
        bad.collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(marker: Marker, text: &str) -> Vec<usize> {
        bad_starts(&marker.prose(text)).map(|(line, _)| line).collect()
    }

    #[test]
    fn sentences_that_hide_their_subject_are_found() {
        assert_eq!(starts(Marker::Slashes, "/// What it is.\n/// Reads. Who waits.\nlet of = 1;\n"), [1, 2]);
        assert_eq!(starts(Marker::Slashes, "// Names of\n// Of nobody.\n// One more.\n"), [3]);
        assert_eq!(starts(Marker::Markdown, "Text.\n\n- One thing.\n```\nOne thing.\n```\n"), [3]);
    }

    #[test]
    fn wide_prose_is_found_and_wide_code_is_not() {
        let wide = "word ".repeat(30);
        let text = format!("// {wide}\nlet x = \"{wide}\";\n// {}\n", "x".repeat(200));
        let found: Vec<_> = too_wide(&text, &Marker::Slashes.prose(&text)).map(|(line, _)| line).collect();
        assert_eq!(found, [1]);
    }
}
