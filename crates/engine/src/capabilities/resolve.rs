//! `resolve`: a name is decided before it is looked up, and each of its addresses before the guest learns it.

use crate::gate::Permit;
use crate::packages::{WASI_0_2, WASI_0_3};
use crate::sandbox::Sandbox;
use std::net::IpAddr;
use walnut_policy::{Denial, Request};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceType};
use wasmtime_wasi::p2::Network;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as p2;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode as P2Error, Host as _, IpAddress as P2Address};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as p3;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress as P3Address;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

const IMPORT: &str = "wasi:sockets/ip-name-lookup.resolve-addresses";

/// The longest name that there is: 253 bytes (RFC 1035 section 3.1, as text), and a dot at its end.
const LONGEST_NAME: usize = 254;

type P2Stream = Resource<p2::ResolveAddressStream>;

pub(crate) fn add_to_linker_0_2(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_2}"))?;
    lookup.func_wrap("resolve-addresses", resolve_0_2)?;
    lookup.func_wrap("[method]resolve-address-stream.resolve-next-address", next_0_2)?;
    lookup.resource("resolve-address-stream", ResourceType::host::<p2::ResolveAddressStream>(), |mut cx, handle| {
        let sandbox: &mut Sandbox = cx.data_mut();
        sandbox.lookups.remove(&handle);
        sandbox.table.delete(P2Stream::new_own(handle))?;
        Ok(())
    })
}

pub(crate) fn add_to_linker_0_3(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_3}"))?;
    lookup.func_wrap_concurrent("resolve-addresses", |accessor: &Accessor<Sandbox>, (name,): (String,)| {
        Box::pin(async move { Ok((resolve_0_3(accessor, name).await?,)) })
    })
}

fn resolve_0_2(
    mut cx: StoreContextMut<'_, Sandbox>,
    (network, name): (Resource<Network>, String),
) -> wasmtime::Result<(Result<P2Stream, P2Error>,)> {
    let sandbox = cx.data_mut();
    if name.len() > LONGEST_NAME {
        return Ok((Err(P2Error::InvalidArgument),));
    }
    let Ok(_permit) = permit_name(sandbox, &name) else { return Ok((Err(P2Error::AccessDenied),)) };
    let mut sockets = sandbox.sockets();
    match p2::Host::resolve_addresses(&mut sockets, network, name.clone()) {
        Ok(stream) => {
            sandbox.lookups.insert(stream.rep(), name);
            Ok((Ok(stream),))
        }
        Err(e) => Ok((Err(sockets.convert_error_code(e)?),)),
    }
}

fn next_0_2(
    mut cx: StoreContextMut<'_, Sandbox>,
    (stream,): (P2Stream,),
) -> wasmtime::Result<(Result<Option<P2Address>, P2Error>,)> {
    let sandbox = cx.data_mut();
    let name = sandbox.lookups.get(&stream.rep()).cloned().unwrap_or_default();
    loop {
        match p2::HostResolveAddressStream::resolve_next_address(
            &mut sandbox.sockets(),
            Resource::new_borrow(stream.rep()),
        ) {
            Ok(Some(address)) if learn(sandbox, &name, p2_ip(address)) => return Ok((Ok(Some(address)),)),
            Ok(Some(_)) => {}
            Ok(None) => return Ok((Ok(None),)),
            Err(e) => return Ok((Err(sandbox.sockets().convert_error_code(e)?),)),
        }
    }
}

async fn resolve_0_3(
    accessor: &Accessor<Sandbox>,
    name: String,
) -> wasmtime::Result<Result<Vec<P3Address>, p3::ErrorCode>> {
    if name.len() > LONGEST_NAME {
        return Ok(Err(p3::ErrorCode::InvalidArgument));
    }
    let Ok(_permit) = accessor.with(|mut access| permit_name(access.data_mut(), &name)) else {
        return Ok(Err(p3::ErrorCode::AccessDenied));
    };
    let sockets = accessor.with_getter::<WasiSockets>(Sandbox::sockets);
    let found = <WasiSockets as p3::HostWithStore<Sandbox>>::resolve_addresses(&sockets, name.clone()).await?;
    let Ok(mut addresses) = found else { return Ok(found) };
    let looked_up = addresses.len();
    accessor.with(|mut access| addresses.retain(|address| learn(access.data_mut(), &name, p3_ip(*address))));
    Ok(if addresses.is_empty() && looked_up > 0 { Err(p3::ErrorCode::AccessDenied) } else { Ok(addresses) })
}

fn permit_name(sandbox: &Sandbox, name: &str) -> Result<Permit, Denial> {
    sandbox.gate.check(IMPORT, Request::Resolve { name: name.to_owned() })
}

/// Whether the guest may learn the address; if so, the name's grants now reach it.
fn learn(sandbox: &Sandbox, name: &str, address: IpAddr) -> bool {
    let asked = Request::ResolvedAddress { name: name.to_owned(), address };
    sandbox.gate.check(IMPORT, asked).is_ok_and(|permit| sandbox.names.learn(permit, address, name))
}

fn p2_ip(address: P2Address) -> IpAddr {
    match address {
        P2Address::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        P2Address::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

fn p3_ip(address: P3Address) -> IpAddr {
    match address {
        P3Address::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        P3Address::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
