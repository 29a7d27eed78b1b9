//! Modules that are small, and ask a compiler for gigabytes or minutes.

use walnut_test_support::test_env;

/// Loops in each other that all change the same locals: each loop has a copy of each local.
fn nested_loops(loops: usize, locals: usize) -> String {
    let mut text = "(module (memory (export \"memory\") 1) (func $bomb (local".to_owned();
    text += &" i32".repeat(locals);
    text += ")\n";
    text += &"loop\n".repeat(loops);
    for local in 0..locals {
        text += &format!("local.get {local} i32.const 1 i32.add local.set {local}\n");
    }
    text += &"local.get 0 br_if 0 end\n".repeat(loops);
    text + ") (func (export \"_start\")))"
}

#[test]
fn a_bomb_runs_on_baseline_code_and_is_not_optimised() {
    let env = test_env!();
    env.file("bomb.wat", nested_loops(1000, 300));
    env.run(["run", "bomb.wat"]).succeeds();
    let refused = env.run(["run", "--tier", "optimised", "bomb.wat"]).exits_with(126);
    refused.says("the compiler would need more than");
    env.file("small.wat", nested_loops(3, 30));
    env.run(["run", "--tier", "optimised", "small.wat"]).succeeds();
}
