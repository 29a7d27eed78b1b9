//! One linker for all that Walnut provides, and what to say of what it does not.

use crate::capabilities::{self, WASI_0_2, WASI_0_3};
use crate::error::MissingImport;
use crate::sandbox::Sandbox;
use wasmtime::component::Linker;

/// Every interface that the linker provides, without version, and the versions of WASI that have it.
const PROVIDED: [(&str, bool, bool); 31] = [
    ("wasi:cli/environment", true, true),
    ("wasi:cli/exit", true, true),
    ("wasi:cli/stderr", true, true),
    ("wasi:cli/stdin", true, true),
    ("wasi:cli/stdout", true, true),
    ("wasi:cli/terminal-input", true, true),
    ("wasi:cli/terminal-output", true, true),
    ("wasi:cli/terminal-stderr", true, true),
    ("wasi:cli/terminal-stdin", true, true),
    ("wasi:cli/terminal-stdout", true, true),
    ("wasi:cli/types", false, true),
    ("wasi:clocks/monotonic-clock", true, true),
    ("wasi:clocks/system-clock", false, true),
    ("wasi:clocks/types", false, true),
    ("wasi:clocks/wall-clock", true, false),
    ("wasi:filesystem/preopens", true, true),
    ("wasi:filesystem/types", true, true),
    ("wasi:http/client", false, true),
    ("wasi:http/outgoing-handler", true, false),
    ("wasi:http/types", true, true),
    ("wasi:io/error", true, false),
    ("wasi:io/poll", true, false),
    ("wasi:io/streams", true, false),
    ("wasi:random/insecure", true, true),
    ("wasi:random/insecure-seed", true, true),
    ("wasi:random/random", true, true),
    ("wasi:sockets/ip-name-lookup", true, true),
    ("wasi:sockets/network", true, false),
    ("wasi:sockets/tcp", true, false),
    ("wasi:sockets/types", false, true),
    ("wasi:sockets/udp", true, false),
];

/// Interfaces of 0.2 that only make sockets.
const SOCKET_MAKERS: [&str; 3] =
    ["wasi:sockets/instance-network", "wasi:sockets/tcp-create-socket", "wasi:sockets/udp-create-socket"];

/// The linker with everything in it.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    capabilities::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// What is wrong with importing `import`, or `None` when it is provided.
pub(crate) fn missing(import: &str) -> Option<MissingImport> {
    let (interface, version) = match import.split_once('@') {
        Some((interface, version)) => (interface, Some(version)),
        None => (import, None),
    };
    let found = PROVIDED
        .iter()
        .find(|(name, ..)| *name == interface)
        .map(|(_, p2, p3)| (*p2, *p3))
        .or_else(|| SOCKET_MAKERS.contains(&interface).then_some((true, false)));
    match (found, version) {
        (Some((true, _)), Some(v)) if is_release_of(v, "0.2.") => None,
        (Some((_, true)), Some(v)) if is_release_of(v, "0.3.") => None,
        (Some(versions), version) => Some(skew(import, interface, version, versions)),
        (None, _) => Some(unknown(import, interface)),
    }
}

fn is_release_of(version: &str, minor: &str) -> bool {
    version.strip_prefix(minor).is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

/// The interface is there, in other versions.
fn skew(import: &str, interface: &str, version: Option<&str>, (p2, p3): (bool, bool)) -> MissingImport {
    let have: Vec<_> = [(p2, WASI_0_2), (p3, WASI_0_3)]
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, v)| format!("{interface}@{v}"))
        .collect();
    let have = have.join(" and ");
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
    let names = PROVIDED.iter().map(|(name, ..)| *name).chain(SOCKET_MAKERS);
    let nearest = names.map(|name| (strsim::jaro_winkler(name, interface), name)).max_by(|a, b| a.0.total_cmp(&b.0));
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
            format!("compose it with a component that exports `{import}`"),
        ),
        _ => ("which the host would have to provide", format!("compose it with a component that exports `{import}`")),
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
