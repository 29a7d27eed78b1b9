//! Arguments of `walnut serve`.

use crate::flags::connections::ConnectionFlags;
use crate::flags::grants::GrantFlags;
use crate::flags::limits::LimitFlags;
use crate::flags::numbers::{number, parse_address};
use crate::flags::tier::TierFlag;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::time::Duration;
use walnut_policy::units::parse_duration;

/// Serve HTTP requests with a component of WASI 0.2 (a fresh sandbox for each request) or 0.3, or
/// with whole apps
#[derive(Args, Debug)]
#[command(
    after_help = "An app is a walnut.toml, or a folder with one; it names components, their grants, and the routes that they answer.\nSIGHUP reloads every TARGET; if anything is wrong with the new version, the old one stays in use.\nSIGINT and SIGTERM stop the server: it finishes requests in flight and takes no new ones. A second signal ends it at once."
)]
pub struct ServeArgs {
    /// A .wasm or .wat file, `-` for standard input, a walnut.toml, or a folder with one
    #[arg(value_name = "TARGET", default_value = ".")]
    pub targets: Vec<String>,
    /// Address to listen on; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub addr: SocketAddr,
    /// Sandboxes of a component at once; further requests wait in its queue
    #[arg(long, value_name = "N", default_value = "100", value_parser = number::<u32>(1, 5_000))]
    pub sandboxes: u32,
    /// Sandboxes of all components at once; further requests wait, too
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(1, 5_000))]
    pub node_sandboxes: u32,
    /// Requests that one sandbox of WASI 0.2 serves, one after another; they share its memory
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u32>(1, 1_000_000))]
    pub reuse: u32,
    /// Requests of a component that may wait for a sandbox; further requests get 503 at once
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(0, 100_000))]
    pub queue: u32,
    /// How long a request may wait for a sandbox
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub queue_timeout: Duration,
    /// Threads that serve [default: one per CPU]
    #[arg(long, value_name = "N", value_parser = number::<u16>(1, 1024))]
    pub workers: Option<u16>,
    /// How long requests in flight may take after a stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub drain: Duration,
    /// Reload when a file changes, as SIGHUP does
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub connections: ConnectionFlags,
    #[command(flatten)]
    pub grants: GrantFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub tier: TierFlag,
    /// Address of the admin page, with /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_address, help_heading = "Output")]
    pub admin: Option<SocketAddr>,
    /// Write a line to standard output for each request; with `json`, output of guests is JSON, too
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "human", help_heading = "Output")]
    pub access_log: AccessLogFlag,
}

// The values have no doc comments: with them, the help of every flag would take three lines.
/// Format of the access log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AccessLogFlag {
    Off,
    Human,
    Json,
}
