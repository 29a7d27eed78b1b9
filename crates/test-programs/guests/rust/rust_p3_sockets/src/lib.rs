//! Does one network operation per run over WASI 0.3. A refusal is shown as WASI's name of the
//! error.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, SocketAddr},
};

use shared::{error_name, split_url};
use wasip3::{
    cli::{environment, stdout},
    exports::cli::run::Guest,
    http::{
        client,
        types::{Fields, Method, Request, Response, Scheme},
    },
    sockets::{
        ip_name_lookup::resolve_addresses,
        types::{
            IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
        },
    },
    wit_bindgen::StreamReader,
    wit_bindgen::spawn_local,
    wit_future, wit_stream,
};

struct Sockets;
wasip3::cli::command::export!(Sockets);

impl Guest for Sockets {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        let outcome = match arguments[..] {
            ["tcp", address, text] => match parse(address) {
                Ok(address) => tcp(address, text).await,
                Err(error) => Err(error),
            },
            ["tcp-name", name, port, text] => tcp_name(name, port, text).await,
            ["tcp-storm", address, count] => tcp_storm(address, count).await,
            ["udp", address, text] => udp(address, text).await,
            ["resolve", name] => match resolve(name).await {
                Ok(found) => {
                    print(found.iter().map(|address| format!("{address}\n")).collect::<String>().into_bytes()).await;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            ["listen", address] => listen(address).await,
            ["listen-udp", address] => listen_udp(address).await,
            ["sockets", count] => sockets(count).await,
            ["http", method, url] => http(method, url, "").await,
            ["http", method, url, body] => http(method, url, body).await,
            ["http-storm", url, count] => http_storm(url, count).await,
            _ => Err("unknown operation".to_owned()),
        };
        outcome.map_err(|error| eprintln!("error: {error}"))
    }
}

/// Makes sockets of both kinds, by turns, and keeps them all.
async fn sockets(count: &str) -> Result<(), String> {
    let count: usize = count.parse().map_err(|_| "not a number".to_owned())?;
    let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
    while streams.len() + datagrams.len() < count {
        if streams.len() > datagrams.len() {
            datagrams.push(UdpSocket::create(IpAddressFamily::Ipv4).map_err(name)?);
        } else {
            streams.push(TcpSocket::create(IpAddressFamily::Ipv4).map_err(name)?);
        }
        print(format!("{}\n", streams.len() + datagrams.len()).into_bytes()).await;
    }
    Ok(())
}

fn parse(address: &str) -> Result<SocketAddr, String> {
    address.parse().map_err(|_| "bad-address".to_owned())
}

/// For use in `map_err`.
fn name(error: impl Debug) -> String {
    error_name(&error)
}

async fn tcp(address: SocketAddr, text: &str) -> Result<(), String> {
    let socket = TcpSocket::create(family(&address)).map_err(name)?;
    socket.connect(to_wasi(address)).await.map_err(name)?;
    let (mut writer, reader) = wit_stream::new();
    let sent = socket.send(reader);
    let (answer, received) = socket.receive();
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    sent.await.map_err(name)?;
    print_stream(answer).await;
    received.await.map_err(name)
}

async fn tcp_name(host: &str, port: &str, text: &str) -> Result<(), String> {
    let port = port.parse().map_err(|_| "bad-address")?;
    let mut last = Err("name-unresolvable".to_owned());
    for address in resolve(host).await? {
        last = tcp(SocketAddr::new(address, port), text).await;
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Opens connections and holds all of them until the last was tried.
async fn tcp_storm(address: &str, count: &str) -> Result<(), String> {
    let (address, count) = (parse(address)?, count.parse::<usize>().map_err(|_| "bad-count")?);
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut held = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::create(family(&address)).map_err(name)?;
        let outcome = socket.connect(to_wasi(address)).await.map_or_else(name, |()| "connected".to_owned());
        held.push(socket);
        *tally.entry(outcome).or_default() += 1;
    }
    print_tally(tally).await;
    Ok(())
}

async fn udp(address: &str, text: &str) -> Result<(), String> {
    let address = parse(address)?;
    let socket = UdpSocket::create(family(&address)).map_err(name)?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    socket.bind(to_wasi(parse(any)?)).map_err(name)?;
    socket.send(text.as_bytes().to_vec(), Some(to_wasi(address))).await.map_err(name)?;
    let (answer, _) = socket.receive().await.map_err(name)?;
    print(answer).await;
    Ok(())
}

async fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = resolve_addresses(host.to_owned()).await.map_err(name)?;
    let plain = found.into_iter().map(|address| match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    });
    Ok(plain.collect())
}

