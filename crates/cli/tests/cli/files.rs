//! Mounts: the files that a guest sees, for every WASI alike.

use std::fs;
use walnut_test_programs::{RUST_P1_FILES, RUST_P3_FILES};
use walnut_test_support::{RunOutput, TestEnv, guest, test_env};

/// From the adapter on, 0.1 takes the same path as 0.2.
fn programs() -> [String; 2] {
    [RUST_P1_FILES, RUST_P3_FILES].map(guest)
}

/// Runs `program` with these flags and then these arguments.
fn run(env: &TestEnv, program: &str, flags: &[&str], args: &[&str]) -> RunOutput {
    env.run(["run"].iter().chain(flags).chain(&[program]).chain(args))
}

#[test]
fn a_mount_is_read_only_unless_said() {
    let env = test_env!();
    env.file("data/a.txt", "a\n");
    for program in programs() {
        for flag in ["data::/data", "data::/data::ro"] {
            run(&env, &program, &["--dir", flag], &["read", "/data/a.txt"]).prints("a\n");
            run(&env, &program, &["--dir", flag], &["write", "/data/b.txt", "b"])
                .exits_with(1)
                .says("because: the mount `/data` is read-only")
                .says("allow it: --dir data::/data::rw");
            for change in [&["append", "/data/a.txt", "x"][..], &["mkdir", "/data/d"], &["remove", "/data/a.txt"]] {
                run(&env, &program, &["--dir", flag], change).exits_with(1).says("read-only");
            }
        }
        assert_eq!(env.read("data/a.txt"), "a\n");
        assert_eq!(fs::read_dir(env.path("data")).expect("it is there").count(), 1, "nothing was made");
        run(&env, &program, &["--dir", "data::/data::rw"], &["write", "/data/b.txt", "b"]).succeeds();
        assert_eq!(env.read("data/b.txt"), "b");
        run(&env, &program, &["--dir", "data::/data::rw"], &["append", "/data/b.txt", "c"]).succeeds();
        assert_eq!(env.read("data/b.txt"), "bc");
        run(&env, &program, &["--dir", "data::/data::rw"], &["mkdir", "/data/d"]).succeeds();
        run(&env, &program, &["--dir", "data::/data::rw"], &["remove", "/data/b.txt"]).succeeds();
        assert!(!env.path("data/b.txt").exists());
        fs::remove_dir(env.path("data/d")).expect("it was made");
    }
}

#[test]
fn every_change_needs_rw() {
    let env = test_env!();
    let changes: [&[&str]; 6] = [
        &["touch-open", "/data/a"],
        &["truncate", "/data/a"],
        &["rename", "/data/a", "/data/b"],
        &["link", "/data/a", "/data/b"],
        &["symlink", "a", "/data/b"],
        &["rmdir", "/data/d"],
    ];
    let needs_rw = |program: &str, change: &[&str]| {
        let _ = fs::remove_dir_all(env.path("data"));
        env.file("data/a", "a");
        env.folder("data/d");
        run(&env, program, &["--dir", "data::/data"], change).exits_with(1).says("is read-only");
        run(&env, program, &["--dir", "data::/data::rw"], change).succeeds();
    };
    for program in programs() {
        changes.iter().for_each(|change| needs_rw(&program, change));
    }
    needs_rw(&guest(RUST_P3_FILES), &["touch", "/data/a"]);
}

