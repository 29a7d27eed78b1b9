//! What a manifest means.

use std::path::Path;
use std::time::Duration;
use walnut_manifest::{HostRule, Limits, Manifest, PathRule, Route, Target};
use walnut_policy::{Access, Decision, Policy, Request};

fn read(text: &str) -> Manifest {
    Manifest::parse(text, "walnut.toml", Path::new("/srv/shop")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn example() -> Manifest {
    read(include_str!("../../src/example.toml"))
}

fn allows(policy: &Policy, request: Request) -> bool {
    matches!(policy.decide(&request), Decision::Allowed { .. })
}

#[test]
fn the_example_is_read() {
    let manifest = example();
    assert_eq!((manifest.app.name.as_str(), manifest.app.version.as_deref()), ("shop", Some("1.2.0")));
    let api = manifest.component("api").expect("it is there");
    assert_eq!(api.source, Path::new("/srv/shop/api.wasm"));
    assert_eq!((api.reuse, api.sandboxes, api.queue, api.patience), (1, 100, 100, Duration::from_secs(10)));
    let limits = Limits {
        memory: Some(128 << 20),
        cpu: Some(Duration::from_millis(500)),
        deadline: Some(Duration::from_secs(5)),
        ..Limits::default()
    };
    assert_eq!(api.limits, limits);
    let names: Vec<_> = manifest.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["api", "page"]);
}

#[test]
fn grants_and_denials_are_the_policy() {
    let manifest = example();
    let policy = &manifest.component("api").expect("it is there").policy;
    let hosts: Vec<_> = policy.mounts().iter().map(|mount| mount.host.as_path()).collect();
    assert_eq!(hosts, [Path::new("/srv/shop/assets"), Path::new("/srv/shop/state")]);
    let dir = |path: &str, access| Request::Dir { path: path.into(), access };
    assert!(allows(policy, dir("/state/a", Access::Write)));
    assert!(!allows(policy, dir("/assets/a", Access::Write)));
    assert!(allows(policy, Request::Env { name: "MODE".into() }));
    assert!(!allows(policy, Request::Env { name: "HOME".into() }));
    let page = &manifest.component("page").expect("it is there").policy;
    assert!(page.summary().is_empty() && !allows(page, Request::Env { name: "MODE".into() }));
}

#[test]
fn denials_beat_grants() {
    let manifest = read(
        "app.name = \"a\"\ncomponent.a.source = \"a.wasm\"\ncomponent.a.allow.env = [\"A\", \"B\"]\ncomponent.a.deny.env = \"B*\"\n",
    );
    let policy = &manifest.components[0].policy;
    assert!(allows(policy, Request::Env { name: "A".into() }));
    assert!(!allows(policy, Request::Env { name: "B".into() }));
}

#[test]
fn routes_are_read() {
    let routes = example().routes;
    let below = |path: &str| PathRule::Below(path.into());
    let expected = [
        Route { host: None, path: below("/api"), target: Target::Component("api".into()), line: 30 },
        Route {
            host: Some(HostRule::Below("shop.example".into())),
            path: below("/assets"),
            target: Target::Dir("/srv/shop/public".into()),
            line: 35,
        },
        Route { host: None, path: below(""), target: Target::Component("page".into()), line: 39 },
    ];
    assert_eq!(routes, expected);
}

#[test]
fn components_keep_the_order_of_the_file() {
    let text = "app.name = 'a'\ncomponent.z.source = 'z'\ncomponent.a.source = 'a'\ncomponent.m.source = 'm'\n";
    let names: Vec<_> = read(text).components.into_iter().map(|component| component.name).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn absolute_paths_stay() {
    let manifest =
        read("app.name = 'a'\ncomponent.a.source = '/opt/a.wasm'\nhttp = [{ route = '/**', dir = '/var/www' }]\n");
    assert_eq!(manifest.components[0].source, Path::new("/opt/a.wasm"));
    assert_eq!(manifest.routes[0].target, Target::Dir("/var/www".into()));
}

#[test]
fn versions_look_like_semver() {
    for (version, is_right) in [
        ("1.2.0", true),
        ("0.0.1-rc.1+build.5", true),
        ("1.2.0+a-b", true),
        ("1.2", false),
        ("v1.2.0", false),
        ("1.2.0-", false),
        ("1.2.0 ", false),
        ("", false),
    ] {
        let text = format!("app = {{ name = 'a', version = '{version}' }}\ncomponent.a.source = 'a'\n");
        assert_eq!(Manifest::parse(&text, "walnut.toml", Path::new("")).is_ok(), is_right, "{version}");
    }
}

#[test]
fn files_of_other_systems_are_read() {
    let text = include_str!("../../src/example.toml").replace('\n', "\r\n");
    assert_eq!(read(&format!("\u{feff}{text}")).components.len(), 2);
}
