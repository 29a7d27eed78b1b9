//! Paths of the host in a manifest.

use crate::error::{ManifestReport, SourceSpan};
use crate::manifest::{NamedPath, PathRole};
use crate::section::{Section, report_pattern};
use std::ops::Range;
use std::path::{Path, PathBuf};
use walnut_policy::PatternError;

/// Collects the paths that a manifest names. They begin at the folder `base`.
pub(crate) struct HostPaths<'a> {
    pub base: &'a Path,
    pub named: Vec<NamedPath>,
}

impl HostPaths<'_> {
    /// Adds a path, and returns it from `base` on.
    pub fn add(&mut self, role: PathRole, text: &str, path: &Path, span: Range<usize>) -> PathBuf {
        // Joined by components, so that `./public` has no dot in the result.
        let path: PathBuf = self.base.join(path).components().collect();
        self.named.push(NamedPath { role, text: text.to_owned(), path: path.clone(), place: SourceSpan(span) });
        path
    }

    /// Reads the path that is the value of `key`, with its place.
    pub fn read(
        &mut self,
        section: &Section<'_>,
        key: &str,
        role: PathRole,
        report: &mut ManifestReport,
    ) -> Option<(PathBuf, SourceSpan)> {
        let (text, span) = section.text(key, report)?;
        if text.is_empty() || text.contains('\0') {
            let (problem, hint) = ("is not a path", "write a path that begins at the folder of this file");
            let error = PatternError { text: text.to_owned(), problem: problem.to_owned(), hint: hint.to_owned() };
            report_pattern(report, &span, error);
            return None;
        }
        let place = SourceSpan(span.clone());
        Some((self.add(role, text, Path::new(text), span), place))
    }
}
