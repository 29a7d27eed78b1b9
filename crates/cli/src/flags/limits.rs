//! Flags for limits. Their defaults differ by command and come from the engine, so the help cannot
//! disagree with it.

use crate::flags::numbers::parse_count;
use clap::{Args, Command};
use std::time::Duration;
use walnut_engine::{Limit, Limits, STACK, parse_duration, parse_size};

/// Limits of a sandbox. Each has a default, so each is always on.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits (always on)")]
pub struct LimitFlags {
    /// Memory of the guest, tables included
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: u64,
    /// CPU time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    cpu: Duration,
    /// Wall-clock time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    deadline: Duration,
    /// Size of the guest's call stack
    #[arg(long, value_name = "SIZE", value_parser = parse_stack)]
    stack: u64,
    /// Files, sockets, streams and other handles that are open at once
    #[arg(long, value_name = "N", value_parser = parse_count)]
    handles: u64,
    /// Size of a request body
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    request_body: u64,
    /// Size of a response body
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    response_body: u64,
    /// Outbound connections that are open at once: TCP sockets and HTTP requests
    #[arg(long, value_name = "N", value_parser = parse_count)]
    connections: u64,
}

/// Parses the size of a call stack. The host reserves that much memory.
fn parse_stack(text: &str) -> Result<u64, String> {
    let size = parse_size(text).map_err(|e| e.to_string())?;
    if STACK.contains(&size) { Ok(size) } else { Err("a call stack has between 64KiB and 256MiB".into()) }
}

impl LimitFlags {
    /// Returns the limits.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory,
            cpu: self.cpu,
            deadline: self.deadline,
            stack: self.stack,
            handles: self.handles,
            request_body: self.request_body,
            response_body: self.response_body,
            connections: self.connections,
        }
    }
}

/// Sets the defaults of the limit flags of `command`.
pub fn with_defaults(command: Command, defaults: &Limits) -> Command {
    Limit::ALL.iter().fold(command, |command, limit| {
        let value: &'static str = Box::leak(limit.value(defaults).into_boxed_str());
        command.mut_arg(limit.name().replace('-', "_"), |arg| arg.required(false).default_value(value))
    })
}
