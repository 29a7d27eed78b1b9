//! Reads a table of the file by its table of keys. Reports unknown and missing keys, and values of
//! the wrong type.

use crate::error::ManifestReport;
use crate::table::{KeyTable, ManifestKey, MovedKey, Presence, TableShape, ValueKind};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};
use walnut_policy::{LimitDefinition, LimitUnit, PatternError, Printable, units};

/// Table of the file.
pub(crate) struct Section<'a> {
    table: &'static KeyTable,
    /// Header in this file; empty for the file itself.
    header: String,
    pub span: Range<usize>,
    entries: &'a DeTable<'a>,
}

/// Key of a section with its value.
pub(crate) struct Field<'a> {
    key: &'static ManifestKey,
    pub span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Section<'a> {
    /// Reads the file itself, and reports its unknown keys.
    pub fn root(table: &'static KeyTable, entries: &'a DeTable<'a>, report: &mut ManifestReport) -> Self {
        let section = Section { table, header: String::new(), span: 0..0, entries };
        section.check_unknown(report);
        section
    }

    /// Reads `value` as a table, and reports its unknown and missing keys.
    pub fn new(
        table: &'static KeyTable,
        header: String,
        value: &'a Spanned<DeValue<'a>>,
        report: &mut ManifestReport,
    ) -> Option<Self> {
        let DeValue::Table(entries) = value.get_ref() else {
            let problem = format!("{header} is {}, not a table", describe(value.get_ref()));
            // A key of a component that stands below `[component]` alone looks like a component.
            let header = if table.header.contains("NAME]") { table.header } else { &header };
            report.error(&value.span(), problem, format!("write `{header}` in a line of its own, and its keys below"));
            return None;
        };
        let section = Section { table, header, span: value.span(), entries };
        section.check_unknown(report);
        section.check_missing(report);
        Some(section)
    }

    /// Reads the table `name` in this table.
    pub fn child(&self, name: &str, report: &mut ManifestReport) -> Option<Section<'a>> {
        let table = self.table.child(name)?;
        let header = if self.header.is_empty() { format!("[{name}]") } else { subheader(&self.header, name) };
        Section::new(table, header, self.entry(name)?.1, report)
    }

    /// Returns the place of the key `name`, and its value of any type.
    pub fn entry(&self, name: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'a>>)> {
        self.entries.get_key_value(name).map(|(key, value)| (key.span(), value))
    }

    /// Returns every entry, in the order of the file.
    pub fn entries(&self) -> Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> {
        let mut entries: Vec<_> =
            self.entries.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    /// Returns the key `name` with its value.
    pub fn field(&self, name: &str) -> Option<Field<'a>> {
        let key = self.table.key(name)?;
        let (_, value) = self.entry(name)?;
        Some(Field { key, span: value.span(), value: value.get_ref() })
    }

    /// Reads the text of a key.
    pub fn text(&self, name: &str, report: &mut ManifestReport) -> Option<(&'a str, Range<usize>)> {
        let field = self.field(name)?;
        Some((field.text(report)?, field.span))
    }

    /// Reads the number of a key, or the number in the unit of a limit.
    pub fn number(&self, name: &str, report: &mut ManifestReport) -> Option<u64> {
        self.field(name)?.number(report)
    }

    /// Reads the time of a key.
    pub fn time(&self, name: &str, report: &mut ManifestReport) -> Option<Duration> {
        self.field(name)?.time(report)
    }

    fn check_unknown(&self, report: &mut ManifestReport) {
        if matches!(self.table.shape, TableShape::Named(_)) {
            return;
        }
        for (name, span, value) in self.entries() {
            match self.table.key(name) {
                Some(key) if key.is_reserved() => report.error(
                    &span,
                    format!("this version cannot compose components, as {} asks", subheader(&self.header, name)),
                    "compose the components beforehand, and name the result in `source`",
                ),
                Some(_) => {}
                None if self.table.child(name).is_some() => {}
                // A broken line was not written as it was read.
                None if report.is_line_broken(&value.span()) => {}
                None => match self.table.moved.iter().find(|moved| moved.name == name) {
                    Some(moved) => self.report_moved(moved, &span, value, report),
                    None => self.report_unknown(name, &span, value.get_ref(), report),
                },
            }
        }
    }

    fn report_unknown(&self, name: &str, span: &Range<usize>, value: &DeValue<'_>, report: &mut ManifestReport) {
        let what = if matches!(value, DeValue::Table(_)) { "table" } else { "key" };
        let place = if self.header.is_empty() { String::new() } else { format!(" in {}", self.header) };
        let problem = format!("unknown {what} `{}`{place}", Printable(name));
        // No suggestion for errors that are not kept.
        let hint = if report.is_full() { String::new() } else { self.suggest(name) };
        report.error(span, problem, hint);
    }

    fn report_moved(
        &self,
        moved: &MovedKey,
        span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
        report: &mut ManifestReport,
    ) {
        let MovedKey { name, key, headers: (entry, defaults) } = moved;
        let place = if self.header.is_empty() { String::new() } else { format!(" in {}", self.header) };
        let problem = match *name == key.name {
            true => format!("`{name}`{place} has moved to `{entry}`"),
            false => format!("`{name}`{place} is now `{}` in `{entry}`", key.name),
        };
        // The value as it was written, if it is valid.
        let field = Field { key, span: value.span(), value: value.get_ref() };
        let written = Some(report.source(&value.span()).to_owned()).filter(|_| field.is_valid());
        let value = written.unwrap_or_else(|| key.example.to_owned());
        let hint = format!(
            "write `{} = {value}` in the `{entry}` of the component, or in `{defaults}` for all components",
            key.name
        );
        report.error(span, problem, hint);
    }

    /// Returns the hint for an unknown `name`.
    fn suggest(&self, name: &str) -> String {
        let known = self.known();
        if let Some(near) = nearest(name, known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        let below = |(child, table): &(&str, &KeyTable)| *child != "deny" && table.key(name).is_some();
        match (self.table.children)().into_iter().find(below) {
            Some((child, _)) if !self.header.is_empty() => {
                format!("`{name}` goes into {}", subheader(&self.header, child))
            }
            _ => format!("known keys: `{}`", known.join("`, `")),
        }
    }

    fn known(&self) -> Vec<&'static str> {
        let keys = self.table.keys.iter().filter(|key| !key.is_reserved()).map(|key| key.name);
        keys.chain((self.table.children)().into_iter().map(|(child, _)| child)).collect()
    }

    /// Returns whether an unknown key was reported as a misspelt `name`. Then `name` is not also
    /// reported as missing.
    pub fn is_misspelt(&self, name: &str) -> bool {
        let known = self.known();
        // The first hundred are enough.
        let mut unknown =
            self.entries.keys().map(|key| key.get_ref().as_ref()).filter(|key| !known.contains(key)).take(100);
        unknown.any(|key| nearest(key, known.iter().copied()) == Some(name))
    }

    fn check_missing(&self, report: &mut ManifestReport) {
        if report.is_broken() {
            return;
        }
        for key in self.table.keys.iter().filter(|key| key.presence == Presence::Required) {
            if self.entry(key.name).is_none() && !self.is_misspelt(key.name) {
                let problem = format!("`{}` is missing in {}", key.name, self.header);
                report.error(&self.span, problem, format!("add `{} = {}`", key.name, key.example));
            }
        }
    }
}

