//! `connect` and `listen`: TCP and UDP. wasmtime's sockets ask before every operation; the answer comes from the gate.

use crate::gate::{Gate, LearnedNames};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use walnut_policy::{Protocol, Request};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

/// Lets `wasi` have sockets that ask `gate`.
pub(crate) fn connect(wasi: &mut WasiCtxBuilder, gate: &Gate, names: &LearnedNames) {
    let sockets = Arc::new(Sockets { gate: gate.clone(), names: names.clone(), bound: Mutex::default() });
    // Look-ups are decided in `resolve.rs`, which is defined over wasmtime's.
    wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);
    wasi.socket_addr_check(move |address, use_| {
        let answer = sockets.permits(address, use_);
        Box::pin(async move { answer })
    });
}

struct Sockets {
    gate: Gate,
    names: LearnedNames,
    /// Where this sandbox may receive: addresses that it was permitted to bind.
    bound: Mutex<Vec<(Protocol, std::net::IpAddr)>>,
}

impl Sockets {
    fn permits(&self, address: SocketAddr, use_: SocketAddrUse) -> bool {
        let anywhere = address.ip().is_unspecified() && address.port() == 0;
        match use_ {
            // The system picks a port for a socket that connects. It is the connection that is decided.
            SocketAddrUse::TcpBind if anywhere => true,
            SocketAddrUse::TcpBind => self.listen("wasi:sockets/tcp.bind", Protocol::Tcp, address),
            SocketAddrUse::TcpListen if self.is_bound(Protocol::Tcp, address) => true,
            SocketAddrUse::TcpListen => self.listen("wasi:sockets/tcp.listen", Protocol::Tcp, address),
            // Whoever may listen may take what comes.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.send("wasi:sockets/tcp.connect", Protocol::Tcp, address),
            SocketAddrUse::UdpBind if address.port() == 0 => {
                self.gate.check("wasi:sockets/udp.bind", Request::BindForSending { address }).is_ok()
            }
            SocketAddrUse::UdpBind => self.listen("wasi:sockets/udp.bind", Protocol::Udp, address),
            SocketAddrUse::UdpSend => self.send("wasi:sockets/udp.send", Protocol::Udp, address),
            SocketAddrUse::UdpReceive => self.may_receive(address),
        }
    }

    fn listen(&self, import: &'static str, protocol: Protocol, address: SocketAddr) -> bool {
        let permitted = self.gate.check(import, Request::Listen { protocol, address }).is_ok();
        if permitted {
            self.bound.lock().unwrap_or_else(PoisonError::into_inner).push((protocol, address.ip()));
        }
        permitted
    }

    fn send(&self, import: &'static str, protocol: Protocol, address: SocketAddr) -> bool {
        let names = self.names.names(address.ip());
        // A guest that answers a peer on a socket it may listen on needs no second grant.
        if protocol == Protocol::Udp
            && self.receives_udp()
            && !self.gate.would_allow(&self.connecting(protocol, address))
        {
            return self.gate.would_allow(&Request::Listen { protocol, address });
        }
        self.gate.check(import, Request::Connect { protocol, address, names }).is_ok()
    }

    fn connecting(&self, protocol: Protocol, address: SocketAddr) -> Request {
        Request::Connect { protocol, address, names: self.names.names(address.ip()) }
    }

    fn is_bound(&self, protocol: Protocol, address: SocketAddr) -> bool {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).contains(&(protocol, address.ip()))
    }

    fn receives_udp(&self) -> bool {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(p, _)| *p == Protocol::Udp)
    }

    /// Datagrams come from peers that the guest may send to, and from anybody where it may listen.
    fn may_receive(&self, from: SocketAddr) -> bool {
        self.receives_udp() || self.gate.would_allow(&self.connecting(Protocol::Udp, from))
    }
}
