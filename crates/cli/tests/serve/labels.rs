//! Two apps of two components each, which misbehave each in its own way: every message and metric
//! has the right names.

use crate::Served;
use crate::admin::{ADMIN, counts, get};
use serde_json::Value;
use walnut_test_programs::*;
use walnut_test_support::{ServeProcess, TestEnv, guest, test_env};

const COMPONENTS: [&str; 4] = ["shop/api", "shop/web", "blog/api", "blog/web"];

/// Each component answers on the host of its name, and has a limit that no other has.
fn apps(env: &TestEnv) {
    for app in ["shop", "blog"] {
        let mut manifest = format!("[app]\nname = \"{app}\"\n");
        for component in ["api", "web"] {
            let source = guest(RUST_P2_HTTP_BAD);
            let memory = memory(&format!("{app}/{component}"));
            manifest += &format!(
                "[component.{component}]\nsource = \"{source}\"\nlimits.memory = \"{memory}MiB\"\n\
                 [[http]]\nhost = \"{component}.{app}\"\nroute = \"/**\"\ncomponent = \"{component}\"\n"
            );
        }
        env.file(&format!("{app}/walnut.toml"), manifest);
    }
}

fn memory(name: &str) -> usize {
    16 + COMPONENTS.iter().position(|known| *known == name).expect("it is one")
}

fn serve_apps(env: TestEnv, flags: &[&str]) -> Served {
    apps(&env);
    Served { server: ServeProcess::of_apps(&env, [flags, &["shop", "blog"]].concat()), env }
}

/// Returns the status of a response of the component `name`.
#[track_caller]
fn ask(server: &Served, name: &str, target: &str) -> u16 {
    let (app, component) = name.split_once('/').expect("it has both");
    server.connect().ask(format!("GET {target} HTTP/1.1\r\nhost: {component}.{app}\r\n\r\n")).status
}

fn labels(name: &str) -> String {
    let (app, component) = name.split_once('/').expect("it has both");
    format!(r#"app="{app}",component="{component}""#)
}

/// The first is denied nothing and does nothing wrong, the second panics once, and so on.
#[test]
fn what_is_counted_and_refused_is_told_of_whose_it_is() {
    let server = serve_apps(test_env!(), &ADMIN);
    for (nth, name) in COMPONENTS.iter().enumerate() {
        (0..nth).for_each(|_| assert_eq!(ask(&server, name, "/panic"), 500));
        (0..nth).for_each(|_| assert_eq!(ask(&server, name, "/memory"), 500));
        (0..=nth).for_each(|_| assert_eq!(ask(&server, name, &format!("/file?path=/{nth}/a.txt")), 200));
    }
    let status = || -> Value { serde_json::from_slice(&get(&server, "/status.json").body).unwrap() };
    for (nth, name) in COMPONENTS.iter().enumerate() {
        let labels = labels(name);
        for line in [
            format!(r#"walnut_requests_total{{{labels},class="2xx",cause="ok"}} {}"#, nth + 1),
            format!(r#"walnut_requests_total{{{labels},class="5xx",cause="trap"}} {nth}"#),
            format!(r#"walnut_limits_reached_total{{{labels},limit="memory"}} {nth}"#),
            format!(r#"walnut_denials_total{{{labels},capability="dir"}} {}"#, nth + 1),
            format!("walnut_request_duration_seconds_count{{{labels}}} {}", 3 * nth + 1),
            format!("walnut_sandbox_start_seconds_count{{{labels}}} {}", 3 * nth + 1),
            format!("walnut_requests_waiting{{{labels}}} 0"),
        ] {
            // An event that never happened may have no line.
            if nth > 0 || !line.ends_with(" 0") {
                counts(&server, &line);
            }
        }
        let (app, component) = name.split_once('/').unwrap();
        let status = status();
        let all = status["components"].as_array().unwrap();
        let mut cards = all.iter().filter(|card| card["app"] == app && card["component"] == component);
        let (card, none) = (cards.next().expect("it has a card"), cards.next());
        assert!(none.is_none() && all.len() == COMPONENTS.len(), "{status}");
        assert_eq!(card["routes"], serde_json::json!([format!("{component}.{app}/**")]));
        assert_eq!(card["limits"]["memory"], nth);
        let refused = card["recent_denials"].as_array().unwrap();
        assert_eq!((refused.len(), &refused[0]["count"]), (1, &(nth + 1).into()), "{card}");
        assert_eq!(refused[0]["request"], format!("read /{nth}/a.txt"));
    }
    for (nth, name) in COMPONENTS.iter().enumerate() {
        server.says(&format!("denied: {name} asked to read /{nth}/a.txt\n"));
        if nth > 0 {
            server.says(&format!("error: {name} used up its memory (limit: {}MiB)\n", memory(name)));
            server.says(&format!("error: {name} trapped: "));
        }
    }
}

/// Returns the id of the request of a component.
fn trace(name: &str) -> String {
    format!("{:032x}", memory(name))
}

fn panics(server: Served) -> (Vec<Value>, String) {
    for name in COMPONENTS {
        let (app, component) = name.split_once('/').unwrap();
        let trace = trace(name);
        let mut client = server.connect();
        client.send(format!("GET /panic HTTP/1.1\r\nhost: {component}.{app}\r\n")).unwrap();
        assert_eq!(client.ask(format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n")).status, 500);
    }
    let output = server.server.stop().succeeds();
    let json = |line| serde_json::from_str::<Value>(line).ok();
    (output.stdout.lines().chain(output.stderr.lines()).filter_map(json).collect(), output.stderr)
}

#[test]
fn lines_say_who_wrote_them_and_for_which_request() {
    let (_, stderr) = panics(serve_apps(test_env!(), &[]));
    let lines: Vec<_> = stderr.lines().filter(|line| line.contains("this panic is on purpose")).collect();
    assert_eq!(lines.len(), COMPONENTS.len(), "{stderr}");
    for (line, name) in lines.iter().zip(COMPONENTS) {
        assert!(line.starts_with(&format!("{name} {}: ", trace(name))), "{line}");
    }
    let (json, _) = panics(serve_apps(test_env!(), &["--access-log", "json"]));
    for name in COMPONENTS {
        let (app, component) = name.split_once('/').unwrap();
        let of_request: Vec<_> = json.iter().filter(|line| line["request"] == trace(name)).collect();
        assert!(of_request.iter().all(|line| line["app"] == app && line["component"] == component), "{of_request:?}");
        let count = |is: fn(&Value) -> bool| of_request.iter().filter(|line| is(line)).count();
        assert_eq!(count(|line| line["cause"] == "trap" && line["path"] == "/panic"), 1, "{of_request:?}");
        let says = |line: &Value| line["line"].as_str().is_some_and(|text| text.contains("this panic is on purpose"));
        assert_eq!(count(says), 1, "{of_request:?}");
    }
}
