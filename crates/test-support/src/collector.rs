use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use opentelemetry_proto::tonic::logs::v1::LogRecord;
pub use opentelemetry_proto::tonic::trace::v1::Span;

/// A collector for OpenTelemetry: receives traces and logs over OTLP/HTTP and keeps them.
pub struct Collector {
    address: String,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    records: Vec<LogRecord>,
    resources: Vec<Attributes>,
    headers: Vec<Attributes>,
    connections: usize,
}

/// Attributes of a span or a record, by name.
pub type Attributes = BTreeMap<String, String>;

impl Collector {
    /// Listens on a free port.
    pub fn start() -> Self {
        Self::closing_after(usize::MAX)
    }

    /// Listens like [`Collector::start`], and closes a connection without a response after
    /// `batches` batches.
    pub fn closing_after(batches: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address").to_string();
        let taken = Arc::<Mutex<Taken>>::default();
        let kept = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                lock(&kept).connections += 1;
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    // A client may leave at any time.
                    (0..batches).try_for_each(|_| take(&mut reader, &kept))
                });
            }
        });
        Collector { address, taken }
    }

    /// Returns the URL for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for `count` spans and returns them.
    #[track_caller]
    pub fn spans(&self, count: usize) -> Vec<Span> {
        self.when(|taken| (taken.spans.len() >= count).then(|| taken.spans.clone()))
    }

    /// Waits for `count` log records and returns them.
    #[track_caller]
    pub fn records(&self, count: usize) -> Vec<LogRecord> {
        self.when(|taken| (taken.records.len() >= count).then(|| taken.records.clone()))
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        lock(&self.taken).connections
    }

    /// Returns the names of the services that sent something.
    pub fn services(&self) -> Vec<String> {
        self.resources().into_iter().filter_map(|mut resource| resource.remove("service.name")).collect()
    }

    /// Returns the resource attributes of each part of a batch.
    pub fn resources(&self) -> Vec<Attributes> {
        lock(&self.taken).resources.clone()
    }

    /// Returns the headers of each batch, by their names in lower case, and its path as `:path`.
    pub fn headers(&self) -> Vec<Attributes> {
        lock(&self.taken).headers.clone()
    }

    /// Returns an attribute as text.
    pub fn attributes(of: &[KeyValue]) -> Attributes {
        let text = |value: &Value| match value {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        let pairs = of.iter().filter_map(|pair| Some((pair.key.clone(), text(pair.value.as_ref()?.value.as_ref()?))));
        pairs.collect()
    }

    #[track_caller]
    fn when<T>(&self, enough: impl Fn(&Taken) -> Option<T>) -> T {
        for _ in 0..1000 {
            if let Some(found) = enough(&lock(&self.taken)) {
                return found;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let taken = lock(&self.taken);
        panic!("the collector has got no more than {:?} and {:?}", taken.spans, taken.records)
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives one batch.
fn take(reader: &mut BufReader<TcpStream>, taken: &Mutex<Taken>) -> io::Result<()> {
    let (mut path, mut length, mut headers) = (String::new(), 0, Attributes::new());
    for line in reader.by_ref().lines() {
        let line = line?;
        match line.split_once(' ') {
            _ if line.is_empty() => break,
            Some(("POST", rest)) => path = rest.split(' ').next().unwrap_or_default().to_owned(),
            Some((name, value)) => {
                let name = name.trim_end_matches(':').to_ascii_lowercase();
                if name == "content-length" {
                    length = value.parse().map_err(io::Error::other)?;
                }
                headers.insert(name, value.to_owned());
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut kept = lock(taken);
    // The client has closed the connection.
    if !path.is_empty() {
        headers.insert(":path".into(), path.clone());
        kept.headers.push(headers);
    }
    match path.as_str() {
        "/v1/traces" => {
            for of in ExportTraceServiceRequest::decode(&body[..])?.resource_spans {
                kept.resources.extend(of.resource.as_ref().map(said_of));
                kept.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        "/v1/logs" => {
            for of in ExportLogsServiceRequest::decode(&body[..])?.resource_logs {
                kept.resources.extend(of.resource.as_ref().map(said_of));
                kept.records.extend(of.scope_logs.into_iter().flat_map(|scope| scope.log_records));
            }
        }
        _ => return reader.get_mut().write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
    }
    drop(kept);
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
}

fn said_of(resource: &Resource) -> Attributes {
    Collector::attributes(&resource.attributes)
}