impl<'a> Field<'a> {
    /// Reads a text.
    pub fn text(&self, report: &mut ManifestReport) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            value => self.wrong_type(&self.span, value, report),
        }
    }

    /// Reads a text, or each text of a list.
    pub fn texts(&self, report: &mut ManifestReport) -> Vec<(&'a str, Range<usize>)> {
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

    /// Reads a whole number, or the number in the unit of a limit.
    fn number(&self, report: &mut ManifestReport) -> Option<u64> {
        match (self.key.kind, self.value) {
            (ValueKind::Integer { min, max }, DeValue::Integer(number)) => {
                self.within(number, &(min..=max), LimitUnit::Count, report)
            }
            (ValueKind::Limit(limit), value) => {
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
        report: &mut ManifestReport,
    ) -> Option<u64> {
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if bounds.contains(&number) => Some(number),
            _ => self.out_of_range(bounds, unit, report),
        }
    }

    /// Returns whether the value is valid for the key.
    fn is_valid(&self) -> bool {
        let unused = &mut ManifestReport::new("", "");
        match self.key.kind {
            ValueKind::Time => self.time(unused).is_some(),
            ValueKind::Integer { .. } | ValueKind::Limit(_) => self.number(unused).is_some(),
            _ => false,
        }
    }

    fn time(&self, report: &mut ManifestReport) -> Option<Duration> {
        let DeValue::String(text) = self.value else { return self.wrong_type(&self.span, self.value, report) };
        units::parse_duration(text).map_or_else(|error| self.wrong_unit(&error, report), Some)
    }

    fn wrong_type<T>(&self, span: &Range<usize>, value: &DeValue<'_>, report: &mut ManifestReport) -> Option<T> {
        let ManifestKey { name, example, kind, .. } = self.key;
        let problem = format!("`{name}` has {} where {} should be", describe(value), kind.describe());
        report.error(span, problem, format!("write `{name} = {example}`"));
        None
    }

    fn wrong_unit<T>(&self, error: &units::UnitError, report: &mut ManifestReport) -> Option<T> {
        report.error(&self.span, format!("`{}` {}", Printable(&error.text), error.problem), error.hint);
        None
    }

    fn out_of_range<T>(&self, bounds: &RangeInclusive<u64>, unit: LimitUnit, report: &mut ManifestReport) -> Option<T> {
        let (min, max) = (unit.format(*bounds.start()), unit.format(*bounds.end()));
        let problem = format!("`{}` is out of range", self.key.name);
        report.error(&self.span, problem, format!("it may be from {min} to {max}"));
        None
    }
}

/// Reports a text that its key does not take.
pub(crate) fn report_pattern(report: &mut ManifestReport, span: &Range<usize>, error: PatternError) {
    report.error(span, format!("`{}` {}", Printable(&error.text), error.problem), error.hint);
}

/// Returns the name in `known` that is most like `name`, if any is like it.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // A long name is no slip of a finger, and takes long to compare.
    let near = |known: &&str| name.len() <= 100 && strsim::jaro_winkler(name, known) > 0.8;
    let near = known.filter(near).map(|known| (strsim::jaro_winkler(name, known), known));
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// Returns the header of the table `name` in the table with `header`.
fn subheader(header: &str, name: &str) -> String {
    format!("{}.{name}]", header.trim_end_matches(']'))
}

/// Describes a value of the file.
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
