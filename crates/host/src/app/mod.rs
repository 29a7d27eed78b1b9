//! The apps of a node: their components and routes, admission of requests to them, and the swap on
//! a reload.

mod admission;
mod app;
mod node;
mod served_dir;

pub(crate) use admission::AdmissionPermit;
pub use admission::{Admission, AdmissionLimits};
pub use app::{App, DeployedComponent, RouteTarget};
pub use node::Node;
pub(crate) use node::{DeploymentObserver, Phase};
#[cfg(test)]
pub(crate) use served_dir::OPEN_FILES;
pub use served_dir::ServedDir;
