//! Loading: from targets on disk (manifests, components) to apps that are ready to serve.

mod component;
mod conflicts;
mod context;
mod diagnostics;
mod draft;
mod engine_sizing;
mod error;
mod front_door;
mod inputs;
mod loader;
mod notices;
mod optimiser;
mod paths;
mod summary;
mod target;

pub use context::{ComponentDefaults, LoaderConfig};
pub use error::{AppError, AppErrors, ErrorClass};
pub use front_door::FrontDoor;
pub use inputs::Inputs;
pub use loader::{Deployment, Loader};
pub use notices::{LimitNotices, Notice, Notices, Severity};
pub use summary::AppSummary;
pub use target::manifest_of;
