//! Apps: what a manifest says is what is served.

use std::fmt::Write;
use walnut_test_programs::{RUST_P2_HTTP_ECHO, RUST_P2_HTTP_HELLO};
use walnut_test_support::{ServeProcess, TestEnv, guest, test_env};

const HELLO: &str = "hello from a sealed component\n";

/// An app in its own folder: a hello for everything, an echo below `/echo` and on a host of its own.
fn app(env: &TestEnv, name: &str, more: &str) {
    let (hello, echo) = (guest(RUST_P2_HTTP_HELLO), guest(RUST_P2_HTTP_ECHO));
    let manifest = format!(
        "[app]\nname = \"{name}\"\n[component.hello]\nsource = \"{hello}\"\n[component.echo]\nsource = \"{echo}\"\n{more}"
    );
    env.file(&format!("{name}/walnut.toml"), manifest);
}

const ROUTES: &str = "[[http]]\nroute = \"/**\"\ncomponent = \"hello\"\n\
    [[http]]\nroute = \"/method/**\"\ncomponent = \"echo\"\n\
    [[http]]\nhost = \"echo.example\"\nroute = \"/**\"\ncomponent = \"echo\"\n";

/// The app that the README tells people to copy.
const SHOP: &str = include_str!("../../../../examples/shop/walnut.toml");
const PAGE: &str = include_str!("../../../../examples/shop/public/index.html");

fn shop(env: &TestEnv, manifest: &str) {
    env.file("shop/walnut.toml", manifest);
    env.file("shop/public/index.html", PAGE);
    env.file("shop/greeter.wat", include_str!("../../../../examples/shop/greeter.wat"));
}

fn ask(server: &ServeProcess, host: &str, path: &str) -> String {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).unwrap();
    client.response().text()
}

#[test]
fn the_narrowest_route_answers() {
    let env = test_env!();
    app(&env, "shop", ROUTES);
    let server = ServeProcess::of_apps(&env, ["shop"]);
    assert_eq!(ask(&server, "test", "/"), HELLO);
    assert_eq!(ask(&server, "test", "/methods"), HELLO);
    assert_eq!(ask(&server, "test", "/method"), "GET /method\n");
    assert_eq!(ask(&server, "ECHO.example:80", "/method"), "GET /method\n");
    assert_ne!(ask(&server, "ECHO.example:80", "/"), HELLO);
    server.says("shop/hello  sealed: it may do nothing but answer");
    assert!(!server.stderr().contains("no route leads"), "{}", server.stderr());
}

#[test]
fn apps_are_served_together_and_what_no_route_is_for_is_not_found() {
    let env = test_env!();
    app(&env, "one", "[[http]]\nroute = \"/one\"\ncomponent = \"hello\"\n");
    app(&env, "two", "[[http]]\nroute = \"/method\"\ncomponent = \"echo\"\n");
    let server = ServeProcess::of_apps(&env, ["one", "two/walnut.toml"]);
    assert_eq!(ask(&server, "test", "/one"), HELLO);
    assert_eq!(ask(&server, "test", "/method"), "GET /method\n");
    server.get("/other").is(404, "nothing is served here\n");
    // Each of the two has a component that nobody can ask.
    server.says("one/walnut.toml: no route leads to [component.echo], so nobody can ask it");
    server.says("two/walnut.toml: no route leads to [component.hello], so nobody can ask it");
}

/// Each may have a hundred sandboxes, and the address space has no room for so many.
#[test]
fn an_app_may_have_hundreds_of_components() {
    let env = test_env!();
    let hello = guest(RUST_P2_HTTP_HELLO);
    let mut manifest = "[app]\nname = \"many\"\n".to_owned();
    for n in 0..300 {
        let _ = writeln!(manifest, "[component.c{n}]\nsource = \"{hello}\"");
        let _ = writeln!(manifest, "[[http]]\nroute = \"/{n}\"\ncomponent = \"c{n}\"");
    }
    env.file("many/walnut.toml", manifest);
    let server = ServeProcess::of_apps(&env, ["many"]);
    for n in [0, 150, 299] {
        server.get(&format!("/{n}")).is(200, HELLO);
    }
    server.get("/300").is(404, "nothing is served here\n");
}

