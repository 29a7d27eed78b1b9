//! The admin address: it alone tells about the server.

use crate::{Served, serve, steady};
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, Response, ServeProcess, test_env};

pub const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

pub fn address(server: &ServeProcess) -> SocketAddr {
    let said = server.stderr();
    let line = said.lines().find_map(|line| line.strip_prefix("admin page: http://")).expect("it says where");
    line.trim_end_matches('/').parse().expect("it is an address")
}

#[track_caller]
fn ask(server: &ServeProcess, request: &str) -> Response {
    HttpClient::open(address(server)).expect("it takes a connection").ask(request)
}

#[track_caller]
pub fn get(server: &ServeProcess, path: &str) -> Response {
    ask(server, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
}

/// Waits until the metrics have this line: a request is counted when its response has left, which
/// its client may see first.
#[track_caller]
pub fn counts(server: &ServeProcess, line: &str) {
    let mut text = String::new();
    for _ in 0..200 {
        text = get(server, "/metrics").text();
        if text.lines().any(|l| l == line) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no {line} in:\n{text}");
}

pub fn bad(flags: &[&str]) -> Served {
    serve(RUST_P2_HTTP_BAD, &[&ADMIN, flags].concat())
}

/// The labels of the only component, which has the name of its file.
pub fn labels() -> String {
    let name = RUST_P2_HTTP_BAD.path().file_name().unwrap().to_string_lossy().into_owned();
    format!(r#"app="{name}",component="component""#)
}

#[test]
fn requests_are_counted_by_class_and_cause() {
    let server = bad(&["--cpu", "300ms", "--memory", "32MiB", "--request-body", "1k"]);
    let labels = labels();
    let requests = |class: &str, cause: &str, count: u32| {
        counts(&server, &format!(r#"walnut_requests_total{{{labels},class="{class}",cause="{cause}"}} {count}"#));
    };
    for (path, status, class, cause) in [
        ("/fine", 200, "2xx", "ok"),
        ("/loop", 504, "5xx", "cpu"),
        ("/memory", 500, "5xx", "memory"),
        ("/panic", 500, "5xx", "trap"),
        ("/stack", 500, "5xx", "limit"),
        ("/forget-outparam", 500, "5xx", "no_response"),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
        requests(class, cause, 1);
    }
    server.get("/fine");
    requests("2xx", "ok", 2);
    assert_eq!(server.post("/fine", vec![0; 2000]).status, 413);
    requests("4xx", "too_large", 1);
    for limit in ["cpu", "memory", "stack", "request-body"] {
        counts(&server, &format!(r#"walnut_limits_reached_total{{{labels},limit="{limit}"}} 1"#));
    }
    counts(&server, &format!(r#"walnut_limits_reached_total{{{labels},limit="deadline"}} 0"#));
    counts(&server, &format!("walnut_request_duration_seconds_count{{{labels}}} 8"));
    counts(&server, &format!("walnut_requests_in_flight{{{labels}}} 0"));
    assert_eq!(server.connect().ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    counts(&server, r#"walnut_requests_total{app="",component="",class="4xx",cause="client_error"} 1"#);
}

/// Returns the value of a series.
#[track_caller]
fn value(server: &ServeProcess, series: &str) -> f64 {
    let text = get(server, "/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in:\n{text}"))
}

#[test]
fn what_sandboxes_use_is_counted() {
    let (labels, limits) = (labels(), ["--cpu", "300ms", "--memory", "32MiB"]);
    let memory = format!("walnut_sandbox_memory_peak_bytes{{{labels}}}");
    let cpu = format!("walnut_sandbox_cpu_seconds_total{{{labels}}}");
    // A sandbox that had much memory is not used again.
    for (flags, starts) in [(&["--reuse", "1"], 4), (&["--reuse", "100"], 2)] {
        let server = bad(&[&limits[..], flags].concat());
        counts(&server, &format!("walnut_sandbox_start_seconds_count{{{labels}}} 0"));
        assert_eq!((value(&server, &memory), value(&server, &cpu)), (0.0, 0.0));
        let mut client = server.connect();
        client.get("/fine").is(200, "well behaved\n");
        let small = value(&server, &memory);
        assert!(small > 0.0 && small < 16e6, "{small}");
        client.get("/memory?mib=16").is(200, "touched 16 MiB\n");
        let large = value(&server, &memory);
        assert!(large > f64::from(16 << 20) && large <= f64::from(32 << 20), "{large}");
        client.get("/fine").is(200, "well behaved\n");
        assert_eq!(client.get("/loop").status, 504);
        counts(&server, &format!("walnut_sandbox_start_seconds_count{{{labels}}} {starts}"));
        // All CPU time of the loop, by the same clock.
        let spent = value(&server, &cpu);
        assert!(spent >= 0.3, "{spent}");
        // The metric is the memory that it had, not its limit.
        assert_eq!(client.get("/memory").status, 500);
        let most = value(&server, &memory);
        assert!(most >= large && most <= f64::from(32 << 20), "{most}");
        assert!(value(&server, &cpu) > spent);
    }
}

#[test]
fn what_a_shared_sandbox_uses_is_counted_as_it_goes() {
    let flags = [&ADMIN[..], &["--workers", "1", "--cpu", "300ms"]].concat();
    let server = steady(RUST_P3_HTTP_ECHO, &flags);
    let name = RUST_P3_HTTP_ECHO.path().file_name().unwrap().to_string_lossy().into_owned();
    let labels = format!(r#"app="{name}",component="component""#);
    let cpu = format!("walnut_sandbox_cpu_seconds_total{{{labels}}}");
    let mut client = server.connect();
    assert_eq!(client.get("/count").status, 200);
    let first = value(&server, &cpu);
    assert_eq!(client.get("/count").status, 200);
    assert!(first > 0.0 && value(&server, &cpu) > first, "{first}");
    assert!(value(&server, &format!("walnut_sandbox_memory_peak_bytes{{{labels}}}")) > 0.0);
    assert_eq!(client.get("/loop").status, 504);
    let spent = value(&server, &cpu);
    assert!(spent >= 0.3, "{spent}");
    assert!(value(&server, &format!("walnut_sandbox_start_seconds_count{{{labels}}}")) >= 1.0);
}

#[test]
fn whoever_waits_and_whoever_leaves_is_counted() {
    let server = bad(&["--sandboxes", "1", "--queue", "1", "--deadline", "1h"]);
    let labels = labels();
    let mut first = server.connect();
    first.send("GET /sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    counts(&server, &format!("walnut_sandboxes{{{labels}}} 1"));
    let mut second = server.connect();
    second.send("GET /fine HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    counts(&server, &format!("walnut_requests_waiting{{{labels}}} 1"));
    counts(&server, &format!("walnut_requests_in_flight{{{labels}}} 2"));
    counts(&server, "walnut_connections 2");
    assert_eq!(server.get("/fine").status, 503);
    counts(&server, &format!(r#"walnut_requests_total{{{labels},class="5xx",cause="overloaded"}} 1"#));
    drop(first);
    second.response().is(200, "well behaved\n");
    counts(&server, &format!(r#"walnut_requests_total{{{labels},class="none",cause="abandoned"}} 1"#));
    counts(&server, &format!("walnut_sandboxes{{{labels}}} 0"));
}

#[test]
fn a_sandbox_of_0_3_is_one_for_many_requests() {
    let server = steady(RUST_P3_HTTP_ECHO, &[&ADMIN, ["--workers", "1"].as_slice()].concat());
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            client.send("GET /sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            client
        })
        .collect();
    let name = RUST_P3_HTTP_ECHO.path().file_name().unwrap().to_string_lossy().into_owned();
    counts(&server, &format!(r#"walnut_admission_permits_in_use{{app="{name}",component="component"}} 3"#));
    counts(&server, &format!(r#"walnut_sandboxes{{app="{name}",component="component"}} 1"#));
    drop(clients);
}

#[test]
fn refusals_are_counted_and_told_with_what_would_allow_them() {
    let server = bad(&["--quiet"]);
    (0..3).for_each(|_| drop(server.get("/file?path=/data/a.txt")));
    counts(&server, &format!(r#"walnut_denials_total{{{},capability="dir"}} 3"#, labels()));
    let status: serde_json::Value = serde_json::from_slice(&get(&server, "/status.json").body).unwrap();
    assert_eq!((&status["v"], &status["phase"]), (&1.into(), &"serving".into()));
    let component = &status["components"][0];
    assert_eq!(component["grants"][0], "sealed: it may do nothing but answer");
    assert_eq!(component["routes"][0], "/**");
    let refused = &component["recent_denials"][0];
    assert_eq!(refused["request"], "read /data/a.txt");
    assert_eq!(refused["flag"], "--dir ./data::/data");
    assert_eq!(refused["manifest"], r#"dir = ["./data::/data"]"#);
    assert_eq!(refused["count"], 3);
}

#[test]
fn there_is_no_more_than_it_says() {
    let server = bad(&[]);
    get(&server, "/healthz").is(200, "alive\n");
    get(&server, "/readyz").is(200, "serving\n");
    let page = get(&server, "/");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(page.status == 200 && policy.starts_with("default-src 'none'; "), "{page:?}");
    for path in ["/metrics/", "/fine", "/..", "//", "/status.json/x", "/admin"] {
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
    let head = |method: &str, path: &str| {
        let mut admin = HttpClient::open(address(&server)).unwrap();
        admin.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).unwrap();
        admin.head().unwrap()
    };
    assert_eq!(head("HEAD", "/metrics").status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = head(method, "/metrics");
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    // The served address has none of it.
    assert!(!server.get("/metrics").text().contains("walnut_"));
}

/// A web page can point a name of its own at an address of this machine, so that a browser reads
/// for it.
#[test]
fn another_name_for_this_machine_reads_nothing() {
    let server = bad(&[]);
    for host in [
        "rebound.example",
        "rebound.example:9090",
        "localhost.rebound.example",
        "10.0.0.1",
        "@",
        "user@localhost",
        "localhost@127.0.0.1",
    ] {
        let refused = ask(&server, &format!("GET /status.json HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert_eq!(refused.status, 421, "{host}");
    }
    for host in ["localhost", "LOCALHOST:9090", "127.0.0.1:80", "[::1]:9090"] {
        assert_eq!(ask(&server, &format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n")).status, 200, "{host}");
    }
}

#[test]
fn it_warns_when_others_can_reach_it() {
    let server = serve(RUST_P2_HTTP_BAD, &["--admin", "0.0.0.0:0"]);
    server.says("warning: --admin 0.0.0.0:");
    assert!(!bad(&[]).stderr().contains("warning"));
}

/// While it waits for its apps, it is alive and takes no requests: a supervisor must not restart
/// it.
#[test]
fn a_server_that_starts_is_not_ready_but_lives() {
    let env = test_env!();
    let flags = [&ADMIN[..], &["app.wasm", "--watch"]].concat();
    let waits = ServeProcess::that_waits(&env, Stdio::null(), flags, "nothing is served yet");
    get(&waits, "/readyz").is(503, "starting\n");
    get(&waits, "/healthz").is(200, "alive\n");
    env.file("app.wasm", std::fs::read(RUST_P2_HTTP_HELLO.path()).unwrap());
    let server = waits.when_up();
    let mut ready = get(&server, "/readyz");
    for _ in 0..1000 {
        if ready.status == 200 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        ready = get(&server, "/readyz");
    }
    ready.is(200, "serving\n");
    server.get("/").is(200, "hello from a sealed component\n");
}

/// The address is bound before anything is read, which may take long.
#[test]
fn a_server_tells_that_it_lives_before_it_has_read_what_it_serves() {
    let env = test_env!();
    let waits = ServeProcess::that_waits(&env, Stdio::piped(), [&ADMIN[..], &["-"]].concat(), "admin page: ");
    get(&waits, "/healthz").is(200, "alive\n");
    get(&waits, "/readyz").is(503, "starting\n");
}

#[test]
fn a_server_that_stops_is_not_ready_but_lives() {
    let server = bad(&["--deadline", "1h"]);
    let mut client = server.connect();
    client.send("GET /sleep?ms=2000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    counts(&server, &format!("walnut_sandboxes{{{}}} 1", labels()));
    server.terminate();
    let mut ready = get(&server, "/readyz");
    for _ in 0..100 {
        if ready.status == 503 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        ready = get(&server, "/readyz");
    }
    ready.is(503, "draining\n");
    get(&server, "/healthz").is(200, "alive\n");
    client.response().is(200, "slept 2000 ms\n");
    let Served { server, env: _env } = server;
    let _output = server.wait().succeeds();
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_is_served() {
    let server = bad(&[]);
    let env = test_env!();
    let taken = address(&server).to_string();
    let failed = env.run(["serve", &walnut_test_support::guest(RUST_P2_HTTP_BAD), "--admin", &taken]).exits_with(125);
    let _output =
        failed.says(&format!("cannot listen on {taken}")).says("choose another port with `--admin 127.0.0.1:0`");
}

#[test]
fn slow_and_many_clients_of_the_admin_address_are_let_go() {
    let server = bad(&[]);
    let slow: Vec<_> = (0..64).map(|_| HttpClient::open(address(&server)).unwrap()).collect();
    // It waits until one of them has used up its time.
    get(&server, "/healthz").is(200, "alive\n");
    server.get("/fine").is(200, "well behaved\n");
    assert!(slow.into_iter().all(|mut client| client.is_closed()));
}

/// Messages use the names of app and component.
#[test]
fn two_apps_of_one_name_are_refused() {
    let env = test_env!();
    env.file("api.wasm", std::fs::read(RUST_P2_HTTP_HELLO.path()).unwrap());
    let manifest = |name: &str, route: &str| {
        format!(
            "[app]\nname = \"{name}\"\n[component.api]\nsource = \"../api.wasm\"\n[[http]]\nroute = \"{route}\"\ncomponent = \"api\"\n"
        )
    };
    env.file("one/walnut.toml", manifest("shop", "/one/**"));
    env.file("two/walnut.toml", manifest("shop", "/two/**"));
    let failed = env.run(["serve", "one", "two"]).exits_with(125);
    let _output = failed.says("two/walnut.toml:4: one/walnut.toml has a shop/api too").says("another `name`");
}
