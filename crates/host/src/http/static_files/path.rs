//! Maps the path of a request to a path below a folder. Pure and strict: an ambiguous path is
//! rejected.

use percent_encoding::percent_decode_str;
use std::path::{Component, Path};

/// The only folder with a leading dot that is served (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// Path of a request below a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RelativePath {
    /// Names separated by `/`; empty for the folder itself.
    pub path: String,
    /// Whether the path ends in a slash, as that of a folder.
    pub is_folder: bool,
}

impl RelativePath {
    /// Parses the part of a request's path below the route: empty, or beginning with a slash.
    /// Returns `None` for a path that no served file can have.
    pub fn parse(rest: &str) -> Option<Self> {
        let is_folder = rest.ends_with('/');
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Some(RelativePath { path: String::new(), is_folder });
        }
        let mut path = String::with_capacity(rest.len());
        for (depth, part) in rest.strip_prefix('/')?.split('/').enumerate() {
            let name = percent_decode_str(part).decode_utf8().ok()?;
            if !is_served(&name, depth) {
                return None;
            }
            if depth > 0 {
                path.push('/');
            }
            path.push_str(&name);
        }
        Some(RelativePath { path, is_folder })
    }
}

fn is_served(name: &str, depth: usize) -> bool {
    // An encoded slash, the separator of other systems, and the end of a name for the system.
    if name.contains(['/', '\\', '\0']) || (cfg!(windows) && name.contains(':')) {
        return false;
    }
    let is_hidden = name.starts_with('.') && (name, depth) != (WELL_KNOWN, 0);
    // Not empty, not `.`, not `..`, and nothing else that this system treats specially.
    !is_hidden && Path::new(name).components().eq([Component::Normal(name.as_ref())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(rest: &str) -> Option<String> {
        RelativePath::parse(rest).map(|wanted| wanted.path)
    }

    #[test]
    fn a_path_names_a_file_or_a_folder() {
        let wanted = |path: &str, is_folder| Some(RelativePath { path: path.to_owned(), is_folder });
        assert_eq!(RelativePath::parse(""), wanted("", false));
        assert_eq!(RelativePath::parse("/"), wanted("", true));
        assert_eq!(RelativePath::parse("/a.css"), wanted("a.css", false));
        assert_eq!(RelativePath::parse("/a/b/"), wanted("a/b", true));
        assert_eq!(RelativePath::parse("/a%20b/%C3%A4%2e..x"), wanted("a b/ä...x", false));
        assert_eq!(RelativePath::parse("/100%"), wanted("100%", false));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_rejected() {
        for rest in [
            "/..",
            "/../a",
            "/a/../b",
            "/a/..",
            "/%2e%2e/a",
            "/.%2E/a",
            "/./a",
            "/a/.",
            "//a",
            "/a//b",
            "/a//",
            "//",
            "/a%2fb",
            "/%2Fetc/passwd",
            "/..%2fa",
            "/..%5ca",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/%00",
            "/%ff",
            "a",
        ] {
            assert_eq!(path(rest), None, "{rest}");
        }
        assert_eq!(path("/%252e%252e/a").as_deref(), Some("%2e%2e/a"), "it is decoded once");
        assert_eq!(path("/..a/b..").as_deref(), None, "it is hidden");
        assert_eq!(path("/a../b..").as_deref(), Some("a../b.."));
    }

    #[test]
    fn hidden_files_are_not_served() {
        for rest in ["/.git", "/.git/config", "/a/.env", "/%2eenv", "/.well-known/.secret", "/a/.well-known/b"] {
            assert_eq!(path(rest), None, "{rest}");
        }
        assert_eq!(path("/.well-known/acme-challenge/x").as_deref(), Some(".well-known/acme-challenge/x"));
        assert_eq!(path("/a.git").as_deref(), Some("a.git"));
    }
}