#[test]
fn a_component_has_the_limits_of_its_manifest() {
    let env = test_env!();
    app(&env, "shop", &format!("[component.echo.limits]\nrequest-body = \"4B\"\n{ROUTES}"));
    let server = ServeProcess::of_apps(&env, ["shop"]);
    assert_eq!(server.post("/method", "12345").status, 413);
    assert_eq!(server.post("/method", "1234").status, 200);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_served() {
    let env = test_env!();
    app(&env, "one", ROUTES);
    app(&env, "two", ROUTES);
    app(&env, "files", "[[http]]\nroute = \"/**\"\ndir = \"./public\"\n");
    app(&env, "wrong", "[[htp]]\n[[http]]\nroute = \"x\"\ncomponent = \"helo\"\n");
    env.folder("empty");
    let refused = |args: &[&str]| env.run([&["serve", "--addr", "127.0.0.1:0"], args].concat());
    let _ = refused(&["one", "two"]).exits_with(125).says("one/walnut.toml and two/walnut.toml both serve /**");
    let files = refused(&["files"]).exits_with(127).says("files/walnut.toml:8: `dir`: there is no folder files/public");
    let _ = files.says("a relative `dir` begins at the folder of its walnut.toml");
    // What is not there is told at once as well, with the line that names it, of all that is to be served.
    let absent = "[app]\nname = \"absent\"\n[component.a]\nsource = \"a.wasm\"\n[component.b]\nsource = \"b.wasm\"\n";
    let absent_routes = "[[http]]\nroute = \"/a\"\ncomponent = \"a\"\n[[http]]\nroute = \"/b\"\ncomponent = \"b\"\n";
    env.file("absent/walnut.toml", format!("{absent}{absent_routes}[[http]]\nroute = \"/**\"\ndir = \"c\"\n"));
    env.file("bytes/walnut.toml", b"\xff\xfe");
    let absent = refused(&["absent", "bytes"]).exits_with(127);
    let absent = absent.says("absent/walnut.toml:4: `source`: there is no file absent/a.wasm");
    let absent = absent.says("absent/walnut.toml:6: `source`: there is no file absent/b.wasm");
    let absent = absent.says("absent/walnut.toml:14: `dir`: there is no folder absent/c");
    let _ = absent.says("bytes/walnut.toml is not text in UTF-8").says("begins at the folder of its walnut.toml");
    // Of what is there too.
    let [a, b] = ["a", "b"].map(|name| {
        let routes = format!("[[http]]\nroute = \"/{name}\"\ncomponent = \"{name}\"\n");
        format!("[component.{name}]\nsource = \"run.wat\"\nallow.dir = \"no-{name}::/x\"\n{routes}")
    });
    env.file("unfit/run.wat", "(module (func (export \"_start\")))");
    env.file("unfit/walnut.toml", format!("[app]\nname = \"unfit\"\n{a}{b}"));
    let unfit = refused(&["unfit"]);
    let unfit = unfit.says("error: unfit/a: the folder unfit/no-a cannot be mounted at /x");
    let _ = unfit.says("error: unfit/b: the folder unfit/no-b cannot be mounted at /x").exits_with(125);
    let _ = refused(&["one", "--env", "HOME"]).exits_with(2).says("are for a component by itself, not for an app");
    let _ = refused(&["empty"]).exits_with(127).says("there is no empty/walnut.toml");
    let wrong = refused(&["wrong"]).exits_with(125).says("did you mean `http`?");
    let _ = wrong.says("does not begin with `/`").says("did you mean `hello`?");
}

#[test]
fn the_example_app_serves_its_greeting_and_its_page() {
    let env = test_env!();
    shop(&env, SHOP);
    let server = ServeProcess::of_apps(&env, ["shop"]);
    let greeting = server.get("/api/greeting");
    greeting.is(200, HELLO);
    assert_eq!(greeting.header("content-type"), Some("text/plain; charset=utf-8"));
    server.get("/").is(200, PAGE);
    assert!(PAGE.contains("\"/api/greeting\""), "the page asks for what was tried here");
    server.get("/greeter.wat").is(404, "there is no such file\n");
}

#[test]
fn five_mistakes_in_the_example_app_are_told_at_once() {
    let mistakes = [
        // Text is not a number.
        ("name = \"shop\"", "name = 7"),
        // A grant without its port.
        ("source = \"greeter.wat\"", "source = \"greeter.wat\"\nallow.connect = \"db.internal\""),
        // A key that is almost one.
        ("limits.memory", "limits.memry"),
        // A time without its unit.
        ("\"100ms\"", "\"100\""),
        // A component that is almost one.
        ("component = \"greeter\"", "component = \"greter\""),
    ];
    let broken = mistakes.iter().fold(SHOP.to_owned(), |manifest, (right, wrong)| {
        assert!(manifest.contains(right), "the example no longer says {right}");
        manifest.replacen(right, wrong, 1)
    });
    let env = test_env!();
    shop(&env, &broken);
    insta::assert_snapshot!(env.run(["serve", "--addr", "127.0.0.1:0", "shop"]), @r#"
    --- stderr ---
    error: shop/walnut.toml:6: `name` has a whole number where text in quotes should be
       6 | name = 7
         |        ^
      write `name = "shop"`

    shop/walnut.toml:11: `db.internal` has no port
      11 | allow.connect = "db.internal"
         |                 ^^^^^^^^^^^^^
      write `db.internal:443` for one port, `db.internal:8000-8999` for some, `db.internal:*` for all

    shop/walnut.toml:12: unknown key `memry` in [component.greeter.limits]
      12 | limits.memry = "1MiB"
         |        ^^^^^
      did you mean `memory`?

    shop/walnut.toml:13: `100` is not a duration
      13 | limits.cpu = "100"
         |              ^^^^^
      write `500ms`, `2s`, `5m` or `1h`

    shop/walnut.toml:17: there is no component `greter`
      17 | component = "greter"
         |             ^^^^^^^^
      did you mean `greeter`?
    --- exit code 125 ---
    "#);
}
