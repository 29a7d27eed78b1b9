//! OpenTelemetry: traces and logs reach the collector that the environment names.

use crate::{serve, steady};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use walnut_test_programs::*;
use walnut_test_support::{Collector, ServeProcess, TestEnv, TlsServer, test_env};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Serves `guest` with telemetry for `endpoint`, and short delays of batches.
#[track_caller]
fn observed(env: &TestEnv, endpoint: &str, guest: Guest, more: &[(&str, &str)]) -> ServeProcess {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
    ];
    ServeProcess::start_with(env, &[&variables, more].concat(), guest, &["--cpu", "300ms"])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\r\n")
}

#[test]
fn a_request_is_a_span_of_its_clients_trace() {
    let (env, collector) = (test_env!(), Collector::start());
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &[]);
    server.connect().ask(traced("/fine")).is(200, "well behaved\n");
    let span = &collector.spans(1)[0];
    let name = RUST_P2_HTTP_BAD.path().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(span.name, format!("GET {name}/component"));
    assert_eq!(span.kind, 2, "the kind of a server");
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    let attributes = Collector::attributes(&span.attributes);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/fine"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("client.address", "127.0.0.1"),
        ("walnut.app", &name),
        ("walnut.component", "component"),
    ] {
        assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key} in {attributes:?}");
    }
    assert!(!attributes.contains_key("error.type"));
    assert_eq!(collector.services(), ["walnut"]);
}

#[test]
fn without_a_trace_a_request_begins_one_and_a_failure_is_an_error() {
    let (env, collector) = (test_env!(), Collector::start());
    let named = [("OTEL_SERVICE_NAME", "shop")];
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &named);
    server.get("/loop");
    let span = &collector.spans(1)[0];
    assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE);
    assert_eq!(Collector::attributes(&span.attributes).get("error.type").map(String::as_str), Some("cpu"));
    assert_eq!(span.status.as_ref().map(|status| status.code), Some(2), "the status of an error");
    assert_eq!(collector.services(), ["shop"]);
}

#[test]
fn a_guest_finds_its_own_span_named_as_parent() {
    let (env, collector) = (test_env!(), Collector::start());
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_ECHO, &[]);
    // The guest responds with the headers that it received.
    let answer = server.connect().ask(traced("/method"));
    let span = &collector.spans(1)[0];
    let named = format!("00-{TRACE}-{}-01", hex(&span.span_id));
    assert_eq!(answer.header("traceparent"), Some(named.as_str()));
}

#[test]
fn what_a_guest_writes_is_a_record_of_its_requests_span() {
    let (env, collector) = (test_env!(), Collector::start());
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &[]);
    server.connect().ask(traced("/panic"));
    let span = &collector.spans(1)[0];
    let records = collector.records(2);
    let panic = records.iter().find(|record| format!("{:?}", record.body).contains("this panic is on purpose"));
    let panic = panic.expect("its words are there");
    assert_eq!((&panic.trace_id, &panic.span_id), (&span.trace_id, &span.span_id));
    let attributes = Collector::attributes(&panic.attributes);
    assert_eq!(attributes["log.iostream"], "stderr");
    assert_eq!(attributes["walnut.component"], "component");
}

#[test]
fn the_resource_is_as_the_environment_has_it() {
    const ATTRIBUTES: (&str, &str) =
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=from-attributes,deployment.environment.name=a%20b,team=shop");
    let name = ("OTEL_SERVICE_NAME", "from-name");
    for (variables, service, environment) in [
        (&[][..], "walnut", None),
        (&[name], "from-name", None),
        (&[("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a b,team=shop")], "walnut", Some("a b")),
        (&[ATTRIBUTES], "from-attributes", Some("a b")),
        // The variable of its own takes precedence over the attribute.
        (&[ATTRIBUTES, name], "from-name", Some("a b")),
    ] {
        let (env, collector) = (test_env!(), Collector::start());
        let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, variables);
        server.get("/panic");
        collector.spans(1);
        collector.records(1);
        server.stop().succeeds();
        let resources = collector.resources();
        assert!(resources.len() >= 2, "of traces and of logs: {resources:?}");
        for resource in &resources {
            let said = |name: &str| resource.get(name).map(String::as_str);
            assert_eq!(said("service.name"), Some(service), "{variables:?}");
            assert_eq!(said("deployment.environment.name"), environment, "{variables:?}");
            assert_eq!(said("team"), environment.map(|_| "shop"), "{variables:?}");
        }
    }
}

