//! Grants and denials of one capability.

use crate::capability::Capability;
use std::fmt::Display;

/// Grants and denials of one capability, in the order in which they were written.
#[derive(Clone, Debug)]
pub(crate) struct Rules<A, D = A> {
    pub allow: Vec<A>,
    pub deny: Vec<D>,
}

impl<A, D> Default for Rules<A, D> {
    fn default() -> Self {
        Rules { allow: Vec::new(), deny: Vec::new() }
    }
}

impl<A: Display, D> Rules<A, D> {
    /// Returns the grants as `capability = pattern`.
    pub fn summary(&self, capability: Capability) -> impl Iterator<Item = String> + '_ {
        self.allow.iter().map(move |pattern| format!("{capability} = {pattern}"))
    }
}
