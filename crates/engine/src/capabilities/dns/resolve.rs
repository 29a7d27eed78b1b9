//! `wasi:sockets/ip-name-lookup`: the gate decides about a name before it is looked up, and about
//! each address before the guest learns it.

use crate::capabilities::dns::learned_names::LearnedNames;
use crate::capabilities::dns::resolver::Resolver;
use crate::capabilities::state::HostState;
use crate::component::wasi::{WASI_0_2, WASI_0_3};
use crate::gate::gate::Permit;
use futures_util::FutureExt;
use futures_util::future::{MaybeDone, maybe_done};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::vec;
use walnut_policy::{Denial, Request};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceType};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode as P2Error, IpAddress as P2Address};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as P3Error;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress as P3Address;

const IMPORT: &str = "wasi:sockets/ip-name-lookup.resolve-addresses";

/// State of this capability.
pub(crate) trait DnsState: HostState {
    fn resolver(&self) -> &Arc<Resolver>;
    fn learned_names(&self) -> &LearnedNames;
}

/// Longest name: 253 bytes (RFC 1035 section 3.1, as text), and a final dot.
const MAX_NAME: usize = 254;

pub(crate) fn add_to_linker_0_2<T: DnsState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_2}"))?;
    lookup.func_wrap("resolve-addresses", resolve_0_2)?;
    lookup.func_wrap("[method]resolve-address-stream.resolve-next-address", next_0_2)?;
    lookup.func_wrap("[method]resolve-address-stream.subscribe", subscribe_0_2)?;
    lookup.resource("resolve-address-stream", ResourceType::host::<Lookup>(), |mut cx, handle| {
        cx.data_mut().table_mut().delete(Resource::<Lookup>::new_own(handle))?;
        Ok(())
    })
}

pub(crate) fn add_to_linker_0_3<T: DnsState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_3}"))?;
    lookup.func_wrap_concurrent("resolve-addresses", |accessor: &Accessor<T>, (name,): (String,)| {
        Box::pin(async move { Ok((resolve_0_3(accessor, name).await,)) })
    })
}

/// A lookup of WASI 0.2.
struct Lookup {
    name: String,
    found: MaybeDone<Pin<Box<dyn Future<Output = LookupResult> + Send>>>,
}

/// Addresses that the guest has not got yet.
type LookupResult = Result<vec::IntoIter<IpAddr>, ResolveError>;

/// Reason why a name has no addresses.
#[derive(Clone, Copy)]
enum ResolveError {
    NoName,
    Unknown,
}

impl Lookup {
    /// Starts the lookup, if the resolver has room for it.
    fn begin(resolver: Arc<Resolver>, name: String) -> Self {
        let of = name.clone();
        let found: Pin<Box<dyn Future<Output = LookupResult> + Send>> =
            Box::pin(async move { Ok(look_up(&resolver, &of).await?.into_iter()) });
        let mut lookup = Lookup { name, found: maybe_done(found) };
        lookup.found();
        lookup
    }

    /// Returns the result; `None` while the lookup is under way.
    fn found(&mut self) -> Option<&mut LookupResult> {
        (&mut self.found).now_or_never()?;
        Pin::new(&mut self.found).output_mut()
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        (&mut self.found).await;
    }
}

async fn look_up(resolver: &Resolver, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let host = match url::Host::parse(name) {
        Ok(url::Host::Domain(domain)) => domain,
        Ok(url::Host::Ipv4(address)) => return Ok(vec![address.into()]),
        Ok(url::Host::Ipv6(address)) => return Ok(vec![address.into()]),
        // An IPv6 address has brackets in a URL, but none here.
        Err(_) => return Ok(vec![name.parse().map_err(|_| ResolveError::NoName)?]),
    };
    let found = resolver.addresses(&host, 0).await.map_err(|_| ResolveError::Unknown)?;
    Ok(found.into_iter().map(|address| address.ip().to_canonical()).collect())
}

fn resolve_0_2<T: DnsState>(
    mut cx: StoreContextMut<'_, T>,
    (network, name): (Resource<Network>, String),
) -> wasmtime::Result<(Result<Resource<Lookup>, P2Error>,)> {
    let state = cx.data_mut();
    state.table().get(&network)?;
    if name.len() > MAX_NAME {
        return Ok((Err(P2Error::InvalidArgument),));
    }
    let Ok(_permit) = permit_name(state, &name) else { return Ok((Err(P2Error::AccessDenied),)) };
    let mut lookup = Lookup::begin(state.resolver().clone(), name);
    if let Some(Err(why)) = lookup.found() {
        return Ok((Err(why.for_0_2()),));
    }
    Ok((Ok(state.table_mut().push(lookup)?),))
}

fn next_0_2<T: DnsState>(
    mut cx: StoreContextMut<'_, T>,
    (lookup,): (Resource<Lookup>,),
) -> wasmtime::Result<(Result<Option<P2Address>, P2Error>,)> {
    let state = cx.data_mut();
    let name = state.table().get(&lookup)?.name.clone();
    loop {
        let address = match state.table_mut().get_mut(&lookup)?.found() {
            None => return Ok((Err(P2Error::WouldBlock),)),
            Some(Err(why)) => return Ok((Err(why.for_0_2()),)),
            Some(Ok(addresses)) => addresses.next(),
        };
        let Some(address) = address else { return Ok((Ok(None),)) };
        if learn(state, &name, address) {
            return Ok((Ok(Some(address.into())),));
        }
    }
}

fn subscribe_0_2<T: DnsState>(
    mut cx: StoreContextMut<'_, T>,
    (lookup,): (Resource<Lookup>,),
) -> wasmtime::Result<(Resource<DynPollable>,)> {
    Ok((subscribe(cx.data_mut().table_mut(), lookup)?,))
}

async fn resolve_0_3<T: DnsState>(accessor: &Accessor<T>, name: String) -> Result<Vec<P3Address>, P3Error> {
    if name.len() > MAX_NAME {
        return Err(P3Error::InvalidArgument);
    }
    let permitted = accessor.with(|mut access| {
        let state = access.data_mut();
        permit_name(state, &name).map(|_permit| state.resolver().clone())
    });
    let resolver = permitted.map_err(|_| P3Error::AccessDenied)?;
    let mut addresses = look_up(&resolver, &name).await.map_err(ResolveError::for_0_3)?;
    let looked_up = addresses.len();
    accessor.with(|mut access| addresses.retain(|address| learn(access.data_mut(), &name, *address)));
    if addresses.is_empty() && looked_up > 0 {
        return Err(P3Error::AccessDenied);
    }
    Ok(addresses.into_iter().map(Into::into).collect())
}

impl ResolveError {
    fn for_0_2(self) -> P2Error {
        match self {
            ResolveError::NoName => P2Error::InvalidArgument,
            ResolveError::Unknown => P2Error::NameUnresolvable,
        }
    }

    fn for_0_3(self) -> P3Error {
        match self {
            ResolveError::NoName => P3Error::InvalidArgument,
            ResolveError::Unknown => P3Error::NameUnresolvable,
        }
    }
}

fn permit_name<T: DnsState>(state: &T, name: &str) -> Result<Permit, Denial> {
    state.gate().check(IMPORT, Request::Resolve { name: name.to_owned() })
}

/// Returns whether the guest may learn the address. If so, the grants for the name cover the
/// address from now on.
fn learn<T: DnsState>(state: &T, name: &str, address: IpAddr) -> bool {
    let asked = Request::ResolvedAddress { name: name.to_owned(), address };
    state.gate().check(IMPORT, asked).is_ok_and(|permit| state.learned_names().learn(permit, address, name))
}
