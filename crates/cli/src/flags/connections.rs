//! Flags for client connections: how many, how slow, TLS, and forwarded headers. They hold for the
//! whole server.

use crate::flags::numbers::number;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use walnut_policy::units::parse_duration;

/// Flags for client connections.
#[derive(Args, Debug)]
#[command(next_help_heading = "Client connections")]
pub struct ConnectionFlags {
    /// Serve HTTPS with the certificate in this PEM file, followed by its issuers; read again when
    /// the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Pass on the client's headers Forwarded, X-Forwarded-* and X-Real-IP to components; safe only
    /// behind a proxy that sets them
    #[arg(long)]
    pub trust_forwarded: bool,
    /// Tell components the client's address and scheme in X-Forwarded-For, after addresses that are
    /// trusted, and X-Forwarded-Proto
    #[arg(long)]
    pub forward_client: bool,
    /// Client connections at once; at the limit, the longest idle connection is closed for a new
    /// one
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(1, 1_000_000))]
    pub max_connections: u32,
    /// How long a client may take for the TLS handshake and for the head of a request, and idle
    /// between requests
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub head_timeout: Duration,
    /// How long a client may pause while it sends the body of a request that has no response yet
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub body_timeout: Duration,
    /// How long a client may take to read 16 KiB of a response, or its rest
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub stall_timeout: Duration,
}
