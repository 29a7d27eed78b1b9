//! Apps are replaced while requests come in, and stay when the new version is wrong.

use crate::admin::{ADMIN, counts};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use walnut_test_programs::*;
use walnut_test_support::{Http2, ServeProcess, TestEnv, certificate_and_key, request, test_env};

const HELLO: &str = "hello from a sealed component\n";
const KEPT: &str = "the previous version is still served";
const RELOADED: &str = "reloaded app.wasm";

fn bytes(guest: Guest) -> Vec<u8> {
    fs::read(guest.path()).unwrap()
}

/// Returns the guest with a custom section at its end that means nothing.
fn variant(guest: Guest, name: u8) -> Vec<u8> {
    let mut bytes = bytes(guest);
    bytes.extend([0, 2, 1, name]);
    bytes
}

/// Replaces a file atomically.
fn put(env: &TestEnv, path: &str, content: impl AsRef<[u8]>) {
    let new = env.file("new", content);
    fs::rename(new, env.path(path)).unwrap();
}

/// Serves `app.wasm`, which is `guest` at first.
fn serve(env: &TestEnv, guest: Guest, flags: &[&str]) -> ServeProcess {
    env.file("app.wasm", bytes(guest));
    ServeProcess::of_apps(env, [&["app.wasm"], flags].concat())
}

