//! Reads the text of a manifest into a [`ManifestDraft`]. Each function reads one kind of table and
//! goes on after an error, so that all errors are reported; a wrong value then counts as absent.

use crate::error::{ManifestErrors, ManifestReport};
use crate::keys::{ALLOW, COMPONENT, DENY, ROOT};
use crate::manifest::{AppSection, ComponentSection, ComponentSource, Manifest, ManifestDraft, PathRole};
use crate::paths::HostPaths;
use crate::section::{Section, report_pattern};
use crate::syntax;
use crate::table::{MAX_PATTERNS, ValueKind};
use crate::trigger::TRIGGERS;
use std::path::Path;
use toml::de::DeTable;
use walnut_policy::{Capability, Limit, LimitOverrides, Mount, PatternError, Policy, Printable};

/// Largest size of a manifest in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// Longest name of an app or a component in bytes: the bound of a label in a host name (RFC 1035,
/// section 2.3.4).
const MAX_NAME: usize = 63;

impl Manifest {
    /// Reads `text`. `file` names the manifest in errors, and `base` is its folder.
    pub fn parse(text: &str, file: &str, base: &Path) -> Result<Self, ManifestErrors> {
        let ManifestDraft { manifest, report, .. } = Self::draft(text, file, base);
        report.result().map(|()| manifest)
    }

    /// Reads `text` as far as possible, for callers that look at the files that it names before
    /// they accept it.
    pub fn draft(text: &str, file: &str, base: &Path) -> ManifestDraft {
        let is_too_large = text.len() > MAX_MANIFEST_BYTES;
        let mut report = ManifestReport::new(file, if is_too_large { "" } else { text });
        let mut paths = HostPaths { base, named: Vec::new() };
        let mut manifest = Manifest::default();
        if is_too_large {
            let problem = format!("{} bytes are too many for a manifest", text.len());
            report.whole(problem, format!("a manifest has at most {MAX_MANIFEST_BYTES} bytes"));
        } else {
            read(text, &mut manifest, &mut paths, &mut report);
        }
        ManifestDraft { manifest, paths: paths.named, report }
    }
}

fn read(text: &str, manifest: &mut Manifest, paths: &mut HostPaths<'_>, report: &mut ManifestReport) {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty()
        && let Some(span) = syntax::find_yaml(text)
    {
        let hint = "write `key = \"value\"`, below headers such as `[app]` and `[component.web]`";
        report.error(&span, "this looks like YAML, and a manifest is TOML", hint);
        return;
    }
    let has_list = document.get_ref().get("http").is_none_or(|http| http.get_ref().is_array());
    syntax::report_errors(text, errors, has_list, report);
    let root = Section::root(&ROOT, document.get_ref(), report);
    manifest.app = read_app(&root, report);
    manifest.components = read_components(&root, paths, report);
    for trigger in TRIGGERS {
        (trigger.read)(&root, manifest, paths, report);
    }
    let has_trigger = TRIGGERS.iter().any(|trigger| root.entry(trigger.name).is_some());
    if root.entry("component").is_none() && !has_trigger && report.is_empty() {
        report.whole("there is no component and no route", "add `[component.NAME]` with `source = \"app.wasm\"`");
    }
}

fn read_app(root: &Section<'_>, report: &mut ManifestReport) -> AppSection {
    let Some(section) = root.child("app", report) else {
        if root.entry("app").is_none() && !root.is_misspelt("app") && !report.is_broken() {
            report.whole("the table [app] is missing", "begin with `[app]` and `name = \"shop\"`");
        }
        return AppSection::default();
    };
    let name = section.text("name", report).map(|(name, span)| {
        if let Err(error) = check_name(name) {
            report_pattern(report, &span, error);
        }
        name.to_owned()
    });
    let version = section.text("version", report).map(|(version, span)| {
        if !is_version(version) {
            let error = refuse(version, "is not a version", "write it as `1.2.0` or `1.2.0-rc.1`");
            report_pattern(report, &span, error);
        }
        version.to_owned()
    });
    AppSection { name: name.unwrap_or_default(), version }
}

