//! Properties that hold for any text.

use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;
use walnut_manifest::{HostRule, Manifest, PathRule, Route, Routes, SourceSpan, TargetSpec};
use walnut_policy::is_hidden;

const LINES: [&str; 32] = [
    "[app]",
    "name = \"shop\"",
    "version = \"1.2.0\"",
    "[component.api]",
    "[component.api",
    "[component.\"\\u001b\"]",
    "source = \"api.wasm\"",
    "reuse = 0x10",
    "sandboxes = -1",
    "patience = \"10 s\"",
    "queue-timeout = \"10 s\"",
    "[app.http]",
    "[component.api.allow]",
    "[component.page.deny]",
    "dir = [\"./a::/a\", \"./b::/a\"]",
    "dir = [\"a\",",
    "env = \"A=\u{202e}\"",
    "http = 'https://a.example/**'",
    "[component.api.limits]",
    "memory = \"128MiB\"",
    "memmory = \"128MiB\"",
    "[[http]]",
    "[http]",
    "host = \"*.shop.example\"",
    "route = \"/api/**\"",
    "component = \"api\"",
    "dir = \"./public\"",
    "component.api.limits.memory = 1",
    "= 1",
    "x = {",
    "y = \"\"\"",
    "\u{feff}",
];

fn text() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(
        prop_oneof![9 => select(LINES.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,20}"],
        0..30,
    );
    prop_oneof![4 => lines.prop_map(|lines| lines.join("\n")), 1 => any::<String>(), 1 => "[\\[\\]a-c.=\"'\n#{},0-9 ]{0,60}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_explained(text in text()) {
        match Manifest::parse(&text, "walnut.toml", Path::new("/srv")) {
            Ok(manifest) => prop_assert!(!manifest.app.name.is_empty()),
            Err(errors) => {
                prop_assert!(!errors.errors().is_empty() && errors.count() >= errors.errors().len());
                prop_assert!(errors.errors().is_sorted_by_key(|error| error.line));
                prop_assert!(!errors.to_string().chars().any(|c| is_hidden(c) && c != '\n'), "{}", errors);
                for error in errors.errors() {
                    prop_assert!(error.line <= text.lines().count() + 1, "{}", error);
                    prop_assert!(error.to_string().lines().count() <= 4, "{}", error);
                }
            }
        }
    }

    #[test]
    fn rules_print_as_they_read(host in "(\\*\\.)?[a-z]{1,3}(\\.[a-zA-Z]{1,3}){0,2}", path in "(/([a-z]{0,3}|%[3-7][0-9a-f][a-z.]?|\\.[a-z]{1,2})){1,3}(/\\*\\*)?") {
        let host = HostRule::parse(&host).expect("a host");
        prop_assert_eq!(HostRule::parse(&host.to_string()), Ok(host));
        let path = PathRule::parse(&path).expect("a path");
        prop_assert_eq!(PathRule::parse(&path.to_string()), Ok(path));
    }

    #[test]
    fn what_a_hint_says_to_write_is_accepted(text in "(https?://|GET |)[a-z*.:/%?\\[ ]{0,8}(:80|/\\*|/\\*\\*|)") {
        let examples = |hint: &str| hint.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        if let Err(error) = HostRule::parse(&text) {
            for example in examples(&error.hint).iter().filter(|example| *example != "host") {
                prop_assert!(HostRule::parse(example).is_ok(), "{}: {}", text, error.hint);
            }
        }
        let doubt = PathRule::parse(&text).map(|path| path.doubt());
        if let Err(error) | Ok(Some(error)) = doubt {
            for example in examples(&error.hint).iter().filter(|example| example.starts_with('/')) {
                prop_assert!(PathRule::parse(example).is_ok(), "{}: {}", text, error.hint);
            }
        }
    }

    #[test]
    fn a_route_takes_only_what_is_below_its_letters(rules in prop::collection::vec("(/[ab]{0,1}){1,3}(/\\*\\*)?", 1..6), path in "(/(a|b|\\.|\\.\\.|%2e|\0|)){0,4}") {
        let route = |path: &String| Route {
            host: None,
            path: PathRule::parse(path).expect("a path"),
            target: TargetSpec::Dir("/srv".into()),
            place: SourceSpan::default(),
        };
        let routes: Vec<_> = rules.iter().map(route).collect();
        let covers = |route: &Route| match &route.path {
            PathRule::Exact(exact) => path == *exact,
            PathRule::Below(base) => path == *base || path.starts_with(&format!("{base}/")),
        };
        let length = |route: &Route| match &route.path {
            PathRule::Exact(_) => usize::MAX,
            PathRule::Below(base) => base.len(),
        };
        let expected = routes.iter().filter(|route| covers(route)).map(length).max();
        prop_assert_eq!(Routes::new(&routes).find("", &path).map(|index| length(&routes[index])), expected);
    }
}
