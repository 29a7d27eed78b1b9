use super::*;
use crate::app::node::Node;
use walnut_policy::{Policy, Request};

fn node() -> Arc<Node> {
    Node::new(1, Logs::default(), None)
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
