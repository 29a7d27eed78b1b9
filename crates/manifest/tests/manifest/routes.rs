//! Which route a request takes.

use walnut_manifest::{HostRule, PathRule, Route, Routes, SourceSpan, TargetSpec};

/// Makes routes of lines `HOST PATH`, with `-` for every host. The number of the line is the name
/// of the component.
fn routes(lines: &[&str]) -> Vec<Route> {
    let route = |(at, line): (usize, &&str)| {
        let (host, path) = line.split_once(' ').expect("two words");
        let host = (host != "-").then(|| HostRule::parse(host).expect(host));
        let (path, target) = (PathRule::parse(path).expect(path), TargetSpec::Component(at.to_string()));
        Route { host, path, target, place: SourceSpan::default() }
    };
    lines.iter().enumerate().map(route).collect()
}

/// Checks rows of (host, path, the line that is taken or none).
#[track_caller]
fn check(lines: &[&str], rows: &[(&str, &str, &str)]) {
    // The order of the routes has no meaning.
    let forward = routes(lines);
    let mut backward = forward.clone();
    backward.reverse();
    for routes in [forward, backward] {
        for (host, path, expected) in rows {
            let found = Routes::new(&routes).find(host, path).map(|index| &routes[index].target);
            let line = |target: &TargetSpec| {
                lines.iter().enumerate().find(|(at, _)| *target == TargetSpec::Component(at.to_string()))
            };
            let found = found.and_then(line).map_or("none", |(_, line)| line);
            assert_eq!(found, *expected, "{host} {path}");
        }
    }
}

#[test]
fn the_narrowest_path_is_taken() {
    check(
        &["- /api/**", "- /api/v1/**", "- /api/v1/health", "- /api"],
        &[
            ("a", "/api", "- /api"),
            ("a", "/api/", "- /api/**"),
            ("a", "/api/x", "- /api/**"),
            ("a", "/api/v1", "- /api/v1/**"),
            ("a", "/api/v1/health", "- /api/v1/health"),
            ("a", "/api/v1/health/", "- /api/v1/**"),
            ("a", "/apis", "none"),
            ("a", "/", "none"),
            ("a", "", "none"),
        ],
    );
}

#[test]
fn everything_is_below_the_root() {
    check(&["- /**"], &[("", "/", "- /**"), ("", "/a/b", "- /**"), ("", "", "- /**"), ("", "*", "none")]);
    check(&["- /"], &[("", "/", "- /"), ("", "/a", "none")]);
}

#[test]
fn the_narrowest_host_is_taken() {
    check(
        &["a.shop.example /**", "*.shop.example /**", "*.example /x/**", "- /**"],
        &[
            ("a.shop.example", "/x/y", "a.shop.example /**"),
            ("b.shop.example", "/x/y", "*.shop.example /**"),
            ("a.b.shop.example", "/", "*.shop.example /**"),
            ("shop.example", "/x/y", "*.example /x/**"),
            ("other.example", "/x", "*.example /x/**"),
            // The narrower host has no such path.
            ("other.example", "/z", "- /**"),
            ("example", "/x", "- /**"),
            ("evilshop.example", "/", "- /**"),
            (".shop.example", "/z", "- /**"),
        ],
    );
}

#[test]
fn hosts_compare_without_case_port_and_final_dot() {
    for host in ["SHOP.example", "shop.example.", "shop.example:8080", "Shop.Example.:80", "shop.example:"] {
        check(&["shop.example /**", "- /**"], &[(host, "/", "shop.example /**")]);
    }
    for host in ["shop.example..", "shop.example:80:80", "shop.example:x", "[::1]:80", ":80", ""] {
        check(&["shop.example /**", "- /**"], &[(host, "/", "- /**")]);
    }
}

#[test]
fn nothing_is_normalized() {
    let lines = &["- /admin/**", "- /open/**", "- /**"];
    check(
        lines,
        &[
            ("", "/open/../admin/x", "- /open/**"),
            ("", "/admin/..", "- /admin/**"),
            ("", "/./admin", "- /**"),
            ("", "/%61dmin/x", "- /**"),
            ("", "//admin", "- /**"),
            ("", "/ADMIN", "- /**"),
            ("", "/admin%2fx", "- /**"),
            ("", "/admin\0", "- /**"),
            ("", "/open/%2e%2e/admin", "- /open/**"),
        ],
    );
}
