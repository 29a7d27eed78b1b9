//! The binary from end to end: what is typed, what is seen, and how it ends.
//!
//! One module per verb or subject, all in one binary, because linking is what takes time. What concerns `serve` has a
//! binary of its own.

mod attacks_files;
mod cache;
mod call;
mod env;
mod files;
mod guests;
mod help;
mod inspect;
mod limits;
mod load;
mod progress;
mod run;
mod sockets;
mod tiers;
mod traps;

/// The guest in Python. Its 18 MB take a while to compile, so tests that need it wait for the first one's result.
fn python() -> String {
    static COMPILED: std::sync::Once = std::sync::Once::new();
    let path = walnut_test_support::guest(walnut_test_programs::PY_P2_HELLO);
    COMPILED.call_once(|| {
        walnut_test_support::test_env!().run(["run", &path]).succeeds();
    });
    path
}

/// What differs between the toolchains that a guest may be built with is not compared, for as long as the answer lives:
/// the host calls of its start, places in its standard library, and numbers of functions.
fn whatever_built_it() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"last host calls: .*", "last host calls: [CALLS]");
    settings.add_filter(r"at function \d+", "at function [N]");
    settings.add_filter(r"\((?:src|alloc|core|std)/[^)]*\)", "([LIBRARY])");
    settings.bind_to_scope()
}
