//! The flags of TLS and of who a client is.

use crate::error::CommandError;
use crate::exit::Code;
use crate::printer::Printer;
use clap::Args;
use std::path::PathBuf;
use walnut_host::{Reload, ServerConfig, Tls, TlsError};

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
}

impl ClientFlags {
    /// Gives `config` what they say.
    pub fn apply(&self, config: &mut ServerConfig, printer: Printer) -> Result<(), CommandError> {
        config.trusts_forwarded = self.trust_forwarded;
        config.tells_client = self.forward_client;
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let report = move |reload: &Reload| match reload {
                Reload::Done => printer.say("took a new certificate"),
                Reload::Kept(error) => printer.warning(&format!("{error}; the certificate from before stays in use")),
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
