//! Apps: the server serves exactly the content of a manifest.

use std::fmt::Write;
use walnut_test_programs::{RUST_P2_HTTP_BAD, RUST_P2_HTTP_ECHO, RUST_P2_HTTP_HELLO};
use walnut_test_support::{RunOutput, ServeProcess, TestEnv, guest, test_env};

const HELLO: &str = "hello from a sealed component\n";

/// An app in a folder of its own: a hello for everything, an echo below `/echo` and on a host of
/// its own.
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
    // Each of the two has a component that no route leads to.
    server.says("one/walnut.toml: no route leads to [component.echo], so it gets no requests");
    server.says("two/walnut.toml: no route leads to [component.hello], so it gets no requests");
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

/// An engine for several components has room for the largest of them.
#[test]
fn a_component_that_needs_more_than_its_own_memory_is_refused() {
    let env = test_env!();
    let more = "[component.echo.limits]\nmemory = \"64KiB\"\n";
    app(&env, "shop", &format!("{more}{ROUTES}"));
    let wrong = refused(&env, &["shop"]).exits_with(137);
    let wrong = wrong.says("starts with 1088KiB of memory, more than its limit");
    let _ = wrong.says("raise it with `--memory 1088KiB`, or `limits.memory` in walnut.toml");
    app(&env, "shop", &format!("{}{ROUTES}", more.replace("64KiB", "2MiB")));
    let server = ServeProcess::of_apps(&env, ["shop"]);
    assert_eq!(ask(&server, "test", "/method"), "GET /method\n");
}

/// Otherwise its neighbours would find none of the engine's memories free.
#[test]
fn a_component_with_many_memories_has_fewer_sandboxes() {
    let env = test_env!();
    let memories = "(core module $more (memory 1))\n".to_owned() + &"(core instance (instantiate $more))\n".repeat(11);
    let greeter = include_str!("../../../../examples/shop/greeter.wat");
    env.file("many.wat", greeter.replacen("(component", &format!("(component {memories}"), 1));
    let many = ServeProcess::of_apps(&env, ["many.wat"]);
    many.says("many.wat has many memories or tables, so only 16 sandboxes of it run at once, not 100");
    many.get("/").is(200, "hello from a sealed component\n");
    env.file("few.wat", greeter);
    let few = ServeProcess::of_apps(&env, ["few.wat"]);
    assert!(!few.stderr().contains("many memories"), "{}", few.stderr());
}

/// Flags set defaults for keys that a manifest leaves out.
#[test]
fn how_a_component_takes_requests_may_be_said_by_flags() {
    let env = test_env!();
    let bad = guest(RUST_P2_HTTP_BAD);
    env.file(
        "app/walnut.toml",
        format!(
            "[app]\nname = \"app\"\n[component.flags]\nsource = \"{bad}\"\n[component.own]\nsource = \"{bad}\"\n\
             [[http]]\nroute = \"/count\"\ncomponent = \"flags\"\n\
             [[http]]\nhost = \"own\"\nroute = \"/count\"\ncomponent = \"own\"\nreuse = 1\n"
        ),
    );
    let server = ServeProcess::of_apps(&env, ["app", "--reuse", "3"]);
    let counts = |host| [1, 2, 3].map(|_| ask(&server, host, "/count"));
    assert_eq!(counts("test"), ["1\n", "2\n", "3\n"]);
    assert_eq!(counts("own"), ["1\n", "1\n", "1\n"]);
}

fn refused(env: &TestEnv, args: &[&str]) -> RunOutput {
    env.run([&["serve", "--addr", "127.0.0.1:0"], args].concat())
}

#[test]
fn what_is_wrong_is_told_before_anything_is_served() {
    let env = test_env!();
    app(&env, "one", ROUTES);
    app(&env, "files", "[[http]]\nroute = \"/**\"\ndir = \"./public\"\n");
    app(&env, "wrong", "[[htp]]\n[[http]]\nroute = \"x\"\ncomponent = \"helo\"\n");
    env.folder("empty");
    let files = refused(&env, &["files"]).exits_with(127);
    let _ = files.says(
        "files/walnut.toml:9: there is no folder files/public\n   9 | dir = \"./public\"\n     |       ^^^^^^^^^^\n  \
         make it, as with `mkdir files/public`; relative paths begin at the folder of this file\n",
    );
    let grants = refused(&env, &["one", "--env", "HOME"]).exits_with(2);
    let _ = grants.says("apply to a component by itself, not to an app");
    let _ = refused(&env, &["empty"]).exits_with(127).says("there is no empty/walnut.toml");
    let wrong = refused(&env, &["wrong"]).exits_with(125).says("did you mean `http`?");
    let _ = wrong.says("does not begin with `/`").says("did you mean `hello`?");
}

