//! Paths of URLs. Servers read the same path in many ways, so a grant reads it strictly and a
//! denial loosely.

use crate::printable::is_hidden;

/// Returns the normal form of a path (RFC 3986 section 6.2.2), with everything escaped that a
/// pattern cannot hold, such as `*`.
pub(crate) fn canonical(path: &str) -> String {
    escape(path, false)
}

/// Like [`canonical`], but keeps the stars of a pattern.
pub(crate) fn canonical_pattern(path: &str) -> String {
    escape(path, true)
}

fn escape(path: &str, keep_stars: bool) -> String {
    use std::fmt::Write;
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(bytes.len() + 1);
    if !path.starts_with('/') {
        out.push('/');
    }
    let mut at = 0;
    while at < bytes.len() {
        let escaped = escape_at(bytes, at);
        let byte = escaped.unwrap_or(bytes[at]);
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let plain = b"/!$&'()+,;=:@".contains(&byte) || (keep_stars && byte == b'*');
        if unreserved || (escaped.is_none() && plain) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// Returns the byte that is percent-escaped at `at`.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Removes escapes, also those of escapes: a proxy and a server behind it may each do that. `None`
/// where more than four layers are there, or the bytes are not UTF-8: servers then differ.
fn unescape_fully(text: &str) -> Option<String> {
    const MAX_LAYERS: usize = 4;
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=MAX_LAYERS {
        let mut next = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let escaped = escape_at(&bytes, at);
            next.push(escaped.unwrap_or(bytes[at]));
            at += if escaped.is_some() { 3 } else { 1 };
        }
        if next == bytes {
            return String::from_utf8(bytes).ok();
        }
        bytes = next;
    }
    None
}

/// Removes escapes. Text that has no clear meaning, of which [`is_ambiguous`] is true, stays as it
/// is.
fn unescape(text: &str) -> String {
    unescape_fully(text).unwrap_or_else(|| text.to_owned())
}

/// Returns the names between the slashes as the most lenient server sees them: without escapes,
/// parameters (`;…`) and case, and with any kind of slash.
fn loose(path: &str) -> Vec<String> {
    let plain = unescape(path);
    let names = plain.split(['/', '\\']).map(|name| name.split(';').next().unwrap_or_default());
    names.filter(|name| !name.is_empty()).map(str::to_lowercase).collect()
}

/// Returns whether servers differ in where `path` leads: it has dot segments, plain, escaped or in
/// letters that some servers read as dots, or escapes without a clear meaning.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    let Some(plain) = unescape_fully(path) else { return true };
    plain.split(['/', '\\', '\u{2044}', '\u{2215}', '\u{ff0f}', '\u{ff3c}']).any(is_dot_segment)
}

/// Returns whether a segment is `.` or `..` to some server: without its parameters (`;…`), and
/// without spaces, controls and invisible characters.
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let seen = name.chars().filter(|c| !c.is_whitespace() && !is_hidden(*c));
    let dots = seen.map(dots).try_fold(0, |sum, dots| Some(sum + dots?));
    matches!(dots, Some(1 | 2))
}

/// Returns the number of dots that a character is, or becomes by Unicode's compatibility mappings.
fn dots(c: char) -> Option<usize> {
    match c {
        '.' | '\u{2024}' | '\u{3002}' | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}' => Some(1),
        '\u{2025}' => Some(2),
        '\u{2026}' => Some(3),
        _ => None,
    }
}

/// Returns whether a grant with the path `pattern` covers `path`.
pub(crate) fn grants(pattern: &str, path: &str) -> bool {
    pattern == "/**" || (!is_ambiguous(path) && matches(pattern, &canonical(path)))
}

/// Returns whether a denial with the path `pattern` covers `path`, as any server may read it.
pub(crate) fn denies(pattern: &str, path: &str) -> bool {
    if is_ambiguous(path) || matches(pattern, &canonical(path)) {
        return true;
    }
    let wanted: Vec<String> =
        pattern.split('/').flat_map(|part| if is_star(part) { vec![part.into()] } else { loose(part) }).collect();
    let given = loose(path);
    matches_names(wanted.iter().map(String::as_str), given.iter().map(String::as_str), |_| true)
}

fn is_star(part: &str) -> bool {
    part == "*" || part == "**"
}

fn matches(pattern: &str, path: &str) -> bool {
    // A segment here must not be two segments to a server.
    let whole = |segment: &str| !segment.is_empty() && !unescape(segment).contains(['/', '\\']);
    matches_names(pattern.split('/').skip(1), path.split('/').skip(1), whole)
}

fn matches_names<'a>(
    mut wanted: impl Iterator<Item = &'a str>,
    mut given: impl Iterator<Item = &'a str>,
    fits_star: impl Fn(&str) -> bool,
) -> bool {
    loop {
        match (wanted.next(), given.next()) {
            (Some("**"), _) => return true,
            (Some("*"), Some(segment)) if fits_star(segment) => {}
            (Some(exact), Some(segment)) if exact == segment => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
