//! The gate: the one place that decides what a guest may do.
//!
//! A capability describes an operation as a [`Request`], and [`Gate::check`] answers with a
//! [`Permit`] or a [`Denial`]. Nothing else creates a permit, and the operations in `capabilities/`
//! take a permit or a value made with one, so that an unchecked operation does not compile. Sockets
//! are wasmtime's own and call back to ask.
//!
//! Every decision goes to the listeners, such as the explainer, the audit log and the metrics.

use crate::failure::host_calls;
use crate::gate::event::{Event, Listener, Outcome};
use std::sync::Arc;
use walnut_policy::{Decision, Denial, Policy, Reason, Request};

/// Proof that the gate allowed a request. Only [`Gate::check`] creates one.
#[derive(Debug)]
pub struct Permit(());

/// Decides for one component; shared by its sandboxes.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    component: String,
    policy: Policy,
    listeners: Vec<Arc<dyn Listener>>,
    hears_allowed: bool,
}

impl Gate {
    /// Creates a gate for `component`, with `policy`.
    pub fn new(component: &str, policy: Policy, listeners: Vec<Arc<dyn Listener>>) -> Self {
        let hears_allowed = listeners.iter().any(|l| l.wants_allowed());
        Gate { shared: Arc::new(Shared { component: component.to_owned(), policy, listeners, hears_allowed }) }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Decides about `request` and tells the listeners.
    ///
    /// # Errors
    /// The denial, if the policy does not allow the request.
    pub fn check(&self, import: &'static str, request: Request) -> Result<Permit, Denial> {
        host_calls::note(import);
        match self.shared.policy.decide(&request) {
            Decision::Allowed { rule } => {
                if self.shared.hears_allowed {
                    self.tell(import, &request, Outcome::Allowed { rule: &rule });
                }
                Ok(Permit(()))
            }
            Decision::Denied { reason } => {
                let denial = Denial { request: request.clone(), reason };
                let fix = denial.fix(host_folder_for);
                self.tell(import, &request, Outcome::Denied { denial: &denial, fix: fix.as_ref() });
                Err(denial)
            }
        }
    }

    /// Returns whether `request` would be allowed, without telling the listeners. For choices that
    /// are not operations themselves.
    pub(crate) fn would_allow(&self, request: &Request) -> bool {
        matches!(self.shared.policy.decide(request), Decision::Allowed { .. })
    }

    /// Returns whether a deny rule forbids `request`, without telling the listeners.
    pub(crate) fn denies(&self, request: &Request) -> bool {
        matches!(self.shared.policy.decide(request), Decision::Denied { reason: Reason::DeniedBy(_) })
    }

    fn tell(&self, import: &'static str, request: &Request, outcome: Outcome<'_>) {
        let event = Event { component: &self.shared.component, import, request, outcome };
        for listener in &self.shared.listeners {
            listener.decided(&event);
        }
    }
}

/// Suggests a folder of the host for a guest's folder: the same path below the current folder. The
/// file system is not asked whether it exists, since the time of a denial would tell the guest what
/// the host has.
fn host_folder_for(guest: &str) -> String {
    if guest == "/" { ".".into() } else { format!(".{guest}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use walnut_policy::Access;

    /// Grant that the latest denial suggested.
    #[derive(Default)]
    struct Suggested(Mutex<String>);

    impl Listener for Suggested {
        fn decided(&self, event: &Event<'_>) {
            if let Outcome::Denied { fix: Some(fix), .. } = &event.outcome {
                fix.pattern.clone_into(&mut self.0.lock());
            }
        }
    }

    #[test]
    fn the_fix_for_a_file_does_not_reveal_the_hosts_files() {
        let suggested = Arc::<Suggested>::default();
        let gate = Gate::new("test", Policy::sealed(), vec![suggested.clone()]);
        for folder in [env!("CARGO_MANIFEST_DIR"), "/no/such/folder"] {
            let asked = Request::Dir { path: format!("{folder}/x"), access: Access::Read };
            assert!(gate.check("test", asked).is_err());
            assert_eq!(*suggested.0.lock(), format!(".{folder}::{folder}"));
        }
    }
}