/// Collectors often identify their customers by a header. A signal may have headers of its own.
#[test]
fn batches_have_the_headers_that_the_environment_has() {
    let (env, collector) = (test_env!(), Collector::start());
    let headers = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20key,x-tenant=shop"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-tenant=logs"),
    ];
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &headers);
    server.get("/panic");
    collector.spans(1);
    collector.records(1);
    let said = server.stop().succeeds();
    assert!(!said.stderr.contains("a key") && !said.stderr.contains("a%20key"), "{said}");
    for batch in collector.headers() {
        let (key, tenant) = (batch.get("api-key").map(String::as_str), batch.get("x-tenant").map(String::as_str));
        match batch[":path"].as_str() {
            "/v1/traces" => assert_eq!((key, tenant), (Some("a key"), Some("shop"))),
            _ => assert_eq!(tenant, Some("logs"), "{batch:?}"),
        }
    }
}

#[test]
fn batches_share_a_connection_while_the_collector_keeps_it() {
    for (batches, connections) in [(usize::MAX, 1), (1, 3), (2, 2)] {
        let (env, collector) = (test_env!(), Collector::closing_after(batches));
        let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &[("OTEL_LOGS_EXPORTER", "none")]);
        for nth in 1..=3 {
            server.get("/fine").is(200, "well behaved\n");
            collector.spans(nth);
        }
        assert_eq!((collector.spans(3).len(), collector.connections()), (3, connections));
        assert!(!server.stderr().contains("takes no telemetry"), "{}", server.stderr());
    }
}

#[test]
fn a_collector_that_never_answers_does_not_keep_it_from_ending() {
    // The system takes its connections, and nobody accepts them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let env = test_env!();
    let server = observed(&env, &format!("http://{}", listener.local_addr().unwrap()), RUST_P2_HTTP_BAD, &[]);
    server.get("/panic");
    server.stop().succeeds();
}

#[test]
fn a_collector_over_tls_has_to_be_trusted() {
    let (env, collector) = (test_env!(), TlsServer::start());
    let roots = env.file("roots.pem", collector.certificate()).display().to_string();
    let url = format!("https://localhost:{}", collector.address().port());
    for (variables, outcome) in [
        (&[("OTEL_LOGS_EXPORTER", "none"), ("SSL_CERT_FILE", roots.as_str())][..], "agreed"),
        (&[("OTEL_LOGS_EXPORTER", "none")], "received fatal alert: UnknownCA"),
    ] {
        let server = observed(&env, &url, RUST_P2_HTTP_BAD, variables);
        server.get("/fine").is(200, "well behaved\n");
        assert_eq!(collector.handshake(), outcome);
        server.stop().succeeds();
    }
}

#[test]
fn the_last_spans_leave_before_the_end() {
    let (env, collector) = (test_env!(), Collector::start());
    let slow = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &slow);
    server.get("/fine");
    server.stop().succeeds();
    collector.spans(1);
}

#[test]
fn a_collector_that_is_not_there_is_told_of_and_holds_up_nothing() {
    let env = test_env!();
    let server = observed(&env, "http://127.0.0.1:9", RUST_P2_HTTP_BAD, &[]);
    server.get("/fine").is(200, "well behaved\n");
    server.says("warning: the collector http://127.0.0.1:9/v1/traces takes no telemetry: ");
    server.get("/fine").is(200, "well behaved\n");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.stderr().matches("v1/traces takes no telemetry").count(), 1, "it is said once");
    server.stop().succeeds();
}

