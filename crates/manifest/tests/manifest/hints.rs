//! The reader accepts the text that a hint says to write.

use walnut_manifest::{HostRule, HttpSettings, Manifest, PathRule};

/// Returns the text between backquotes.
fn quoted(hint: &str) -> impl Iterator<Item = &str> {
    hint.split('`').skip(1).step_by(2)
}

#[test]
fn what_is_said_of_hosts_holds() {
    for (text, problem, hint) in [
        ("*", "is every host", "leave `host` out; a route without it is for every host"),
        ("", "is not a host name", "leave `host` out; a route without it is for every host"),
        ("127.0.0.1", "is an address, not a name", "leave `host` out; a route without it is for every host"),
        ("[::1]:80", "is an address, not a name", "leave `host` out; a route without it is for every host"),
        ("10.0.0.1:8080", "is an address, not a name", "leave `host` out; a route without it is for every host"),
        ("shop.test:8080", "has a port, which routes do not look at", "write `shop.test`"),
        ("*.shop.test:80", "has a port, which routes do not look at", "write `*.shop.test`"),
        ("https://shop.test/api", "is more than a host name", "write `shop.test`"),
        ("shop.test/api", "is more than a host name", "write `shop.test`"),
        (
            "sh*p.test",
            "has a `*` that is not the whole first part",
            "write a name, `example.com` or `*.example.com`, or leave `host` out",
        ),
        ("*:80", "has a port, which routes do not look at", "write a name, `example.com` or `*.example.com`"),
    ] {
        let error = HostRule::parse(text).expect_err(text);
        assert_eq!(error.problem, problem, "{text}");
        assert!(error.hint.contains(hint), "{text}: {}", error.hint);
        for example in quoted(&error.hint).filter(|part| *part != "host") {
            HostRule::parse(example).expect(example);
        }
    }
}

#[test]
fn what_is_said_of_routes_holds() {
    const PATHS: &str = "write `/path` for one path, `/path/**` for it and all below it";
    for (text, problem, hint) in [
        ("", "does not begin with `/`", "write `/`"),
        ("api", "does not begin with `/`", "write `/api`"),
        ("*", "does not begin with `/`", "write `/**`"),
        ("**", "does not begin with `/`", "write `/**`"),
        ("api/*", "does not begin with `/`", "write `/api/**`"),
        ("api/**", "does not begin with `/`", "write `/api/**`"),
        ("*.php", "does not begin with `/`", PATHS),
        ("a b", "does not begin with `/`", PATHS),
        ("/api/*", "has a `*` that is not a final `/**`", "write `/api/**`"),
        ("/api*", "has a `*` that is not a final `/**`", "write `/api/**`"),
        ("/a/*/b", "has a `*` that is not a final `/**`", PATHS),
        ("GET /api", "has a method, and a route is for all of them", "write `/api`"),
        ("GET,HEAD /api/*", "has a method, and a route is for all of them", "write `/api/**`"),
        ("shop.test/api", "does not begin with `/`", "write `/shop.test/api`"),
    ] {
        let error = PathRule::parse(text).expect_err(text);
        assert_eq!((error.problem.as_str(), error.hint.as_str()), (problem, hint), "{text}");
        for example in quoted(&error.hint) {
            PathRule::parse(example).expect(example);
        }
    }
}

#[test]
fn paths_that_no_client_asks_for_are_refused() {
    for (text, problem) in [
        ("/api/../x", "has `.` or `..`, which clients work out before they ask"),
        ("/./**", "has `.` or `..`, which clients work out before they ask"),
        ("/a/%2e%2E/x", "has `.` or `..`, which clients work out before they ask"),
    ] {
        assert_eq!(PathRule::parse(text).expect_err(text).problem, problem, "{text}");
    }
    for text in ["/...", "/.well-known/**", "/a..b", "/%25", "/%61/.b"] {
        PathRule::parse(text).expect(text);
    }
}

#[test]
fn routes_that_hardly_mean_what_they_say_are_doubted() {
    for (text, hint) in [
        ("/users/{id}", "write `/users/**`; the component is told the whole path"),
        ("/api/:id/posts/**", "write `/api/**`; the component is told the whole path"),
        ("/<name>", "write `/**`; the component is told the whole path"),
        ("//d/**", "write `/d/**`, if that is what you mean"),
        ("/a//b", "write `/a/b`, if that is what you mean"),
    ] {
        let doubt = PathRule::parse(text).expect(text).doubt().expect(text);
        assert_eq!(doubt.hint, hint, "{text}");
        PathRule::parse(quoted(&doubt.hint).next().expect("one")).expect(text);
    }
    for text in ["/%zz/**", "/100%", "/%e/x"] {
        let doubt = PathRule::parse(text).expect(text).doubt().expect(text);
        assert_eq!(doubt.hint, "write `%25` if you mean the sign itself", "{text}");
    }
    for text in ["/", "/**", "/api/", "/a:b", "/:", "/{}", "/v1:batch", "/:8080"] {
        assert_eq!(PathRule::parse(text).expect(text).doubt(), None, "{text}");
    }
}

#[test]
fn what_is_said_of_a_url_as_a_route_holds() {
    for (text, hint) in [
        ("https://shop.test/api", "write `host = \"shop.test\"` and `route = \"/api\"`"),
        ("https://shop.test", "write `host = \"shop.test\"` and `route = \"/\"`"),
        ("https://shop.test:8443/*", "write `host = \"shop.test\"` and `route = \"/**\"`"),
        ("http://127.0.0.1:8080/api", "write `route = \"/api\"`"),
    ] {
        let error = PathRule::parse(text).expect_err(text);
        assert_eq!((error.problem.as_str(), error.hint.as_str()), ("is a URL, not a path", hint), "{text}");
        let lines = quoted(&error.hint).collect::<Vec<_>>().join("\n");
        let text = format!("app.name = 'shop'\n[[http]]\n{lines}\ndir = 'public'\n");
        Manifest::parse(&text, "walnut.toml", "/srv/shop".as_ref()).expect(&lines);
    }
}

#[test]
fn keys_that_moved_are_accepted_where_the_hint_says() {
    let rest = "[[http]]\nroute = '/'\ncomponent = 'a'\n";
    for line in ["reuse = 100", "sandboxes = 0x10", "queue = 0", "patience = '1 s'", "patience = 5", "reuse = -1"] {
        let text = format!("[app]\nname = 'shop'\n[component.a]\nsource = 'a.wasm'\n{line}\n{rest}");
        let errors = Manifest::parse(&text, "walnut.toml", "/srv/shop".as_ref()).expect_err(line);
        let [error] = errors.errors() else { panic!("{errors}") };
        let hint: Vec<_> = quoted(&error.hints[0]).collect();
        let [key, "[[http]]", "[app.http]"] = hint[..] else { panic!("{hint:?}") };
        for text in [
            format!("[app]\nname = 'shop'\n[component.a]\nsource = 'a.wasm'\n{rest}{key}\n"),
            format!("[app]\nname = 'shop'\n[app.http]\n{key}\n[component.a]\nsource = 'a.wasm'\n{rest}"),
        ] {
            let manifest = Manifest::parse(&text, "walnut.toml", "/srv/shop".as_ref()).expect(key);
            assert_ne!(manifest.http.settings("a"), HttpSettings::default(), "{key}");
        }
    }
}
