//! What outbound requests take from the component that sends them.

use crate::capabilities::dns::resolver::Resolver;
use crate::capabilities::http::pool::ConnectionPool;
use crate::gate::gate::Gate;
use crate::limits::Limits;
use crate::observer::LimitReporter;
use std::sync::Arc;

/// What outbound requests take from the component that sends them.
pub(crate) trait HttpContext: LimitReporter {
    /// Decides about each request.
    fn gate(&self) -> &Gate;

    /// Bounds the sizes of bodies.
    fn limits(&self) -> &Limits;

    /// Keeps connections for the next request.
    fn pool(&self) -> &Arc<ConnectionPool>;

    /// Resolves host names.
    fn resolver(&self) -> &Resolver;
}
