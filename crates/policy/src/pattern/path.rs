//! Paths of URLs. Servers read the same path in many ways, so a grant reads it strictly and a
//! denial loosely.

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

/// Removes escapes, also those of escapes: a proxy and a server behind it may each do that.
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

/// Returns the names between the slashes as the most lenient server sees them: without escapes,
/// parameters (`;…`) and case, and with any kind of slash.
fn loose(path: &str) -> Vec<String> {
    let plain = unescape(path);
    let names = plain.split(['/', '\\']).map(|name| name.split(';').next().unwrap_or_default());
    names.filter(|name| !name.is_empty()).map(str::to_lowercase).collect()
}

/// Returns whether `path` has dot segments, plain or escaped. Servers differ in where it leads.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    loose(path).iter().any(|name| name == "." || name == "..")
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
