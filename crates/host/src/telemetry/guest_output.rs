//! Output of guests as JSON lines, for programs that read everything a server writes.

use crate::telemetry::access_log::{serialize_display, unix_millis};
use crate::telemetry::metrics::ComponentMetrics;
use serde::Serialize;
use std::fmt::Write;
use std::time::SystemTime;
use walnut_engine::{OutputLine, RequestId};
use walnut_policy::is_hidden;

/// A line in JSON. Fields may be added; existing ones keep their meaning while `v` stays the same.
#[derive(Serialize)]
struct GuestOutputJson<'a> {
    v: u32,
    /// Milliseconds since 1970 in UTC.
    time: u64,
    app: &'a str,
    component: &'a str,
    /// `None` where a sandbox runs several requests at once.
    #[serde(serialize_with = "serialize_optional", skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    stream: &'static str,
    line: &'a str,
}

fn serialize_optional<S: serde::Serializer>(id: &Option<RequestId>, to: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serialize_display(id, to),
        None => to.serialize_none(),
    }
}

/// Formats a line of a guest of the component `of` as a JSON object.
pub fn guest_line(of: &ComponentMetrics, line: OutputLine<'_>) -> String {
    json(of, line, SystemTime::now())
}

fn json(of: &ComponentMetrics, line: OutputLine<'_>, time: SystemTime) -> String {
    let line = GuestOutputJson {
        v: 1,
        time: unix_millis(time),
        app: &of.labels().app,
        component: &of.labels().component,
        request: line.request,
        stream: if line.is_stderr { "stderr" } else { "stdout" },
        line: line.text,
    };
    escape_hidden(&serde_json::to_string(&line).unwrap_or_default())
}

/// Escapes the characters of a JSON text that would control a terminal. They occur only within its
/// strings.
fn escape_hidden(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match is_hidden(c) {
            false => text.push(c),
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(text, "\\u{unit:04x}");
            }),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::Logs;
    use crate::telemetry::metrics::NodeMetrics;
    use std::num::NonZeroU128;
    use std::time::{Duration, UNIX_EPOCH};

    fn written(text: &str, is_stderr: bool, request: Option<RequestId>) -> String {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_378_665_042);
        json(&NodeMetrics::new(Logs::default()).component("shop", "api"), OutputLine { text, is_stderr, request }, time)
    }

    #[test]
    fn a_line_has_its_guest_and_its_request() {
        let request = RequestId::new(NonZeroU128::new(0xaf7).unwrap(), None);
        assert_eq!(
            written("cart is empty", false, Some(request)),
            "{\"v\":1,\"time\":1795378665042,\"app\":\"shop\",\"component\":\"api\",\
             \"request\":\"00000000000000000000000000000af7\",\"stream\":\"stdout\",\"line\":\"cart is empty\"}"
        );
        let line: serde_json::Value = serde_json::from_str(&written("ä", true, None)).unwrap();
        assert_eq!((line["stream"].as_str(), line.get("request")), (Some("stderr"), None));
    }

    #[test]
    fn a_line_is_complete_and_cannot_control_a_terminal() {
        let text = "\"quoted\\\", \u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{e0001}\n}";
        let written = written(text, true, None);
        assert!(!written.chars().any(is_hidden), "{written}");
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["line"], text);
    }
}