#[test]
fn nothing_is_sent_unless_a_collector_is_named() {
    let collector = Collector::start();
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")] {
        let env = test_env!();
        let server = observed(&env, &collector.url(), RUST_P2_HTTP_ECHO, &[off]);
        let answer = server.connect().ask(traced("/method"));
        assert_eq!(answer.header("traceparent"), Some(format!("00-{TRACE}-{PARENT}-01").as_str()));
        server.stop().succeeds();
    }
    let env = test_env!();
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &[("OTEL_TRACES_EXPORTER", "none")]);
    server.get("/panic");
    collector.records(1);
    server.stop().succeeds();
    assert!(collector.spans(0).is_empty());
}

/// Set by the client, or by the operator.
#[test]
fn a_request_that_is_not_sampled_is_no_span() {
    let (unsampled, sampled) = (traced("/method").replace("-01\r\n", "-00\r\n"), traced("/method"));
    let off: &[_] = &[("OTEL_TRACES_SAMPLER", "always_off")];
    let on: &[_] = &[("OTEL_TRACES_SAMPLER", "always_on")];
    for (request, variables, is_sent) in
        [(&sampled, &[][..], true), (&unsampled, &[], false), (&sampled, off, false), (&unsampled, on, true)]
    {
        let (env, collector) = (test_env!(), Collector::start());
        let server = observed(&env, &collector.url(), RUST_P2_HTTP_ECHO, variables);
        let answer = server.connect().ask(request);
        let named = answer.header("traceparent").expect("the guest gets one");
        assert!(named.contains(TRACE) && named.ends_with(if is_sent { "-01" } else { "-00" }), "{named}");
        server.stop().succeeds();
        assert_eq!(collector.spans(usize::from(is_sent)).len(), usize::from(is_sent), "{variables:?}");
    }
}

#[test]
fn an_exporter_without_a_collector_looks_for_one_on_this_machine() {
    let env = test_env!();
    // Whether or not the collector exists, nothing is sent to it within an hour.
    let set =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let server = observed(&env, "", RUST_P2_HTTP_ECHO, &set);
    let answer = server.connect().ask(traced("/method"));
    let named = answer.header("traceparent").expect("it is there");
    assert!(named.contains(TRACE) && !named.contains(PARENT), "the guest has a span of its own: {named}");
}

#[test]
fn what_is_not_spoken_is_refused_at_the_start() {
    let env = test_env!();
    for (name, value, words) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "set it to http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "can be otlp or none"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "set it to none, or unset it"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "zstd", "set it to none, or unset it"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "write a number of milliseconds, such as 10000"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "can be parentbased_always_on, "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", "write http://127.0.0.1:4318"),
    ] {
        let guest = walnut_test_support::guest(RUST_P2_HTTP_BAD);
        let serve = env.walnut(["serve", &guest, "--addr", "127.0.0.1:0"]);
        let output = serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").env(name, value).run();
        assert!(output.stderr.contains(&format!("{name} is {value}")) && output.stderr.contains(words), "{output}");
    }
    // A variable for all programs of a machine is no error of a server that exports nothing.
    let set = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "foo"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_BSP_SCHEDULE_DELAY", "x"),
    ];
    let server = observed(&env, "", RUST_P2_HTTP_BAD, &set);
    assert!(!server.stop().succeeds().stderr.contains("OTEL_"));
}

#[test]
fn a_value_that_is_passed_over_is_told_of() {
    let (env, collector) = (test_env!(), Collector::start());
    let set = [("OTEL_SDK_DISABLED", "yes"), ("OTEL_TRACES_SAMPLER_ARG", "2"), ("OTEL_EXPORTER_OTLP_HEADERS", "a")];
    let said = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &set).stop().succeeds();
    for (name, _) in set {
        assert_eq!(said.stderr.matches(&format!("warning: {name} ")).count(), 1, "{said}");
    }
}

