use crate::support::*;
use walnut_policy::{Capability, EnvGrant, Policy};

#[test]
fn a_variable_is_seen_when_it_is_granted() {
    check(&[
        (&[], env("HOME"), No),
        (&["env HOME"], env("HOME"), Yes),
        (&["env HOME=/x"], env("HOME"), Yes),
        (&["env HOME"], env("HOM"), No),
        (&["env HOME"], env("HOME2"), No),
        (&["env HOME"], env("home"), No),
        (&["allow-all"], env("HOME"), Yes),
    ]);
}

#[test]
fn a_denial_beats_every_grant() {
    check(&[
        (&["env AWS_KEY", "deny-env AWS_*"], env("AWS_KEY"), Never),
        (&["env AWS_KEY", "deny-env AZURE_*"], env("AWS_KEY"), Yes),
        (&["allow-all", "deny-env AWS_*"], env("AWS_KEY"), Never),
        (&["allow-all", "deny-env AWS_*"], env("AWS"), Yes),
        (&["allow-all", "deny-env *"], env("PATH"), Never),
        (&["allow-all", "deny-env PATH"], env("PATHEXT"), Yes),
    ]);
}

#[test]
fn the_last_value_counts() {
    let policy = policy(&["env A=1", "env B=2", "env A=3"]);
    let values: Vec<_> = policy.env().iter().map(|e| (e.name.as_str(), e.value.as_deref())).collect();
    assert_eq!(values, [("B", Some("2")), ("A", Some("3"))]);
}

#[test]
fn values_are_not_printed() {
    let policy = policy(&["env KEY=secret-value"]);
    assert!(!format!("{policy:?}").contains("secret-value"));
    assert_eq!(policy.summary(), ["env = KEY"]);
}

#[test]
fn mistakes_are_told() {
    for text in ["", "=x", "A\0B", "A=\0", "AWS_*", "*", "*=1"] {
        EnvGrant::parse(text).expect_err(text);
    }
    for text in ["", "A=1", "A*B", "**"] {
        Policy::sealed().deny(Capability::Env, text).expect_err(text);
    }
    let error = EnvGrant::parse("AWS_*=secret-value").expect_err("a pattern");
    assert!(!error.to_string().contains("secret-value"), "{error}");
}

#[test]
fn a_name_like_an_option_is_one_word_of_the_fix() {
    assert_eq!(flag(&policy(&[]), &env("-x")), "--env=-x");
    assert_eq!(flag(&policy(&[]), &env("it's")), r"--env 'it'\''s'");
    assert_eq!(flag(&policy(&[]), &env("A=B")), "");
    assert_eq!(flag(&policy(&[]), &env("A\u{202e}B")), "");
}
