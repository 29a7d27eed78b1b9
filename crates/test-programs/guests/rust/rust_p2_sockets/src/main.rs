//! Does one network operation per run. A refusal is shown as WASI's name of the error.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use shared::{error_name, split_url};
use wasip2::{
    clocks::monotonic_clock,
    http::{
        outgoing_handler,
        types::{
            Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
            Scheme,
        },
    },
    io::poll,
    sockets::{
        instance_network::instance_network,
        ip_name_lookup::resolve_addresses,
        network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress},
        tcp::{ShutdownType, TcpSocket},
        tcp_create_socket::create_tcp_socket,
        udp::OutgoingDatagram,
        udp_create_socket::create_udp_socket,
    },
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["tcp", address, text] => parse(address).and_then(|address| tcp(address, text)),
        ["tcp-name", name, port, text] => tcp_name(name, port, text),
        ["tcp-storm", address, count] => parse(address).and_then(|address| tcp_storm(address, count)),
        ["udp", address, text] => parse(address).and_then(|address| udp(address, text)),
        ["resolve", name] => resolve(name).map(|found| found.iter().for_each(|address| println!("{address}"))),
        ["listen", address] => parse(address).and_then(listen),
        ["listen-udp", address] => parse(address).and_then(listen_udp),
        ["listen-udp-two", granted, other] => listen_udp_two(granted, other),
        ["sockets", count] => sockets(count),
        ["http", method, url] => http(method, url, ""),
        ["http", method, url, body] => http(method, url, body),
        ["http-storm", url, count] => http_storm(url, count),
        _ => Err(Failure("unknown operation".to_owned())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(name)) => {
            eprintln!("error: {name}");
            ExitCode::FAILURE
        }
    }
}

/// Makes sockets of both kinds, by turns, and keeps them all.
fn sockets(count: &str) -> Outcome {
    let count: usize = count.parse().map_err(|_| Failure("not a number".to_owned()))?;
    let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
    while streams.len() + datagrams.len() < count {
        if streams.len() > datagrams.len() {
            datagrams.push(create_udp_socket(IpAddressFamily::Ipv4)?);
        } else {
            streams.push(create_tcp_socket(IpAddressFamily::Ipv4)?);
        }
        println!("{}", streams.len() + datagrams.len());
    }
    Ok(())
}

struct Failure(String);
type Outcome<T = ()> = Result<T, Failure>;

