//! The cache of compiled code: a second run uses the code of the first, and no damaged code ever
//! runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use walnut_test_programs::{Guest, RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO};
use walnut_test_support::{TestEnv, guest, test_env};

const HELLO: &str = "hello from a sealed component\n";

fn run(env: &TestEnv) {
    env.run(["run", "--tier", "optimised", &guest(RUST_P1_HELLO)]).prints(HELLO);
}

/// Lists the files of compiled code, with a value that changes when a file is written again.
fn entries(env: &TestEnv) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let folder = fs::read_dir(env.cache().join("code")).expect("the cache is there");
    let about = |path: PathBuf| {
        let m = fs::metadata(&path).expect("it is there");
        (path, (m.modified().expect("the system knows"), m.len()))
    };
    folder.map(|entry| about(entry.expect("it can be listed").path())).collect()
}

#[test]
fn a_second_run_takes_what_the_first_left() {
    let env = test_env!().with_own_cache();
    run(&env);
    let first = entries(&env);
    assert_eq!(first.len(), 1, "{first:?}");
    run(&env);
    assert_eq!(entries(&env), first);
    let mode = fs::metadata(env.cache().join("code")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "others must not write code that we run");
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    let env = test_env!().with_own_cache();
    run(&env);
    let (path, (_, length)) = entries(&env).pop_first().expect("there is one");
    let whole = fs::read(&path).expect("it can be read");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&[][..], &whole[..whole.len() / 2], &whole[..whole.len() - 1], &flipped] {
        fs::write(&path, damaged).expect("it can be written");
        run(&env);
        assert!(entries(&env).contains_key(&path), "it is there again");
        let again = fs::read(&path).expect("it can be read");
        assert!(again.len() as u64 == length && again != damaged, "it is whole again");
    }
}

/// Remains of a process that died in the middle of a write.
#[test]
fn a_part_of_an_entry_is_never_taken() {
    let env = test_env!().with_own_cache();
    run(&env);
    let (path, _) = entries(&env).pop_first().expect("there is one");
    let partial = path.with_file_name(".tmpdied.partial");
    fs::rename(&path, &partial).expect("it can be renamed");
    run(&env);
    assert!(path.exists());
}

#[test]
fn many_may_start_at_once() {
    let env = test_env!().with_own_cache();
    let program = guest(RUST_P1_HELLO);
    let start = |_| {
        let mut command = env.command();
        command
            .args(["run", "--tier", "optimised", &program])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        command.spawn().expect("the binary starts")
    };
    let children: Vec<_> = (0..8).map(start).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), HELLO);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
    assert_eq!(entries(&env).len(), 1, "one entry, and nothing half written");
    run(&env);
}

