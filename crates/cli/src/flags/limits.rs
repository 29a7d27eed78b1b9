//! Flags for limits, made from the list of limits. Their defaults differ by command and are in that
//! list too, so the help cannot disagree with the engine.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use walnut_policy::{Limit, LimitUnit, Limits};

/// Limits of a sandbox. Each has a default, so each is always on.
#[derive(Debug)]
pub struct LimitFlags {
    pub limits: Limits,
}

impl Args for LimitFlags {
    fn augment_args(command: Command) -> Command {
        command.args(Limit::ALL.map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LimitFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut limits = Limits::for_command();
        for limit in Limit::ALL {
            if let Some(value) = matches.get_one(limit.name()) {
                limits.set(limit, *value);
            }
        }
        Ok(LimitFlags { limits })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(limit: Limit) -> Arg {
    let definition = limit.definition();
    let value_name = match definition.unit {
        LimitUnit::Bytes => "SIZE",
        LimitUnit::Time => "TIME",
        LimitUnit::Count => "N",
    };
    Arg::new(definition.name)
        .long(definition.name)
        .value_name(value_name)
        .value_parser(move |text: &str| parse(limit, text))
        .help(definition.doc)
        .help_heading("Limits (always on)")
}

/// Parses the value of `limit`. Only the call stack has bounds: the host reserves its memory.
fn parse(limit: Limit, text: &str) -> Result<u64, String> {
    let definition = limit.definition();
    let value = definition.unit.parse(text).map_err(|error| error.to_string())?;
    if limit == Limit::Stack && !definition.bounds.contains(&value) {
        return Err("a call stack has between 64KiB and 256MiB".into());
    }
    Ok(value)
}

/// Sets the defaults of the limit flags of `command`.
pub fn with_defaults(command: Command, defaults: &Limits) -> Command {
    Limit::ALL.iter().fold(command, |command, limit| {
        let value: &'static str = Box::leak(limit.value(defaults).into_boxed_str());
        command.mut_arg(limit.name(), |arg| arg.default_value(value))
    })
}