impl From<ErrorCode> for Failure {
    fn from(error: ErrorCode) -> Self {
        Self(error.name().to_owned())
    }
}
impl From<wasip2::http::types::ErrorCode> for Failure {
    fn from(error: wasip2::http::types::ErrorCode) -> Self {
        Self(error_name(&error))
    }
}
/// Describes a broken stream. Its text is the host's, so it is not shown as a name.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(format!("stream: {error}"))
    }
}
impl From<&str> for Failure {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

fn parse(address: &str) -> Outcome<SocketAddr> {
    address.parse().map_err(|_| "bad-address".into())
}

fn tcp(address: SocketAddr, text: &str) -> Outcome {
    let socket = create_tcp_socket(family(&address))?;
    socket.start_connect(&instance_network(), to_wasi(address))?;
    let (mut input, mut output) = wait(|| socket.finish_connect(), || socket.subscribe())?;
    output.write_all(text.as_bytes())?;
    Write::flush(&mut output)?;
    socket.shutdown(ShutdownType::Send)?;
    let mut answer = Vec::new();
    input.read_to_end(&mut answer)?;
    io::stdout().write_all(&answer)?;
    Ok(())
}

fn tcp_name(name: &str, port: &str, text: &str) -> Outcome {
    let port = port.parse().map_err(|_| "bad-address")?;
    let mut last = Err("name-unresolvable".into());
    for address in resolve(name)? {
        last = tcp(SocketAddr::new(address, port), text);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Opens connections and holds all of them until the last was tried.
fn tcp_storm(address: SocketAddr, count: &str) -> Outcome {
    let count: usize = count.parse().map_err(|_| "bad-count")?;
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut held = Vec::new();
    for _ in 0..count {
        let socket = create_tcp_socket(family(&address))?;
        let started = socket.start_connect(&instance_network(), to_wasi(address));
        let outcome = match started.and_then(|()| wait(|| socket.finish_connect(), || socket.subscribe())) {
            Ok(streams) => {
                held.push((streams, socket));
                "connected"
            }
            Err(error) => error.name(),
        };
        *tally.entry(outcome.to_owned()).or_default() += 1;
    }
    print_tally(tally);
    Ok(())
}

fn udp(address: SocketAddr, text: &str) -> Outcome {
    let socket = create_udp_socket(family(&address))?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    socket.start_bind(&instance_network(), to_wasi(parse(any)?))?;
    wait(|| socket.finish_bind(), || socket.subscribe())?;
    let (incoming, outgoing) = socket.stream(Some(to_wasi(address)))?;
    while outgoing.check_send()? == 0 {
        outgoing.subscribe().block();
    }
    outgoing.send(&[OutgoingDatagram { data: text.as_bytes().to_vec(), remote_address: None }])?;
    // A datagram may never get an answer.
    let patience = monotonic_clock::subscribe_duration(5_000_000_000);
    loop {
        if let Some(datagram) = incoming.receive(1)?.first() {
            io::stdout().write_all(&datagram.data)?;
            return Ok(());
        }
        let coming = incoming.subscribe();
        poll::poll(&[&coming, &patience]);
        if patience.ready() {
            return Err("timeout".into());
        }
    }
}

/// Answers one datagram with its own bytes.
fn listen_udp(address: SocketAddr) -> Outcome {
    let socket = create_udp_socket(family(&address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    wait(|| socket.finish_bind(), || socket.subscribe())?;
    let (incoming, outgoing) = socket.stream(None)?;
    println!("listening on {}", from_wasi(socket.local_address()?));
    let datagram = loop {
        match incoming.receive(1)?.pop() {
            Some(datagram) => break datagram,
            None => incoming.subscribe().block(),
        }
    };
    while outgoing.check_send()? == 0 {
        outgoing.subscribe().block();
    }
    outgoing.send(&[OutgoingDatagram { data: datagram.data, remote_address: Some(datagram.remote_address) }])?;
    Ok(())
}

/// Binds two sockets, prints the address of the second, and echoes the first datagram that either
/// receives.
fn listen_udp_two(granted: &str, other: &str) -> Outcome {
    let mut both = Vec::new();
    for address in [parse(granted)?, parse(other)?] {
        let socket = create_udp_socket(family(&address))?;
        socket.start_bind(&instance_network(), to_wasi(address))?;
        wait(|| socket.finish_bind(), || socket.subscribe())?;
        let (incoming, outgoing) = socket.stream(None)?;
        both.push((incoming, outgoing, socket));
    }
    println!("listening on {}", from_wasi(both[1].2.local_address()?));
    loop {
        for (incoming, outgoing, _) in &both {
            if let Some(datagram) = incoming.receive(1)?.pop() {
                while outgoing.check_send()? == 0 {
                    outgoing.subscribe().block();
                }
                let remote_address = Some(datagram.remote_address);
                outgoing.send(&[OutgoingDatagram { data: datagram.data, remote_address }])?;
                return Ok(());
            }
        }
        let ready: Vec<_> = both.iter().map(|(incoming, ..)| incoming.subscribe()).collect();
        poll::poll(&ready.iter().collect::<Vec<_>>());
    }
}

fn resolve(name: &str) -> Outcome<Vec<IpAddr>> {
    let answers = resolve_addresses(&instance_network(), name)?;
    let mut found = Vec::new();
    while let Some(address) = wait(|| answers.resolve_next_address(), || answers.subscribe())? {
        found.push(match address {
            IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
            IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
        });
    }
    Ok(found)
}

fn listen(address: SocketAddr) -> Outcome {
    let socket = create_tcp_socket(family(&address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    wait(|| socket.finish_bind(), || socket.subscribe())?;
    socket.start_listen()?;
    wait(|| socket.finish_listen(), || socket.subscribe())?;
    println!("listening on {}", from_wasi(socket.local_address()?));
    let (connection, mut input, mut output): (TcpSocket, _, _) = wait(|| socket.accept(), || socket.subscribe())?;
    let mut buffer = [0; 4096];
    loop {
        let length = Read::read(&mut input, &mut buffer)?;
        if length == 0 {
            break;
        }
        output.write_all(&buffer[..length])?;
        Write::flush(&mut output)?;
    }
    drop((input, output));
    drop(connection);
    Ok(())
}

fn http(method: &str, url: &str, body: &str) -> Outcome {
    let coming = send(method, url, body)?;
    let response = receive(&coming)?;
    println!("status {}", response.status());
    for (name, value) in response.headers().entries() {
        if name.starts_with("x-") || name == "content-type" || name == "location" {
            println!("{name}: {}", String::from_utf8_lossy(&value));
        }
    }
    let body = response.consume().map_err(|()| "taken-twice")?;
    let mut stream = body.stream().map_err(|()| "taken-twice")?;
    io::copy(&mut stream, &mut io::stdout())?;
    Ok(())
}

fn http_storm(url: &str, count: &str) -> Outcome {
    let count: usize = count.parse().map_err(|_| "bad-count")?;
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut coming = Vec::new();
    for _ in 0..count {
        match send("GET", url, "") {
            Ok(response) => coming.push(response),
            Err(Failure(name)) => *tally.entry(name).or_default() += 1,
        }
    }
    for response in &coming {
        let outcome = match receive(response) {
            Ok(response) => format!("status {}", response.status()),
            Err(Failure(name)) => name,
        };
        *tally.entry(outcome).or_default() += 1;
    }
    print_tally(tally);
    Ok(())
}

fn print_tally(tally: BTreeMap<String, usize>) {
    for (outcome, times) in tally {
        println!("{times} x {outcome}");
    }
}

fn send(method: &str, url: &str, body: &str) -> Outcome<FutureIncomingResponse> {
    let (scheme, authority, target) = split_url(url).ok_or("not-a-url")?;
    let request = OutgoingRequest::new(Fields::new());
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "bad-method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "bad-scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad-authority")?;
    request.set_path_with_query(Some(target)).map_err(|()| "bad-path")?;
    let outgoing = request.body().map_err(|()| "taken-twice")?;
    let coming = outgoing_handler::handle(request, None::<RequestOptions>)?;
    if !body.is_empty() {
        let mut stream = outgoing.write().map_err(|()| "taken-twice")?;
        stream.write_all(body.as_bytes())?;
        Write::flush(&mut stream)?;
    }
    OutgoingBody::finish(outgoing, None)?;
    Ok(coming)
}

fn receive(coming: &FutureIncomingResponse) -> Outcome<IncomingResponse> {
    coming.subscribe().block();
    let answer = coming.get().ok_or("no-response")?.map_err(|()| "taken-twice")?;
    Ok(answer?)
}

/// Tries again each time the host says `would-block`.
fn wait<T>(
    mut ask: impl FnMut() -> Result<T, ErrorCode>,
    pollable: impl Fn() -> poll::Pollable,
) -> Result<T, ErrorCode> {
    loop {
        match ask() {
            Err(ErrorCode::WouldBlock) => pollable().block(),
            answer => return answer,
        }
    }
}

fn family(address: &SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: v6.scope_id(),
            })
        }
    }
}

fn from_wasi(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
            SocketAddr::from(([a, b, c, d], port))
        }
        IpSocketAddress::Ipv6(Ipv6SocketAddress { port, address: (a, b, c, d, e, f, g, h), .. }) => {
            SocketAddr::from(([a, b, c, d, e, f, g, h], port))
        }
    }
}
