//! Explanations of denials for a person.

use crate::gate::event::{Event, Listener, Outcome};
use parking_lot::Mutex;
use std::collections::HashSet;

use walnut_policy::{Access, Denial, Fix, Request};

/// Explains each distinct denial once.
pub struct Explainer {
    write: Box<dyn Fn(&str) + Send + Sync>,
    told: Mutex<HashSet<String>>,
}

impl Explainer {
    /// Number of distinct denials that are explained; further ones are counted.
    const MAX_TOLD: usize = 20;

    /// Creates an explainer. `write` gets whole explanations of several lines.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Explainer { write: Box::new(write), told: Mutex::default() }
    }
}

impl Listener for Explainer {
    fn decided(&self, event: &Event<'_>) {
        let Outcome::Denied { denial, fix } = &event.outcome else { return };
        // Requests that the same grant would allow count as one denial.
        let key = match (fix, denial.request.capability()) {
            (Some(fix), _) => fix.flag.clone(),
            (None, capability) => format!("{capability} {}", denial.reason),
        };
        let told = {
            let mut told = self.told.lock();
            if told.len() > Self::MAX_TOLD || !told.insert(key) {
                return;
            }
            told.len()
        };
        if told > Self::MAX_TOLD {
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
