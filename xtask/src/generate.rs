//! The verb `generate`: writes the pages that are made from the code. With `--check` it fails when
//! a page is outdated.
//!
//! `docs/reference.md` is the help of every command as the binary prints it; `docs/manifest.md` and
//! `docs/walnut.schema.json` describe `walnut.toml`, from the manifest's own table of keys.

use crate::error::TaskResult;
use crate::process::{cargo, repository, run_to_success, target_folder};
use std::fmt::Write;
use std::fs;
use std::process::Command;

/// Width of the help, which is that of the terminal otherwise.
const COLUMNS: &str = "100";

const HEAD: &str = "\
# Reference

The help of every command, as `walnut --help` and `walnut COMMAND --help` print it.
`cargo xtask generate` writes this file.
";

pub fn run(arguments: &[String]) -> TaskResult {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        other => return Err(format!("`generate` takes `--check`, not `{}`", other.join(" ")).into()),
    };
    let files = [
        ("docs/manifest.md", walnut_manifest::reference()),
        ("docs/walnut.schema.json", format!("{:#}\n", walnut_manifest::schema())),
        ("docs/reference.md", reference()?),
    ];
    let is_fresh =
        |(name, text): &&(&str, String)| fs::read_to_string(repository().join(name)).is_ok_and(|old| old == *text);
    let outdated: Vec<_> = files.iter().filter(|file| !is_fresh(file)).collect();
    if check && !outdated.is_empty() {
        let names: Vec<_> = outdated.iter().map(|(name, _)| *name).collect();
        return Err(format!("outdated: {}; run `cargo xtask generate`", names.join(", ")).into());
    }
    for (name, text) in outdated {
        fs::create_dir_all(repository().join("docs"))?;
        fs::write(repository().join(name), text)?;
    }
    Ok(())
}

fn reference() -> TaskResult<String> {
    run_to_success(cargo().current_dir(repository()).args(["build", "--quiet", "--package", "walnut"]))?;
    let mut text = HEAD.to_owned();
    describe(&mut text, &[])?;
    Ok(text)
}

/// Adds the help of one command, then that of each command below it.
fn describe(text: &mut String, words: &[String]) -> TaskResult {
    let help = help(words)?;
    let command = ["walnut"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    write!(text, "\n## {command}\n\n```text\n{}\n```\n", help.trim_end())?;
    for below in commands(&help) {
        describe(text, &[words, &[below]].concat())?;
    }
    Ok(())
}

fn help(words: &[String]) -> TaskResult<String> {
    let output = Command::new(target_folder().join("debug/walnut"))
        .args(words)
        .arg("--help")
        .env("COLUMNS", COLUMNS)
        .output()?;
    if !output.status.success() {
        return Err(
            format!("`walnut {} --help` failed\n{}", words.join(" "), String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    let text = String::from_utf8(output.stdout)?;
    // Wrapped lines may end in a space.
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Further lines of a description are indented more.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next());
    // Every command has `help`, which has no help of its own.
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn commands_are_read_from_help() {
        let help = "Does it\n\nCommands:\n  run    Run\n         and run\n  serve  Serve\n\nOptions:\n  -h  Help\n";
        assert_eq!(commands(help), ["run", "serve"]);
        assert!(commands("Usage: x\n").is_empty());
    }
}
