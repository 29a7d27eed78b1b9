//! The component's side of its outbound requests.

use crate::capabilities::dns::resolver::Resolver;
use crate::capabilities::http::pool::ConnectionPool;
use crate::gate::gate::Gate;
use crate::observer::LimitReporter;
use std::sync::Arc;
use walnut_policy::Limits;

/// Everything that outbound requests need of the component that sends them.
pub(crate) trait HttpContext: LimitReporter {
    /// Returns the gate that decides about each request.
    fn gate(&self) -> &Gate;

    /// Returns the limits, which bound the sizes of bodies.
    fn limits(&self) -> &Limits;

    /// Returns the idle connections.
    fn pool(&self) -> &Arc<ConnectionPool>;

    /// Returns the resolver of host names.
    fn resolver(&self) -> &Resolver;
}
