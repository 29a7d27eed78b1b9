//! The flags of clients: how many, how slow, by TLS or not, and what is told of them. They are of the whole server.

use crate::error::CommandError;
use crate::exit::Code;
use crate::limits::number;
use crate::printer::Printer;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use walnut_engine::parse_duration;
use walnut_host::{CertificateReload, ServerConfig, Tls, TlsError};

#[derive(Args, Debug)]
#[command(next_help_heading = "Clients")]
pub struct ClientFlags {
    /// Serve over TLS with the certificate in this PEM file, its issuers after it; taken anew when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Give components the headers Forwarded, X-Forwarded-* and X-Real-IP as they come; right only behind a proxy that sets them
    #[arg(long)]
    trust_forwarded: bool,
    /// Tell components who asks: the client's address in X-Forwarded-For, behind those that are trusted, and X-Forwarded-Proto
    #[arg(long)]
    forward_client: bool,
    /// Clients connected at once; for one more, the one that has idled for longest is let go
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(1, 1_000_000))]
    clients: u32,
    /// How long a client may take to shake hands and to send a request's head, and idle between two
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    head_timeout: Duration,
    /// How long a client may pause in the body of a request that has no answer yet
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    body_timeout: Duration,
    /// How long a client may take to read 16 KiB, or what there is
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    stall_timeout: Duration,
}

impl ClientFlags {
    /// Gives `config` what they say.
    pub fn apply(&self, config: &mut ServerConfig, printer: Printer) -> Result<(), CommandError> {
        config.trusts_forwarded = self.trust_forwarded;
        config.sets_forwarded_for = self.forward_client;
        config.max_connections = usize::try_from(self.clients).unwrap_or(usize::MAX);
        config.head_timeout = self.head_timeout;
        config.body_timeout = self.body_timeout;
        config.stall_timeout = self.stall_timeout;
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let report = move |reload: &CertificateReload| match reload {
                CertificateReload::Done => printer.say("took a new certificate"),
                CertificateReload::Kept(error) => {
                    printer.warning(&format!("{error}; the certificate from before stays in use"))
                }
            };
            config.tls = Some(Tls::load(certificate, key, report)?);
        }
        Ok(())
    }

    /// How the server is spoken to.
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }
}

impl From<TlsError> for CommandError {
    fn from(error: TlsError) -> Self {
        let failed = CommandError::new(Code::Host, error.to_string());
        match error.hint() {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}
