//! Meaning of a manifest that is read.

use std::path::Path;
use std::time::Duration;
use walnut_manifest::{ComponentSource, HostRule, HttpSettings, Manifest, PathRole, PathRule, SourceSpan, TargetSpec};
use walnut_policy::{Access, Decision, LimitOverrides, Policy, Request};

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
    assert_eq!(api.source, ComponentSource::File("/srv/shop/api.wasm".into()));
    let settings = HttpSettings {
        reuse: Some(1),
        sandboxes: Some(100),
        queue: Some(100),
        queue_timeout: Some(Duration::from_secs(10)),
    };
    assert_eq!(manifest.http.settings("api"), settings);
    // The rest is for other components as well.
    assert_eq!(manifest.http.settings("page"), HttpSettings { queue: Some(100), ..HttpSettings::default() });
    let limits = LimitOverrides {
        memory: Some(128 << 20),
        cpu: Some(Duration::from_millis(500)),
        deadline: Some(Duration::from_secs(5)),
        ..LimitOverrides::default()
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
    let routes = example().http.routes;
    let below = |path: &str| PathRule::Below(path.into());
    let expected = [
        (None, below("/api"), TargetSpec::Component("api".into())),
        (Some(HostRule::Below("shop.example".into())), below("/assets"), TargetSpec::Dir("/srv/shop/public".into())),
        (None, below(""), TargetSpec::Component("page".into())),
    ];
    assert_eq!(routes.into_iter().map(|route| (route.host, route.path, route.target)).collect::<Vec<_>>(), expected);
}

#[test]
fn each_path_and_route_has_its_place() {
    let text = "app.name = 'a'\ncomponent.a.source = './a.wasm'\ncomponent.a.allow.dir = [ 'x::/y', '/z' ]\n\
                http = [{ route = '/**', dir = 'public' }]\n";
    let draft = || Manifest::draft(text, "walnut.toml", Path::new("/srv"));
    let paths = draft().paths;
    let named: Vec<_> = paths.iter().map(|p| (p.role, p.text.as_str(), p.path.to_str().expect("text"))).collect();
    let expected = [
        (PathRole::Source, "./a.wasm", "/srv/a.wasm"),
        (PathRole::Mount, "x::/y", "/srv/x"),
        (PathRole::Mount, "/z", "/z"),
        (PathRole::Folder, "public", "/srv/public"),
    ];
    assert_eq!(named, expected);
    let columns = |places: Vec<&SourceSpan>| {
        let mut report = draft().report;
        places.into_iter().for_each(|place| report.wrong(place, "here", ["mend it".to_owned()]));
        let errors = report.result().expect_err("there are some");
        errors.errors().iter().map(|error| (error.line, error.column)).collect::<Vec<_>>()
    };
    assert_eq!(columns(paths.iter().map(|path| &path.place).collect()), [(2, 22), (3, 27), (3, 36), (4, 32)]);
    let manifest = draft().manifest;
    assert_eq!(columns(vec![&manifest.components[0].place, &manifest.http.routes[0].place]), [(2, 22), (4, 19)]);
}

/// So that whoever looks at files can do so whatever else is wrong.
#[test]
fn what_is_wrong_hides_nothing_of_what_is_right() {
    let text = "[app]\nname = 7\n[component.a]\nsource = 'a.wasm'\nlimits.handles = 0\nallow.dir = ['x::/y', 7]\n\
                [component.b]\n[[http]]\nroute = 'no'\ndir = 'public'\n[[http]]\nroute = '/'\ncomponent = 'c'\n";
    let mut draft = Manifest::draft(text, "walnut.toml", Path::new("/srv"));
    assert_eq!(draft.paths.iter().map(|path| path.text.as_str()).collect::<Vec<_>>(), ["a.wasm", "x::/y", "public"]);
    let names: Vec<_> = draft.manifest.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!((names, draft.manifest.http.routes.len()), (vec!["a"], 1));
    // An error that is found later stands among the rest, and may have several lines.
    let hints = ["did you mean `b.wasm`?".to_owned(), "or\nelse".to_owned()];
    draft.report.wrong(&draft.paths[0].place, "there is no file", hints);
    let errors = draft.report.result().expect_err("much is wrong");
    let lines: Vec<_> = errors.errors().iter().map(|error| error.line).collect();
    assert_eq!(lines, [2, 4, 5, 6, 7, 9, 13]);
    let expected = "walnut.toml:4: there is no file\n   4 | source = 'a.wasm'\n     |          ^^^^^^^^\n  \
                    did you mean `b.wasm`?\n  or\\u{a}else";
    assert_eq!(errors.errors()[1].to_string(), expected);
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
    assert_eq!(manifest.components[0].source, ComponentSource::File("/opt/a.wasm".into()));
    assert_eq!(manifest.http.routes[0].target, TargetSpec::Dir("/var/www".into()));
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

#[test]
fn routes_give_settings_to_their_components() {
    let manifest = read(
        "[app]\nname = 'a'\n[app.http]\nsandboxes = 7\nqueue = 8\n[component.a]\nsource = 'a'\n[component.b]\nsource = 'b'\n\
         [[http]]\nroute = '/a'\ncomponent = 'a'\nqueue = 0\nreuse = 2\n[[http]]\nroute = '/a/**'\ncomponent = 'a'\n\
         reuse = 2\nqueue-timeout = '1s'\n[[http]]\nroute = '/b'\ncomponent = 'b'\n",
    );
    let second = Duration::from_secs(1);
    let expected = |reuse, queue, queue_timeout| HttpSettings { reuse, sandboxes: Some(7), queue, queue_timeout };
    assert_eq!(manifest.http.settings("a"), expected(Some(2), Some(0), Some(second)));
    assert_eq!(manifest.http.settings("b"), expected(None, Some(8), None));
}
