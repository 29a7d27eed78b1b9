//! `walnut serve` from end to end: a real server, real connections, good clients and bad ones.

#![cfg(unix)]

mod access;
mod admin;
mod apps;
mod arrival;
mod client_limits;
mod drain;
mod files;
mod grants;
mod hostile;
mod http;
mod http2;
mod http2_attacks;
mod http2_rfc;
mod http2_rfc_heads;
mod http2_rfc_streams;
mod labels;
mod limits;
mod neighbours;
mod outbound;
mod overload;
mod page;
mod reload;
mod requests;
mod reuse;
mod telemetry;
mod tiers;
mod tls;

use std::ops::{Deref, DerefMut};
use walnut_test_programs::Guest;
use walnut_test_support::{ServeProcess, TestEnv, test_env};

/// A server in an environment of its own.
struct Served {
    // Ends before its environment is removed.
    server: ServeProcess,
    env: TestEnv,
}

/// Serves `guest` with more flags.
#[track_caller]
fn serve(guest: Guest, flags: &[&str]) -> Served {
    let env = test_env!();
    Served { server: ServeProcess::start(&env, guest, flags), env }
}

/// Like [`serve`], in code that is never replaced by optimised code, so that a sandbox keeps its
/// requests to the end.
#[track_caller]
fn steady(guest: Guest, flags: &[&str]) -> Served {
    serve(guest, &[flags, &["--tier", "optimised"]].concat())
}

impl Deref for Served {
    type Target = ServeProcess;

    fn deref(&self) -> &ServeProcess {
        &self.server
    }
}

impl DerefMut for Served {
    fn deref_mut(&mut self) -> &mut ServeProcess {
        &mut self.server
    }
}
