//! One table of the file, read by the table of keys: what is unknown, missing or of the wrong type is reported here.

use crate::error::Report;
use crate::keys::{Key, Kind, Presence, Table};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};
use walnut_policy::{LimitDefinition, LimitUnit, PatternError, Printable, units};

/// A table and where it is.
pub(crate) struct Section<'a> {
    table: Table,
    /// Its header in this file; empty for the file itself.
    pub place: String,
    pub span: Range<usize>,
    entries: &'a DeTable<'a>,
}

/// One key of a section with its value.
pub(crate) struct Field<'a> {
    key: &'static Key,
    pub span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Section<'a> {
    pub fn root(entries: &'a DeTable<'a>, report: &mut Report) -> Self {
        let section = Section { table: Table::Root, place: String::new(), span: 0..0, entries };
        section.check_unknown(report);
        section
    }

    /// Reads `value` as a table, and reports the keys that it lacks or has too many.
    pub fn new(table: Table, place: String, value: &'a Spanned<DeValue<'a>>, report: &mut Report) -> Option<Self> {
        let DeValue::Table(entries) = value.get_ref() else {
            let problem = format!("{place} is {}, not a table", describe(value.get_ref()));
            // Under `[component]` alone, what was meant as a key of a component looks like a component.
            let header = if table == Table::Component { table.header() } else { &place };
            report.error(&value.span(), problem, format!("write `{header}` in a line of its own, and its keys below"));
            return None;
        };
        let section = Section { table, place, span: value.span(), entries };
        section.check_unknown(report);
        section.check_missing(report);
        Some(section)
    }

    /// The table `name` in this one.
    pub fn child(&self, name: &str, report: &mut Report) -> Option<Section<'a>> {
        let (_, table) = self.table.children().iter().find(|(child, _)| *child == name)?;
        let place = match self.table {
            Table::Root => format!("[{name}]"),
            _ => within(&self.place, name),
        };
        Section::new(*table, place, self.entry(name)?.1, report)
    }

    /// The key `name` and its value, whatever it is.
    pub fn entry(&self, name: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'a>>)> {
        self.entries.get_key_value(name).map(|(key, value)| (key.span(), value))
    }

    /// Every entry, in the order of the file.
    pub fn entries(&self) -> Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> {
        let mut entries: Vec<_> =
            self.entries.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    pub fn field(&self, name: &str) -> Option<Field<'a>> {
        let key = self.table.keys().find(|key| key.name == name)?;
        let (_, value) = self.entry(name)?;
        Some(Field { key, span: value.span(), value: value.get_ref() })
    }

    /// The key's text.
    pub fn text(&self, name: &str, report: &mut Report) -> Option<(&'a str, Range<usize>)> {
        let field = self.field(name)?;
        Some((field.text(report)?, field.span))
    }

    /// The key's number or size.
    pub fn number(&self, name: &str, report: &mut Report) -> Option<u64> {
        self.field(name)?.number(report)
    }

    /// The key's time.
    pub fn time(&self, name: &str, report: &mut Report) -> Option<Duration> {
        self.field(name)?.time(report)
    }

    fn check_unknown(&self, report: &mut Report) {
        // The names in `[component]` are the person's own.
        if self.table == Table::Components {
            return;
        }
        for (name, span, value) in self.entries() {
            let is_table = self.table.children().iter().any(|(child, _)| *child == name);
            match self.table.keys().find(|key| key.name == name) {
                Some(key) if matches!(key.kind, Kind::Reserved) => report.error(
                    &span,
                    format!("this version cannot compose components yet, as {} asks", within(&self.place, name)),
                    "compose them beforehand, and name the result in `source`",
                ),
                Some(_) => {}
                None if is_table => {}
                // What a broken line became is not what was written.
                None if report.is_line_broken(&value.span()) => {}
                None => {
                    let what = if matches!(value.get_ref(), DeValue::Table(_)) { "table" } else { "key" };
                    let place = if self.place.is_empty() { String::new() } else { format!(" in {}", self.place) };
                    let problem = format!("unknown {what} `{}`{place}", Printable(name));
                    // What will not be told needs no guess.
                    let hint = if report.is_full() { String::new() } else { self.suggest(name) };
                    report.error(&span, problem, hint);
                }
            }
        }
    }

    /// What an unknown `name` may have been meant to be.
    fn suggest(&self, name: &str) -> String {
        let known = self.known();
        if let Some(near) = nearest(name, known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        let below = |(child, table): &&(&str, Table)| *child != "deny" && table.keys().any(|key| key.name == name);
        match self.table.children().iter().find(below) {
            Some((child, _)) if self.table == Table::Component => {
                format!("`{name}` goes into {}", within(&self.place, child))
            }
            _ => format!("what may be there: `{}`", known.join("`, `")),
        }
    }

    fn known(&self) -> Vec<&'static str> {
        let keys = self.table.keys().filter(|key| !matches!(key.kind, Kind::Reserved)).map(|key| key.name);
        keys.chain(self.table.children().iter().map(|(child, _)| *child)).collect()
    }

    /// Whether something is there that was reported as perhaps meant to be `name`, which is not: one mistake is told once.
    pub fn is_misspelt(&self, name: &str) -> bool {
        let known = self.known();
        // Of very many, the first are enough.
        let mut unknown =
            self.entries.keys().map(|key| key.get_ref().as_ref()).filter(|key| !known.contains(key)).take(100);
        unknown.any(|key| nearest(key, known.iter().copied()) == Some(name))
    }

    fn check_missing(&self, report: &mut Report) {
        if report.is_broken() {
            return;
        }
        for key in self.table.keys().filter(|key| key.presence == Presence::Required) {
            if self.entry(key.name).is_none() && !self.is_misspelt(key.name) {
                let problem = format!("`{}` is missing in {}", key.name, self.place);
                report.error(&self.span, problem, format!("add `{} = {}`", key.name, key.example));
            }
        }
    }
}

