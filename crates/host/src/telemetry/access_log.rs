//! The access log: one line for each request, when its response has ended.
//!
//! The thread that serves only hands over an [`AccessEntry`]; the log's own thread formats and
//! writes it.

use crate::telemetry::cause::Cause;
use crate::telemetry::labels::Labels;
use crate::telemetry::log_writer::{Entry, LogWriter};
use http::StatusCode;
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use walnut_engine::RequestId;
use walnut_policy::Printable;

/// Entries that may wait to be written. Further entries are lost.
const MAX_PENDING: usize = 8192;

/// Format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// A line for people.
    Human,
    /// A JSON object per line.
    Json,
}

/// The access log.
#[derive(Clone)]
pub struct AccessLog(Arc<LogWriter<AccessEntry>>);

impl AccessLog {
    /// Starts a thread that writes the log to `out`.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(format: AccessFormat, out: impl Write + Send + 'static) -> io::Result<Self> {
        let mut clock = TimestampCache::default();
        let format_entry = move |entry: Entry<AccessEntry>, text: &mut String| {
            // Lost entries are only counted: programs read the log.
            if let Entry::Line(line) = entry {
                line.write(format, &mut clock, text);
            }
        };
        LogWriter::start("walnut-access-log", MAX_PENDING, out, format_entry).map(AccessLog)
    }

    /// Waits until all entries so far are written, at the latest until `until`.
    pub fn flush(&self, until: Instant) {
        self.0.flush(until);
    }

    /// Returns the number of lost entries.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost()
    }

    pub(crate) fn push(&self, entry: AccessEntry) {
        self.0.push(entry, 1);
    }
}

/// Entry of one request.
pub(crate) struct AccessEntry {
    pub time: SystemTime,
    pub client: IpAddr,
    pub request_line: RequestLine,
    pub status: Option<StatusCode>,
    pub bytes: u64,
    pub duration: Duration,
    pub labels: Arc<Labels>,
    pub cause: Cause,
    pub id: RequestId,
}

/// Client, method, host and path of a request. Copied, so that the buffers of the request are not
/// kept.
pub(crate) struct RequestLine {
    client: SocketAddr,
    /// Method, host and path, concatenated.
    text: Box<str>,
    host_at: usize,
    path_at: usize,
}

impl RequestLine {
    /// Longest part that is kept, in bytes; formats show less.
    const MAX_PART: usize = 1024;

    /// Copies the parts. An empty method stands for a head that could not be parsed.
    pub fn new(client: SocketAddr, method: &str, host: &str, path: &str) -> Self {
        let [method, host, path] = [method, host, path].map(|part| &part[..part.floor_char_boundary(Self::MAX_PART)]);
        let (host_at, path_at) = (method.len(), method.len() + host.len());
        RequestLine { client, text: [method, host, path].concat().into(), host_at, path_at }
    }

    pub fn client(&self) -> IpAddr {
        self.client.ip().to_canonical()
    }

    fn method(&self) -> &str {
        &self.text[..self.host_at]
    }

    fn host(&self) -> &str {
        &self.text[self.host_at..self.path_at]
    }

    fn path(&self) -> &str {
        &self.text[self.path_at..]
    }

    /// Writes `GET shop.example/cart `, or `- ` for a head that could not be parsed.
    fn write(&self, text: &mut String) {
        if self.method().is_empty() {
            return text.push_str("- ");
        }
        // `OPTIONS *` is for the server as a whole, not for a host.
        let host = if self.path() == "*" { "" } else { self.host() };
        for (part, end) in [(self.method(), " "), (host, ""), (self.path(), " ")] {
            if is_plain(part) {
                text.push_str(part);
            } else {
                // A reader that splits lines at spaces must not mistake a client's words for
                // fields.
                text.push_str(&Printable(part).to_string().replace(' ', "\\u{20}"));
            }
            text.push_str(end);
        }
    }
}

/// An entry in JSON. Fields may be added; existing ones keep their meaning while `v` stays the
/// same.
#[derive(Serialize)]
struct AccessJson<'a> {
    v: u32,
    /// End of the response, in milliseconds since 1970 in UTC.
    time: u64,
    client: IpAddr,
    #[serde(serialize_with = "printable")]
    method: &'a str,
    #[serde(serialize_with = "printable")]
    host: &'a str,
    #[serde(serialize_with = "printable")]
    path: &'a str,
    /// `None` if the client left before the response.
    status: Option<u16>,
    /// Bytes of the response's body.
    bytes: u64,
    /// Seconds from the request's head to the end of the response.
    seconds: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    app: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    component: &'a str,
    cause: &'static str,
    /// Request id, with which the output of the guest is tagged too.
    #[serde(serialize_with = "serialize_display")]
    request: RequestId,
}

pub(crate) fn serialize_display<S: Serializer>(id: &RequestId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

fn printable<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    if is_plain(text) { to.serialize_str(text) } else { to.collect_str(&Printable(text)) }
}