#[test]
fn what_is_set_and_does_nothing_is_told_of_once() {
    let (env, collector) = (test_env!(), Collector::start());
    let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem");
    let set = [certificate, ("OTEL_PROPAGATORS", "b3"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_PYTHON_X", "1")];
    let server = observed(&env, &collector.url(), RUST_P2_HTTP_BAD, &set);
    server.get("/fine").is(200, "well behaved\n");
    let said = server.stop().succeeds();
    let told = "warning: these variables have no effect: \
                OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_PROPAGATORS\n";
    assert_eq!((said.stderr.matches(told).count(), said.stderr.matches("warning").count()), (1, 1), "{said}");
    // Nothing is sent, and so nothing is missing.
    let server = observed(&env, "", RUST_P2_HTTP_BAD, &set);
    assert!(!server.stderr().contains("warning"));
}

/// The variable of a signal takes precedence over the common one.
#[test]
fn a_collector_may_take_as_long_as_the_environment_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for (patient, hasty) in [("TRACES", "logs"), ("LOGS", "traces")] {
        let env = test_env!();
        let own = format!("OTEL_EXPORTER_OTLP_{patient}_TIMEOUT");
        let times = [("OTEL_EXPORTER_OTLP_TIMEOUT", "200"), (&own, "3600000")];
        let server = observed(&env, &url, RUST_P2_HTTP_BAD, &times);
        server.get("/panic");
        // The first batch that is given up is reported.
        server.says(&format!("warning: the collector {url}/v1/{hasty} takes no telemetry: it does not answer"));
    }
}

#[test]
fn each_signal_may_have_a_collector_of_its_own() {
    let (env, first, second) = (test_env!(), Collector::start(), Collector::start());
    let (traces, logs) = (format!("{}/v1/traces", first.url()), format!("{}/v1/logs", second.url()));
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces.as_str());
    let logs = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", logs.as_str());
    let server = observed(&env, "", RUST_P2_HTTP_BAD, &[traces, logs]);
    server.get("/panic");
    server.stop().succeeds();
    assert!(first.spans(1).len() == 1 && !second.records(1).is_empty());
    assert!(first.records(0).is_empty() && second.spans(0).is_empty());
    // A signal without an endpoint is not exported.
    let server = observed(&env, "", RUST_P2_HTTP_BAD, &[traces]);
    server.get("/panic");
    server.stop().succeeds();
    assert_eq!((first.spans(2).len(), first.records(0).len()), (2, 0));
}

#[test]
fn batches_are_as_large_as_the_environment_has_it() {
    let (env, collector) = (test_env!(), Collector::start());
    // A full batch leaves at once; the others would wait for an hour.
    let server = observed(
        &env,
        &collector.url(),
        RUST_P2_HTTP_BAD,
        &[
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "1"),
        ],
    );
    (0..3).for_each(|_| drop(server.get("/panic")));
    let (spans, records) = (collector.spans(3).len(), collector.records(6).len());
    server.stop().succeeds();
    let batches = |path: &str| collector.headers().iter().filter(|batch| batch[":path"] == path).count();
    assert_eq!((spans, batches("/v1/traces")), (3, 3));
    assert_eq!(batches("/v1/logs"), collector.records(records).len());
}

/// Takes `count` requests, each on a connection of its own, and returns the target and the trace
/// headers of each.
fn told(listener: TcpListener, count: usize) -> JoinHandle<Vec<Vec<String>>> {
    thread::spawn(move || {
        let answer = |_| {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let told = head.filter(|line| line.starts_with("GET ") || line.starts_with("trace"));
            let told = told.map(|line| line.trim_end_matches(" HTTP/1.1").to_owned()).collect();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").expect("it is read");
            told
        };
        (0..count).map(answer).collect()
    })
}

