//! The whole of `--help`. The snapshot makes every change of it visible in a review.

use std::fmt::Write;
use walnut_test_support::test_env;

#[test]
fn help_of_every_command() {
    let env = test_env!();
    let commands: [&[&str]; 8] =
        [&[], &["run"], &["serve"], &["inspect"], &["call"], &["cache"], &["cache", "show"], &["cache", "clear"]];
    let mut text = String::new();
    for command in commands {
        let help = env.run(command.iter().chain(&["--help"])).succeeds();
        assert_eq!(help.stderr, "");
        let name = ["walnut"].iter().chain(command).copied().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "===== {name} --help\n{}", help.stdout);
    }
    insta::assert_snapshot!("help", text);
}

#[test]
fn the_version_is_told() {
    let output = test_env!().run(["--version"]).succeeds();
    assert_eq!(output.stdout, concat!("walnut ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Every command that starts a guest has all grants, denials and limits, and shows the defaults of
/// the limits.
#[test]
fn grants_and_limits_are_everywhere() {
    let env = test_env!();
    for command in ["run", "serve", "call"] {
        let help = env.run([command, "--help"]).succeeds().stdout;
        for capability in ["dir", "env", "connect", "listen", "resolve", "http"] {
            assert!(help.contains(&format!("--{capability} <")), "{command} has no --{capability}");
            assert!(help.contains(&format!("--deny-{capability} <")), "{command} has no --deny-{capability}");
        }
        let limits = ["memory", "cpu", "deadline", "stack", "handles", "request-body", "response-body", "connections"];
        for limit in limits {
            let at = help.find(&format!("--{limit} <")).unwrap_or_else(|| panic!("{command} has no --{limit}"));
            let entry: String = help[at..].lines().take(3).collect();
            assert!(entry.contains("[default: "), "{command} does not say what --{limit} is by default");
        }
    }
}
