//! Connections to other servers outlive a request's sandbox. They belong to the component alone.

use crate::{Served, serve};
use walnut_test_programs::RUST_P2_HTTP_BAD;
use walnut_test_support::{ServeProcess, TestEnv, Upstream, certificate_and_key, guest, test_env};

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
    // A thread that uses the connection of another thread may get a response before the connection
    // is ready again.
    (0..20).for_each(|_| sends(&server, &upstream, "/c"));
    assert!(upstream.connections() < 10, "{} connections for 22 requests", upstream.connections());
}

/// An app whose components have these grants; each answers on the host of its own name.
fn app(env: &TestEnv, name: &str, grants: &str) {
    let source = guest(RUST_P2_HTTP_BAD);
    let mut manifest = format!("[app]\nname = \"{name}\"\n");
    for component in ["first", "second"] {
        manifest += &format!(
            "[component.{component}]\nsource = \"{source}\"\n[component.{component}.allow]\n{grants}\n\
             [[http]]\nhost = \"{component}.{name}\"\nroute = \"/**\"\ncomponent = \"{component}\"\n"
        );
    }
    env.file(&format!("{name}/walnut.toml"), manifest);
}

const HOSTS: [&str; 4] = ["first.one", "second.one", "first.two", "second.two"];

/// Has each component of two apps send a request to `url`, and then each of them another one.
fn each_sends_twice(server: &ServeProcess, url: &str) {
    for host in HOSTS.iter().chain(&HOSTS) {
        let mut client = server.connect();
        client.ask(format!("GET /outbound?url={url}/{host} HTTP/1.1\r\nhost: {host}\r\n\r\n")).is(200, "status 200\n");
    }
}

#[test]
fn no_component_and_no_app_takes_another_s_connection() {
    let (env, upstream) = (test_env!(), Upstream::start());
    let url = format!("http://{}", upstream.address());
    ["one", "two"].iter().for_each(|name| app(&env, name, &format!("http = \"{url}\"")));
    let server = ServeProcess::of_apps(&env, ["one", "two"]);
    each_sends_twice(&server, &url);
    let once = [(1, "GET /first.one"), (2, "GET /second.one"), (3, "GET /first.two"), (4, "GET /second.two")];
    assert_eq!(upstream.requests(), each(&[once, once].concat()));
}

/// Returns the URL of an HTTP/2 `upstream`, and the variable that makes guests trust it.
fn trusted(env: &TestEnv, upstream: &Upstream) -> (String, String) {
    let roots = env.file("roots.pem", certificate_and_key().0).display().to_string();
    (format!("https://localhost:{}", upstream.address().port()), roots)
}

/// At once on one thread, and one after another on two.
#[test]
fn requests_of_several_sandboxes_share_a_connection_of_http_2() {
    for (workers, at_once) in [("1", 2), ("2", 1)] {
        let (env, upstream) = (test_env!(), Upstream::http2(at_once));
        let (url, roots) = trusted(&env, &upstream);
        let grants = ["--http", url.as_str(), "--connect", "127.0.0.1:*", "--deny-connect", "[::1]:*"];
        let flags = [&grants[..], &["--workers", workers]].concat();
        let server = ServeProcess::start_with(&env, &[("SSL_CERT_FILE", &roots)], RUST_P2_HTTP_BAD, &flags);
        let mut clients = [server.connect(), server.connect()];
        for _ in 0..2 {
            for together in clients.chunks_mut(at_once) {
                let request = format!("GET /outbound?url={url}/a HTTP/1.1\r\nhost: test\r\n\r\n");
                together.iter_mut().for_each(|client| client.send(&request).unwrap());
                together.iter_mut().for_each(|client| client.response().is(200, "status 200\n"));
            }
        }
        let requests = upstream.requests();
        assert_eq!(requests.len(), 4);
        assert!(requests.iter().all(|(connection, _)| *connection == requests[0].0), "{requests:?}");
    }
}

#[test]
fn no_component_and_no_app_shares_another_s_connection_of_http_2() {
    let (env, upstream) = (test_env!(), Upstream::http2(1));
    let (url, roots) = trusted(&env, &upstream);
    let grants = format!("http = \"{url}\"\nconnect = \"127.0.0.1:*\"");
    ["one", "two"].iter().for_each(|name| app(&env, name, &grants));
    let server = ServeProcess::of_apps_with(&env, &[("SSL_CERT_FILE", &roots)], ["one", "two"]);
    each_sends_twice(&server, &url);
    let mut connections = [0; HOSTS.len()];
    for (connection, asked) in upstream.requests() {
        let nth = HOSTS.iter().position(|host| asked == format!("GET {url}/{host}")).expect("one of them asked");
        assert!(connections[nth] == 0 || connections[nth] == connection, "{host}", host = HOSTS[nth]);
        connections[nth] = connection;
    }
    connections.sort_unstable();
    assert_eq!(connections, [1, 2, 3, 4]);
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
    // The URL and the address of each, and the URL of the denied one.
    let audit = env.read("audit.jsonl");
    let count = |decision: &str| audit.matches(&format!(r#""decision":"{decision}""#)).count();
    assert_eq!((count("allowed"), count("denied")), (4, 1), "{audit}");
}
