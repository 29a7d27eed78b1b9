//! The audit log: one line of JSON for each decision.

use crate::gate::event::{Event, Listener, Outcome};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one line of JSON for each decision.
pub struct Audit {
    write: Box<dyn Fn(String) + Send + Sync>,
}

impl Audit {
    /// Creates an audit log. `write` gets each line, with its line feed.
    pub fn new(write: impl Fn(String) + Send + Sync + 'static) -> Self {
        Audit { write: Box::new(write) }
    }
}

/// A line of the audit log. Fields may be added; the existing ones keep their meaning as long as
/// `v` stays.
#[derive(Serialize)]
struct AuditLine<'a> {
    v: u32,
    /// Milliseconds since 1970-01-01 UTC.
    time: u64,
    component: &'a str,
    capability: &'static str,
    import: &'static str,
    /// The request, in words.
    request: String,
    decision: &'static str,
    /// The rule that allowed the request, or the reason for the denial.
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
        // Text and numbers always serialize.
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        text.push('\n');
        (self.write)(text);
    }
}
