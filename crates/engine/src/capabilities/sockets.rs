//! The capabilities `connect` and `listen`: TCP and UDP. wasmtime's sockets ask before every
//! operation, and the gate answers.

use crate::capabilities::connection_limit::{ConnectionLimit, CountedConnection};
use crate::capabilities::descriptors::GuestDescriptor;
use crate::capabilities::dns::learned_names::LearnedNames;
use crate::capabilities::state::HostState;
use crate::component::wasi::{WASI_0_2, WASI_0_3};
use crate::gate::gate::Gate;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use walnut_policy::{Protocol, Request};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::sockets::{
    network as p2_network, tcp as p2_tcp, tcp_create_socket as p2_tcp_create, udp_create_socket as p2_udp_create,
};
use wasmtime_wasi::p3::bindings::sockets::types as p3;
use wasmtime_wasi::p3::sockets::SocketError;
use wasmtime_wasi::sockets::{SocketAddrUse, TcpSocket, UdpSocket, WasiSockets, WasiSocketsView};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// State of these capabilities.
pub(crate) trait SocketsState: HostState {
    fn connections(&mut self) -> &mut SocketConnections;
}

/// Sockets of a sandbox, and the connections of its TCP sockets.
pub(crate) struct SocketConnections {
    limit: ConnectionLimit,
    names: LearnedNames,
    /// Version of WASI of the component.
    version: &'static str,
    /// Descriptors of sockets, by handle.
    sockets: HashMap<u32, GuestDescriptor>,
    /// Open connections, by the handle of the socket.
    open: HashMap<u32, CountedConnection>,
}

impl SocketConnections {
    pub fn new(limit: ConnectionLimit, names: LearnedNames, version: &'static str) -> Self {
        SocketConnections { limit, names, version, sockets: HashMap::new(), open: HashMap::new() }
    }

    /// Counts another socket, of at most `most`.
    fn take(&self, most: usize) -> Option<GuestDescriptor> {
        if self.sockets.len() < most { GuestDescriptor::take() } else { None }
    }

    fn closed(&mut self, handle: u32) {
        self.open.remove(&handle);
        self.sockets.remove(&handle);
    }
}

/// Defines the functions that count connections. [`connect`] installs the check that decides about
/// all others.
pub(crate) fn add_to_linker_0_2<T: SocketsState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut tcp = linker.instance(&format!("wasi:sockets/tcp@{WASI_0_2}"))?;
    tcp.func_wrap("[method]tcp-socket.start-connect", start_connect_0_2)?;
    tcp.resource("tcp-socket", ResourceType::host::<p2::TcpSocket>(), |mut cx, handle| {
        let state = cx.data_mut();
        state.connections().closed(handle);
        state.table_mut().delete(Resource::<p2::TcpSocket>::new_own(handle))?;
        Ok(())
    })?;
    let mut udp = linker.instance(&format!("wasi:sockets/udp@{WASI_0_2}"))?;
    udp.resource("udp-socket", ResourceType::host::<p2::UdpSocket>(), |mut cx, handle| {
        let state = cx.data_mut();
        state.connections().closed(handle);
        state.table_mut().delete(Resource::<p2::UdpSocket>::new_own(handle))?;
        Ok(())
    })?;
    let mut create = linker.instance(&format!("wasi:sockets/tcp-create-socket@{WASI_0_2}"))?;
    create.func_wrap(
        "create-tcp-socket",
        |mut cx: StoreContextMut<'_, T>, (family,): (p2_network::IpAddressFamily,)| {
            let state = cx.data_mut();
            let Some(descriptor) = take_socket(state) else { return Ok((Err(p2_network::ErrorCode::NewSocketLimit),)) };
            let created = p2_tcp_create::Host::create_tcp_socket(&mut state.sockets(), family);
            Ok((opened_0_2(state, descriptor, created)?,))
        },
    )?;
    let mut create = linker.instance(&format!("wasi:sockets/udp-create-socket@{WASI_0_2}"))?;
    create.func_wrap_async(
        "create-udp-socket",
        |mut cx: StoreContextMut<'_, T>, (family,): (p2_network::IpAddressFamily,)| {
            Box::new(async move {
                let state = cx.data_mut();
                let Some(descriptor) = take_socket(state) else {
                    return Ok((Err(p2_network::ErrorCode::NewSocketLimit),));
                };
                let mut context = OneSocket::new(state);
                let created = p2_udp_create::Host::create_udp_socket(&mut context.sockets(), family).await;
                Ok((opened_0_2(state, descriptor, created)?,))
            })
        },
    )
}

