//! `cargo xtask generate`: writes the files that say what the code says, and with `--check` fails when one is behind.
//!
//! `docs/reference.md` is the help of every command as the binary prints it; `docs/manifest.md` and
//! `docs/walnut.schema.json` describe `walnut.toml`, from the manifest's own table of keys.

use std::{
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The width of the help. The binary would take it from the terminal.
const COLUMNS: &str = "100";

const HEAD: &str = "\
# Reference

The help of every command, as `walnut --help` and `walnut COMMAND --help` print it. `cargo xtask generate` writes this file.
";

pub fn run(arguments: Vec<String>) -> Result<()> {
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--check"] => true,
        other => return Err(format!("generate knows `--check`, not `{}`", other.join(" ")).into()),
    };
    let files = [
        ("docs/manifest.md", walnut_manifest::reference()),
        ("docs/walnut.schema.json", format!("{:#}\n", walnut_manifest::schema())),
        ("docs/reference.md", reference()?),
    ];
    let fresh = |(name, text): &&(&str, String)| fs::read_to_string(root().join(name)).is_ok_and(|old| old == *text);
    let behind: Vec<_> = files.iter().filter(|file| !fresh(file)).collect();
    if check && !behind.is_empty() {
        let names: Vec<_> = behind.iter().map(|(name, _)| *name).collect();
        return Err(format!("behind the code: {}; run `cargo xtask generate`", names.join(", ")).into());
    }
    for (name, text) in behind {
        fs::create_dir_all(root().join("docs"))?;
        fs::write(root().join(name), text)?;
    }
    Ok(())
}

fn reference() -> Result<String> {
    let built =
        Command::new(env!("CARGO")).current_dir(root()).args(["build", "--quiet", "--package", "walnut"]).status()?;
    if !built.success() {
        return Err("walnut does not build".into());
    }
    let mut text = HEAD.to_owned();
    describe(&mut text, &[])?;
    Ok(text)
}

/// The help of one command, then that of each command below it.
fn describe(text: &mut String, words: &[String]) -> Result<()> {
    let help = help(words)?;
    let command = ["walnut"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    write!(text, "\n## {command}\n\n```text\n{}\n```\n", help.trim_end())?;
    for below in commands(&help) {
        describe(text, &[words, &[below]].concat())?;
    }
    Ok(())
}

fn help(words: &[String]) -> Result<String> {
    let output = Command::new(binary()).args(words).arg("--help").env("COLUMNS", COLUMNS).output()?;
    if !output.status.success() {
        return Err(
            format!("`walnut {} --help` failed\n{}", words.join(" "), String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    let text = String::from_utf8(output.stdout)?;
    // Lines that wrap may end in a space.
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description goes on in lines that start further right.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next());
    // Every command has this one, and it has nothing of its own to say.
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("debug").join("walnut")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
