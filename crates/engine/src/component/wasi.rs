//! The packages of WASI that Walnut provides, and how each gets into a linker: first as wasmtime defines it, then, under the
//! same names, what the gate must decide.

use crate::capabilities::dir::{wasi_0_2 as dir_0_2, wasi_0_3 as dir_0_3};
use crate::capabilities::dns::resolve;
use crate::capabilities::http::wasi_0_3 as http_0_3;
use crate::capabilities::{env, sockets};
use crate::sandbox::sandbox::Sandbox;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi_io::bindings::wasi::io;

/// The versions of WASI that the engine implements; every other 0.2 resolves to the first.
pub(crate) const WASI_0_2: &str = "0.2.12";
pub(crate) const WASI_0_3: &str = "0.3.0";

/// A package of WASI in one version.
pub(crate) struct Package {
    /// Without version: `wasi:cli`.
    pub name: &'static str,
    /// The version that the engine implements.
    pub version: &'static str,
    /// Without their package: `environment`.
    pub interfaces: &'static [&'static str],
    /// Defines all of it. The linker allows that a name is defined a second time.
    pub add_to_linker: fn(&mut Linker<Sandbox>) -> wasmtime::Result<()>,
}

/// Everything that Walnut provides.
pub(crate) const PACKAGES: [Package; 13] = [
    package("wasi:cli", WASI_0_2, &CLI_0_2, cli_0_2),
    package("wasi:cli", WASI_0_3, &CLI_0_3, cli_0_3),
    package("wasi:clocks", WASI_0_2, &["monotonic-clock", "wall-clock"], clocks_0_2),
    package("wasi:clocks", WASI_0_3, &["monotonic-clock", "system-clock", "types"], p3::clocks::add_to_linker),
    package("wasi:filesystem", WASI_0_2, &["preopens", "types"], filesystem_0_2),
    package("wasi:filesystem", WASI_0_3, &["preopens", "types"], filesystem_0_3),
    package(
        "wasi:http",
        WASI_0_2,
        &["outgoing-handler", "types"],
        wasmtime_wasi_http::p2::add_only_http_to_linker_async,
    ),
    package("wasi:http", WASI_0_3, &["client", "types"], http_0_3),
    package("wasi:io", WASI_0_2, &["error", "poll", "streams"], io_0_2),
    package("wasi:random", WASI_0_2, &["insecure", "insecure-seed", "random"], random_0_2),
    package("wasi:random", WASI_0_3, &["insecure", "insecure-seed", "random"], p3::random::add_to_linker),
    package("wasi:sockets", WASI_0_2, &SOCKETS_0_2, sockets_0_2),
    package("wasi:sockets", WASI_0_3, &["ip-name-lookup", "types"], sockets_0_3),
];

const CLI_0_2: [&str; 10] = [
    "environment",
    "exit",
    "stderr",
    "stdin",
    "stdout",
    "terminal-input",
    "terminal-output",
    "terminal-stderr",
    "terminal-stdin",
    "terminal-stdout",
];
const CLI_0_3: [&str; 11] = [
    "environment",
    "exit",
    "stderr",
    "stdin",
    "stdout",
    "terminal-input",
    "terminal-output",
    "terminal-stderr",
    "terminal-stdin",
    "terminal-stdout",
    "types",
];
const SOCKETS_0_2: [&str; 7] =
    ["instance-network", "ip-name-lookup", "network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"];

const fn package(
    name: &'static str,
    version: &'static str,
    interfaces: &'static [&'static str],
    add_to_linker: fn(&mut Linker<Sandbox>) -> wasmtime::Result<()>,
) -> Package {
    Package { name, version, interfaces, add_to_linker }
}

impl Package {
    /// The package that provides `import`, such as `wasi:cli/environment@0.2.3`.
    pub fn of(import: &str) -> Option<&'static Package> {
        let (interface, version) = import.split_once('@')?;
        let (name, interface) = interface.split_once('/')?;
        PACKAGES.iter().find(|p| p.name == name && p.is(version) && p.interfaces.contains(&interface))
    }

    /// Whether this is what a component means by `version`: any release of the same minor version.
    fn is(&self, version: &str) -> bool {
        let patch = self.version.rsplit_once('.').and_then(|(minor, _)| version.strip_prefix(minor)?.strip_prefix('.'));
        patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
    }
}

fn cli_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    use p2::cli::{
        environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
        terminal_stdout,
    };
    exit::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    environment::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    stdin::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    stdout::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    stderr::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    terminal_input::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    terminal_output::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    terminal_stdin::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    terminal_stdout::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    terminal_stderr::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
    env::add_to_linker(linker, WASI_0_2)
}

fn cli_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p3::cli::add_to_linker(linker)?;
    env::add_to_linker(linker, WASI_0_3)
}

fn clocks_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p2::clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Sandbox::clocks)?;
    p2::clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Sandbox::clocks)
}

fn filesystem_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p2::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Sandbox::filesystem)?;
    p2::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Sandbox::filesystem)?;
    dir_0_2::add_to_linker(linker)
}

fn filesystem_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p3::filesystem::add_to_linker(linker)?;
    dir_0_3::add_to_linker(linker)
}

fn http_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    http_0_3::add_to_linker(linker)
}

fn io_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    struct Table;
    impl HasData for Table {
        type Data<'a> = &'a mut ResourceTable;
    }
    io::error::add_to_linker::<_, Table>(linker, |sandbox: &mut Sandbox| &mut sandbox.table)?;
    io::poll::add_to_linker::<_, Table>(linker, |sandbox: &mut Sandbox| &mut sandbox.table)?;
    io::streams::add_to_linker::<_, Table>(linker, |sandbox: &mut Sandbox| &mut sandbox.table)
}

fn random_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p2::random::random::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)?;
    p2::random::insecure::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)?;
    p2::random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)
}

fn sockets_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    use p2::sockets::{instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket};
    tcp::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)?;
    tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)?;
    udp::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)?;
    udp_create_socket::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)?;
    instance_network::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)?;
    network::add_to_linker::<_, WasiSockets>(linker, &network::LinkOptions::default(), Sandbox::sockets)?;
    ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, Sandbox::sockets)?;
    sockets::add_to_linker_0_2(linker)?;
    resolve::add_to_linker_0_2(linker)
}

fn sockets_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p3::sockets::add_to_linker(linker)?;
    sockets::add_to_linker_0_3(linker)?;
    resolve::add_to_linker_0_3(linker)
}
