//! The packages of WASI that Walnut provides: versions, interfaces, and the capabilities that
//! decide about each interface. The linker and `inspect` read this table.

use walnut_policy::Capability;

/// Versions of WASI that the engine implements. Every other 0.2 resolves to the first.
pub(crate) const WASI_0_2: &str = "0.2.12";
pub(crate) const WASI_0_3: &str = "0.3.0";

/// Identifies a package of WASI in one version. `linker.rs` defines each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PackageId {
    Cli0_2,
    Cli0_3,
    Clocks0_2,
    Clocks0_3,
    Filesystem0_2,
    Filesystem0_3,
    Http0_2,
    Http0_3,
    Io0_2,
    Random0_2,
    Random0_3,
    Sockets0_2,
    Sockets0_3,
}

/// A package: a row of the table.
pub(crate) struct Package {
    pub id: PackageId,
    /// Name without version: `wasi:cli`.
    pub name: &'static str,
    /// Version that the engine implements.
    pub version: &'static str,
    pub interfaces: &'static [Interface],
}

/// An interface of a package.
pub(crate) struct Interface {
    /// Name without its package: `environment`.
    pub name: &'static str,
    /// Capabilities that its functions ask for. An interface without any gives no authority.
    pub capabilities: &'static [Capability],
}

/// The packages that Walnut provides.
pub(crate) const PACKAGES: [Package; 13] = [
    package(PackageId::Cli0_2, "wasi:cli", WASI_0_2, &CLI_0_2),
    package(PackageId::Cli0_3, "wasi:cli", WASI_0_3, &CLI_0_3),
    package(PackageId::Clocks0_2, "wasi:clocks", WASI_0_2, &[harmless("monotonic-clock"), harmless("wall-clock")]),
    package(PackageId::Clocks0_3, "wasi:clocks", WASI_0_3, &CLOCKS_0_3),
    package(PackageId::Filesystem0_2, "wasi:filesystem", WASI_0_2, &FILESYSTEM),
    package(PackageId::Filesystem0_3, "wasi:filesystem", WASI_0_3, &FILESYSTEM),
    package(PackageId::Http0_2, "wasi:http", WASI_0_2, &[asks("outgoing-handler", HTTP), harmless("types")]),
    package(PackageId::Http0_3, "wasi:http", WASI_0_3, &[asks("client", HTTP), harmless("types")]),
    package(PackageId::Io0_2, "wasi:io", WASI_0_2, &[harmless("error"), harmless("poll"), harmless("streams")]),
    package(PackageId::Random0_2, "wasi:random", WASI_0_2, &RANDOM),
    package(PackageId::Random0_3, "wasi:random", WASI_0_3, &RANDOM),
    package(PackageId::Sockets0_2, "wasi:sockets", WASI_0_2, &SOCKETS_0_2),
    package(PackageId::Sockets0_3, "wasi:sockets", WASI_0_3, &SOCKETS_0_3),
];

const HTTP: &[Capability] = &[Capability::Http];
const RESOLVE: &[Capability] = &[Capability::Resolve];
/// A socket connects or listens.
const SOCKET: &[Capability] = &[Capability::Connect, Capability::Listen];

const CLI_0_2: [Interface; 10] = [
    asks("environment", &[Capability::Env]),
    harmless("exit"),
    harmless("stderr"),
    harmless("stdin"),
    harmless("stdout"),
    harmless("terminal-input"),
    harmless("terminal-output"),
    harmless("terminal-stderr"),
    harmless("terminal-stdin"),
    harmless("terminal-stdout"),
];
const CLI_0_3: [Interface; 11] = [
    asks("environment", &[Capability::Env]),
    harmless("exit"),
    harmless("stderr"),
    harmless("stdin"),
    harmless("stdout"),
    harmless("terminal-input"),
    harmless("terminal-output"),
    harmless("terminal-stderr"),
    harmless("terminal-stdin"),
    harmless("terminal-stdout"),
    harmless("types"),
];
const CLOCKS_0_3: [Interface; 3] = [harmless("monotonic-clock"), harmless("system-clock"), harmless("types")];
const FILESYSTEM: [Interface; 2] = [asks("preopens", &[Capability::Dir]), asks("types", &[Capability::Dir])];
const RANDOM: [Interface; 3] = [harmless("insecure"), harmless("insecure-seed"), harmless("random")];
const SOCKETS_0_2: [Interface; 7] = [
    harmless("instance-network"),
    asks("ip-name-lookup", RESOLVE),
    harmless("network"),
    asks("tcp", SOCKET),
    asks("tcp-create-socket", SOCKET),
    asks("udp", SOCKET),
    asks("udp-create-socket", SOCKET),
];
const SOCKETS_0_3: [Interface; 2] = [asks("ip-name-lookup", RESOLVE), asks("types", SOCKET)];

const fn package(
    id: PackageId,
    name: &'static str,
    version: &'static str,
    interfaces: &'static [Interface],
) -> Package {
    Package { id, name, version, interfaces }
}

const fn asks(name: &'static str, capabilities: &'static [Capability]) -> Interface {
    Interface { name, capabilities }
}

const fn harmless(name: &'static str) -> Interface {
    Interface { name, capabilities: &[] }
}

const _: () = {
    let mut index = 0;
    while index < Capability::ALL.len() {
        assert!(has_interface(Capability::ALL[index]), "a capability has no interface in the table");
        index += 1;
    }
};

/// Returns whether the functions of an interface ask for `capability`.
const fn has_interface(capability: Capability) -> bool {
    let (mut package, mut interface, mut asked) = (0, 0, 0);
    while package < PACKAGES.len() {
        let interfaces = PACKAGES[package].interfaces;
        if interface == interfaces.len() {
            (package, interface) = (package + 1, 0);
        } else if asked == interfaces[interface].capabilities.len() {
            (interface, asked) = (interface + 1, 0);
        } else if interfaces[interface].capabilities[asked] as u8 == capability as u8 {
            return true;
        } else {
            asked += 1;
        }
    }
    false
}

impl Package {
    /// Returns the package that provides `import`, such as `wasi:cli/environment@0.2.3`.
    pub fn of(import: &str) -> Option<&'static Package> {
        Some(Self::find(import)?.0)
    }

    /// Returns the capabilities that `import` can ask for; none if nothing provides it.
    pub fn capabilities_of(import: &str) -> &'static [Capability] {
        Self::find(import).map_or(&[], |(_, interface)| interface.capabilities)
    }

    fn find(import: &str) -> Option<(&'static Package, &'static Interface)> {
        let (interface, version) = import.split_once('@')?;
        let (name, interface) = interface.split_once('/')?;
        let mut packages = PACKAGES.iter().filter(|p| p.name == name && p.is(version));
        packages.find_map(|p| Some((p, p.interfaces.iter().find(|i| i.name == interface)?)))
    }

    /// Returns whether `version` of a component's import means this package: any release of the
    /// same minor version.
    fn is(&self, version: &str) -> bool {
        let patch = self.version.rsplit_once('.').and_then(|(minor, _)| version.strip_prefix(minor)?.strip_prefix('.'));
        patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
    }
}
