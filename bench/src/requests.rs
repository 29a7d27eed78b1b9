//! Addresses for servers, and single requests to them.

use crate::error::BenchResult;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Returns a loopback address on which nothing listens.
///
/// The port lies below the range from which the system numbers outgoing connections. A client that
/// polls a port of that range before the server is up may be given the port itself and connect to
/// itself.
pub fn free_address() -> BenchResult<String> {
    let free = (20_000..32_000_u16).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    Ok(free.ok_or("no port is free")?.local_addr()?.to_string())
}

/// Sends `GET path` on a connection of its own and returns the whole response, head and body.
pub fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}
