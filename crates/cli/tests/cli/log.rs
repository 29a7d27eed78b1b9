//! `WALNUT_LOG`: what libraries log.

use walnut_test_programs::{RUST_P1_BOMBS, RUST_P1_HELLO};
use walnut_test_support::{guest, test_env};

#[test]
fn libraries_log_only_when_asked() {
    let env = test_env!();
    let hello = guest(RUST_P1_HELLO);
    assert_eq!(env.walnut(["run", &hello]).env("WALNUT_LOG", "").run().succeeds().stderr, "");
    let logged = env.walnut(["run", &hello]).env("WALNUT_LOG", "trace").run().succeeds();
    assert!(logged.stderr.contains("wasmtime") && logged.stderr.contains("get-stdout"), "{logged}");
    let wasi = env.walnut(["run", &hello]).env("WALNUT_LOG", "wasmtime_wasi=trace").run().succeeds();
    let of_others = wasi.stderr.lines().filter(|line| !line.contains("wasmtime_wasi"));
    assert!(!wasi.stderr.is_empty() && of_others.count() == 0, "{wasi}");
}

#[test]
fn a_trap_lists_the_same_host_calls_with_a_log() {
    let env = test_env!();
    let calls = |log: &str| {
        let output = env.walnut(["run", &guest(RUST_P1_BOMBS), "unreachable"]).env("WALNUT_LOG", log).run();
        let output = output.exits_with(134);
        let calls = output.stderr.lines().find(|line| line.contains("last host calls: ")).map(str::to_owned);
        calls.unwrap_or_else(|| panic!("no host calls:\n{output}"))
    };
    let without = calls("");
    assert!(without.contains('.'), "{without}");
    assert_eq!(calls("debug"), without);
    assert_eq!(calls("h2=trace,wasmtime=debug"), without);
}

#[test]
fn a_wrong_filter_is_an_error() {
    let env = test_env!();
    insta::assert_snapshot!(env.walnut(["run", &guest(RUST_P1_HELLO)]).env("WALNUT_LOG", "h2=loud").run(), @r#"
    --- stderr ---
    error: WALNUT_LOG: "h2=loud" is neither a level nor LIBRARY=LEVEL
    hint: write a level (error, warn, info, debug, trace, off), or levels of libraries such as `h2=trace,wasmtime=debug`
    --- exit code 2 ---
    "#);
}
