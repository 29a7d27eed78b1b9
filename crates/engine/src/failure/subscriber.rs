//! The `tracing` subscriber of the process.
//!
//! The bindings of WASI open a span for every host call. [`HostCallLayer`] takes the name of the
//! call from that span and passes everything on. [`record_host_calls_and_log`] stacks this layer on
//! one that prints, for `WALNUT_LOG`. Without a log, [`record_host_calls`] installs
//! [`HostCallSubscriber`]: it records the same names, stores no spans and disables all other spans
//! and events, so that a host call costs a few nanoseconds and no allocation.

use crate::failure::host_calls::note;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::str::FromStr;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// Selects the spans and events that a log shows: a level, or a level for each library.
#[derive(Clone, Debug)]
pub struct LogFilter(Targets);

/// The part of a text that is no filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{directive:?} is neither a level nor LIBRARY=LEVEL")]
pub struct LogFilterError {
    directive: String,
}

impl LogFilterError {
    /// Returns how to write a filter.
    pub fn hint(&self) -> &'static str {
        "write a level (error, warn, info, debug, trace, off), or levels of libraries such as `h2=trace,wasmtime=debug`"
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, LogFilterError> {
        let mut targets = Targets::new();
        for directive in text.split(',').map(str::trim) {
            let (library, level) = match directive.split_once('=') {
                Some((library, level)) => (Some(library.trim()), level.trim()),
                None => (None, directive),
            };
            let error = || LogFilterError { directive: directive.to_owned() };
            let level = parse_level(level).ok_or_else(error)?;
            targets = match library {
                None => targets.with_default(level),
                Some(library) if is_module_path(library) => targets.with_target(library, level),
                Some(_) => return Err(error()),
            };
        }
        Ok(LogFilter(targets))
    }
}

fn parse_level(text: &str) -> Option<LevelFilter> {
    const LEVELS: [(&str, LevelFilter); 6] = [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    LEVELS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
}

/// Returns whether `text` can be the path of a Rust module, such as `wasmtime_wasi::p2`.
fn is_module_path(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

/// Records the host calls of this process for the explanations of traps. Does nothing if the
/// process has a subscriber already.
pub fn record_host_calls() {
    let _ = tracing::subscriber::set_global_default(HostCallSubscriber);
}

/// Like [`record_host_calls`], and writes to `writer` the spans and events that `filter` selects.
pub fn record_host_calls_and_log<W: io::Write + 'static>(filter: LogFilter, writer: fn() -> W) {
    let log = fmt::layer().with_writer(writer).with_ansi(false).with_filter(filter.0);
    let calls = HostCallLayer.with_filter(filter_fn(is_host_call));
    let _ = Registry::default().with(calls).with(log).try_init();
}

fn is_host_call(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == "wit-bindgen import"
}

/// Records host calls and passes every span on.
struct HostCallLayer;

impl<S: Subscriber> Layer<S> for HostCallLayer {
    fn on_new_span(&self, span: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        note(call_name(span));
    }
}

/// Records host calls where no log wants spans.
struct HostCallSubscriber;

impl Subscriber for HostCallSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_host_call(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_host_call(metadata)
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        note(call_name(span));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

thread_local! {
    static NAMES: RefCell<HashMap<usize, &'static str, BuildHasherDefault<AddressHasher>>> = RefCell::default();
}

/// Returns the name of a host call. A call site never changes its name, so each thread reads the
/// values of its span once.
fn call_name(span: &span::Attributes<'_>) -> &'static str {
    let site = std::ptr::from_ref(span.metadata()).addr();
    NAMES.with_borrow_mut(|names| {
        *names.entry(site).or_insert_with(|| {
            let mut reader = NameReader::default();
            span.record(&mut reader);
            Box::leak(reader.name().into_boxed_str())
        })
    })
}

/// Hash of addresses. Nobody who would want collisions chooses them.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write_usize(&mut self, address: usize) {
        // Addresses differ in the low bits, and the map also looks at the highest ones.
        self.0 = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[derive(Default)]
struct NameReader {
    module: String,
    function: String,
}

impl NameReader {
    /// Returns `stdout.get-stdout` for a function, `output-stream.write` for a method of a
    /// resource.
    fn name(&self) -> String {
        match self.function.split_once(']') {
            Some((_, method)) => method.to_owned(),
            None => format!("{}.{}", self.module, self.function),
        }
    }
}

impl Visit for NameReader {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "module" => self.module = value.to_owned(),
            "function" => self.function = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(filter: &str, library: &str, level: &tracing::Level) -> bool {
        filter.parse::<LogFilter>().unwrap().0.would_enable(library, level)
    }

    #[test]
    fn a_level_is_for_all_and_a_library_may_have_its_own() {
        use tracing::Level;
        assert!(shows("debug", "h2::proto", &Level::DEBUG) && !shows("debug", "h2::proto", &Level::TRACE));
        let mixed = "warn, h2=TRACE,wasmtime=off";
        assert!(shows(mixed, "h2::proto", &Level::TRACE) && !shows(mixed, "wasmtime", &Level::ERROR));
        assert!(shows(mixed, "rustls", &Level::WARN) && !shows(mixed, "rustls", &Level::INFO));
    }

    #[test]
    fn a_wrong_filter_names_the_part_that_is_wrong() {
        for (text, wrong) in [("", ""), ("verbose", "verbose"), ("h2=loud", "h2=loud"), ("info,=debug", "=debug")] {
            let error = text.parse::<LogFilter>().unwrap_err();
            assert_eq!(error, LogFilterError { directive: wrong.into() });
        }
    }
}
