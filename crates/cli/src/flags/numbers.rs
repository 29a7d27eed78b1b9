//! Parsers of numbers and addresses.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

/// Returns a parser of numbers between `least` and `most`.
pub fn number<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("write a number between {least} and {most}"))
    }
}

/// Parses an address to listen on; `localhost` is 127.0.0.1.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    numeric.parse().map_err(|_| {
        let port = text.trim_start_matches(':');
        let port = if port.parse::<u16>().is_ok() { port } else { "8080" };
        format!("write an address of this machine and a port: `127.0.0.1:{port}`, or `0.0.0.0:{port}` for all of them")
    })
}
