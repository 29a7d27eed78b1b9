use super::*;
use crate::telemetry::{Cause, Logs};
use http::StatusCode;

fn node() -> Arc<Node> {
    Node::new(1, Logs::default(), None)
}

#[test]
fn requests_are_counted_by_class_and_cause() {
    let node = node();
    let metrics = node.component_metrics("shop", "api");
    for (status, cause, duration) in [
        (Some(StatusCode::OK), Cause::Ok, Duration::from_micros(100)),
        (Some(StatusCode::OK), Cause::Ok, Duration::from_micros(101)),
        (Some(StatusCode::GATEWAY_TIMEOUT), Cause::Deadline, Duration::from_secs(61)),
        (None, Cause::Abandoned, Duration::ZERO),
    ] {
        metrics.begin();
        metrics.end(status, cause, duration);
    }
    metrics.begin();
    assert_eq!(metrics.in_flight(), 1);
    let text = encode(&node).unwrap();
    for line in [
        r#"walnut_requests_total{app="shop",component="api",class="2xx",cause="ok"} 2"#,
        r#"walnut_requests_total{app="shop",component="api",class="5xx",cause="deadline"} 1"#,
        r#"walnut_requests_total{app="shop",component="api",class="none",cause="abandoned"} 1"#,
        r#"walnut_requests_in_flight{app="shop",component="api"} 1"#,
        r#"walnut_request_duration_seconds_bucket{le="0.0001",app="shop",component="api"} 2"#,
        r#"walnut_request_duration_seconds_bucket{le="0.00025",app="shop",component="api"} 3"#,
        r#"walnut_request_duration_seconds_bucket{le="60.0",app="shop",component="api"} 3"#,
        r#"walnut_request_duration_seconds_bucket{le="+Inf",app="shop",component="api"} 4"#,
        r#"walnut_request_duration_seconds_sum{app="shop",component="api"} 61.000201"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
    }
}

#[test]
fn names_cannot_break_a_line() {
    let node = node();
    node.component_metrics("a\"b\n", "c\\d").begin();
    let text = encode(&node).unwrap();
    assert!(text.contains(r#"walnut_requests_in_flight{app="a\"b\n",component="c\\d"} 1"#), "{text}");
}
