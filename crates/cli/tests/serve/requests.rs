//! Each request has an id, which connects its log lines with the output of its guest.

use crate::admin::{ADMIN, counts};
use crate::{serve, steady};
use serde_json::Value;
use walnut_test_programs::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Creates a request for `target` in the trace `id`.
fn traced(target: &str, id: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: test\r\ntraceparent: 00-{id}-b7ad6b7169203331-01\r\n\r\n")
}

fn name(guest: Guest) -> String {
    guest.path().file_name().unwrap().to_string_lossy().into_owned()
}

/// Returns the ids in the lines of an access log, in their order.
fn ids(stdout: &str) -> Vec<String> {
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line["request"].as_str().expect("each has an id").to_owned()).collect()
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the output of a guest that panicked.
fn panics(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("this panic is on purpose")).collect()
}

#[test]
fn a_trace_names_its_request_wherever_it_is_told_of() {
    let served = serve(RUST_P2_HTTP_BAD, &["--access-log", "json"]);
    served.connect().ask(traced("/panic", TRACE)).is(500, "the component failed\n");
    let output = served.server.stop().succeeds();
    assert_eq!(ids(&output.stdout), [TRACE]);
    // With a JSON log, the output of guests is JSON, too.
    let panics = panics(&output.stderr);
    let panic: Value = serde_json::from_str(panics.first().expect("it panicked")).unwrap();
    let told = [("v", 1.into()), ("app", name(RUST_P2_HTTP_BAD).into()), ("component", "component".into())];
    let told = told.into_iter().chain([("request", TRACE.into()), ("stream", "stderr".into())]);
    told.for_each(|(field, value): (_, Value)| assert_eq!(panic[field], value, "{panic}"));
    assert!(panic["line"].as_str().unwrap().contains("this panic is on purpose"), "{panic}");
    assert!(panic["time"].as_u64().unwrap() > 1_577_836_800_000, "{panic}");
    assert!(output.stderr.contains(&format!("\n  it was request {TRACE}\n")), "{output}");
}

#[test]
fn a_person_reads_who_wrote_a_line() {
    let served = serve(RUST_P2_HTTP_BAD, &[]);
    served.connect().ask(traced("/panic", TRACE)).is(500, "the component failed\n");
    let output = served.server.stop().succeeds();
    let tagged = format!("{} {TRACE}: ", name(RUST_P2_HTTP_BAD));
    let panics = panics(&output.stderr);
    assert!(!panics.is_empty() && panics.iter().all(|line| line.starts_with(&tagged)), "{output}");
}

/// Lines on standard output have the id too, next to those of the access log.
#[test]
fn what_goes_to_standard_output_is_tagged_as_well() {
    let ask = |format| {
        let served = steady(RUST_P3_HTTP_ECHO, &["--access-log", format]);
        served.connect().ask(traced("/log-bomb?mib=1", TRACE)).is(200, "logged\n");
        served.server.stop().succeeds().stdout
    };
    let tagged = format!("{} {TRACE}: x", name(RUST_P3_HTTP_ECHO));
    let stdout = ask("off");
    assert!(stdout.starts_with(&tagged) && stdout.lines().all(|line| line.starts_with(&tagged)), "{stdout:.3000}");
    let stdout = ask("json");
    let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let written: Vec<_> = lines.filter(|line| line["stream"] == "stdout").collect();
    assert!(!written.is_empty() && written.iter().all(|line| line["request"] == TRACE), "{stdout:.3000}");
    assert_eq!((&written[0]["component"], &written[0]["app"]), (&"component".into(), &name(RUST_P3_HTTP_ECHO).into()));
}

#[test]
fn without_a_trace_each_request_has_an_id_of_its_own() {
    let served = serve(RUST_P2_HTTP_BAD, &["--access-log", "json", "--workers", "2"]);
    (0..20).for_each(|_| served.get("/fine").is(200, "well behaved\n"));
    for bad in [OTHER.to_uppercase(), "0".repeat(32), "x".to_owned()] {
        served.connect().ask(traced("/fine", &bad)).is(200, "well behaved\n");
    }
    served.get("/panic");
    let output = served.server.stop().succeeds();
    let mut ids = ids(&output.stdout);
    let last = ids.last().expect("there are lines").clone();
    assert!(output.stderr.contains(&format!("\"request\":\"{last}\"")), "{output}");
    assert!(ids.iter().all(|id| is_id(id) && !id.eq_ignore_ascii_case(OTHER)), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 24);
}

#[test]
fn a_sandbox_that_is_reused_speaks_for_one_request_at_a_time() {
    let served = steady(RUST_P2_HTTP_BAD, &[&ADMIN, ["--reuse", "100"].as_slice()].concat());
    let mut client = served.connect();
    // A request may come before the sandbox has finished the one before it, and then gets another
    // sandbox.
    let idle =
        format!(r#"walnut_admission_permits_in_use{{app="{0}",component="component"}} 0"#, name(RUST_P2_HTTP_BAD));
    for trace in [TRACE, OTHER] {
        client.ask(traced("/log-bomb?mib=1", trace)).is(200, "logged 1 MiB\n");
        counts(&served, &idle);
    }
    client.get("/count").is(200, "3\n");
    // A stop waits only briefly until the lines are read.
    served.says_times(": log log ", 2048);
    let output = served.server.stop().succeeds();
    let mut tags: Vec<_> =
        output.stderr.lines().filter_map(|line| Some(line.split_once(": log log ")?.0.to_owned())).collect();
    assert_eq!(tags.len(), 2048);
    tags.dedup();
    let name = name(RUST_P2_HTTP_BAD);
    assert_eq!(tags, [format!("{name} {TRACE}"), format!("{name} {OTHER}")]);
}

/// Only the guest knows which of several requests its output belongs to.
#[test]
fn a_sandbox_of_0_3_speaks_for_a_request_that_is_alone_in_it() {
    let server = steady(RUST_P3_HTTP_ECHO, &[&ADMIN, ["--workers", "1"].as_slice()].concat());
    let name = name(RUST_P3_HTTP_ECHO);
    let mut sleeper = server.connect();
    sleeper.send("GET /sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    counts(&server, &format!(r#"walnut_admission_permits_in_use{{app="{name}",component="component"}} 1"#));
    assert_eq!(server.connect().ask(traced("/panic", TRACE)).status, 500);
    assert_eq!(sleeper.response().status, 500);
    assert_eq!(server.connect().ask(traced("/panic", OTHER)).status, 500);
    let output = server.server.stop().succeeds();
    let panics = panics(&output.stderr);
    assert_eq!(panics.len(), 2, "{output}");
    assert!(panics[0].starts_with(&format!("{name}: ")), "{panics:?}");
    assert!(panics[1].starts_with(&format!("{name} {OTHER}: ")), "{panics:?}");
}
