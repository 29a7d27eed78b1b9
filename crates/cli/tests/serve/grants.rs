//! Nothing is granted in `serve` either. A denial is explained to the operator, once, and never to
//! the client.

use crate::admin::{ADMIN, counts};
use crate::serve;
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{ServeProcess, test_env};

/// A server that answers everything with 204.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_sealed_service_says_so() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    server.says("sealed: it may do nothing but answer");
    let server = serve(RUST_P2_HTTP_BAD, &["--env", "A=b"]);
    server.says("  env = A");
    let server = serve(RUST_P2_HTTP_BAD, &["--allow-all"]);
    server.says("it may do everything");
    server.says("warning: --allow-all");
}

#[test]
fn outbound_is_refused_and_explained_once() {
    let (server, upstream) = (serve(RUST_P2_HTTP_BAD, &[]), upstream());
    for _ in 0..3 {
        server.get(&format!("/outbound?url=http://{upstream}/a")).is(200, "error: http-request-denied\n");
    }
    let flag = format!("allow it: --http 'GET http://{upstream}/a'");
    server.says(&flag);
    assert_eq!(server.stderr().matches(&flag).count(), 1);
    assert_eq!(server.stderr().matches("denied:").count(), 1);
}

#[test]
fn outbound_is_allowed_with_the_flag_that_was_shown() {
    let upstream = upstream();
    let server = serve(RUST_P2_HTTP_BAD, &["--http", &format!("GET http://{upstream}/a")]);
    server.get(&format!("/outbound?url=http://{upstream}/a")).is(200, "status 204\n");
    server.get(&format!("/outbound?url=http://{upstream}/b")).is(200, "error: http-request-denied\n");
    server.says(&format!("allow it: --http 'GET http://{upstream}/b'"));
    assert_eq!(server.stderr().matches("denied:").count(), 1, "{}", server.stderr());
}

#[test]
fn a_denial_beats_the_grant() {
    let upstream = upstream();
    let flags = ["--http", &format!("http://{upstream}"), "--deny-http", &format!("http://{upstream}/private/**")];
    let server = serve(RUST_P2_HTTP_BAD, &flags);
    server.get(&format!("/outbound?url=http://{upstream}/public")).is(200, "status 204\n");
    server.get(&format!("/outbound?url=http://{upstream}/private/a")).is(200, "error: http-request-denied\n");
    server.says("a denial beats every grant");
    assert!(!server.stderr().contains("allow it:"), "{}", server.stderr());
}

#[test]
fn files_are_refused_and_explained_once() {
    let server = serve(RUST_P2_HTTP_BAD, &[]);
    for _ in 0..3 {
        let response = server.get("/file?path=/data/a.txt");
        assert!(response.status == 200 && response.text().starts_with("error: "), "{response:?}");
    }
    server.says("allow it: --dir ./data::/data");
    assert_eq!(server.stderr().matches("denied:").count(), 1, "{}", server.stderr());
}

#[test]
fn files_are_read_where_granted_and_nowhere_else() {
    let env = test_env!();
    env.file("data/a.txt", "granted");
    env.file("b.txt", "not granted");
    let server = ServeProcess::start(&env, RUST_P2_HTTP_BAD, ["--dir", "data::/data"]);
    server.get("/file?path=/data/a.txt").is(200, "granted");
    assert!(server.get("/file?path=/b.txt").text().starts_with("error: "));
    assert!(server.get("/file?path=/data/../b.txt").text().starts_with("error: "));
    assert!(server.get("/file?path=/etc/passwd").text().starts_with("error: "));
}

#[test]
fn variables_are_seen_when_granted() {
    let sealed = serve(RUST_P2_HTTP_BAD, &[]);
    sealed.get("/env").is(200, "\n");
    let server = serve(RUST_P2_HTTP_BAD, &["--env", "A=1", "--env", "B=two words", "--env", "HOME"]);
    let home = server.env.dir().display().to_string();
    server.get("/env").is(200, &format!("A=1\nB=two words\nHOME={home}\n"));
    let denied = serve(RUST_P2_HTTP_BAD, &["--env", "A=1", "--env", "B=2", "--deny-env", "B"]);
    denied.get("/env").is(200, "A=1\n");
}

