use super::*;
use crate::app::Node;
use walnut_policy::{Policy, Request};

fn node() -> Arc<Node> {
    Node::new(1, Logs::default(), None)
}

#[test]
fn a_component_that_is_served_anew_goes_on_counting() {
    let node = node();
    node.component_metrics("shop", "api").begin();
    node.component_metrics("shop", "web").begin();
    assert_eq!(node.component_metrics("shop", "api").in_flight(), 1);
    assert_eq!(node.component_metrics("", "").in_flight(), 0);
}

#[test]
fn the_use_of_sandboxes_is_summed_over_threads() {
    let metrics = node().component_metrics("shop", "api");
    let uses = |took, cpu, memory| {
        let metrics = metrics.clone();
        let thread = std::thread::spawn(move || {
            metrics.sandbox_started(took);
            metrics.cpu_used(cpu);
            metrics.memory_grown(memory);
            metrics.memory_grown(memory / 2);
        });
        thread.join().unwrap();
    };
    uses(Duration::from_micros(5), Duration::from_millis(1500), 3 << 20);
    uses(Duration::from_micros(6), Duration::from_millis(250), 1 << 20);
    uses(Duration::from_secs(2), Duration::ZERO, 0);
    let starts = metrics.starts();
    assert_eq!((starts[0], starts[1], starts[START_BOUNDS.len()]), (1, 1, 1));
    assert_eq!((metrics.cpu(), metrics.memory()), (1.75, 3 << 20));
}

#[test]
fn refusals_are_counted_and_the_latest_are_kept() {
    let metrics = node().component_metrics("shop", "api");
    let gate = walnut_engine::Gate::new("shop/api", Policy::sealed(), vec![metrics.clone()]);
    let ask = |name: String| gate.check("wasi:cli/environment.get-environment", Request::Env { name });
    ask("FIRST".into()).unwrap_err();
    (0..60).for_each(|n| drop(ask(format!("A{n}")).unwrap_err()));
    ask("A59".into()).unwrap_err();
    assert!(metrics.denials().any(|(capability, count)| capability == Capability::Env && count == 62));
    let denials = metrics.recorded_denials();
    assert_eq!(denials.len(), MAX_RECORDED_DENIALS);
    assert_eq!((denials[0].request.as_str(), denials[0].count), ("see the variable A59", 2));
    assert_eq!(denials[0].allow, Some(("--env A59".into(), r#"env = ["A59"]"#.into())));
    assert!(denials.iter().all(|denial| !denial.request.contains("FIRST")));
}
