//! Limits of a sandbox: one list, from which the flags, the keys of the manifest, the engine, the
//! messages and the reference are made.
//!
//! Every limit is always on. A row of the list at the end of this file is the whole definition of a
//! limit: its field, variant, unit, defaults, bounds and texts.

use crate::units::{self, UnitError};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Unit in which a limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitUnit {
    /// Bytes, written as `64MiB`.
    Bytes,
    /// Time, counted in milliseconds and written as `500ms`.
    Time,
    /// A number without a unit.
    Count,
}

/// Row of the list of limits. Numbers are in the limit's unit: bytes, milliseconds or a count.
#[derive(Clone, Debug)]
pub struct LimitDefinition {
    /// Name of the flag, of the key, and of the limit in messages and metrics.
    pub name: &'static str,
    /// Unit of the values.
    pub unit: LimitUnit,
    /// Description for `--help` and the reference, without a full stop.
    pub doc: &'static str,
    /// Default of a command: generous, since a person waits for it and can stop it.
    pub command: u64,
    /// Default for one request to a service: small, since strangers send requests.
    pub service: u64,
    /// Smallest and largest value in a manifest. Flags have no bounds, except for
    /// [`Limit::Stack`]: the host reserves that memory.
    pub bounds: RangeInclusive<u64>,
    /// Value of the example in the reference, as TOML.
    pub example: &'static str,
    /// Words for a guest that reached the limit: the rest of a sentence that starts with its name.
    pub exceeded: &'static str,
}

impl Limit {
    /// Returns the name, as in the flag without its dashes.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// Returns the words for a guest that reached the limit, as the rest of a sentence that starts
    /// with the guest's name.
    pub fn exceeded(self) -> &'static str {
        self.definition().exceeded
    }

    /// Formats the limit's value in `limits`, as its flag takes it.
    pub fn value(self, limits: &Limits) -> String {
        self.definition().unit.format(limits.get(self))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl LimitUnit {
    /// Formats `value` as [`LimitUnit::parse`] reads it.
    pub fn format(self, value: u64) -> String {
        match self {
            LimitUnit::Bytes => units::size(value),
            LimitUnit::Time => units::duration(Duration::from_millis(value)),
            LimitUnit::Count => value.to_string(),
        }
    }

    /// Parses a value of this unit. Sizes and times are read as [`units::parse_size`] and
    /// [`units::parse_duration`] read them.
    pub fn parse(self, text: &str) -> Result<u64, UnitError> {
        match self {
            LimitUnit::Bytes => units::parse_size(text),
            LimitUnit::Time => units::parse_duration(text).map(LimitValue::number),
            LimitUnit::Count => text.parse().map_err(|_| UnitError {
                text: text.to_owned(),
                problem: "is not a number",
                hint: "write one without a unit, such as `100`",
            }),
        }
    }
}

/// Type of a field of [`Limits`], which the list handles as a number.
trait LimitValue {
    fn of(number: u64) -> Self;
    fn number(self) -> u64;
}

impl LimitValue for u64 {
    fn of(number: u64) -> Self {
        number
    }

    fn number(self) -> u64 {
        self
    }
}

impl LimitValue for Duration {
    fn of(number: u64) -> Self {
        Duration::from_millis(number)
    }

    fn number(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Defines [`Limits`], [`LimitOverrides`] and [`Limit`] by a row for each limit.
macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident: $type:ty, $limit:ident { $($definition:tt)* })*) => {
        /// Limits of one sandbox.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $($(#[$doc])* pub $field: $type,)* }

        /// Limits that replace others; `None` leaves a limit as it is.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct LimitOverrides { $($(#[$doc])* pub $field: Option<$type>,)* }

        /// Kind of limit. The same word names the flag, the key of the manifest, the message and
        /// the metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Limit { $($(#[$doc])* $limit,)* }

        impl Limit {
            /// Every limit, in the order in which help and reference list them.
            pub const ALL: [Limit; [$(Limit::$limit),*].len()] = [$(Limit::$limit),*];

            /// Returns the limit's row of the list.
            pub const fn definition(self) -> &'static LimitDefinition {
                match self {
                    $(Limit::$limit => {
                        static DEFINITION: LimitDefinition = LimitDefinition { $($definition)* };
                        &DEFINITION
                    })*
                }
            }
        }

        impl Limits {
            fn of(value: impl Fn(&LimitDefinition) -> u64) -> Self {
                Limits { $($field: LimitValue::of(value(Limit::$limit.definition())),)* }
            }

            /// Returns a limit's value in its unit.
            pub fn get(&self, limit: Limit) -> u64 {
                match limit { $(Limit::$limit => self.$field.number(),)* }
            }

            /// Sets a limit to `value`, in its unit.
            pub fn set(&mut self, limit: Limit, value: u64) {
                match limit { $(Limit::$limit => self.$field = LimitValue::of(value),)* }
            }

            /// Returns these limits with those of `overrides` in their place.
            pub fn overlaid(&self, overrides: &LimitOverrides) -> Self {
                Limits { $($field: overrides.$field.unwrap_or(self.$field),)* }
            }
        }

        impl LimitOverrides {
            /// Sets a limit to `value`, in its unit.
            pub fn set(&mut self, limit: Limit, value: u64) {
                match limit { $(Limit::$limit => self.$field = Some(LimitValue::of(value)),)* }
            }
        }
    };
}