/// Sockets that a sandbox may have at once when nothing is granted that a socket could do: enough
/// for the explanation of what it tries.
const MAX_SEALED: usize = 4;

/// Counts a socket before it is made.
fn take_socket<T: SocketsState>(state: &mut T) -> Option<GuestDescriptor> {
    let most = if state.gate().policy().grants_sockets() { usize::MAX } else { MAX_SEALED };
    state.connections().take(most)
}

/// Records a socket that was made.
fn opened_0_2<T: SocketsState, R: 'static>(
    state: &mut T,
    descriptor: GuestDescriptor,
    created: Result<Resource<R>, p2::SocketError>,
) -> wasmtime::Result<Result<Resource<R>, p2_network::ErrorCode>> {
    match created {
        Ok(socket) => {
            state.connections().sockets.insert(socket.rep(), descriptor);
            Ok(Ok(socket))
        }
        Err(e) => Ok(Err(p2_network::Host::convert_error_code(&mut state.sockets(), e)?)),
    }
}

/// Like [`add_to_linker_0_2`], for WASI 0.3.
pub(crate) fn add_to_linker_0_3<T: SocketsState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:sockets/types@{WASI_0_3}"))?;
    types.func_wrap_concurrent("[method]tcp-socket.connect", |accessor: &Accessor<T>, (socket, address)| {
        Box::pin(async move { Ok((connect_0_3(accessor, socket, address).await?,)) })
    })?;
    types.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut cx, handle| {
        let state = cx.data_mut();
        state.connections().closed(handle);
        state.table_mut().delete(Resource::<TcpSocket>::new_own(handle))?;
        Ok(())
    })?;
    types.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut cx, handle| {
        let state = cx.data_mut();
        state.connections().closed(handle);
        state.table_mut().delete(Resource::<UdpSocket>::new_own(handle))?;
        Ok(())
    })?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut cx: StoreContextMut<'_, T>, (family,): (p3::IpAddressFamily,)| {
            let state = cx.data_mut();
            let Some(descriptor) = take_socket(state) else { return Ok((Err(too_many_sockets()),)) };
            let created = p3::HostTcpSocket::create(&mut state.sockets(), family);
            Ok((opened_0_3(state, descriptor, created)?,))
        },
    )?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut cx: StoreContextMut<'_, T>, (family,): (p3::IpAddressFamily,)| {
            Box::new(async move {
                let state = cx.data_mut();
                let Some(descriptor) = take_socket(state) else { return Ok((Err(too_many_sockets()),)) };
                let mut context = OneSocket::new(state);
                let created = p3::HostUdpSocket::create(&mut context.sockets(), family).await;
                Ok((opened_0_3(state, descriptor, created)?,))
            })
        },
    )
}

fn too_many_sockets() -> p3::ErrorCode {
    p3::ErrorCode::Other(Some("too many sockets".into()))
}

/// Like [`opened_0_2`], for WASI 0.3.
fn opened_0_3<T: SocketsState, R: 'static>(
    state: &mut T,
    descriptor: GuestDescriptor,
    created: Result<Resource<R>, SocketError>,
) -> wasmtime::Result<Result<Resource<R>, p3::ErrorCode>> {
    match created {
        Ok(socket) => {
            state.connections().sockets.insert(socket.rep(), descriptor);
            Ok(Ok(socket))
        }
        Err(e) => Ok(Err(p3::Host::convert_error_code(&mut state.sockets(), e)?)),
    }
}

type Connecting0_2 = (Resource<p2::TcpSocket>, Resource<p2::Network>, p2_network::IpSocketAddress);

fn start_connect_0_2<T: SocketsState>(
    mut cx: StoreContextMut<'_, T>,
    (socket, network, address): Connecting0_2,
) -> wasmtime::Result<(Result<(), p2_network::ErrorCode>,)> {
    let state = cx.data_mut();
    let Some(connection) = state.connections().limit.open() else {
        return Ok((Err(p2_network::ErrorCode::NewSocketLimit),));
    };
    let handle = socket.rep();
    let mut sockets = state.sockets();
    match p2_tcp::HostTcpSocket::start_connect(&mut sockets, socket, network, address) {
        Ok(()) => {
            state.connections().open.insert(handle, connection);
            Ok((Ok(()),))
        }
        Err(e) => Ok((Err(p2_network::Host::convert_error_code(&mut sockets, e)?),)),
    }
}

