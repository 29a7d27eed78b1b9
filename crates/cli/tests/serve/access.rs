//! The access log: one line for each request, however it ended.

use crate::admin::{ADMIN, counts};
use crate::serve;
use serde_json::Value;
use walnut_test_programs::*;
use walnut_test_support::{HttpClient, RunOutput, ServeProcess};

/// Stops the server and returns its lines on standard output; lines of a guest begin with its name.
fn lines(server: ServeProcess) -> Vec<Value> {
    let output: RunOutput = server.stop().succeeds();
    output.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[track_caller]
fn is(line: &Value, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
}

#[test]
fn each_request_is_one_line_of_json() {
    let served = serve(RUST_P2_HTTP_BAD, &["--access-log", "json", "--cpu", "300ms"]);
    let mut client = served.connect();
    client.ask("GET /fine?token=secret HTTP/1.1\r\nhost: shop.example:80\r\n\r\n").is(200, "well behaved\n");
    client.send("HEAD /fine HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    served.get("/loop");
    let big = served.get("/big?mib=1");
    assert_eq!(big.body.len(), 1 << 20);
    let lines = lines(served.server);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let name = RUST_P2_HTTP_BAD.path().file_name().unwrap().to_string_lossy().into_owned();
    is(
        &lines[0],
        &[
            ("v", 1.into()),
            ("client", "127.0.0.1".into()),
            ("method", "GET".into()),
            ("host", "shop.example:80".into()),
            ("path", "/fine".into()),
            ("status", 200.into()),
            ("bytes", 13.into()),
            ("app", name.into()),
            ("component", "component".into()),
            ("cause", "ok".into()),
        ],
    );
    let took = lines[0]["seconds"].as_f64().unwrap();
    assert!(took > 0.0 && took < 60.0, "{took}");
    // 2020 to 2100.
    let time = lines[0]["time"].as_u64().unwrap();
    assert!(time > 1_577_836_800_000 && time < 4_102_444_800_000, "{time}");
    is(&lines[1], &[("method", "HEAD".into()), ("bytes", 0.into()), ("cause", "ok".into())]);
    is(&lines[2], &[("path", "/loop".into()), ("status", 504.into()), ("cause", "cpu".into())]);
    assert!(lines[2]["seconds"].as_f64().unwrap() > 0.2);
    is(&lines[3], &[("bytes", (1 << 20).into()), ("cause", "ok".into())]);
}

#[test]
fn whatever_a_request_ended_with_is_told() {
    let served = serve(RUST_P2_HTTP_BAD, &["--access-log", "json", "--deadline", "1h", "--response-body", "1MiB"]);
    served.connect().ask("GET /fine HTTP/1.1\r\n\r\n");
    let mut gone = served.connect();
    gone.send("GET /sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(gone);
    assert!(!served.get("/big?mib=64").whole);
    assert!(!served.get("/half?ms=100").whole);
    let lines = lines(served.server);
    let of =
        |path: &str| lines.iter().find(|line| line["path"] == path && line["status"] != 400).expect("it has a line");
    let bad = lines.iter().find(|line| line["status"] == 400).expect("a bad request has a line");
    is(bad, &[("cause", "client_error".into()), ("host", "".into()), ("app", Value::Null)]);
    is(of("/sleep"), &[("status", Value::Null), ("cause", "abandoned".into())]);
    is(of("/big"), &[("status", 200.into()), ("cause", "limit".into())]);
    is(of("/half"), &[("status", 200.into()), ("cause", "trap".into())]);
}

#[test]
fn what_is_no_request_is_said_and_counted_too() {
    let served = serve(RUST_P2_HTTP_BAD, &[&ADMIN[..], &["--access-log", "json"]].concat());
    let (much, long) = ("a".repeat(1 << 20), "a".repeat(70_000));
    // Threads that serve write their lines in any order, so each is waited for.
    let counted = |count: usize| {
        counts(
            &served,
            &format!(r#"walnut_requests_total{{app="",component="",class="4xx",cause="client_error"}} {count}"#),
        );
    };
    for (before, (sent, status)) in [
        ("GET / HTTP/9.9\r\nhost: test\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nhost: test\r\nno colon\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nhost: test\r\nx: {much}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: test\r\n\r\n"), 431),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = served.connect();
        // The server may refuse it before all of it has left.
        let _ = client.send(sent);
        assert_eq!(client.head().map_or(status, |head| head.status), status);
        counted(before + 1);
    }
    // The next request on a connection, too; a connection without a request has no line.
    let mut client = served.connect();
    assert_eq!(client.get("/fine").status, 200);
    assert_eq!(client.ask("\0\r\n\r\n").status, 400);
    drop(served.connect());
    counted(5);
    let lines = lines(served.server);
    let refused: Vec<_> = lines.iter().filter(|line| line["cause"] == "client_error").collect();
    let statuses: Vec<_> = refused.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [400, 400, 431, 431, 400]);
    for line in refused {
        is(line, &[("client", "127.0.0.1".into()), ("method", "".into()), ("path", "".into()), ("bytes", 0.into())]);
    }
    assert_eq!(lines.len(), 6, "{lines:?}");
}

/// Begins a response that goes on until the end of the request's body, which does not come.
fn stream(server: &ServeProcess) -> HttpClient {
    let mut client = server.connect();
    client.send("POST /upper HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    client.send_chunk("part").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    client
}

#[test]
fn an_answer_that_breaks_off_has_the_cause_of_that() {
    let flags = ["--access-log", "json", "--workers", "1", "--cpu", "300ms", "--deadline"];
    let begun = |server: ServeProcess| {
        let lines = lines(server);
        let line = lines.iter().find(|line| line["path"] == "/upper").expect("it has a line");
        assert_eq!(line["status"], 200);
        line["cause"].clone()
    };
    for guest in [RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO] {
        let served = serve(guest, &[&flags[..], &["1s"]].concat());
        stream(&served).rest();
        assert_eq!(begun(served.server), "deadline");
    }
    // The end of a sandbox ends the responses of all its requests.
    for (path, cause) in [("/panic", "trap"), ("/loop", "cpu")] {
        let served = serve(RUST_P3_HTTP_ECHO, &[&flags[..], &["1h"]].concat());
        let mut client = stream(&served);
        assert!(served.get(path).status >= 500);
        client.rest();
        assert_eq!(begun(served.server), cause);
    }
}

#[test]
fn people_read_lines_by_default_and_programs_none_when_off() {
    let served = serve(RUST_P2_HTTP_BAD, &[]);
    served.get("/fine");
    let output = served.server.stop().succeeds();
    let line = output.stdout.lines().next().unwrap_or_default();
    let name = RUST_P2_HTTP_BAD.path().file_name().unwrap().to_string_lossy().into_owned();
    assert!(line.contains("Z 127.0.0.1 GET test/fine 200 13 "), "{line}");
    let (line, id) = line.rsplit_once(' ').unwrap();
    assert!(line.ends_with(&format!("ms {name}/component ok")) && id.len() == 32, "{line} {id}");
    let served = serve(RUST_P2_HTTP_BAD, &["--access-log", "off"]);
    served.get("/fine");
    assert_eq!(served.server.stop().succeeds().stdout, "");
}

#[test]
fn every_request_under_load_has_its_line() {
    let served = serve(RUST_P2_HTTP_HELLO, &["--access-log", "json"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = served.connect();
                (0..200).for_each(|_| assert_eq!(client.get("/").status, 200));
            });
        }
    });
    assert_eq!(lines(served.server).len(), 1600);
}
