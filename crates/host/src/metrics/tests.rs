use super::*;
use crate::node::Node;
use walnut_policy::{Policy, Request};

fn node() -> Arc<Node> {
    Node::new(1, Logs::default(), None)
}

#[test]
fn requests_are_counted_by_class_and_cause() {
    let node = node();
    let measures = node.measures("shop", "api");
    for (status, cause, took) in [
        (Some(StatusCode::OK), Cause::Ok, Duration::from_micros(100)),
        (Some(StatusCode::OK), Cause::Ok, Duration::from_micros(101)),
        (Some(StatusCode::GATEWAY_TIMEOUT), Cause::Deadline, Duration::from_secs(61)),
        (None, Cause::Abandoned, Duration::ZERO),
    ] {
        measures.begin();
        measures.end(status, cause, took);
    }
    measures.begin();
    assert_eq!(measures.in_flight(), 1);
    let text = text(&node).unwrap();
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
fn a_component_that_is_served_anew_goes_on_counting() {
    let node = node();
    node.measures("shop", "api").begin();
    node.measures("shop", "web").begin();
    assert_eq!(node.measures("shop", "api").in_flight(), 1);
    assert_eq!(node.measures("", "").in_flight(), 0);
}

#[test]
fn what_sandboxes_use_is_summed_over_threads() {
    let measures = node().measures("shop", "api");
    let uses = |took, cpu, memory| {
        let measures = measures.clone();
        let thread = std::thread::spawn(move || {
            measures.started(took);
            measures.spent(cpu);
            measures.grown(memory);
            measures.grown(memory / 2);
        });
        thread.join().unwrap();
    };
    uses(Duration::from_micros(5), Duration::from_millis(1500), 3 << 20);
    uses(Duration::from_micros(6), Duration::from_millis(250), 1 << 20);
    uses(Duration::from_secs(2), Duration::ZERO, 0);
    let starts = measures.starts();
    assert_eq!((starts[0], starts[1], starts[START_BOUNDS.len()]), (1, 1, 1));
    assert_eq!((measures.cpu(), measures.memory()), (1.75, 3 << 20));
}

#[test]
fn names_cannot_break_a_line() {
    let node = node();
    node.measures("a\"b\n", "c\\d").begin();
    let text = text(&node).unwrap();
    assert!(text.contains(r#"walnut_requests_in_flight{app="a\"b\n",component="c\\d"} 1"#), "{text}");
}

#[test]
fn refusals_are_counted_and_the_latest_are_kept() {
    let measures = node().measures("shop", "api");
    let gate = walnut_engine::Gate::new("shop/api", Policy::sealed(), vec![measures.clone()]);
    let ask = |name: String| gate.check("wasi:cli/environment.get-environment", Request::Env { name });
    ask("FIRST".into()).unwrap_err();
    (0..60).for_each(|n| drop(ask(format!("A{n}")).unwrap_err()));
    ask("A59".into()).unwrap_err();
    assert!(measures.denials().any(|(capability, count)| capability == Capability::Env && count == 62));
    let refused = measures.refused();
    assert_eq!(refused.len(), MOST_REFUSED);
    assert_eq!((refused[0].asked.as_str(), refused[0].count), ("see the variable A59", 2));
    assert_eq!(refused[0].allow, Some(("--env A59".into(), r#"env = ["A59"]"#.into())));
    assert!(refused.iter().all(|one| !one.asked.contains("FIRST")));
}