#[test]
fn quiet_is_quiet_and_audit_is_whole() {
    let (env, upstream) = (test_env!(), upstream());
    let flags = ["--quiet", "--audit", "audit.jsonl", "--http", &format!("http://{upstream}/yes")];
    let server = ServeProcess::start(&env, RUST_P2_HTTP_BAD, flags);
    for path in ["yes", "no", "no"] {
        let _ = server.get(&format!("/outbound?url=http://{upstream}/{path}"));
    }
    let said = server.stop();
    assert!(!said.stderr.contains("denied"), "{said}");
    let audit = env.read("audit.jsonl");
    let lines: Vec<&str> = audit.lines().filter(|line| line.contains(r#""capability":"http""#)).collect();
    // A guest that asks twice is recorded twice.
    assert_eq!(lines.iter().filter(|line| line.contains(r#""decision":"denied""#)).count(), 2, "{audit}");
    assert!(lines.iter().any(|line| line.contains(r#""decision":"allowed""#) && line.contains("/yes")), "{audit}");
    assert!(lines.iter().all(|line| line.starts_with(r#"{"v":1,"#)), "{audit}");
}

/// A pipe holds 64 KiB; it is read only at the end.
#[test]
fn an_audit_that_nobody_reads_holds_up_no_request_and_is_whole() {
    let env = test_env!();
    let pipe = env.dir().join("audit.jsonl");
    mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let server = ServeProcess::start(&env, RUST_P2_HTTP_BAD, ["--quiet", "--audit", "audit.jsonl", "--workers", "1"]);
    let mut connection = server.connect();
    for number in 0..600 {
        connection.get(&format!("/file?path=/data/{number}")).is(200, "error: no-entry\n");
    }
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        while !text.contains("/data/599\"") {
            let mut block = [0; 4096];
            let length = reader.read(&mut block).unwrap();
            text.push_str(std::str::from_utf8(&block[..length]).unwrap());
        }
        let _ = sender.send(text);
    });
    let text = lines.recv_timeout(Duration::from_secs(60)).expect("the last decision is there");
    let asked =
        text.lines().filter_map(|line| line.split_once("read /data/")?.1.split('"').next()?.parse::<u32>().ok());
    assert_eq!(asked.collect::<Vec<_>>(), (0..600).collect::<Vec<_>>(), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn an_audit_that_cannot_be_written_is_counted_and_said_once() {
    let server = serve(RUST_P2_HTTP_BAD, &[&ADMIN[..], &["--quiet", "--audit", "/dev/full"]].concat());
    for path in ["a", "b"] {
        server.get(&format!("/file?path=/data/{path}")).is(200, "error: no-entry\n");
        server.says("warning: the audit file /dev/full cannot be written: No space left on device");
    }
    counts(&server, "walnut_audit_lost_lines_total 2");
    assert_eq!(server.stderr().matches("cannot be written").count(), 1, "{}", server.stderr());
}

#[test]
fn an_audit_that_was_moved_away_is_opened_anew_on_a_reload() {
    let env = test_env!();
    let server = ServeProcess::start(&env, RUST_P2_HTTP_BAD, ["--quiet", "--audit", "audit.jsonl"]);
    server.get("/file?path=/data/a").is(200, "error: no-entry\n");
    // The line may come after the response.
    let began = Instant::now();
    while !env.read("audit.jsonl").contains("/data/a") {
        assert!(began.elapsed() < Duration::from_secs(30), "no line came");
        thread::sleep(Duration::from_millis(1));
    }
    std::fs::rename(env.dir().join("audit.jsonl"), env.dir().join("old.jsonl")).unwrap();
    server.hang_up();
    server.says("reloaded");
    server.get("/file?path=/data/b").is(200, "error: no-entry\n");
    server.stop().succeeds();
    let (old, new) = (env.read("old.jsonl"), env.read("audit.jsonl"));
    assert!(old.contains("read /data/a") && !old.contains("read /data/b"), "{old}");
    assert!(new.contains("read /data/b") && !new.contains("read /data/a"), "{new}");
}

#[test]
fn allow_all_says_so_loudly() {
    let words = "--allow-all: the guest may read and write every file and reach every address that you can";
    let server = serve(RUST_P2_HTTP_BAD, &["--allow-all"]);
    server.says(&format!("warning: {words}"));
    server.says("  it may do everything");
    let sealed = serve(RUST_P2_HTTP_BAD, &[]);
    assert!(!sealed.stderr().contains("warning"), "{}", sealed.stderr());
}

/// Returns a manifest with the grant that an explanation suggests.
#[test]
fn the_line_that_was_shown_allows_it_in_a_manifest() {
    let (env, upstream) = (test_env!(), upstream());
    env.file("data/a.txt", "granted");
    let asks = [format!("/outbound?url=http://{upstream}/a"), "/file?path=/data/a.txt".into()];
    let server = ServeProcess::start(&env, RUST_P2_HTTP_BAD, [""; 0]);
    asks.iter().for_each(|path| assert!(server.get(path).text().starts_with("error: ")));
    server.says("allow it: --dir ./data::/data");
    let said = server.stop();
    let lines = said.stderr.lines().filter_map(|line| line.trim().strip_prefix("or in walnut.toml: "));
    let allow: Vec<_> = lines.map(|line| format!("allow.{line}\n")).collect();
    assert_eq!(allow.len(), 2, "{said}");
    let bytes = std::fs::read(RUST_P2_HTTP_BAD.path()).expect("the guest is there");
    env.file("bad.wasm", bytes);
    let manifest = format!(
        "[app]\nname = \"app\"\n[component.bad]\nsource = \"bad.wasm\"\n{}[[http]]\nroute = \"/**\"\ncomponent = \"bad\"\n",
        allow.concat()
    );
    env.file("walnut.toml", manifest);
    let server = ServeProcess::of_apps(&env, ["walnut.toml"]);
    server.get(&asks[0]).is(200, "status 204\n");
    server.get(&asks[1]).is(200, "granted");
    let said = server.stop();
    assert!(!said.stderr.contains("denied"), "{said}");
}