#[test]
fn show_and_clear() {
    let env = test_env!().with_own_cache();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[1-9]\d*\.\dMiB|0\.[1-9]MiB", "[SIZE]");
    settings.bind(|| {
        insta::assert_snapshot!(env.run(["cache"]), @"
        --- stdout ---
        [CACHE]/code
        0 components, 0.0MiB of at most 4GiB
        --- exit code 0 ---
        ");
        run(&env);
        insta::assert_snapshot!(env.run(["cache", "show"]), @"
        --- stdout ---
        [CACHE]/code
        1 component, [SIZE] of at most 4GiB
        --- exit code 0 ---
        ");
        assert_eq!(env.run(["cache"]).succeeds().stdout, env.run(["cache", "show"]).stdout);
        insta::assert_snapshot!(env.run(["cache", "clear"]), @"
        --- stderr ---
        removed 1 component, [SIZE]
        --- exit code 0 ---
        ");
        assert!(entries(&env).is_empty());
        insta::assert_snapshot!(env.run(["cache"]), @"
        --- stdout ---
        [CACHE]/code
        0 components, 0.0MiB of at most 4GiB
        --- exit code 0 ---
        ");
    });
    run(&env);
}

/// Only a process that writes to the cache makes room in it.
#[test]
fn the_cache_has_a_bound() {
    let env = test_env!().with_own_cache();
    let run = |program: Guest, most: &str| {
        let tier = ["run", "--tier", "optimised", &guest(program)];
        env.walnut(tier).env("WALNUT_CACHE_SIZE", most).run().prints(HELLO);
    };
    run(RUST_P1_HELLO, "1GiB");
    let (first, (_, length)) = entries(&env).pop_first().expect("there is one");
    run(RUST_P1_HELLO, "1");
    assert!(entries(&env).contains_key(&first), "a start from it removes nothing");
    // Sets the age of the entry, so that it is older whatever the resolution of the clock.
    let file = fs::File::options().write(true).open(&first).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).expect("it is ours");
    run(RUST_P2_HELLO, "1GiB");
    assert_eq!(entries(&env).len(), 2);
    run(RUST_P3_HELLO, &(3 * length).to_string());
    let left = entries(&env);
    assert!(!left.contains_key(&first) && !left.is_empty(), "the oldest one went: {left:?}");
    assert!(left.values().map(|(_, length)| length).sum::<u64>() <= 3 * length, "{left:?}");
    // Code that is larger than the cache is not kept, and runs.
    env.run(["cache", "clear"]).succeeds();
    run(RUST_P1_HELLO, "0");
    assert!(entries(&env).is_empty());
    let shown = env.walnut(["cache"]).env("WALNUT_CACHE_SIZE", "64MiB").run().succeeds().stdout;
    assert!(shown.ends_with("0 components, 0.0MiB of at most 64MiB\n"), "{shown}");
}

#[test]
fn a_bound_that_is_none_is_told() {
    let env = test_env!().with_own_cache();
    insta::assert_snapshot!(env.walnut(["cache"]).env("WALNUT_CACHE_SIZE", "much").run(), @"
    --- stderr ---
    error: WALNUT_CACHE_SIZE: `much` is not a size; write `64MiB`, `1GiB` or a number of bytes
    hint: set WALNUT_CACHE_SIZE to what the cache may hold, or leave it unset
    --- exit code 125 ---
    ");
    let output = env.walnut(["run", &guest(RUST_P1_HELLO)]).env("WALNUT_CACHE_SIZE", "much").run();
    output.prints(HELLO).says("`much` is not a size").says("compiled code is not kept");
}

#[test]
fn clear_removes_nothing_that_is_not_its_own() {
    let env = test_env!().with_own_cache();
    run(&env);
    let mine = env.cache().join("code/notes.txt");
    fs::write(&mine, "mine").expect("it can be written");
    env.run(["cache", "clear"]).succeeds();
    assert!(mine.exists());
}

#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    let env = test_env!().with_own_cache();
    let code = env.cache().join("code");
    fs::create_dir_all(&code).expect("it can be made");
    fs::set_permissions(&code, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let output = env.run(["run", &guest(RUST_P1_HELLO)]);
    output.clone().prints(HELLO);
    insta::assert_snapshot!(output, @"
    --- stdout ---
    hello from a sealed component
    --- stderr ---
    warning: the cache folder [CACHE]/code is not safe: others may write to it; compiled code is not kept
    --- exit code 0 ---
    ");
    assert!(entries(&env).is_empty());
    insta::assert_snapshot!(env.run(["cache"]), @"
    --- stderr ---
    error: the cache folder [CACHE]/code is not safe: others may write to it
    hint: set WALNUT_CACHE_DIR to a folder that is yours alone
    --- exit code 125 ---
    ");
    fs::set_permissions(&code, fs::Permissions::from_mode(0o700)).expect("it is ours");
    // A user who may write to a folder above it can put another folder in its place.
    fs::set_permissions(env.cache(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    env.run(["cache"]).exits_with(125).says("is not safe: others may write to it");
    fs::set_permissions(env.cache(), fs::Permissions::from_mode(0o1777)).expect("it is ours");
    env.run(["cache"]).succeeds();
    fs::set_permissions(env.cache(), fs::Permissions::from_mode(0o700)).expect("it is ours");
    let output = env.run(["run", &guest(RUST_P1_HELLO)]);
    assert_eq!(output.stderr, "");
    assert_eq!(entries(&env).len(), 1);
}

#[test]
fn a_place_that_is_no_folder_is_no_obstacle() {
    let env = test_env!();
    let file = env.file("a-file", "");
    let output = env.walnut(["run", &guest(RUST_P1_HELLO)]).env("WALNUT_CACHE_DIR", file).run();
    output.prints(HELLO).says("compiled code is not kept");
}
