//! The binary from end to end: arguments, output and exit code.
//!
//! Each verb or subject has a module, all in one binary, since linking takes most of the time. The
//! tests of `serve` have a binary of their own.

mod attacks_files;
mod attacks_mounts;
mod bombs;
mod cache;
mod call;
mod env;
mod files;
mod guests;
mod help;
mod inspect;
mod limits;
mod load;
mod log;
mod progress;
mod run;
mod sockets;
mod tiers;
mod traps;

/// The guest in Python. Its 18 MB take a while to compile, so tests that need it wait for the first
/// one's result.
fn python() -> String {
    static COMPILED: std::sync::Once = std::sync::Once::new();
    let path = walnut_test_support::guest(walnut_test_programs::PY_P2_HELLO);
    COMPILED.call_once(|| {
        walnut_test_support::test_env!().run(["run", &path]).succeeds();
    });
    path
}

/// Filters parts that depend on the toolchain of a guest, for the life of the returned value: the
/// host calls of its start, places in its standard library, and numbers of functions.
fn toolchain_filters() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"last host calls: .*", "last host calls: [CALLS]");
    settings.add_filter(r"at function \d+", "at function [N]");
    settings.add_filter(r"\((?:src|alloc|core|std)/[^)]*\)", "([LIBRARY])");
    settings.bind_to_scope()
}