/// All errors of all targets: missing files, components that cannot be served, and conflicts of two
/// apps.
#[test]
fn all_that_is_wrong_with_several_apps_is_told_at_once() {
    let env = test_env!();
    env.file("bytes/walnut.toml", b"\xff\xfe");
    env.file("two/run.wat", "(module (func (export \"_start\")))");
    env.file("two/text.wat", "(module (func)");
    let route = |name: &str| format!("[[http]]\nroute = \"/{name}\"\ncomponent = \"a\"\n");
    let component = |name: &str, source: &str| format!("[component.{name}]\nsource = \"{source}\"\n");
    let app = "[app]\nname = \"same\"\n";
    env.file("one/walnut.toml", [app, &component("a", "../two/run.wat"), &route("a"), &route("b")].concat());
    let mounts = "allow.dir = [\"none::/x\", \"run.wat::/y\"]\n";
    let two = [app, &component("a", "run.wat"), mounts, &component("b", "text.wat"), &route("b"), &route("c")].concat();
    env.file("two/walnut.toml", two);
    insta::assert_snapshot!(refused(&env, &["bytes", "one", "two"]), @r#"
    --- stderr ---
    error: bytes/walnut.toml: line 1 is not text in UTF-8
    hint: save it as UTF-8, or name another file: a manifest is a walnut.toml
    error: one/walnut.toml:4: one/../two/run.wat cannot be served: it is a command, not an HTTP service
       4 | source = "../two/run.wat"
         |          ^^^^^^^^^^^^^^^^
      run it: `walnut run one/../two/run.wat`
    error: two/walnut.toml:4: one/walnut.toml has a same/a too
       4 | source = "run.wat"
         |          ^^^^^^^^^
      give one of the two apps another `name`

    two/walnut.toml:4: two/run.wat cannot be served: it is a command, not an HTTP service
       4 | source = "run.wat"
         |          ^^^^^^^^^
      run it: `walnut run two/run.wat`

    two/walnut.toml:5: there is no folder two/none
       5 | allow.dir = ["none::/x", "run.wat::/y"]
         |              ^^^^^^^^^^
      make it, as with `mkdir two/none`; relative paths begin at the folder of this file

    two/walnut.toml:5: two/run.wat is a file, not a folder
       5 | allow.dir = ["none::/x", "run.wat::/y"]
         |                          ^^^^^^^^^^^^^
      name the folder that it is in

    two/walnut.toml:7: two/text.wat is damaged or not valid WebAssembly: its text does not parse
       7 | source = "text.wat"
         |          ^^^^^^^^^^
      expected `)`
           --> two/text.wat:1:15
            |
          1 | (module (func)
            |               ^

    two/walnut.toml:9: one/walnut.toml serves /b too
       9 | route = "/b"
         |         ^^^^
      give one of the two another `route`, or a `host` of its own
    --- exit code 125 ---
    "#);
}

/// A missing target conflicts with nothing.
#[test]
fn targets_that_are_not_there_or_named_twice_are_told_and_nothing_else() {
    let env = test_env!();
    app(&env, "one", ROUTES);
    app(&env, "two", "[[http]]\nroute = \"/two\"\ncomponent = \"echo\"\n");
    insta::assert_snapshot!(refused(&env, &["one", "twoo"]), @"
    --- stderr ---
    error: there is no file twoo
    hint: did you mean `two`?
    --- exit code 127 ---
    ");
    let absent = refused(&env, &["x.wasm", "y.wasm"]).exits_with(127);
    let absent = absent.says("error: there is no file x.wasm\n").says("error: there is no file y.wasm\n");
    let absent = absent.says("hint: a target is a walnut.toml, a folder with one, a .wasm or .wat file");
    assert_eq!(absent.stderr.matches("error: ").count(), 2, "{absent}");
    insta::assert_snapshot!(refused(&env, &["one", "./one/walnut.toml"]), @"
    --- stderr ---
    error: ./one/walnut.toml is named twice
    hint: name it once; several apps need several walnut.toml files
    --- exit code 2 ---
    ");
}

#[test]
fn a_manifest_that_cannot_be_read_says_what_to_do() {
    let env = test_env!();
    env.folder("folder/walnut.toml");
    env.file("late/walnut.toml", b"[app]\nname = \"late\"\n# \xff\n");
    let folder = refused(&env, &["folder"]).exits_with(125).says("error: folder/walnut.toml cannot be read: ");
    let _ = folder.says("\nhint: ");
    insta::assert_snapshot!(refused(&env, &["late"]), @"
    --- stderr ---
    error: late/walnut.toml: line 3 is not text in UTF-8
    hint: save it as UTF-8, or name another file: a manifest is a walnut.toml
    --- exit code 125 ---
    ");
}

/// Without a flag that was typed, the message names the manifest and the component.
#[test]
fn what_hardly_works_as_it_is_written_is_warned_of_at_the_start() {
    let env = test_env!();
    let routes = ROUTES.replace("/method/**", "/method/{id}");
    app(&env, "shop", &format!("[component.hello.allow]\nenv = [\"WALNUT_UNSET\", \"A=b\"]\n{routes}"));
    let server = ServeProcess::of_apps(&env, ["shop"]);
    server.says("warning: shop/walnut.toml: [component.hello.allow]: the variable `WALNUT_UNSET` is not set here, so hello does not see it\n");
    server.says("warning: shop/walnut.toml:13: the route `/method/{id}` matches `{id}` to the letter");
    server.says("serving ");
    assert_eq!(server.stderr().matches("WALNUT_UNSET").count(), 3, "{}", server.stderr());
    assert!(!server.stderr().contains("--env"), "{}", server.stderr());
}

/// Each would take every request, which only a manifest can change. The proposed manifest works as
/// it is.
#[test]
fn components_by_themselves_are_told_how_to_be_served_together() {
    let env = test_env!();
    for (file, program) in [("hello.wasm", RUST_P2_HTTP_HELLO), ("method.wasm", RUST_P2_HTTP_ECHO)] {
        env.file(file, std::fs::read(program.path()).unwrap());
    }
    let said = refused(&env, &["hello.wasm", "method.wasm"]).exits_with(125);
    let said = said.says("error: hello.wasm and method.wasm would each take every request\n");
    let hint = "hint: write a walnut.toml that gives each its own route, and serve that:\n";
    let (_, manifest) = said.stderr.split_once(hint).unwrap_or_else(|| panic!("{said}"));
    env.file("walnut.toml", manifest);
    let server = ServeProcess::of_apps(&env, ["."]);
    assert_eq!(ask(&server, "test", "/hello"), HELLO);
    assert_eq!(ask(&server, "test", "/method"), "GET /method\n");
    // Next to an app, the app is the one that can change.
    env.file(
        "app/walnut.toml",
        manifest
            .replace("\"hello.wasm", "\"../hello.wasm")
            .replace("method.wasm", "../method.wasm")
            .replace("/hello/**", "/**"),
    );
    let said = refused(&env, &["app", "hello.wasm"]).exits_with(125);
    let _ =
        said.says("app/walnut.toml:11: hello.wasm serves /** too\n").says("give this route a `host`, or another path");
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
        // Text in place of a number.
        ("name = \"shop\"", "name = 7"),
        // A file with a similar name, and a folder that does not exist.
        ("source = \"greeter.wat\"", "source = \"greter.wat\"\nallow.dir = \"./texts::/texts\""),
        // A time without its unit.
        ("\"100ms\"", "\"100\""),
        // A component with a similar name.
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

    shop/walnut.toml:10: there is no file shop/greter.wat
      10 | source = "greter.wat"
         |          ^^^^^^^^^^^^
      did you mean `greeter.wat`?

    shop/walnut.toml:11: there is no folder shop/texts
      11 | allow.dir = "./texts::/texts"
         |             ^^^^^^^^^^^^^^^^^
      make it, as with `mkdir shop/texts`; relative paths begin at the folder of this file

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
