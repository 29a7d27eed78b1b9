//! The paths of URLs. Servers read one path in many ways, so a grant takes it strictly and a denial loosely.

/// One form for each path: RFC 3986 section 6.2.2, with everything escaped that a pattern cannot hold, such as `*`.
pub(crate) fn canonical(path: &str) -> String {
    escape(path, false)
}

/// As [`canonical`], leaving the stars of a pattern.
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

/// The byte that is percent-escaped at `at`.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Escapes taken off, also those of escapes: a proxy and a server behind it may each do it.
fn unescape(text: &str) -> String {
    const MOST: usize = 4;
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..MOST {
        let mut next = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let escaped = escape_at(&bytes, at);
            next.push(escaped.unwrap_or(bytes[at]));
            at += if escaped.is_some() { 3 } else { 1 };
        }
        if next == bytes {
            break;
        }
        bytes = next;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The names between the slashes as the most lenient server sees them: without escapes, parameters (`;…`) and case, and
/// with any kind of slash.
fn loose(path: &str) -> Vec<String> {
    let plain = unescape(path);
    let names = plain.split(['/', '\\']).map(|name| name.split(';').next().unwrap_or_default());
    names.filter(|name| !name.is_empty()).map(str::to_lowercase).collect()
}

/// Whether `path` has dot segments, plain or escaped: where it leads is for each server to say.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    loose(path).iter().any(|name| name == "." || name == "..")
}

/// Whether a grant with the path `pattern` covers `path`.
pub(crate) fn grants(pattern: &str, path: &str) -> bool {
    pattern == "/**" || (!is_ambiguous(path) && matches(pattern, &canonical(path)))
}

/// Whether a denial with the path `pattern` covers `path` as any server may read it.
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
    // One segment to us must not be two to a server.
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
