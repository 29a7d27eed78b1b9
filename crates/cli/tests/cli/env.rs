//! Environment variables.

use walnut_test_programs::{RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO};
use walnut_test_support::{guest, test_env};

fn programs() -> [String; 3] {
    [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO].map(guest)
}

#[test]
fn nothing_is_seen_unless_granted() {
    let env = test_env!();
    for program in programs() {
        env.walnut(["run", &program, "--env"]).env("SECRET", "hidden").run().prints("");
        env.walnut(["run", "--env", "SECRET", &program, "--env"]).env("SECRET", "shown").run().prints("SECRET=shown\n");
    }
}

#[test]
fn a_value_can_be_given() {
    let env = test_env!();
    for program in programs() {
        let flags = ["run", "--env", "A=1", "--env", "B=x=y", "--env", "C=", &program, "--env"];
        env.run(flags).prints("A=1\nB=x=y\nC=\n");
        // A given value takes precedence over the inherited one.
        env.walnut(["run", "--env", "A=1", &program, "--env"]).env("A", "2").run().prints("A=1\n");
    }
}

#[test]
fn a_variable_that_is_not_set_is_not_there() {
    let env = test_env!();
    for program in programs() {
        env.run(["run", "--env", "NOWHERE", &program, "--env"]).prints("");
        env.walnut(["run", "--env", "NOWHERE", &program, "--env"]).env("NOWHERE", "").run().prints("NOWHERE=\n");
    }
}

#[test]
fn a_denial_beats_a_grant() {
    let env = test_env!();
    for program in programs() {
        let grants = ["run", "--env", "AWS_KEY=1", "--env", "PLAIN=2"];
        let with = |denials: &[&str]| env.run(grants.iter().chain(denials).chain(&[program.as_str(), "--env"]));
        with(&["--deny-env", "AWS_*"]).prints("PLAIN=2\n");
        with(&["--deny-env", "PLAIN"]).prints("AWS_KEY=1\n");
        with(&["--deny-env", "*"]).prints("");
        with(&[]).prints("AWS_KEY=1\nPLAIN=2\n");
    }
}

#[test]
fn allow_all_shows_everything_that_is_not_denied() {
    let env = test_env!();
    let program = guest(RUST_P2_HELLO);
    let run = |flags: &[&str]| {
        env.walnut(["run", "--allow-all"].iter().chain(flags).chain(&[program.as_str(), "--env"]))
            .env("ONE", "1")
            .env("TWO", "2")
            .run()
            .succeeds()
    };
    let all = run(&[]).stdout;
    assert!(all.contains("ONE=1\n") && all.contains("TWO=2\n") && all.contains("HOME="), "{all}");
    let some = run(&["--deny-env", "TWO"]).stdout;
    assert!(some.contains("ONE=1\n") && !some.contains("TWO"), "{some}");
}