async fn connect_0_3<T: SocketsState>(
    accessor: &Accessor<T>,
    socket: Resource<TcpSocket>,
    address: p3::IpSocketAddress,
) -> wasmtime::Result<Result<(), p3::ErrorCode>> {
    let Some(connection) = accessor.with(|mut access| access.data_mut().connections().limit.open()) else {
        return Ok(Err(p3::ErrorCode::Other(Some("connection limit reached".into()))));
    };
    let handle = socket.rep();
    let sockets = accessor.with_getter::<WasiSockets>(T::sockets);
    match <WasiSockets as p3::HostTcpSocketWithStore<T>>::connect(&sockets, socket, address).await {
        Ok(()) => {
            accessor.with(|mut access| access.data_mut().connections().open.insert(handle, connection));
            Ok(Ok(()))
        }
        Err(e) => {
            accessor.with(|mut access| Ok(Err(p3::Host::convert_error_code(&mut access.data_mut().sockets(), e)?)))
        }
    }
}

/// Context in which a UDP socket is made. The right to receive belongs to the socket that was bound
/// with it, so each socket has a check of its own.
struct OneSocket<'a> {
    wasi: WasiCtx,
    table: &'a mut ResourceTable,
}

impl<'a> OneSocket<'a> {
    fn new<T: SocketsState>(state: &'a mut T) -> Self {
        let gate = state.gate().clone();
        let SocketConnections { names, version, .. } = state.connections();
        let mut wasi = WasiCtxBuilder::new();
        connect(&mut wasi, &gate, names, version);
        OneSocket { wasi: wasi.build(), table: state.table_mut() }
    }
}

impl WasiView for OneSocket<'_> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: self.table }
    }
}

/// Gives `wasi` sockets that ask `gate`.
pub(crate) fn connect(wasi: &mut WasiCtxBuilder, gate: &Gate, names: &LearnedNames, version: &str) {
    let (gate, names) = (gate.clone(), names.clone());
    let imports = if version == WASI_0_3 { &IMPORTS_0_3 } else { &IMPORTS_0_2 };
    let sockets = Arc::new(SocketGate {
        gate,
        names,
        imports,
        listens_udp: AtomicBool::default(),
        bound: Mutex::default(),
        heard: Mutex::default(),
    });
    wasi.allow_tcp(true).allow_udp(true);
    wasi.socket_addr_check(move |address, use_| {
        let answer = sockets.permits(address, use_);
        Box::pin(async move { answer })
    });
}

/// Names of the functions through which a guest asks.
struct SocketImports {
    tcp_bind: &'static str,
    tcp_listen: &'static str,
    tcp_connect: &'static str,
    udp_bind: &'static str,
    udp_send: &'static str,
}

const IMPORTS_0_2: SocketImports = SocketImports {
    tcp_bind: "wasi:sockets/tcp.start-bind",
    tcp_listen: "wasi:sockets/tcp.start-listen",
    tcp_connect: "wasi:sockets/tcp.start-connect",
    udp_bind: "wasi:sockets/udp.start-bind",
    udp_send: "wasi:sockets/udp.send",
};
const IMPORTS_0_3: SocketImports = SocketImports {
    tcp_bind: "wasi:sockets/types.tcp-socket.bind",
    tcp_listen: "wasi:sockets/types.tcp-socket.listen",
    tcp_connect: "wasi:sockets/types.tcp-socket.connect",
    udp_bind: "wasi:sockets/types.udp-socket.bind",
    udp_send: "wasi:sockets/types.udp-socket.send",
};

struct SocketGate {
    gate: Gate,
    names: LearnedNames,
    imports: &'static SocketImports,
    /// Whether the UDP socket of this check was bound with the right to receive.
    listens_udp: AtomicBool,
    /// Addresses to which it may bind TCP sockets, so that listening needs no second decision: the
    /// latest [`MAX_REMEMBERED`].
    bound: Mutex<VecDeque<SocketAddr>>,
    /// Addresses that sent it datagrams: the latest [`MAX_REMEMBERED`].
    heard: Mutex<VecDeque<SocketAddr>>,
}

/// Number of addresses that are remembered. A guest must not fill the host's memory by binding
/// sockets or receiving datagrams.
const MAX_REMEMBERED: usize = 1024;