impl Limits {
    /// Returns the defaults of a command.
    pub fn for_command() -> Self {
        Limits::of(|limit| limit.command)
    }

    /// Returns the defaults for one request to a service.
    pub fn for_service() -> Self {
        Limits::of(|limit| limit.service)
    }
}

const MILLISECOND: u64 = 1;
const SECOND: u64 = 1000 * MILLISECOND;
const KIB: u64 = 1 << 10;
const MIB: u64 = KIB << 10;
const GIB: u64 = MIB << 10;
const TIB: u64 = GIB << 10;

limits! {
    /// Bytes of all linear memories and tables together.
    memory: u64, Memory {
        name: "memory",
        unit: LimitUnit::Bytes,
        doc: "Memory of the guest, tables included",
        command: 2 * GIB,
        service: 128 * MIB,
        bounds: 64 * KIB..=TIB,
        example: "\"128MiB\"",
        exceeded: "used up its memory",
    }
    /// Time on a processor.
    cpu: Duration, Cpu {
        name: "cpu",
        unit: LimitUnit::Time,
        doc: "CPU time",
        command: 600 * SECOND,
        service: 5 * SECOND,
        bounds: MILLISECOND..=units::MAX_MILLISECONDS,
        example: "\"500ms\"",
        exceeded: "used up its processor time",
    }
    /// Time on the clock, from start to end; for a service, of one request.
    deadline: Duration, Deadline {
        name: "deadline",
        unit: LimitUnit::Time,
        doc: "Wall-clock time",
        command: 3600 * SECOND,
        service: 30 * SECOND,
        bounds: MILLISECOND..=units::MAX_MILLISECONDS,
        example: "\"5s\"",
        exceeded: "used up its time",
    }
    /// Bytes of the guest's call stack.
    stack: u64, Stack {
        name: "stack",
        unit: LimitUnit::Bytes,
        doc: "Size of the guest's call stack",
        command: 2 * MIB,
        service: MIB,
        bounds: 64 * KIB..=256 * MIB,
        example: "\"1MiB\"",
        exceeded: "used up its call stack",
    }
    /// Files, sockets, streams, header sets and other host-side handles open at once.
    handles: u64, Handles {
        name: "handles",
        unit: LimitUnit::Count,
        doc: "Files, sockets, streams and other handles that are open at once",
        command: 10_000,
        service: 2_000,
        bounds: 1..=1_000_000,
        example: "2000",
        exceeded: "used up its host-side handles",
    }
    /// Bytes of one request body.
    request_body: u64, RequestBody {
        name: "request-body",
        unit: LimitUnit::Bytes,
        doc: "Size of a request body",
        command: 128 * MIB,
        service: 128 * MIB,
        bounds: 0..=TIB,
        example: "\"8MiB\"",
        exceeded: "had a request body that is too large",
    }
    /// Bytes of one response body.
    response_body: u64, ResponseBody {
        name: "response-body",
        unit: LimitUnit::Bytes,
        doc: "Size of a response body",
        command: 128 * MIB,
        service: 128 * MIB,
        bounds: 0..=TIB,
        example: "\"8MiB\"",
        exceeded: "had a response body that is too large",
    }
    /// Outbound connections open at once: TCP sockets that connect, and HTTP requests.
    connections: u64, Connections {
        name: "connections",
        unit: LimitUnit::Count,
        doc: "Outbound connections that are open at once: TCP sockets and HTTP requests",
        command: 64,
        service: 16,
        bounds: 0..=100_000,
        example: "16",
        exceeded: "used up its outbound connections",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_bounds_and_read_as_they_are_written() {
        for limit in Limit::ALL {
            let LimitDefinition { unit, command, service, bounds, .. } = limit.definition().clone();
            for value in [command, service] {
                assert!(bounds.contains(&value), "{limit}");
                assert_eq!(unit.parse(&unit.format(value)), Ok(value), "{limit}");
            }
        }
    }

    #[test]
    fn overrides_replace_the_limits_that_they_name() {
        for limit in Limit::ALL {
            let mut overrides = LimitOverrides::default();
            overrides.set(limit, 7);
            let limits = Limits::for_service().overlaid(&overrides);
            for other in Limit::ALL {
                let expected = if other == limit { 7 } else { other.definition().service };
                assert_eq!(limits.get(other), expected, "{other}");
            }
        }
    }
}