/// Tells whether [`Printable`] would leave `text` unchanged, without decoding it. May be false for
/// such a text.
fn is_plain(text: &str) -> bool {
    text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl AccessEntry {
    fn write(&self, format: AccessFormat, clock: &mut TimestampCache, text: &mut String) {
        match format {
            AccessFormat::Human => self.human(clock, text),
            AccessFormat::Json => self.json(text),
        }
        text.push('\n');
    }

    fn human(&self, clock: &mut TimestampCache, text: &mut String) {
        clock.write(self.time, text);
        let _ = write!(text, " {} ", self.client);
        self.request_line.write(text);
        match self.status {
            Some(status) => text.push_str(status.as_str()),
            None => text.push('-'),
        }
        let milliseconds = self.duration.as_secs_f64() * 1e3;
        let _ = write!(text, " {} {milliseconds:.3}ms ", self.bytes);
        match (self.labels.app.as_str(), self.labels.component.as_str()) {
            ("", _) => text.push('-'),
            (app, component) => {
                let _ = write!(text, "{}/{}", Printable(app), Printable(component));
            }
        }
        let _ = write!(text, " {} {}", self.cause.name(), self.id);
    }

    fn json(&self, text: &mut String) {
        let line = AccessJson {
            v: 1,
            time: unix_millis(self.time),
            client: self.client,
            method: self.request_line.method(),
            host: self.request_line.host(),
            path: self.request_line.path(),
            status: self.status.map(|status| status.as_u16()),
            bytes: self.bytes,
            seconds: self.duration.as_secs_f64(),
            app: &self.labels.app,
            component: &self.labels.component,
            cause: self.cause.name(),
            request: self.id,
        };
        text.push_str(&serde_json::to_string(&line).unwrap_or_default());
    }
}

/// Returns the milliseconds since 1970.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Formats timestamps by RFC 3339, in UTC. Caches the text of the last second, which many entries
/// share.
#[derive(Default)]
struct TimestampCache {
    second: u64,
    text: String,
}

impl TimestampCache {
    fn write(&mut self, time: SystemTime, to: &mut String) {
        let milliseconds = unix_millis(time);
        let second = milliseconds / 1000;
        if self.text.is_empty() || second != self.second {
            self.second = second;
            let whole = UNIX_EPOCH + Duration::from_secs(second);
            self.text = humantime::format_rfc3339_seconds(whole).to_string();
            self.text.pop();
        }
        let _ = write!(to, "{}.{:03}Z", self.text, milliseconds % 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> AccessEntry {
        let client = "127.0.0.1:5000".parse().unwrap();
        let request_line = RequestLine::new(client, "GET", "shop.example:8080", path);
        AccessEntry {
            time: UNIX_EPOCH + Duration::from_millis(1_795_378_665_042),
            client: request_line.client(),
            request_line,
            status: Some(StatusCode::OK),
            bytes: 12,
            duration: Duration::from_micros(1431),
            labels: Arc::new(Labels::new("shop", "api")),
            cause: Cause::Ok,
            id: RequestId::new(std::num::NonZeroU128::new(0xaf7).unwrap(), None),
        }
    }

    fn written(format: AccessFormat, line: &AccessEntry) -> String {
        let mut text = String::new();
        line.write(format, &mut TimestampCache::default(), &mut text);
        text
    }

    #[test]
    fn a_line_for_people() {
        let text = written(AccessFormat::Human, &line("/cart"));
        let line = "2026-11-22T20:17:45.042Z 127.0.0.1 GET shop.example:8080/cart 200 12 1.431ms shop/api ok";
        assert_eq!(text, format!("{line} 00000000000000000000000000000af7\n"));
    }

    #[test]
    fn a_line_for_a_head_that_could_not_be_parsed() {
        let request_line = RequestLine::new("127.0.0.1:5000".parse().unwrap(), "", "", "");
        let text = written(AccessFormat::Human, &AccessEntry { request_line, ..line("/") });
        assert!(text.contains("Z 127.0.0.1 - 200 12 "), "{text}");
    }

    #[test]
    fn a_line_for_programs() {
        let text = written(AccessFormat::Json, &line("/cart"));
        assert_eq!(
            text,
            "{\"v\":1,\"time\":1795378665042,\"client\":\"127.0.0.1\",\"method\":\"GET\",\"host\":\"shop.example:8080\",\
             \"path\":\"/cart\",\"status\":200,\"bytes\":12,\"seconds\":0.001431,\"app\":\"shop\",\"component\":\"api\",\
             \"cause\":\"ok\",\"request\":\"00000000000000000000000000000af7\"}\n"
        );
    }

    #[test]
    fn a_client_adds_no_words_to_a_line() {
        let request_line = |method: &str, host: &str, path: &str| {
            let request_line = RequestLine::new("127.0.0.1:5000".parse().unwrap(), method, host, path);
            written(AccessFormat::Human, &AccessEntry { request_line, ..line("/") })
        };
        let forged = request_line("GET", "a.test/login 200 12 1.431ms shop/api ok", "/");
        let words: Vec<_> = forged.split_whitespace().collect();
        assert_eq!(words[3..5], ["a.test/login\\u{20}200\\u{20}12\\u{20}1.431ms\\u{20}shop/api\\u{20}ok/", "200"]);
        assert!(request_line("OPTIONS", "a.test", "*").contains(" OPTIONS * 200 "));
    }

    #[test]
    fn an_entry_is_a_single_line_whatever_the_request() {
        let bad = line("/\u{1b}[2J\n\u{202e}x");
        for format in [AccessFormat::Human, AccessFormat::Json] {
            let text = written(format, &bad);
            assert!(text.contains("u{1b}[2J") && text.contains("u{a}") && text.contains("u{202e}x"), "{text:?}");
            assert_eq!(text.matches('\n').count(), 1);
        }
        let long = written(AccessFormat::Human, &line(&format!("/{}", "ä".repeat(5000))));
        assert!(long.contains('…') && long.len() < 700, "{}", long.len());
    }
}
