//! Runs WebAssembly components in sandboxes. The only crate that uses wasmtime.
//!
//! ```text
//! reference ─ ArtifactSource::load ▶ bytes ─ adapt ▶ component ─ compile, or cache ▶ Prepared
//! Prepared ─ policy, limits ▶ Ready ─ run · handle · call ▶ sandbox
//! sandbox ─ host call ▶ Gate::check ─ Permit ▶ operation
//!                                   └ Denial ▶ WASI error + listeners
//! ```
//!
//! A sandbox is one wasmtime store with its limits and its gate. Everything that gives a guest
//! authority beyond its own memory lives in `capabilities/`, one folder or file per capability, and
//! asks the gate first.
//!
//! The public API consists of bytes, `http` types and this crate's own types; an upgrade of
//! wasmtime changes nothing else.

mod capabilities;
mod compile;
mod component;
mod failure;
mod gate;
mod http;
mod linker;
mod observer;
mod request_id;
mod run;
mod sandbox;
mod scheduler;

pub use self::http::body::IdleTimeout;
pub use self::http::content_length::content_length;
pub use self::http::hop_by_hop::named_by_connection;
pub use capabilities::descriptors::{ignore_file_size_signal, raise_descriptor_limit};
pub use capabilities::http::tls::trusted_roots;
pub use compile::cache::{Cache, CacheError, CacheUsage};
pub use compile::config::{EngineConfig, Tiers};
pub use compile::engine::{Engine, Progress};
pub use compile::prepared::{Prepared, Ready};
pub use compile::worker::run_compile_worker;
pub use compile::worker_program::CompileWorker;
pub use component::artifact::{Artifact, Digest};
pub use component::artifact_ref::ArtifactRef;
pub use component::artifact_source::{ArtifactSource, LocalArtifacts};
pub use component::inspect::{ArtifactKind, CapabilityUse, Inspection, Verb};
pub use failure::error::{Failure, LoadError};
pub use failure::subscriber::{LogFilter, LogFilterError, record_host_calls, record_host_calls_and_log};
pub use gate::audit::Audit;
pub use gate::event::{Event, Listener, Outcome};
pub use gate::explainer::Explainer;
pub use gate::gate::{Gate, Permit};
pub use observer::{LimitObserver, UsageObserver};
pub use request_id::RequestId;
pub use run::command::Exit;
pub use run::function::{WrittenCall, parse_call};
pub use run::service::response::{Body, BodyError};
pub use run::service::service::Service;
pub use sandbox::setup::Setup;
pub use sandbox::stdio::{LineSink, OutputLine, Stdio};
pub use scheduler::turns::is_short_turn_next;
