//! Fills a linker: each package of WASI as wasmtime defines it, and then, under the same names, the
//! functions that ask the gate.

use crate::capabilities::{dir, dns, env, http, sockets};
use crate::component::wasi::{Package, PackageId, WASI_0_2, WASI_0_3};
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

/// Creates a linker with the packages that `imports` need. The others cost nothing.
pub(crate) fn linker<'a>(
    engine: &wasmtime::Engine,
    imports: impl Iterator<Item = &'a str>,
) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let mut needed: Vec<PackageId> = imports.filter_map(|import| Some(Package::of(import)?.id)).collect();
    needed.sort_unstable();
    needed.dedup();
    for package in needed {
        add(package, &mut linker)?;
    }
    Ok(linker)
}

/// Defines a package. The linker allows a second definition of a name.
fn add(package: PackageId, linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    match package {
        PackageId::Cli0_2 => cli_0_2(linker),
        PackageId::Cli0_3 => cli_0_3(linker),
        PackageId::Clocks0_2 => clocks_0_2(linker),
        PackageId::Clocks0_3 => p3::clocks::add_to_linker(linker),
        PackageId::Filesystem0_2 => filesystem_0_2(linker),
        PackageId::Filesystem0_3 => filesystem_0_3(linker),
        PackageId::Http0_2 => wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker),
        PackageId::Http0_3 => http_0_3(linker),
        PackageId::Io0_2 => io_0_2(linker),
        PackageId::Random0_2 => random_0_2(linker),
        PackageId::Random0_3 => p3::random::add_to_linker(linker),
        PackageId::Sockets0_2 => sockets_0_2(linker),
        PackageId::Sockets0_3 => sockets_0_3(linker),
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
    dir::wasi_0_2::add_to_linker(linker)
}

fn filesystem_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p3::filesystem::add_to_linker(linker)?;
    dir::wasi_0_3::add_to_linker(linker)
}

fn http_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    http::wasi_0_3::add_to_linker(linker)
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
    dns::resolve::add_to_linker_0_2(linker)
}

fn sockets_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    p3::sockets::add_to_linker(linker)?;
    sockets::add_to_linker_0_3(linker)?;
    dns::resolve::add_to_linker_0_3(linker)
}
