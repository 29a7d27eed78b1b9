//! Profiles of instrumented programs, read with `llvm-profdata`.

use crate::error::TaskResult;
use crate::process::run_to_success;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Merges the folder of raw counts into one profile, beside the folder.
pub fn merge_counts(profdata: &Path, counts: &Path) -> TaskResult<PathBuf> {
    let profile = counts.with_extension("profdata");
    run_to_success(Command::new(profdata).arg("merge").arg("-o").arg(&profile).arg(counts))?;
    Ok(profile)
}

/// The symbols of the functions that ran.
pub fn functions_that_ran(profdata: &Path, profile: &Path) -> TaskResult<Vec<String>> {
    let output = Command::new(profdata).args(["show", "--all-functions", "--counts"]).arg(profile).output()?;
    if !output.status.success() {
        return Err(format!("llvm-profdata cannot read {}", profile.display()).into());
    }
    Ok(parse_ran(&String::from_utf8(output.stdout)?))
}

/// Parses the output of `llvm-profdata show`: the line of a function is its symbol and a colon,
/// with the name of the unit before it if the function is private to that. The counts follow.
fn parse_ran(shown: &str) -> Vec<String> {
    let (mut function, mut ran) = ("", Vec::new());
    for line in shown.lines() {
        if let Some(counts) = line.trim_start().strip_prefix("Block counts: ") {
            if counts.contains(|c: char| matches!(c, '1'..='9')) {
                ran.push(function.to_owned());
            }
        } else if let Some(name) = line.strip_suffix(':') {
            function = name.rsplit(';').next().unwrap_or(name).trim_start();
        }
    }
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_ran_are_parsed() {
        let shown = "\
Counters:
  tokio.cade-cgu.0;_ZN5tokio3runE:
    Hash: 0x011b529e94e967f2
    Counters: 3
    Block counts: [0, 20, 0]
  _ZN5alloc4growE:
    Hash: 0x01
    Counters: 1
    Block counts: [0]
  main:
    Hash: 0x02
    Counters: 1
    Block counts: [1]
Instrumentation level: IR  entry_first = 0
";
        assert_eq!(parse_ran(shown), ["_ZN5tokio3runE", "main"]);
    }
}
