//! Messages about invalid manifests.

use walnut_manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestErrors};

fn errors(text: &str) -> ManifestErrors {
    Manifest::parse(text, "walnut.toml", "/srv/shop".as_ref()).expect_err(text)
}

#[test]
fn errors_are_told_to_the_letter() {
    let cases = include_str!("errors.txt").replace("<ESC>", "\u{1b}").replace("<RLO>", "\u{202e}");
    let cases: Vec<_> = cases.split("\n== ").skip(1).collect();
    assert!(cases.len() > 20);
    for case in cases {
        let (name, case) = case.split_once('\n').expect("a name");
        let (text, expected) = case.split_once("--\n").expect("two parts");
        assert_eq!(errors(text).to_string().trim_end(), expected.trim_end(), "{name}");
    }
}

#[test]
fn what_is_no_manifest_by_its_size_is_not_read() {
    let text = format!("[app]\nname = \"shop\"\n#{}", "x".repeat(MAX_MANIFEST_BYTES));
    let expected = format!(
        "walnut.toml: {} bytes are too many for a manifest\n  a manifest has at most 1048576 bytes",
        text.len()
    );
    assert_eq!(errors(&text).to_string(), expected);
}

#[test]
fn yaml_is_told_once() {
    for (text, line) in
        [("---\napp: shop\n", 1), ("# Stack\n\nservices:\n  web:\n    image: nginx\n", 3), ("version: '3'", 1)]
    {
        let errors = errors(text);
        assert_eq!((errors.count(), errors.errors()[0].line), (1, line), "{errors}");
        assert_eq!(errors.errors()[0].problem, "this looks like YAML, and a manifest is TOML");
    }
    for text in ["name: = 'shop'\n", "[app]\nname: shop\n", "-- x\n", ""] {
        assert!(!errors(text).to_string().contains("YAML"), "{text}");
    }
}

#[test]
fn many_errors_are_counted() {
    let errors = errors(&format!("[app]\nname = \"shop\"\n{}", "=\n".repeat(200)));
    assert_eq!((errors.errors().len(), errors.count()), (100, 200));
    assert!(errors.to_string().ends_with("\n\nand 100 more"), "{errors}");
}

#[test]
fn an_error_says_where_it_is() {
    let errors = errors("[app]\nname = \"shop\"\nversion = '1'\n[component.api]\nsource = \"ä\"; x\n");
    let places: Vec<_> = errors.errors().iter().map(|error| (error.line, error.column)).collect();
    // The parser's own place, in characters and not in bytes.
    assert_eq!(places, [(3, 11), (5, 13)]);
    assert_eq!(errors.errors()[0].text, "version = '1'");
}

#[test]
fn lists_of_patterns_are_bounded() {
    let text = |count: usize| {
        let names: Vec<_> = (0..count).map(|i| format!("'A{i}'")).collect();
        format!("app.name = 'a'\ncomponent.a = {{ source = 'a', allow.env = [{}] }}\n", names.join(","))
    };
    Manifest::parse(&text(1000), "walnut.toml", "/srv/shop".as_ref()).expect("it is not too long");
    let errors = errors(&text(1001));
    assert_eq!(errors.errors()[0].problem, "`env` has 1001 patterns");
    assert_eq!(errors.errors()[0].hints.first().map(String::as_str), Some("write at most 1000, with wider patterns"));
}
