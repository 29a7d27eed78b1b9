//! Decisions of the gate, and their listeners.

use walnut_policy::{Denial, Fix, Request};

/// A decision.
pub struct Event<'a> {
    /// Name of the component that asked.
    pub component: &'a str,
    /// Import through which it asked.
    pub import: &'static str,
    /// The request.
    pub request: &'a Request,
    /// The decision about it.
    pub outcome: Outcome<'a>,
}

/// Outcome of a decision.
#[expect(missing_docs, reason = "the variants describe their fields")]
pub enum Outcome<'a> {
    /// Allowed by this rule.
    Allowed { rule: &'a str },
    /// Denied, with the grant that would allow the request, if there is one.
    Denied { denial: &'a Denial, fix: Option<&'a Fix> },
}

/// Receives every decision, on the guest's thread, so it must be quick.
pub trait Listener: Send + Sync {
    /// Receives a decision.
    fn decided(&self, event: &Event<'_>);

    /// Returns whether the listener wants to receive allowed requests, too.
    fn wants_allowed(&self) -> bool {
        true
    }
}
