//! Connections to other servers outlive a request's sandbox: they are the component's, and nobody else's.

use crate::{Served, serve};
use walnut_test_programs::RUST_P2_HTTP_BAD;
use walnut_test_support::{ServeProcess, TestEnv, Upstream, guest, test_env};

#[track_caller]
fn sends(server: &ServeProcess, upstream: &Upstream, path: &str) {
    server.get(&format!("/outbound?url=http://{}{path}", upstream.address())).is(200, "status 200\n");
}

fn may_send_to(upstream: &Upstream) -> Served {
    serve(RUST_P2_HTTP_BAD, &["--http", &format!("http://{}", upstream.address())])
}

fn each(requests: &[(usize, &str)]) -> Vec<(usize, String)> {
    requests.iter().map(|(connection, asked)| (*connection, (*asked).to_owned())).collect()
}

#[test]
fn the_next_request_takes_the_connection_of_the_one_before() {
    let upstream = Upstream::start();
    let server = may_send_to(&upstream);
    ["/a", "/b"].iter().for_each(|path| sends(&server, &upstream, path));
    assert_eq!(upstream.requests(), each(&[(1, "GET /a"), (1, "GET /b")]));
    // A thread that uses another's connection may be told of an answer before the connection is ready again.
    (0..20).for_each(|_| sends(&server, &upstream, "/c"));
    assert!(upstream.connections() < 10, "{} connections for 22 requests", upstream.connections());
}

/// An app whose components may send to `upstream`; it answers below its own name.
fn app(env: &TestEnv, name: &str, upstream: &Upstream) {
    let (source, url) = (guest(RUST_P2_HTTP_BAD), format!("http://{}", upstream.address()));
    let mut manifest = format!("[app]\nname = \"{name}\"\n");
    for component in ["first", "second"] {
        manifest += &format!(
            "[component.{component}]\nsource = \"{source}\"\n[component.{component}.allow]\nhttp = \"{url}\"\n\
             [[http]]\nhost = \"{component}.{name}\"\nroute = \"/**\"\ncomponent = \"{component}\"\n"
        );
    }
    env.file(&format!("{name}/walnut.toml"), manifest);
}

#[test]
fn no_component_and_no_app_takes_another_s_connection() {
    let (env, upstream) = (test_env!(), Upstream::start());
    ["one", "two"].iter().for_each(|name| app(&env, name, &upstream));
    let server = ServeProcess::of_apps(&env, ["one", "two"]);
    let hosts = ["first.one", "second.one", "first.two", "second.two"];
    for host in hosts.iter().chain(&hosts) {
        let mut client = server.connect();
        let target = format!("/outbound?url=http://{}/{host}", upstream.address());
        client.ask(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).is(200, "status 200\n");
    }
    let once = [(1, "GET /first.one"), (2, "GET /second.one"), (3, "GET /first.two"), (4, "GET /second.two")];
    assert_eq!(upstream.requests(), each(&[once, once].concat()));
}

#[test]
fn a_connection_that_the_server_closed_is_not_used() {
    let upstream = Upstream::start();
    let server = may_send_to(&upstream);
    sends(&server, &upstream, "/close");
    upstream.has_closed(1);
    sends(&server, &upstream, "/a");
    assert_eq!(upstream.requests(), each(&[(1, "GET /close"), (2, "GET /a")]));
}

#[test]
fn a_response_that_was_not_read_is_not_what_the_next_request_gets() {
    let upstream = Upstream::start();
    let server = may_send_to(&upstream);
    sends(&server, &upstream, "/big");
    upstream.has_closed(1);
    sends(&server, &upstream, "/a");
    assert_eq!(upstream.requests(), each(&[(1, "GET /big"), (2, "GET /a")]));
}

#[test]
fn each_request_is_decided_whatever_is_connected_already() {
    let (env, upstream) = (test_env!(), Upstream::start());
    let url = format!("http://{}", upstream.address());
    let private = format!("{url}/private/**");
    let flags = ["--http", &url, "--deny-http", &private, "--audit", "audit.jsonl"];
    let server = ServeProcess::start(&env, RUST_P2_HTTP_BAD, flags);
    sends(&server, &upstream, "/public");
    server.get(&format!("/outbound?url={url}/private/a")).is(200, "error: http-request-denied\n");
    sends(&server, &upstream, "/public");
    assert_eq!(upstream.requests(), each(&[(1, "GET /public"), (1, "GET /public")]));
    let _ = server.stop();
    // The URL and the address of each, and the URL of what was refused.
    let audit = env.read("audit.jsonl");
    let count = |decision: &str| audit.matches(&format!(r#""decision":"{decision}""#)).count();
    assert_eq!((count("allowed"), count("denied")), (4, 1), "{audit}");
}
