//! Imports that Walnut does not provide, with a remedy for each.

use crate::component::artifact::Artifact;
use crate::component::wasi::{PACKAGES, Package};
use crate::failure::error::MissingImport;
use walnut_policy::Printable;
use wasmparser::{ComponentImportSectionReader, Parser, Payload};

/// Describes the problem with `import`; `None` if it is provided.
pub(crate) fn missing(import: &str) -> Option<MissingImport> {
    if Package::of(import).is_some() {
        return None;
    }
    let (interface, version) = match import.split_once('@') {
        Some((interface, version)) => (interface, Some(version)),
        None => (import, None),
    };
    let have: Vec<_> =
        provided().filter(|(name, _)| name == interface).map(|(name, v)| format!("{name}@{v}")).collect();
    Some(if have.is_empty() { unknown(import, interface) } else { skew(import, version, &have.join(" and ")) })
}

/// Returns whether a component imports a name for which `is_wanted` holds, before its first module,
/// where tools write imports.
pub(crate) fn has_import(artifact: &Artifact, is_wanted: impl Fn(&str) -> bool) -> bool {
    let payloads = Parser::new(0).parse_all(&artifact.bytes).map_while(Result::ok);
    let is_one = |section: ComponentImportSectionReader<'_>| {
        section.into_iter().any(|import| import.is_ok_and(|import| is_wanted(import.name.name)))
    };
    payloads
        .take_while(|payload| !matches!(payload, Payload::ModuleSection { .. } | Payload::CodeSectionStart { .. }))
        .any(|payload| matches!(payload, Payload::ComponentImportSection(section) if is_one(section.clone())))
}

/// Returns every provided interface, with its version.
fn provided() -> impl Iterator<Item = (String, &'static str)> {
    PACKAGES.iter().flat_map(|p| p.interfaces.iter().map(|i| (format!("{}/{}", p.name, i.name), p.version)))
}

/// Describes an import of another version of a provided interface.
fn skew(import: &str, version: Option<&str>, have: &str) -> MissingImport {
    let problem = match version {
        Some(v) if v.contains("-rc") || v.contains("-draft") => {
            format!("which is a draft that WASI has replaced; Walnut has {have}")
        }
        Some(v) => format!("which is version {v}; Walnut has {have}"),
        None => format!("which names no version; Walnut has {have}"),
    };
    MissingImport {
        name: import.to_owned(),
        problem,
        hint: "rebuild the component with a toolchain for WASI 0.2 or for the final WASI 0.3".into(),
    }
}

fn unknown(import: &str, interface: &str) -> MissingImport {
    let shown = Printable(import);
    let nearest = provided().map(|(name, _)| (strsim::jaro_winkler(&name, interface), name));
    let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((similarity, name)) = nearest
        && similarity > 0.93
    {
        let hint = format!("did you mean `{name}`?");
        return MissingImport { name: import.to_owned(), problem: "which nothing provides".into(), hint };
    }
    let (problem, hint) = match interface.split(':').next() {
        Some("wasi") => (
            "which is a part of WASI that Walnut does not provide yet",
            format!("build the component without `{interface}`, or compose it with one that exports `{interface}`"),
        ),
        _ if interface.contains(':') => (
            "which is no part of WASI, so another component has to provide it",
            format!("compose it with a component that exports `{shown}`"),
        ),
        _ => ("which the host would have to provide", format!("compose it with a component that exports `{shown}`")),
    };
    MissingImport { name: import.to_owned(), problem: problem.into(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minor_of_0_2_and_the_final_0_3_are_provided() {
        for version in ["0.2.0", "0.2.3", "0.2.12", "0.2.99", "0.3.0", "0.3.1"] {
            assert_eq!(missing(&format!("wasi:cli/environment@{version}")), None);
        }
    }

    #[test]
    fn a_skew_names_both_versions() {
        let skew = missing("wasi:cli/environment@0.3.0-rc-2026-03-15").unwrap();
        assert!(
            skew.problem.contains("draft") && skew.problem.contains("0.2.12 and wasi:cli/environment@0.3.0"),
            "{skew:?}"
        );
        assert!(missing("wasi:io/streams@0.3.0").unwrap().problem.contains("Walnut has wasi:io/streams@0.2.12"));
    }

    #[test]
    fn a_misspelt_interface_is_recognised() {
        assert_eq!(missing("wasi:cli/enviroment@0.2.0").unwrap().hint, "did you mean `wasi:cli/environment`?");
        assert!(missing("acme:missing/thing@1.0.0").unwrap().hint.contains("compose"));
    }
}
