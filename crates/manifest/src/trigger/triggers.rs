//! List of all triggers.

use super::http;
use super::trigger::TriggerSection;

/// Triggers, in the order of the reference.
pub(crate) static TRIGGERS: [&TriggerSection; 1] = [&http::HTTP];
