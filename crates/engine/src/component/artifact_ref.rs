//! References to artifacts, as a person types them.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Name of the artifact that was read from standard input.
const STANDARD_INPUT: &str = "standard input";

/// Reference to an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ArtifactRef {
    /// A file, by its path.
    File(PathBuf),
    /// Standard input, typed as `-`.
    Stdin,
}

impl ArtifactRef {
    /// Returns the name of the artifact in messages: the path as typed, or `standard input`.
    pub fn name(&self) -> String {
        match self {
            ArtifactRef::File(path) => path.to_string_lossy().into_owned(),
            ArtifactRef::Stdin => STANDARD_INPUT.into(),
        }
    }

    /// Returns the text that refers to the artifact with this [name](Self::name).
    pub(crate) fn text_of(name: &str) -> &str {
        if name == STANDARD_INPUT { "-" } else { name }
    }
}

impl From<&Path> for ArtifactRef {
    fn from(path: &Path) -> Self {
        if path == Path::new("-") { ArtifactRef::Stdin } else { ArtifactRef::File(path.to_owned()) }
    }
}

impl From<&str> for ArtifactRef {
    fn from(text: &str) -> Self {
        Path::new(text).into()
    }
}

impl FromStr for ArtifactRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_standard_input_and_all_else_a_path() {
        assert_eq!(ArtifactRef::from("-"), ArtifactRef::Stdin);
        for path in ["a.wasm", "./-", "-/a.wasm", "--", "standard input"] {
            let reference = ArtifactRef::from(path);
            assert_eq!(reference, ArtifactRef::File(path.into()));
            assert_eq!(reference.name(), path);
        }
        assert_eq!(ArtifactRef::text_of(&ArtifactRef::Stdin.name()), "-");
    }
}
