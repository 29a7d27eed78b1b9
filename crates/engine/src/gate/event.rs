//! A decision, and the listeners that hear of it.

use walnut_policy::{Denial, Fix, Request};

/// One decision.
pub struct Event<'a> {
    /// The component that asked.
    pub component: &'a str,
    /// The import through which it asked.
    pub import: &'static str,
    /// What it asked for.
    pub request: &'a Request,
    /// The answer.
    pub outcome: Outcome<'a>,
}

/// What was decided.
#[expect(missing_docs, reason = "the variants describe their fields")]
pub enum Outcome<'a> {
    /// By this rule.
    Allowed { rule: &'a str },
    /// With what would allow it, if something can.
    Denied { denial: &'a Denial, fix: Option<&'a Fix> },
}

/// Hears every decision. Called on the guest's thread, so it must be quick.
pub trait Listener: Send + Sync {
    /// One decision was made.
    fn decided(&self, event: &Event<'_>);

    /// Whether it wants to hear of what was allowed.
    fn wants_allowed(&self) -> bool {
        true
    }
}
