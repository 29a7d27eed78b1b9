//! Runs WebAssembly, sealed. The only crate that names wasmtime.
//!
//! ```text
//! reference ─ Artifact::load ▶ bytes ─ adapt ▶ component ─ compile, or cache ▶ Prepared ─ policy, limits ▶ Ready
//! Ready ─ run · handle · call ▶ sandbox ─ host call ▶ Gate::check ─ Permit ▶ operation
//!                                                          └ Denial ▶ WASI error + record
//! ```
//!
//! A sandbox is one wasmtime store with its limits and its gate. Everything that gives a guest authority over something
//! outside its own memory lives in `capabilities/`, one file per capability, and asks the gate first.
//!
//! The public API speaks bytes, `http` types and this crate's own; an upgrade of wasmtime touches nothing else.

mod adapt;
mod adapter;
mod apart;
mod artifact;
mod body;
mod cache;
mod calls;
mod capabilities;
mod clock;
mod command;
mod config;
mod connections;
mod core_export;
mod ending;
mod engine;
mod error;
mod explain;
mod function;
mod gate;
mod holdings;
mod hops;
mod inspect;
mod limits;
mod link;
mod lookups;
mod meter;
mod packages;
mod prepare;
mod prompt;
mod request_id;
mod reserve;
mod rewrite;
mod sandbox;
mod service;
mod stdio;
mod turns;
mod usage;

pub use artifact::{Artifact, Digest};
pub use body::Patient;
pub use cache::{Cache, CacheError, CacheUsage};
pub use calls::record_host_calls;
pub use capabilities::http::trusted_roots;
pub use command::Exit;
pub use config::{EngineConfig, Tiers};
pub use engine::{Engine, Progress};
pub use error::{Failure, LoadError};
pub use function::{WrittenCall, parse_call};
pub use gate::{Audit, Event, Explainer, Gate, Listener, Outcome, Permit};
pub use hops::named_by_connection;
pub use inspect::{CapabilityUse, Inspection, Kind, Verb};
pub use limits::{Limit, LimitError, Limits, STACK, parse_duration, parse_size};
pub use prepare::{Prepared, Ready, Setup};
pub use request_id::RequestId;
pub use service::{Body, BodyError, Service};
pub use stdio::{LineSink, OutputLine, Stdio};
pub use turns::small_turn_is_next;
pub use usage::{Excess, Usage};