#[test]
fn what_a_guest_sends_belongs_to_the_trace_of_what_it_answers() {
    for (guest, flags) in
        [(RUST_P2_HTTP_BAD, &["--reuse", "1"][..]), (RUST_P2_HTTP_BAD, &["--reuse", "10"]), (RUST_P3_HTTP_ECHO, &[])]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = told(listener, 2);
        let server = serve(guest, &[&["--http", &url], flags].concat());
        let request = traced(&format!("/outbound?url={url}/")).replace("\r\n\r\n", "\r\ntracestate: a=b\r\n\r\n");
        server.connect().ask(request).is(200, "status 204\n");
        server.get(&format!("/outbound?url={url}/")).is(200, "status 204\n");
        let told = told.join().unwrap();
        assert_eq!(told[0], ["GET /", &format!("traceparent: 00-{TRACE}-{PARENT}-01"), "tracestate: a=b"]);
        assert_eq!(told[1], ["GET /"]);
    }
}

/// With a collector, the guest's request belongs to the server's span, whether or not the client
/// began a trace.
#[test]
fn what_a_guest_sends_is_below_the_span_of_what_it_answers() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (env, collector, url) =
            (test_env!(), Collector::start(), format!("http://{}", listener.local_addr().unwrap()));
        let told = told(listener, 3);
        let endpoint = collector.url();
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
        let server = ServeProcess::start_with(&env, &variables, guest, &["--http", &url]);
        let traced = traced(&format!("/outbound?url={url}/traced"));
        let stated = traced.replace("/traced", "/stated").replace("\r\n\r\n", "\r\ntracestate: a=b\r\n\r\n");
        let plain = format!("GET /outbound?url={url}/plain HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        let mut spans = Vec::new();
        for request in [traced, stated, plain] {
            server.connect().ask(request).is(200, "status 204\n");
            spans = collector.spans(spans.len() + 1);
        }
        let parent = |nth: usize| {
            let (trace, span) = (hex(&spans[nth].trace_id), hex(&spans[nth].span_id));
            format!("traceparent: 00-{trace}-{span}-01")
        };
        let told = told.join().unwrap();
        assert_eq!(told[0], ["GET /traced", &parent(0)]);
        assert_eq!(told[1], ["GET /stated", &parent(1), "tracestate: a=b"]);
        assert_eq!(told[2], ["GET /plain", &parent(2)]);
        assert!(parent(0).contains(TRACE) && parent(1).contains(TRACE) && !parent(2).contains(TRACE));
        assert!(spans[2].parent_span_id.is_empty());
    }
}

/// All are in one sandbox, where some wait for others; the last is sent when its response has
/// begun.
#[test]
fn each_of_several_requests_at_once_has_its_own_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let told = told(listener, 4);
    let server = steady(RUST_P3_HTTP_ECHO, &["--http", &url, "--workers", "1"]);
    let own = format!("00-{TRACE}-00000000000000aa-01");
    let ask = |path: &str, nth: usize, ms: usize, more: &str| {
        let mut client = server.connect();
        let request = traced(&format!("{path}?url={url}/{nth}&ms={ms}{more}"));
        client.send(request.replace(PARENT, &format!("{nth:016x}"))).unwrap();
        client
    };
    let mut waiting = [
        ask("/outbound", 1, 900, ""),
        ask("/outbound", 2, 600, ""),
        ask("/outbound", 3, 300, &format!("&trace={own}")),
        ask("/outbound-after", 4, 1200, ""),
    ];
    for (client, text) in waiting.iter_mut().zip(["status 204\n", "status 204\n", "status 204\n", "afterwards\n"]) {
        client.response().is(200, text);
    }
    let traced = |nth: usize| [format!("GET /{nth}"), format!("traceparent: 00-{TRACE}-{nth:016x}-01")];
    let its_own = ["GET /3".to_owned(), format!("traceparent: {own}")];
    let mut told = told.join().unwrap();
    told.sort();
    assert_eq!(told, [traced(1), traced(2), its_own, traced(4)]);
}