impl<'a> Field<'a> {
    pub fn text(&self, report: &mut Report) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            value => self.wrong_type(&self.span, value, report),
        }
    }

    /// One text, or each of a list.
    pub fn texts(&self, report: &mut Report) -> Vec<(&'a str, Range<usize>)> {
        match self.value {
            DeValue::String(text) => vec![(text, self.span.clone())],
            DeValue::Array(items) => {
                let text = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
                    DeValue::String(text) => Some((text.as_ref(), item.span())),
                    value => self.wrong_type(&item.span(), value, report),
                };
                items.iter().filter_map(text).collect()
            }
            value => self.wrong_type(&self.span, value, report).unwrap_or_default(),
        }
    }

    /// A whole number, or the number in the unit of a limit.
    fn number(&self, report: &mut Report) -> Option<u64> {
        match (self.key.kind, self.value) {
            (Kind::Integer { least, most }, DeValue::Integer(number)) => {
                self.within(number, &(least..=most), LimitUnit::Count, report)
            }
            (Kind::Limit(limit), value) => {
                let LimitDefinition { unit, bounds, .. } = limit.definition();
                match (unit, value) {
                    (LimitUnit::Count, DeValue::Integer(number)) => self.within(number, bounds, *unit, report),
                    (LimitUnit::Bytes | LimitUnit::Time, DeValue::String(text)) => match unit.parse(text) {
                        Ok(value) if bounds.contains(&value) => Some(value),
                        Ok(_) => self.out_of_range(bounds, *unit, report),
                        Err(error) => self.wrong_unit(&error, report),
                    },
                    (_, value) => self.wrong_type(&self.span, value, report),
                }
            }
            (_, value) => self.wrong_type(&self.span, value, report),
        }
    }

    fn within(
        &self,
        number: &DeInteger<'_>,
        bounds: &RangeInclusive<u64>,
        unit: LimitUnit,
        report: &mut Report,
    ) -> Option<u64> {
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if bounds.contains(&number) => Some(number),
            _ => self.out_of_range(bounds, unit, report),
        }
    }

    fn time(&self, report: &mut Report) -> Option<Duration> {
        let DeValue::String(text) = self.value else { return self.wrong_type(&self.span, self.value, report) };
        units::parse_duration(text).map_or_else(|error| self.wrong_unit(&error, report), Some)
    }

    fn wrong_type<T>(&self, span: &Range<usize>, value: &DeValue<'_>, report: &mut Report) -> Option<T> {
        let Key { name, example, kind, .. } = self.key;
        let problem = format!("`{name}` has {} where {} should be", describe(value), kind.describe());
        report.error(span, problem, format!("write `{name} = {example}`"));
        None
    }

    fn wrong_unit<T>(&self, error: &units::UnitError, report: &mut Report) -> Option<T> {
        report.error(&self.span, format!("`{}` {}", Printable(&error.text), error.problem), error.hint);
        None
    }

    fn out_of_range<T>(&self, bounds: &RangeInclusive<u64>, unit: LimitUnit, report: &mut Report) -> Option<T> {
        let (least, most) = (unit.format(*bounds.start()), unit.format(*bounds.end()));
        let problem = format!("`{}` is out of range", self.key.name);
        report.error(&self.span, problem, format!("it may be from {least} to {most}"));
        None
    }
}

/// Reports a text that is not what its key takes.
pub(crate) fn wrong(report: &mut Report, span: &Range<usize>, error: PatternError) {
    report.error(span, format!("`{}` {}", Printable(&error.text), error.problem), error.hint);
}

/// The name of `known` that `name` may have been meant to be.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // What is that long is no slip of a finger, and would take long to compare.
    let near = |known: &&str| name.len() <= 100 && strsim::jaro_winkler(name, known) > 0.8;
    let near = known.filter(near).map(|known| (strsim::jaro_winkler(name, known), known));
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// The header of the table `name` in the table of the header `place`.
fn within(place: &str, name: &str) -> String {
    format!("{}.{name}]", place.trim_end_matches(']'))
}

/// A value of the file, in words.
pub(crate) fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