#[test]
fn a_path_outside_every_mount_is_explained() {
    let env = test_env!();
    env.file("data/a.txt", "a\n");
    insta::assert_snapshot!(run(&env, &guest(RUST_P1_FILES), &[], &["read", "/data/a.txt"]), @r#"
    --- stderr ---
    denied: rust_p1_files.wasm asked to read /data/a.txt
      through: wasi:filesystem/types.open-at
      because: nothing grants it
      allow it: --dir ./data::/data
      or in walnut.toml: dir = ["./data::/data"]
    error: NotFound 44: No such file or directory (os error 44)
    --- exit code 1 ---
    "#);
    insta::assert_snapshot!(run(&env, &guest(RUST_P3_FILES), &[], &["read", "/data/a.txt"]), @r#"
    --- stderr ---
    denied: rust_p3_files.wasm asked to read /data/a.txt
      through: wasi:filesystem/types.open-at
      because: nothing grants it
      allow it: --dir ./data::/data
      or in walnut.toml: dir = ["./data::/data"]
    error: no-entry
    --- exit code 1 ---
    "#);
    insta::assert_snapshot!(run(&env, &crate::python(), &[], &["--read", "/data/a.txt"]), @r#"
    --- stderr ---
    denied: py_p2_hello.wasm asked to read /data/a.txt
      through: wasi:filesystem/types.open-at
      because: nothing grants it
      allow it: --dir ./data::/data
      or in walnut.toml: dir = ["./data::/data"]
    error: No such file or directory
    --- exit code 1 ---
    "#);
    insta::assert_snapshot!(run(&env, &guest(RUST_P1_FILES), &[], &["write", "/data/a.txt", "b"]), @r#"
    --- stderr ---
    denied: rust_p1_files.wasm asked to write /data/a.txt
      through: wasi:filesystem/types.open-at
      because: nothing grants it
      allow it: --dir ./data::/data::rw
      or in walnut.toml: dir = ["./data::/data::rw"]
    error: ReadOnlyFilesystem 69: Read-only file system (os error 69)
    --- exit code 1 ---
    "#);
    insta::assert_snapshot!(
        run(&env, &guest(RUST_P1_FILES), &["--dir", "data::/data"], &["write", "/data/a.txt", "b"]), @r#"
    --- stderr ---
    denied: rust_p1_files.wasm asked to write /data/a.txt
      through: wasi:filesystem/types.open-at
      because: the mount `/data` is read-only
      allow it: --dir data::/data::rw
      or in walnut.toml: dir = ["data::/data::rw"]
    error: ReadOnlyFilesystem 69: Read-only file system (os error 69)
    --- exit code 1 ---
    "#);
}

#[test]
fn the_empty_root_can_be_listed_and_leads_to_the_mounts() {
    let env = test_env!();
    env.file("one/a", "");
    env.file("two/b", "");
    for program in programs() {
        run(&env, &program, &[], &["list", "/"]).prints("");
        let flags = ["--dir", "one::/data/one", "--dir", "two::/srv"];
        run(&env, &program, &flags, &["list", "/"]).prints("data\nsrv\n");
        run(&env, &program, &flags, &["list", "/data"]).prints("one\n");
        run(&env, &program, &flags, &["list", "/data/one"]).prints("a\n");
        run(&env, &program, &flags, &["list", "/srv"]).prints("b\n");
        run(&env, &program, &flags, &["mkdir", "/data/new"]).exits_with(1).says("asked to write /data/new");
    }
}

#[test]
fn two_mounts_have_grants_of_their_own() {
    let env = test_env!();
    env.file("in/a", "a");
    env.folder("out");
    let flags = ["--dir", "in::/in", "--dir", "out::/out::rw"];
    for program in programs() {
        run(&env, &program, &flags, &["read", "/in/a"]).prints("a");
        run(&env, &program, &flags, &["write", "/out/b", "b"]).succeeds();
        assert_eq!(env.read("out/b"), "b");
        run(&env, &program, &flags, &["write", "/in/b", "b"]).exits_with(1).says("the mount `/in` is read-only");
    }
    // From one mount to the other: both must allow it.
    for program in programs() {
        env.file("in/a", "a");
        run(&env, &program, &flags, &["rename", "/in/a", "/out/a"]).exits_with(1).says("the mount `/in` is read-only");
        assert_eq!(env.read("in/a"), "a");
        let flags = ["--dir", "in::/in::rw", "--dir", "out::/out::rw"];
        run(&env, &program, &flags, &["rename", "/in/a", "/out/a"]).succeeds();
        assert_eq!(env.read("out/a"), "a");
    }
}

#[test]
fn in_nested_mounts_the_inner_one_decides() {
    let env = test_env!();
    env.file("outer/a", "outer");
    env.file("outer/inner/a", "hidden by the inner mount");
    env.file("inner/a", "inner");
    for program in programs() {
        for flags in [
            ["--dir", "outer::/data", "--dir", "inner::/data/inner::rw"],
            ["--dir", "inner::/data/inner::rw", "--dir", "outer::/data"],
        ] {
            run(&env, &program, &flags, &["read", "/data/a"]).prints("outer");
            run(&env, &program, &flags, &["read", "/data/inner/a"]).prints("inner");
            run(&env, &program, &flags, &["write", "/data/inner/b", "b"]).succeeds();
            assert_eq!(env.read("inner/b"), "b");
            run(&env, &program, &flags, &["write", "/data/b", "b"]).exits_with(1).says("`/data` is read-only");
        }
        // The other way round: a read-only folder in a writable one.
        let flags = ["--dir", "outer::/data::rw", "--dir", "inner::/data/inner"];
        run(&env, &program, &flags, &["write", "/data/inner/c", "c"]).exits_with(1).says("`/data/inner` is read-only");
        run(&env, &program, &flags, &["write", "/data/c", "c"]).succeeds();
        assert!(!env.path("outer/inner/c").exists() && !env.path("inner/c").exists());
    }
}

#[test]
fn a_folder_on_the_way_to_an_inner_mount_is_the_outer_mounts() {
    let env = test_env!();
    env.file("outer/way/a", "outer");
    env.file("inner/a", "inner");
    let flags = ["--dir", "outer::/data", "--dir", "inner::/data/way/inner"];
    for program in programs() {
        run(&env, &program, &flags, &["list", "/"]).prints("data\n");
        run(&env, &program, &flags, &["list", "/data"]).prints("way\n");
        run(&env, &program, &flags, &["list", "/data/way"]).prints("a\n");
        run(&env, &program, &flags, &["read", "/data/way/inner/a"]).prints("inner");
    }
    // Relative to the folder, once it is open.
    let program = guest(RUST_P3_FILES);
    run(&env, &program, &flags, &["read-in", "/data/way", "a"]).prints("outer");
    run(&env, &program, &flags, &["read-in", "/data/way", "inner/a"]).prints("inner");
    run(&env, &program, &flags, &["read-in", "/", "data/way/a"]).prints("outer");
    run(&env, &program, &flags, &["read-in", "/data/way", "../../b"]).exits_with(1).says("asked to read /b");
}

#[test]
fn a_mount_can_cover_the_root() {
    let env = test_env!();
    env.file("all/etc/passwd", "its own\n");
    for program in programs() {
        run(&env, &program, &["--dir", "all::/"], &["read", "/etc/passwd"]).prints("its own\n");
        run(&env, &program, &["--dir", "all::/"], &["list", "/"]).prints("etc\n");
        run(&env, &program, &["--dir", "all::/"], &["read", "/etc/shadow"]).exits_with(1);
        run(&env, &program, &["--dir", "all::/"], &["write", "/a", "a"]).exits_with(1).says("`/` is read-only");
        run(&env, &program, &["--dir", "all::/::rw"], &["write", "/a", "a"]).succeeds();
        run(&env, &program, &["--dir", "all::/::rw"], &["remove", "/a"]).succeeds();
    }
}

#[test]
fn a_relative_mount_is_found_by_relative_paths() {
    let env = test_env!();
    env.file("data/a", "a");
    run(&env, &guest(RUST_P1_FILES), &["--dir", "data"], &["read", "data/a"]).prints("a");
    env.file("b", "b");
    run(&env, &guest(RUST_P1_FILES), &["--dir", "."], &["read", "b"]).prints("b");
    run(&env, &guest(RUST_P1_FILES), &[], &["read", "b"]).exits_with(1).says("asked to read /b");
}

#[test]
fn a_missing_host_folder_is_told_before_anything_runs() {
    let env = test_env!();
    env.file("a-file", "");
    env.folder("there");
    let program = guest(RUST_P1_FILES);
    insta::assert_snapshot!(run(&env, &program, &["--dir", "nowhere::/data"], &["list", "/data"]), @r#"
    --- stderr ---
    error: the folder nowhere cannot be mounted at /data: No such file or directory (os error 2)
    hint: make the folder first, or name another: `--dir HOST::GUEST`, or in walnut.toml `dir = "HOST::GUEST"`
    --- exit code 125 ---
    "#);
    insta::assert_snapshot!(run(&env, &program, &["--dir", "a-file::/data"], &["list", "/data"]), @r#"
    --- stderr ---
    error: the folder a-file cannot be mounted at /data: Not a directory (os error 20)
    hint: make the folder first, or name another: `--dir HOST::GUEST`, or in walnut.toml `dir = "HOST::GUEST"`
    --- exit code 125 ---
    "#);
    // All of them at once.
    let several = ["--dir", "nowhere::/data", "--dir", "there::/there", "--dir", "a-file::/file"];
    insta::assert_snapshot!(run(&env, &program, &several, &["list", "/data"]), @r#"
    --- stderr ---
    error: 2 folders cannot be mounted:
      the folder nowhere cannot be mounted at /data: No such file or directory (os error 2)
      the folder a-file cannot be mounted at /file: Not a directory (os error 20)
    hint: make the folder first, or name another: `--dir HOST::GUEST`, or in walnut.toml `dir = "HOST::GUEST"`
    --- exit code 125 ---
    "#);
    run(&env, &program, &["--dir", "nowhere::/data"], &["list", "/data"]).exits_with(125);
    run(&env, &program, &["--dir", "there::/data"], &["list", "/data"]).prints("");
}

#[test]
fn bad_patterns_exit_with_2_and_a_hint() {
    let env = test_env!();
    let program = guest(RUST_P1_FILES);
    let bad: [[&str; 2]; 15] = [
        ["--dir", ""],
        ["--dir", "::/data"],
        ["--dir", "data::"],
        ["--dir", "a::b::c::d"],
        ["--dir", "data::/../x"],
        ["--deny-dir", "/.."],
        ["--env", "=x"],
        ["--deny-env", ""],
        ["--connect", "example.com"],
        ["--connect", "example.com:port"],
        ["--connect", "10.0.0.0/99:1"],
        ["--listen", "example.com:80"],
        ["--resolve", "not a name"],
        ["--http", "ftp://example.com"],
        ["--deny-http", "GET"],
    ];
    for [flag, text] in bad {
        let output = run(&env, &program, &[&format!("{flag}={text}")], &[]).exits_with(2).says("hint: ");
        output.says(flag);
    }
    insta::assert_snapshot!(run(&env, &program, &["--dir", "a::b::c::d"], &[]), @"
    --- stderr ---
    error: --dir: `a::b::c::d` has too many parts
    hint: write `HOST::GUEST`, and `::rw` after it when the guest may write: `./data::/data::rw`
    --- exit code 2 ---
    ");
    insta::assert_snapshot!(run(&env, &program, &["--connect", "example.com"], &[]), @"
    --- stderr ---
    error: --connect: `example.com` has no port
    hint: write `example.com:443` for one port, `example.com:8000-8999` for some, `example.com:*` for all
    --- exit code 2 ---
    ");
    insta::assert_snapshot!(run(&env, &program, &["--dir", "a::/x", "--dir", "b::/x"], &[]), @"
    --- stderr ---
    error: --dir: `b::/x` is a second folder at /x (the first is a)
    hint: give each mount a guest path of its own
    --- exit code 2 ---
    ");
}

#[test]
fn a_denial_beats_every_grant() {
    let env = test_env!();
    env.file("data/open/a", "open");
    env.file("data/private/a", "private");
    let flags = ["--dir", "data::/data::rw", "--deny-dir", "/data/private"];
    for program in programs() {
        run(&env, &program, &flags, &["read", "/data/open/a"]).prints("open");
        for args in [
            &["read", "/data/private/a"][..],
            &["read", "/data/open/../private/a"],
            &["write", "/data/private/b", "b"],
            &["list", "/data/private"],
            &["stat", "/data/private/a"],
            &["remove", "/data/private/a"],
            &["mkdir", "/data/private/d"],
        ] {
            run(&env, &program, &flags, args).exits_with(1).says("`deny-dir /data/private` denies it");
        }
        run(&env, &program, &["--dir", "data::/data"], &["read", "/data/private/a"]).prints("private");
    }
    // A folder that contains a denied one cannot be renamed away with it.
    let flags = ["--dir", ".::/all::rw", "--deny-dir", "/all/data/private"];
    for program in programs() {
        run(&env, &program, &flags, &["rename", "/all/data", "/all/elsewhere"]).exits_with(1).says("deny-dir");
        run(&env, &program, &flags, &["rename", "/all/data/open", "/all/elsewhere"]).succeeds();
        run(&env, &program, &flags, &["rename", "/all/elsewhere", "/all/data/open"]).succeeds();
    }
}

#[test]
fn what_is_asked_again_is_explained_once() {
    let env = test_env!();
    let storm = guest(walnut_test_programs::RUST_P2_SOCKETS);
    let output = env.run(["run", &storm, "http-storm", "http://example.com/", "50"]);
    assert_eq!(output.stderr.matches("denied: ").count(), 1, "{output}");
    let files = guest(RUST_P1_FILES);
    // Two files of one folder need one grant, and get one explanation. Python looks at a path more
    // than once.
    let output = env.run(["run", &crate::python(), "--read", "/data/a"]).exits_with(1);
    assert_eq!(output.stderr.matches("denied: ").count(), 1, "{output}");
    let output = env.run(["run", &files, "rename", "/one/a", "/two/b"]).exits_with(1);
    assert!(output.stderr.matches("denied: ").count() >= 1, "{output}");
}

#[test]
fn quiet_explains_nothing_and_refuses_the_same() {
    let env = test_env!();
    for flag in ["--quiet", "-q"] {
        let output = run(&env, &guest(RUST_P1_FILES), &[flag], &["read", "/data/a"]).exits_with(1);
        assert!(!output.stderr.contains("denied"), "{output}");
    }
    run(&env, &guest(RUST_P1_FILES), &[], &["read", "/data/a"]).exits_with(1).says("denied: ");
}

#[test]
fn the_audit_has_a_line_for_every_decision() {
    let env = test_env!();
    env.file("data/a", "a");
    let program = guest(RUST_P1_FILES);
    let flags = ["--audit", "audit.jsonl", "--quiet", "--dir", "data::/data"];
    run(&env, &program, &flags, &["read", "/data/a"]).succeeds();
    run(&env, &program, &flags, &["read", "/etc/passwd"]).exits_with(1);
    run(&env, &program, &flags, &["write", "/data/b", "b"]).exits_with(1);
    let text = env.read("audit.jsonl");
    assert!(text.ends_with('\n'));
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    for line in &lines {
        assert_eq!(line["v"], 1, "{line}");
        assert_eq!(line["component"], "rust_p1_files.wasm", "{line}");
        assert_eq!(line["capability"], "dir", "{line}");
        assert!(line["time"].as_u64().is_some_and(|t| t > 1_600_000_000_000), "{line}");
        for text in ["import", "request", "because"] {
            assert!(line[text].as_str().is_some_and(|t| !t.is_empty()), "{line}");
        }
    }
    let with = |decision: &str| lines.iter().filter(|l| l["decision"] == decision).collect::<Vec<_>>();
    assert_eq!(with("allowed").len() + with("denied").len(), lines.len(), "{text}");
    assert!(with("allowed").iter().any(|l| l["request"] == "read /data/a" && l["because"] == "dir data::/data::ro"));
    let denied: Vec<_> = with("denied").iter().map(|l| (l["request"].clone(), l["allow_with"].clone())).collect();
    assert!(denied.contains(&("read /etc/passwd".into(), "--dir ./etc::/etc".into())), "{denied:?}");
    assert!(denied.contains(&("write /data/b".into(), "--dir data::/data::rw".into())), "{denied:?}");
}

#[test]
fn an_audit_that_cannot_be_written_stops_the_run() {
    let env = test_env!();
    let output = run(&env, &guest(RUST_P1_FILES), &["--audit", "no/such/folder/audit"], &["list", "/"]);
    output
        .exits_with(125)
        .says("no/such/folder/audit cannot be written")
        .says("hint: name a file in an existing folder");
    run(&env, &guest(RUST_P1_FILES), &["--audit", "audit"], &["list", "/"]).succeeds();
}