impl SocketGate {
    fn permits(&self, address: SocketAddr, use_: SocketAddrUse) -> bool {
        let anywhere = address.ip().is_unspecified() && address.port() == 0;
        match use_ {
            // The system picks the port of a socket that connects; the connection is decided
            // instead.
            SocketAddrUse::TcpBind if anywhere => true,
            SocketAddrUse::TcpBind => self.listen(self.imports.tcp_bind, Protocol::Tcp, address),
            SocketAddrUse::TcpListen
                if self.is_bound(address)
                    && !self.gate.denies(&Request::Listen { protocol: Protocol::Tcp, address }) =>
            {
                true
            }
            SocketAddrUse::TcpListen => self.listen(self.imports.tcp_listen, Protocol::Tcp, address),
            // A permit to listen includes the connections that arrive.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.send(self.imports.tcp_connect, Protocol::Tcp, address),
            SocketAddrUse::UdpBind
                if address.port() == 0
                    && !self.gate.would_allow(&Request::Listen { protocol: Protocol::Udp, address }) =>
            {
                self.gate.check(self.imports.udp_bind, Request::BindForSending { address }).is_ok()
            }
            SocketAddrUse::UdpBind => self.listen(self.imports.udp_bind, Protocol::Udp, address),
            SocketAddrUse::UdpSend => self.send(self.imports.udp_send, Protocol::Udp, address),
            SocketAddrUse::UdpReceive => self.may_receive(address),
        }
    }

    fn listen(&self, import: &'static str, protocol: Protocol, address: SocketAddr) -> bool {
        let permitted = self.gate.check(import, Request::Listen { protocol, address }).is_ok();
        match protocol {
            Protocol::Tcp if permitted => remember(&self.bound, address),
            Protocol::Udp if permitted => self.listens_udp.store(true, Relaxed),
            Protocol::Tcp | Protocol::Udp => {}
        }
        permitted
    }

    fn send(&self, import: &'static str, protocol: Protocol, address: SocketAddr) -> bool {
        // An answer to a peer, on a socket that may receive, needs no grant. A deny rule still
        // holds.
        let answers = protocol == Protocol::Udp && lock(&self.heard).contains(&address);
        let request = self.connecting(protocol, address);
        (answers && !self.gate.denies(&request)) || self.gate.check(import, request).is_ok()
    }

    fn connecting(&self, protocol: Protocol, address: SocketAddr) -> Request {
        Request::Connect { protocol, address, names: self.names.names(address.ip()) }
    }

    /// Returns whether the guest was permitted to bind `address`. A bind to port 0 has got another
    /// port since.
    fn is_bound(&self, address: SocketAddr) -> bool {
        let any = SocketAddr::new(address.ip(), 0);
        lock(&self.bound).iter().any(|own| *own == address || *own == any)
    }

    /// Returns whether the guest may receive from this address: it may send there, or listens for
    /// anybody.
    fn may_receive(&self, from: SocketAddr) -> bool {
        if self.gate.would_allow(&self.connecting(Protocol::Udp, from)) {
            return true;
        }
        let receives = self.listens_udp.load(Relaxed);
        if receives {
            remember(&self.heard, from);
        }
        receives
    }
}

