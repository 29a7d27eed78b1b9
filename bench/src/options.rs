//! Options that several benchmarks have.

use crate::cargo::build_walnut;
use crate::error::BenchResult;
use std::path::PathBuf;

/// `[--short] [--walnut PATH]`, in any order.
#[derive(Debug, PartialEq, Eq)]
pub struct CommonOptions {
    pub short: bool,
    walnut: Option<PathBuf>,
}

impl CommonOptions {
    pub fn parse(benchmark: &str, arguments: &[String]) -> BenchResult<Self> {
        let mut options = CommonOptions { short: false, walnut: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), arguments.as_slice().first()) {
                ("--short", _) => options.short = true,
                ("--walnut", Some(path)) => {
                    options.walnut = Some(path.into());
                    arguments.next();
                }
                ("--walnut", None) => return Err("--walnut needs a value".into()),
                (other, _) => {
                    return Err(format!("`{benchmark}` takes `--short` and `--walnut PATH`, not `{other}`").into());
                }
            }
        }
        Ok(options)
    }

    /// The binary of `--walnut`, or one that is built now.
    pub fn binary(self) -> BenchResult<PathBuf> {
        self.walnut.map_or_else(|| build_walnut(self.short), Ok)
    }
}

/// Parses the value of a flag that takes a whole number.
pub fn parse_number<T: std::str::FromStr>(flag: &str, text: &str) -> BenchResult<T> {
    text.parse().map_err(|_| format!("{flag} takes a whole number, not `{text}`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_any_order() {
        let parse = |line: &str| {
            let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            CommonOptions::parse("limits", &arguments).map_err(|e| e.to_string())
        };
        let options = |short, walnut: Option<&str>| Ok(CommonOptions { short, walnut: walnut.map(PathBuf::from) });
        assert_eq!(parse(""), options(false, None));
        for line in ["--short --walnut a/b", "--walnut a/b --short"] {
            assert_eq!(parse(line), options(true, Some("a/b")));
        }
        assert_eq!(parse("--walnut"), Err("--walnut needs a value".into()));
        assert_eq!(parse("--long"), Err("`limits` takes `--short` and `--walnut PATH`, not `--long`".into()));
    }
}
