//! The apps of a node: loading, components and routes, admission of requests, and the swap on a
//! reload.

mod admission;
mod app;
mod loader;
mod node;
mod served_dir;

pub(crate) use admission::AdmissionPermit;
pub use admission::{Admission, AdmissionLimits};
pub use app::{App, DeployedComponent, RouteTarget};
pub use loader::{
    AppError, AppErrors, AppSummary, ComponentDefaults, Deployment, ErrorClass, FrontDoor, Inputs, LimitNotices,
    Loader, LoaderConfig, Notice, Notices, Severity, manifest_of,
};
pub use node::Node;
pub(crate) use node::{DeploymentObserver, Phase};
#[cfg(test)]
pub(crate) use served_dir::OPEN_FILES;
pub use served_dir::ServedDir;
