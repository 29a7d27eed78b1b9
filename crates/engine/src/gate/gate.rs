//! The one place that decides.
//!
//! A capability describes what the guest asks for as a [`Request`], and [`Gate::check`] answers with a [`Permit`] or a
//! [`Denial`]. Nothing else makes a permit, and the operations in `capabilities/` take one or what was made with one, so
//! that an operation that nobody checked does not compile. Sockets are wasmtime's, and call back to ask. Every decision goes to the listeners: today the explanation for the person and the
//! audit file. What else wants to know (a metric, a prompt, a recorder) is another listener, not another path.

use crate::failure::host_calls;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use walnut_policy::{Access, Decision, Denial, Fix, Policy, Reason, Request};

/// Proof that the gate allowed a request. Only [`Gate::check`] makes one.
#[derive(Debug)]
pub struct Permit(());

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

/// Decides for one component. Shared by its sandboxes.
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
    /// A gate for `component`, under `policy`.
    pub fn new(component: &str, policy: Policy, listeners: Vec<Arc<dyn Listener>>) -> Self {
        let hears_allowed = listeners.iter().any(|l| l.wants_allowed());
        Gate { shared: Arc::new(Shared { component: component.to_owned(), policy, listeners, hears_allowed }) }
    }

    /// The policy that decides.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Decides, and tells the listeners.
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

    /// Whether `request` would be allowed, without telling anybody: for choices that are not themselves operations.
    pub(crate) fn would_allow(&self, request: &Request) -> bool {
        matches!(self.shared.policy.decide(request), Decision::Allowed { .. })
    }

    /// Whether a denial forbids `request`, without telling anybody.
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

/// A folder of the host to suggest for a guest's folder: below the current one, whether it is there or not. Nobody looks, or how
/// long a refusal takes would tell the guest what the host has.
fn host_folder_for(guest: &str) -> String {
    if guest == "/" { ".".into() } else { format!(".{guest}") }
}

/// Which names gave which addresses in one sandbox, so that a name's grant reaches the addresses it resolved to.
#[derive(Clone, Default)]
pub(crate) struct LearnedNames(Arc<Mutex<HashMap<IpAddr, Vec<String>>>>);

impl LearnedNames {
    /// The most that one sandbox may learn; a guest must not fill the host's memory by looking up names.
    const MOST: usize = 4096;

    /// The name's grants reach `ip` from now on. Always true, for whoever asks whether it was permitted.
    pub fn learn(&self, _: Permit, ip: IpAddr, name: &str) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() < Self::MOST {
            let names = map.entry(ip.to_canonical()).or_default();
            if names.len() < 16 && !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
        true
    }

    pub fn names(&self, ip: IpAddr) -> Vec<String> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(&ip.to_canonical()).cloned().unwrap_or_default()
    }
}

/// Tells a person about each distinct refusal once.
pub struct Explainer {
    write: Box<dyn Fn(&str) + Send + Sync>,
    told: Mutex<HashSet<String>>,
}

impl Explainer {
    /// More distinct refusals than this are counted, not told.
    const MOST: usize = 20;

    /// `write` is handed whole explanations, of several lines.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Explainer { write: Box::new(write), told: Mutex::default() }
    }
}

impl Listener for Explainer {
    fn decided(&self, event: &Event<'_>) {
        let Outcome::Denied { denial, fix } = &event.outcome else { return };
        // Requests that the same grant would allow are one refusal to a person.
        let key = match (fix, denial.request.capability()) {
            (Some(fix), _) => fix.flag.clone(),
            (None, capability) => format!("{capability} {}", denial.reason),
        };
        let told = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() > Self::MOST || !told.insert(key) {
                return;
            }
            told.len()
        };
        if told > Self::MOST {
            return (self.write)("more was refused; `--audit FILE` records every decision\n");
        }
        (self.write)(&explanation(event, denial, *fix));
    }

    fn wants_allowed(&self) -> bool {
        false
    }
}

fn explanation(event: &Event<'_>, denial: &Denial, fix: Option<&Fix>) -> String {
    let mut text = format!("denied: {} asked to {}\n", event.component, denial.request);
    text.push_str(&format!("  through: {}\n  because: {}\n", event.import, denial.reason));
    match fix {
        Some(fix) => text.push_str(&format!("  allow it: {}\n  or in walnut.toml: {}\n", fix.flag, fix.manifest)),
        None if matches!(denial.request, Request::Dir { access: Access::Escape, .. }) => {
            text.push_str("  no grant reaches out of a mount; mount the folder that holds the file\n");
        }
        None => {}
    }
    text
}

/// Makes one JSON line of every decision.
pub struct Audit {
    write: Box<dyn Fn(String) + Send + Sync>,
}

impl Audit {
    /// `write` is handed each line, with its end.
    pub fn new(write: impl Fn(String) + Send + Sync + 'static) -> Self {
        Audit { write: Box::new(write) }
    }
}

/// One line of the audit file. Fields may be added; what is there keeps its meaning as long as `v` stays.
#[derive(Serialize)]
struct AuditLine<'a> {
    v: u32,
    /// Milliseconds since 1970 in UTC.
    time: u64,
    component: &'a str,
    capability: &'static str,
    import: &'static str,
    /// What was asked, in words.
    request: String,
    decision: &'static str,
    /// The rule that allowed it, or why it was refused.
    because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_with: Option<&'a str>,
}

impl Listener for Audit {
    fn decided(&self, event: &Event<'_>) {
        let (decision, because, fix) = match &event.outcome {
            Outcome::Allowed { rule } => ("allowed", (*rule).to_owned(), None),
            Outcome::Denied { denial, fix } => ("denied", denial.reason.to_string(), *fix),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = AuditLine {
            v: 1,
            time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            component: event.component,
            capability: event.request.capability().name(),
            import: event.import,
            request: event.request.to_string(),
            decision,
            because,
            allow_with: fix.map(|f| f.flag.as_str()),
        };
        // It is made of text and numbers only, so nothing of it can fail.
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        text.push('\n');
        (self.write)(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would allow the last refusal.
    #[derive(Default)]
    struct Suggested(Mutex<String>);

    impl Listener for Suggested {
        fn decided(&self, event: &Event<'_>) {
            if let Outcome::Denied { fix: Some(fix), .. } = &event.outcome {
                fix.pattern.clone_into(&mut self.0.lock().unwrap());
            }
        }
    }

    #[test]
    fn what_would_allow_a_file_does_not_tell_what_the_host_has() {
        let suggested = Arc::<Suggested>::default();
        let gate = Gate::new("test", Policy::sealed(), vec![suggested.clone()]);
        for folder in [env!("CARGO_MANIFEST_DIR"), "/no/such/folder"] {
            let asked = Request::Dir { path: format!("{folder}/x"), access: Access::Read };
            assert!(gate.check("test", asked).is_err());
            assert_eq!(*suggested.0.lock().unwrap(), format!(".{folder}::{folder}"));
        }
    }
}
