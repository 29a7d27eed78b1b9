//! Flags for client connections: how many, how slow, TLS, and forwarded headers. They hold for the
//! whole server.

use crate::flags::numbers::number;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use walnut_engine::parse_duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Clients")]
pub struct ConnectionFlags {
    /// Serve over TLS with the certificate in this PEM file, its issuers after it; taken anew when
    /// the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Give components the headers Forwarded, X-Forwarded-* and X-Real-IP as they come; right only
    /// behind a proxy that sets them
    #[arg(long)]
    pub trust_forwarded: bool,
    /// Tell components who asks: the client's address in X-Forwarded-For, behind those that are
    /// trusted, and X-Forwarded-Proto
    #[arg(long)]
    pub forward_client: bool,
    /// Clients connected at once; for one more, the one that has idled for longest is let go
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(1, 1_000_000))]
    pub clients: u32,
    /// How long a client may take to shake hands and to send a request's head, and idle between two
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub head_timeout: Duration,
    /// How long a client may pause in the body of a request that has no answer yet
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub body_timeout: Duration,
    /// How long a client may take to read 16 KiB, or what there is
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub stall_timeout: Duration,
}