/// Adds `address` as the newest, and forgets the oldest beyond the limit.
fn remember(addresses: &Mutex<VecDeque<SocketAddr>>, address: SocketAddr) {
    let mut addresses = lock(addresses);
    addresses.retain(|kept| *kept != address);
    addresses.truncate(MAX_REMEMBERED - 1);
    addresses.push_front(address);
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use walnut_policy::{Capability, Policy};

    fn sockets(rules: &[(bool, Capability, &str)]) -> SocketGate {
        let mut policy = Policy::sealed();
        for (allow, capability, rule) in rules {
            let added = if *allow { policy.allow(*capability, rule) } else { policy.deny(*capability, rule) };
            added.unwrap();
        }
        let gate = Gate::new("test", policy, Vec::new());
        SocketGate {
            gate,
            names: LearnedNames::default(),
            imports: &IMPORTS_0_2,
            listens_udp: AtomicBool::default(),
            bound: Mutex::default(),
            heard: Mutex::default(),
        }
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_listener_may_answer_its_peers_only() {
        let listens = (true, Capability::Listen, "udp:*:9000");
        let (peer, other) = (at("10.0.0.1:9000"), at("10.0.0.2:9000"));
        let sockets = sockets(&[listens]);
        assert!(!sockets.permits(peer, SocketAddrUse::UdpReceive));
        assert!(sockets.permits(at("0.0.0.0:9000"), SocketAddrUse::UdpBind));
        assert!(!sockets.permits(peer, SocketAddrUse::UdpSend));
        assert!(sockets.permits(peer, SocketAddrUse::UdpReceive));
        assert!(sockets.permits(peer, SocketAddrUse::UdpSend));
        assert!(!sockets.permits(other, SocketAddrUse::UdpSend));
    }

    #[test]
    fn an_answer_is_denied_like_any_other_datagram() {
        let denial = (false, Capability::Connect, "10.0.0.0/8:*");
        let sockets = sockets(&[(true, Capability::Listen, "udp:*:9000"), denial]);
        assert!(sockets.permits(at("0.0.0.0:9000"), SocketAddrUse::UdpBind));
        assert!(sockets.permits(at("10.0.0.1:5"), SocketAddrUse::UdpReceive));
        assert!(!sockets.permits(at("10.0.0.1:5"), SocketAddrUse::UdpSend));
        assert!(sockets.permits(at("11.0.0.1:5"), SocketAddrUse::UdpReceive));
        assert!(sockets.permits(at("11.0.0.1:5"), SocketAddrUse::UdpSend));
    }

    #[test]
    fn remembered_peers_are_bounded() {
        let sockets = sockets(&[(true, Capability::Listen, "udp:*:9000")]);
        assert!(sockets.permits(at("0.0.0.0:9000"), SocketAddrUse::UdpBind));
        for port in 1..=u16::MAX {
            assert!(sockets.permits(SocketAddr::new(at("10.0.0.1:1").ip(), port), SocketAddrUse::UdpReceive));
        }
        assert_eq!(lock(&sockets.heard).len(), MAX_REMEMBERED);
        assert!(sockets.permits(at("10.0.0.1:65535"), SocketAddrUse::UdpSend));
        assert!(!sockets.permits(at("10.0.0.1:1"), SocketAddrUse::UdpSend));
    }

    #[test]
    fn remembered_binds_are_bounded() {
        let sockets =
            sockets(&[(true, Capability::Listen, "tcp:127.0.0.1:0"), (true, Capability::Listen, "udp:*:9000")]);
        assert!(sockets.permits(at("0.0.0.0:9000"), SocketAddrUse::UdpBind));
        let any = at("127.0.0.1:0");
        assert!(sockets.permits(any, SocketAddrUse::TcpBind));
        (1..=u16::MAX).for_each(|port| remember(&sockets.bound, SocketAddr::new(any.ip(), port)));
        assert_eq!(lock(&sockets.bound).len(), MAX_REMEMBERED);
        // A forgotten address is decided again, and datagrams still arrive.
        assert!(sockets.permits(at("127.0.0.1:65535"), SocketAddrUse::TcpListen));
        assert!(!sockets.permits(at("127.0.0.1:1"), SocketAddrUse::TcpListen));
        assert!(sockets.permits(at("10.0.0.1:1"), SocketAddrUse::UdpReceive));
    }

    #[test]
    fn a_grant_for_a_port_is_not_for_every_port() {
        let sockets = sockets(&[(true, Capability::Listen, "tcp:*:8000")]);
        assert!(sockets.permits(at("0.0.0.0:8000"), SocketAddrUse::TcpBind));
        assert!(sockets.permits(at("0.0.0.0:8000"), SocketAddrUse::TcpListen));
        // A socket that connects may have any port, but may not listen on it.
        assert!(sockets.permits(at("0.0.0.0:0"), SocketAddrUse::TcpBind));
        assert!(!sockets.permits(at("0.0.0.0:54321"), SocketAddrUse::TcpListen));
    }

    #[test]
    fn any_port_is_whatever_the_system_picks() {
        let sockets = sockets(&[(true, Capability::Listen, "tcp:127.0.0.1:0")]);
        assert!(sockets.permits(at("127.0.0.1:0"), SocketAddrUse::TcpBind));
        assert!(sockets.permits(at("127.0.0.1:54321"), SocketAddrUse::TcpListen));
        assert!(!sockets.permits(at("127.0.0.1:54321"), SocketAddrUse::TcpBind));
    }

    #[test]
    fn a_port_of_the_systems_choice_may_be_denied() {
        let denial = (false, Capability::Listen, "*:1024-65535");
        let sockets = sockets(&[(true, Capability::Listen, "127.0.0.1:*"), denial]);
        assert!(sockets.permits(at("127.0.0.1:0"), SocketAddrUse::TcpBind));
        assert!(!sockets.permits(at("127.0.0.1:54321"), SocketAddrUse::TcpListen));
        assert!(sockets.permits(at("127.0.0.1:1023"), SocketAddrUse::TcpListen));
        // A bind of UDP is the last time that the gate is asked.
        assert!(!sockets.permits(at("127.0.0.1:0"), SocketAddrUse::UdpBind));
        assert!(sockets.permits(at("127.0.0.1:1023"), SocketAddrUse::UdpBind));
    }
}
