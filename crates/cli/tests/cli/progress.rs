//! The progress line of a compilation: on a terminal, while it takes long, and nowhere else.

use std::fmt::Write;
use walnut_test_support::{TestEnv, test_env};

const LINE: &str = "compiling slow.wat (";
/// The escape sequence that clears a line of a terminal.
const CLEAR: &str = "\r\u{1b}[2K";

/// Creates a program that takes some seconds to compile, also on many CPUs: it is one function.
fn world() -> TestEnv {
    let env = test_env!().with_own_cache();
    let mut text = String::from("(module (func (export \"_start\") (local i32)\n");
    for number in 0..20_000 {
        writeln!(
            text,
            "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (i32.rotl (local.get 0) (i32.const 3))))
            (if (i32.eq (local.get 0) (i32.const {number})) (then (local.set 0 (i32.const 9))))"
        )
        .expect("text can be written to");
    }
    env.file("slow.wat", text + "))");
    env
}

#[test]
fn a_terminal_shows_a_line_while_it_compiles() {
    let env = world();
    let first = env.walnut(["run", "--tier", "optimised", "slow.wat"]).on_a_terminal().run().succeeds();
    assert!(first.stdout.contains(LINE), "{first}");
    assert!(first.stdout.ends_with(CLEAR), "the line stays: {:?}", first.stdout);
    // A quick compilation has no line.
    env.walnut(["run", "slow.wat"]).on_a_terminal().run().prints("");
}

#[test]
fn what_is_not_a_terminal_gets_no_line() {
    let output = world().run(["run", "--tier", "optimised", "slow.wat"]).succeeds();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
}