fn read_components(
    root: &Section<'_>,
    paths: &mut HostPaths<'_>,
    report: &mut ManifestReport,
) -> Vec<ComponentSection> {
    let Some(all) = root.child("component", report) else { return Vec::new() };
    let mut components = Vec::new();
    for (name, span, value) in all.entries() {
        if let Err(error) = check_name(name) {
            report_pattern(report, &span, error);
        }
        let header = format!("[component.{}]", Printable(name));
        if let Some(section) = Section::new(&COMPONENT, header, value, report) {
            components.extend(read_component(name, &section, paths, report));
        }
    }
    components
}

/// Reads a component; `None` when it has no source.
fn read_component(
    name: &str,
    section: &Section<'_>,
    paths: &mut HostPaths<'_>,
    report: &mut ManifestReport,
) -> Option<ComponentSection> {
    let source = paths.read(section, "source", PathRole::Source, report);
    let policy = read_policy(section, paths, report);
    let limits = read_limits(section, report);
    let (path, place) = source?;
    Some(ComponentSection { name: name.to_owned(), source: ComponentSource::File(path), place, policy, limits })
}

fn read_policy(component: &Section<'_>, paths: &mut HostPaths<'_>, report: &mut ManifestReport) -> Policy {
    let mut policy = Policy::sealed();
    for (name, table, add) in [
        ("allow", &ALLOW, Policy::allow as fn(&mut Policy, _, &str) -> Result<(), PatternError>),
        ("deny", &DENY, Policy::deny),
    ] {
        let Some(section) = component.child(name, report) else { continue };
        for key in table.keys {
            let (ValueKind::Patterns(capability), Some(field)) = (key.kind, section.field(key.name)) else { continue };
            let texts = field.texts(report);
            if texts.len() > MAX_PATTERNS {
                let problem = format!("`{}` has {} patterns", key.name, texts.len());
                report.error(&field.span, problem, format!("write at most {MAX_PATTERNS}, with wider patterns"));
            }
            for (text, span) in texts.into_iter().take(MAX_PATTERNS) {
                if let Err(error) = add(&mut policy, capability, text) {
                    report_pattern(report, &span, error);
                }
                if let ("allow", Capability::Dir, Ok(mount)) = (name, capability, Mount::parse(text)) {
                    paths.add(PathRole::Mount, text, &mount.host, span);
                }
            }
        }
    }
    policy.resolve_mounts(paths.base);
    policy
}

fn read_limits(component: &Section<'_>, report: &mut ManifestReport) -> LimitOverrides {
    let mut limits = LimitOverrides::default();
    let Some(section) = component.child("limits", report) else { return limits };
    for limit in Limit::ALL {
        if let Some(value) = section.number(limit.name(), report) {
            limits.set(limit, value);
        }
    }
    limits
}

fn check_name(name: &str) -> Result<(), PatternError> {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let letters = name.bytes().all(|b| is_letter(b) || b == b'-');
    let ends = !name.is_empty() && !name.starts_with('-') && !name.ends_with('-');
    if letters && ends && name.len() <= MAX_NAME {
        return Ok(());
    }
    let hint = "use up to 63 lowercase letters, digits and hyphens, with no hyphen at an end";
    Err(refuse(name, "is not a name", hint))
}

/// Returns whether `text` is a version of [semver](https://semver.org): three numbers, then words
/// after `-` and `+`.
fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').unwrap_or((text, "0"));
    let (core, before) = text.split_once('-').unwrap_or((text, "0"));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_number = |n: &str| !n.is_empty() && n.len() < 20 && n.bytes().all(|b| b.is_ascii_digit());
    let numbers: Vec<_> = core.split('.').collect();
    numbers.len() == 3
        && numbers.into_iter().all(is_number)
        && before.split('.').all(is_word)
        && build.split('.').all(is_word)
}

fn refuse(text: &str, problem: &str, hint: &str) -> PatternError {
    PatternError { text: text.to_owned(), problem: problem.to_owned(), hint: hint.to_owned() }
}
