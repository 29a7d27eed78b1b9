//! Apps: what a manifest says is what is served.

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
    let _ = refused(&["one", "--env", "HOME"]).exits_with(2).says("are for a component by itself, not for an app");
    let _ = refused(&["empty"]).exits_with(127).says("there is no empty/walnut.toml");
    let wrong = refused(&["wrong"]).exits_with(125).says("did you mean `http`?");
    let _ = wrong.says("does not begin with `/`").says("did you mean `hello`?");
}