async fn listen(address: &str) -> Result<(), String> {
    let address = parse(address)?;
    let socket = TcpSocket::create(family(&address)).map_err(name)?;
    socket.bind(to_wasi(address)).map_err(name)?;
    let mut connections = socket.listen().map_err(name)?;
    let bound = from_wasi(socket.get_local_address().map_err(name)?);
    print(format!("listening on {bound}\n").into_bytes()).await;
    let connection = connections.next().await.ok_or("no-connection")?;
    // The stream that comes in is the stream that goes out: the host moves the bytes.
    let (incoming, received) = connection.receive();
    connection.send(incoming).await.map_err(name)?;
    received.await.map_err(name)
}

/// Answers one datagram with its own bytes.
async fn listen_udp(address: &str) -> Result<(), String> {
    let address = parse(address)?;
    let socket = UdpSocket::create(family(&address)).map_err(name)?;
    socket.bind(to_wasi(address)).map_err(name)?;
    let bound = from_wasi(socket.get_local_address().map_err(name)?);
    print(format!("listening on {bound}\n").into_bytes()).await;
    let (text, peer) = socket.receive().await.map_err(name)?;
    socket.send(text, Some(peer)).await.map_err(name)
}

async fn http(method: &str, url: &str, body: &str) -> Result<(), String> {
    let response = send(method, url, body).await?;
    let mut head = format!("status {}\n", response.get_status_code());
    for (name, value) in response.get_headers().copy_all() {
        if name.starts_with("x-") || name == "content-type" || name == "location" {
            head += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
        }
    }
    print(head.into_bytes()).await;
    let (all_well, result) = wit_future::new(|| Ok(()));
    let (bytes, trailers) = Response::consume_body(response, result);
    print_stream(bytes).await;
    drop(all_well);
    trailers.await.map(drop).map_err(name)
}

/// Sends requests and holds all responses until the last was asked for.
async fn http_storm(url: &str, count: &str) -> Result<(), String> {
    let count: usize = count.parse().map_err(|_| "bad-count")?;
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut held = Vec::new();
    for _ in 0..count {
        let outcome = match send("GET", url, "").await {
            Ok(response) => {
                let status = response.get_status_code();
                held.push(response);
                format!("status {status}")
            }
            Err(name) => name,
        };
        *tally.entry(outcome).or_default() += 1;
    }
    print_tally(tally).await;
    Ok(())
}

async fn send(method: &str, url: &str, body: &str) -> Result<Response, String> {
    let (scheme, authority, target) = split_url(url).ok_or("not-a-url")?;
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
    let (mut writer, contents) = wit_stream::new();
    let (no_trailers, trailers) = wit_future::new(|| Ok(None));
    drop(no_trailers);
    let contents = (!body.is_empty()).then_some(contents);
    let (request, _sent) = Request::new(Fields::new(), contents, trailers, None);
    request.set_method(&method).map_err(|()| "bad-method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "bad-scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad-authority")?;
    request.set_path_with_query(Some(target)).map_err(|()| "bad-path")?;
    let body = body.as_bytes().to_vec();
    spawn_local(async move {
        writer.write_all(body).await;
    });
    client::send(request).await.map_err(name)
}

async fn print_tally(tally: BTreeMap<String, usize>) {
    let lines: String = tally.iter().map(|(outcome, times)| format!("{times} x {outcome}\n")).collect();
    print(lines.into_bytes()).await;
}

async fn print(bytes: Vec<u8>) {
    let (mut writer, reader) = wit_stream::new();
    let done = stdout::write_via_stream(reader);
    writer.write_all(bytes).await;
    drop(writer);
    let _ = done.await;
}

async fn print_stream(bytes: StreamReader<u8>) {
    let _ = stdout::write_via_stream(bytes).await;
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