#[test]
fn a_hangup_takes_what_changed() {
    let env = test_env!();
    let server = serve(&env, RUST_P2_HTTP_HELLO, &ADMIN);
    let mut client = server.connect();
    client.get("/method").is(200, HELLO);
    put(&env, "app.wasm", bytes(RUST_P2_HTTP_ECHO));
    client.get("/method").is(200, HELLO);
    server.hang_up();
    server.says(RELOADED);
    client.get("/method").is(200, "GET /method\n");
    // Files are looked at only on request.
    server.hang_up();
    server.says("reloaded; no file has changed");
    counts(&server, r#"walnut_reloads_total{outcome="ok"} 2"#);
    counts(&server, r#"walnut_reloads_total{outcome="failed"} 0"#);
    // A component that is served anew goes on counting.
    let requests = r#"walnut_requests_total{app="app.wasm",component="component",class="2xx",cause="ok"} 3"#;
    counts(&server, requests);
    let _output = server.stop().exits_with(0);
}

#[test]
fn what_is_broken_leaves_the_one_from_before() {
    let env = test_env!();
    let server = serve(&env, RUST_P2_HTTP_HELLO, &ADMIN);
    let half = bytes(RUST_P2_HTTP_ECHO);
    let broken: [(&[u8], &str); 3] = [
        (&half[..half.len() / 2], "error: app.wasm is damaged"),
        (b"", "error: app.wasm is not WebAssembly: it is empty"),
        (&bytes(RUST_P2_HELLO), "error: app.wasm cannot be served: it is a command, not an HTTP service"),
    ];
    for (nth, (content, why)) in broken.into_iter().enumerate() {
        put(&env, "app.wasm", content);
        server.hang_up();
        server.says_times(KEPT, nth + 1);
        server.says(why);
        server.get("/method").is(200, HELLO);
    }
    fs::remove_file(env.path("app.wasm")).unwrap();
    server.hang_up();
    server.says_times(KEPT, broken.len() + 1);
    server.says("error: there is no file app.wasm");
    server.get("/method").is(200, HELLO);
    put(&env, "app.wasm", half);
    server.hang_up();
    server.says(RELOADED);
    server.get("/method").is(200, "GET /method\n");
    counts(&server, r#"walnut_reloads_total{outcome="failed"} 4"#);
    counts(&server, r#"walnut_reloads_total{outcome="ok"} 1"#);
}

fn manifest(name: &str, more: &str) -> String {
    format!("[app]\nname = \"{name}\"\n[component.web]\nsource = \"web.wasm\"\n{more}")
}

const ROUTE: &str = "[[http]]\nroute = \"/**\"\ncomponent = \"web\"\n";

#[test]
fn a_manifest_is_read_again_with_all_that_it_names() {
    let env = test_env!();
    for app in ["one", "two"] {
        put(&env, "walnut.toml", manifest(app, &ROUTE.replace('*', app)));
        env.file(&format!("{app}/web.wasm"), bytes(RUST_P2_HTTP_BAD));
        fs::rename(env.path("walnut.toml"), env.path(&format!("{app}/walnut.toml"))).unwrap();
    }
    let exact = |route: &str| ROUTE.replace("/**", route);
    put(&env, "one/walnut.toml", manifest("one", &exact("/env")));
    put(&env, "two/walnut.toml", manifest("two", &exact("/two")));
    let server = ServeProcess::of_apps(&env, ["one", "two"]);
    server.get("/env").is(200, "\n");
    let wrong = [
        (manifest("one", "[[htp]]\n"), "did you mean `http`?"),
        (manifest("one", &exact("/two")), "two/walnut.toml:6: one/walnut.toml serves /two too"),
        (manifest("two", &exact("/env")), "two/walnut.toml:4: one/walnut.toml has a two/web too"),
        (manifest("one", &exact("/env")).replace("web.wasm", "none.wasm"), "there is no file one/none.wasm"),
    ];
    for (nth, (text, why)) in wrong.iter().enumerate() {
        put(&env, "one/walnut.toml", text);
        server.hang_up();
        server.says_times(KEPT, nth + 1);
        server.says(why);
        server.get("/env").is(200, "\n");
    }
    let more = format!("[component.web.allow]\nenv = \"A=1\"\n{}sandboxes = 3\n", exact("/env"));
    put(&env, "one/walnut.toml", manifest("one", &more));
    server.hang_up();
    server.says("reloaded one/walnut.toml\n  /env  one/web  env = A\n");
    server.get("/env").is(200, "A=1\n");
    server.get("/two").is(200, "well behaved\n");
    let said = server.stop();
    assert!(!said.stderr.contains("reloaded two"), "{said}");
}

#[test]
fn watched_files_are_taken_when_they_change_and_are_whole() {
    let env = test_env!();
    env.file("web.wasm", bytes(RUST_P2_HTTP_HELLO));
    env.file("walnut.toml", manifest("shop", ROUTE));
    let server = ServeProcess::of_apps(&env, [".", "--watch"]);
    server.get("/method").is(200, HELLO);
    // Half of a file stays half for longer than the interval of polls.
    let whole = bytes(RUST_P2_HTTP_ECHO);
    env.file("web.wasm", &whole[..whole.len() / 2]);
    server.says_times(KEPT, 1);
    server.get("/method").is(200, HELLO);
    env.file("web.wasm", &whole);
    server.says_times("reloaded ./walnut.toml", 1);
    server.get("/method").is(200, "GET /method\n");
    // A file that only the new manifest names is watched, too.
    env.file("other.wasm", b"not yet");
    env.file("walnut.toml", manifest("shop", ROUTE).replace("web.wasm", "other.wasm"));
    server.says_times(KEPT, 2);
    server.get("/method").is(200, "GET /method\n");
    put(&env, "other.wasm", bytes(RUST_P3_HTTP_HELLO));
    server.says_times("reloaded ./walnut.toml", 2);
    server.get("/method").is(200, HELLO);
    let _output = server.stop().exits_with(0);
}

const FOLDER: &str = "[app]\nname = \"site\"\n[[http]]\nroute = \"/**\"\ndir = \"public\"\n";

#[test]
fn a_watched_folder_is_taken_when_another_is_in_its_place() {
    let env = test_env!();
    env.file("walnut.toml", FOLDER);
    env.file("public/a.txt", "first");
    let server = ServeProcess::of_apps(&env, [".", "--watch"]);
    server.get("/a.txt").is(200, "first");
    let put = |to: &str, text: &str| env.file(&format!("{to}/a.txt"), text);
    // Removed, and another one is put there.
    put("next", "second");
    fs::remove_dir_all(env.path("public")).unwrap();
    fs::rename(env.path("next"), env.path("public")).unwrap();
    server.says_times("reloaded ./walnut.toml", 1);
    server.get("/a.txt").is(200, "second");
    // A link to one folder, and then to another.
    put("versions/3", "third");
    put("versions/4", "fourth");
    fs::remove_dir_all(env.path("public")).unwrap();
    symlink("versions/3", env.path("public")).unwrap();
    server.says_times("reloaded ./walnut.toml", 2);
    server.get("/a.txt").is(200, "third");
    symlink("versions/4", env.path("link")).unwrap();
    fs::rename(env.path("link"), env.path("public")).unwrap();
    server.says_times("reloaded ./walnut.toml", 3);
    server.get("/a.txt").is(200, "fourth");
    // Missing for long enough to be noticed.
    fs::remove_file(env.path("public")).unwrap();
    server.says_times(KEPT, 1);
    server.get("/a.txt").is(200, "fourth");
    put("public", "fifth");
    server.says_times("reloaded ./walnut.toml", 4);
    server.get("/a.txt").is(200, "fifth");
}

/// A mounted folder is opened once for each version of a component.
#[test]
fn a_watched_mount_is_taken_when_another_is_in_its_place() {
    let env = test_env!();
    env.file("app/web.wasm", bytes(RUST_P2_HTTP_BAD));
    let grant = "[component.web.allow]\ndir = \"data::/data\"\n";
    env.file("app/walnut.toml", manifest("app", &[grant, ROUTE].concat()));
    let alone = ["app/web.wasm", "--dir", "app/data::/data"];
    for flags in [&["app"][..], &alone] {
        let put = |to: &str, text: &str| env.file(&format!("app/{to}/a.txt"), text);
        put("data", "first");
        let server = ServeProcess::of_apps(&env, [flags, &["--watch"]].concat());
        let read = || server.get("/file?path=/data/a.txt");
        read().is(200, "first");
        // A change in it is visible at once, without a new version.
        put("data", "changed");
        read().is(200, "changed");
        put("next", "second");
        fs::remove_dir_all(env.path("app/data")).unwrap();
        fs::rename(env.path("app/next"), env.path("app/data")).unwrap();
        server.says_times("reloaded app/w", 1);
        read().is(200, "second");
        fs::remove_dir_all(env.path("app/data")).unwrap();
        server.says_times(KEPT, 1);
        put("data", "third");
        server.says_times("reloaded app/w", 2);
        read().is(200, "third");
        let _output = server.stop().exits_with(0);
        // A start waits for it as well.
        fs::remove_dir_all(env.path("app/data")).unwrap();
        let mend = || _ = put("data", "fourth");
        let server = ServeProcess::of_mended_apps(&env, [flags, &["--watch"]].concat(), "nothing is served yet", mend);
        server.get("/file?path=/data/a.txt").is(200, "fourth");
    }
}

#[test]
fn what_is_wrong_at_a_watched_start_may_be_put_right() {
    let env = test_env!();
    env.file("walnut.toml", FOLDER);
    let missing = "there is no folder ./public";
    let _ = env.run(["serve", "--addr", "127.0.0.1:0", "."]).exits_with(127).says(missing);
    let mend = || {
        env.file("public/a.txt", "text");
    };
    let server = ServeProcess::of_mended_apps(&env, [".", "--watch"], "nothing is served yet", mend);
    server.says(missing);
    server.get("/a.txt").is(200, "text");
    // Wrong flags end the process even with `--watch`.
    let flags = ["serve", "--addr", "127.0.0.1:0", "--watch", "--env", "A=1", "."];
    let _ = env.run(flags).exits_with(2).says("grants on the command line apply to a component by itself");
}

#[test]
fn standard_input_is_read_once() {
    let env = test_env!();
    env.file("shop/web.wasm", bytes(RUST_P2_HTTP_ECHO));
    env.file("shop/walnut.toml", manifest("shop", &ROUTE.replace("/**", "/method")));
    let server = ServeProcess::of_input(&env, RUST_P2_HTTP_HELLO, ["shop"]);
    put(&env, "shop/web.wasm", bytes(RUST_P3_HTTP_HELLO));
    server.get("/method").is(200, "GET /method\n");
    server.hang_up();
    server.says("standard input cannot be read again; the component from it stays");
    server.get("/").is(200, HELLO);
    server.get("/method").is(200, HELLO);
}

/// Asks for `target` again and again on one connection, until it is told to stop.
fn asks(server: &ServeProcess, target: &str, answers: &AtomicUsize, stop: &AtomicBool) {
    let mut client = server.connect();
    while !stop.load(Relaxed) {
        client.get(target).is(200, HELLO);
        answers.fetch_add(1, Relaxed);
    }
}

/// The same over HTTP/2, whose streams share a connection.
fn asks_over_http_2(mut client: Http2, answers: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        for answer in client.ask_all((0..3).map(|_| request("GET", "/"))) {
            answer.is(200, HELLO);
            answers.fetch_add(1, Relaxed);
        }
    }
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request() {
    let secure = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    for (guest, reuse, tls) in [
        (RUST_P2_HTTP_HELLO, "1", &[][..]),
        (RUST_P2_HTTP_HELLO, "50", &[]),
        (RUST_P3_HTTP_HELLO, "1", &[]),
        (RUST_P2_HTTP_HELLO, "1", &secure),
    ] {
        let env = test_env!();
        let (certificate, key) = certificate_and_key();
        env.file("cert.pem", certificate);
        env.file("key.pem", key);
        // Requests of both versions need permits, and wait for them.
        let flags = ["--access-log", "off", "--sandboxes", "3", "--workers", "2", "--reuse", reuse];
        let server = serve(&env, guest, &[&flags, tls].concat());
        let (answers, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (mut before, mut after) = (None, None);
        thread::scope(|scope| {
            let mut clients = Vec::new();
            let over_http_2 = |client| scope.spawn(|| asks_over_http_2(client, &answers, &stop));
            if tls.is_empty() {
                clients.extend((0..4).map(|_| scope.spawn(|| asks(&server, "/", &answers, &stop))));
                clients.push(over_http_2(Http2::open(server.address()).unwrap()));
            } else {
                clients.extend((0..2).map(|_| over_http_2(Http2::over_tls(server.address(), certificate).unwrap())));
            }
            for nth in 1..=100 {
                // Each version answers at least one request.
                let seen = answers.load(Relaxed);
                while answers.load(Relaxed) < seen + 6 && clients.iter().all(|client| !client.is_finished()) {
                    thread::yield_now();
                }
                put(&env, "app.wasm", variant(guest, b'a' + u8::from(nth % 2 == 0)));
                server.hang_up();
                server.says_times(RELOADED, nth);
                if nth == 25 {
                    before = server.resident();
                }
            }
            after = server.resident();
            stop.store(true, Relaxed);
        });
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after < before + (24 << 20), "{before} bytes grew to {after}");
        }
        let said = server.stop();
        assert!(!said.stderr.contains("error"), "{said}");
    }
}

#[test]
fn a_hundred_changes_of_manifests_and_components_under_load_fail_no_request_of_any_app() {
    let env = test_env!();
    let route = |app: &str, sandboxes: usize| {
        manifest(app, &format!("{}sandboxes = {sandboxes}\n", ROUTE.replace("/**", &format!("/{app}"))))
    };
    for app in ["one", "two"] {
        env.file(&format!("{app}/web.wasm"), bytes(RUST_P2_HTTP_HELLO));
        env.file(&format!("{app}/walnut.toml"), route(app, 3));
    }
    let server = ServeProcess::of_apps(&env, ["one", "two", "--access-log", "off", "--workers", "2"]);
    let (answers, stop) = ([AtomicUsize::new(0), AtomicUsize::new(0)], AtomicBool::new(false));
    thread::scope(|scope| {
        let targets = ["/one", "/two", "/one", "/two"].into_iter().zip(answers.iter().cycle());
        let clients: Vec<_> =
            targets.map(|(target, answers)| scope.spawn(|| asks(&server, target, answers, &stop))).collect();
        for nth in 0..100 {
            // Each version of either app answers at least one request.
            let seen = answers.each_ref().map(|answers| answers.load(Relaxed) + 3);
            let is_seen = || answers.iter().zip(seen).all(|(answers, seen)| answers.load(Relaxed) >= seen);
            while !is_seen() && clients.iter().all(|client| !client.is_finished()) {
                thread::yield_now();
            }
            let app = ["one", "two"][nth / 2 % 2];
            match nth % 2 {
                0 => put(&env, &format!("{app}/walnut.toml"), route(app, 4 + nth / 4 % 2)),
                _ => put(
                    &env,
                    &format!("{app}/web.wasm"),
                    variant(RUST_P2_HTTP_HELLO, b'a' + u8::from(nth / 4 % 2 == 0)),
                ),
            }
            server.hang_up();
            server.says_times("reloaded ", nth + 1);
        }
        stop.store(true, Relaxed);
    });
    let said = server.stop();
    assert!(!said.stderr.contains("error"), "{said}");
}

#[test]
fn an_answer_under_way_ends_where_it_began() {
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let env = test_env!();
        let server = serve(&env, guest, &[]);
        let mut client = server.connect();
        client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        client.send_chunk("before").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(client.chunk().unwrap(), b"BEFORE");
        put(&env, "app.wasm", bytes(RUST_P2_HTTP_HELLO));
        server.hang_up();
        server.says(RELOADED);
        server.get("/").is(200, HELLO);
        client.send_chunk("after").unwrap();
        assert_eq!(client.chunk().unwrap(), b"AFTER");
        client.send("0\r\n\r\n").unwrap();
        assert_eq!(client.chunk().unwrap(), b"");
        client.fields().unwrap();
        client.get("/").is(200, HELLO);
    }
}

/// Closing the terminal ends the server.
#[test]
fn a_closed_terminal_ends_it() {
    let env = test_env!();
    env.file("app.wasm", bytes(RUST_P2_HTTP_HELLO));
    let script = env.file("closes.py", CLOSES);
    let walnut = env.command();
    let mut command = Command::new("python3");
    command.arg(script).arg(walnut.get_program()).current_dir(env.dir()).env("WALNUT_CACHE_DIR", env.cache());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "exit code 0\n", "{output:?}");
}

/// Serves on a terminal of its own, and closes the terminal once the server is up.
const CLOSES: &str = r#"
import os, pty, sys
inner, outer = pty.openpty()[::-1]
child = os.fork()
if child == 0:
    os.close(outer)
    os.login_tty(inner)
    os.execv(sys.argv[1], [sys.argv[1], "serve", "--addr", "127.0.0.1:0", "app.wasm"])
os.close(inner)
said = b""
while b"sealed" not in said:
    said += os.read(outer, 1000)
os.close(outer)
print("exit code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;
