use crate::flags::connections::ConnectionFlags;
use crate::flags::grants::GrantFlags;
use crate::flags::limits::LimitFlags;
use crate::flags::numbers::{number, parse_address};
use crate::flags::tier::TierFlag;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::time::Duration;
use walnut_engine::parse_duration;

/// Serve HTTP requests: a component of WASI 0.2 (a fresh sandbox for each) or 0.3, or whole apps
#[derive(Args, Debug)]
#[command(
    after_help = "An app is a walnut.toml, or a folder with one; it says which component answers what and what each may do.\nSIGHUP has everything that TARGET names read again; if anything is wrong with it, the version from before is still served.\nSIGINT and SIGTERM stop it: requests under way are answered, new ones are not taken. A second signal ends it at once."
)]
pub struct ServeArgs {
    /// A .wasm or .wat file or `-` for standard input, a walnut.toml, or a folder with one
    #[arg(value_name = "TARGET", default_value = ".")]
    pub targets: Vec<String>,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub addr: SocketAddr,
    /// Sandboxes at once; a request beyond that waits
    #[arg(long, value_name = "N", default_value = "100", value_parser = number::<u32>(1, 5_000))]
    pub sandboxes: u32,
    /// Sandboxes at once of all components together; a request beyond that waits too
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(1, 5_000))]
    pub node_sandboxes: u32,
    /// Requests that one sandbox of WASI 0.2 takes, one after another; they share what it remembers
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u32>(1, 1_000_000))]
    pub reuse: u32,
    /// Requests that may wait for a sandbox; one beyond that gets 503 at once
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(0, 100_000))]
    pub queue: u32,
    /// How long a request may wait for a sandbox
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub patience: Duration,
    /// Threads that serve; one for each processor unless said
    #[arg(long, value_name = "N", value_parser = number::<u16>(1, 1024))]
    pub workers: Option<u16>,
    /// How long requests under way may go on after a stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub drain: Duration,
    /// Serve files that change anew, as SIGHUP does
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
    /// Where to tell what happens: a page to look at, /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_address, help_heading = "What you see")]
    pub admin: Option<SocketAddr>,
    /// Write a line to standard output for each request; with `json`, lines that guests write are
    /// objects too
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "human", help_heading = "What you see")]
    pub access_log: AccessLogFlag,
}

// Not documented one by one, or the help of every flag would take three lines.
/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AccessLogFlag {
    Off,
    Human,
    Json,
}
