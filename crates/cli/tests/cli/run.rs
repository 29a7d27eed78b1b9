//! `walnut run`: pass-through of streams and exit codes, and the way from a denial to a grant.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use walnut_test_programs::{C_P1_HELLO, RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO};
use walnut_test_support::{guest, test_env};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// A guest of each WASI.
fn hellos() -> [String; 3] {
    [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO].map(guest)
}

#[test]
fn arguments_that_a_module_has_no_room_for_are_refused_before_it_starts() {
    let env = test_env!();
    let long = "a".repeat(60 << 10);
    let many = vec!["a"; 8000];
    let hello = guest(RUST_P1_HELLO);
    let run = |args: &[&str]| env.run([&["run", hello.as_str()], args].concat());
    run(&[&long]).exits_with(2).says("the arguments given to").says("takes 56 KiB of them, 61 KiB were given");
    run(&many).exits_with(2).says("build the program for WASI 0.2");
    run(&[&long[..56_000]]).succeeds();
    run(&many[..6500]).succeeds();
    let variable = |length: usize| format!("LONG={}", &long[..length]);
    let run = |length| env.run(["run", "--env", &variable(length), &hello]);
    run(60_000).exits_with(2).says("the variables given to");
    run(56_000).succeeds();
    env.run(["run", &guest(RUST_P2_HELLO), &long]).succeeds();
}

#[test]
fn every_wasi_says_hello_with_nothing_granted() {
    let env = test_env!();
    for hello in hellos() {
        let output = env.run(["run", &hello]);
        output.clone().prints("hello from a sealed component\n");
        assert_eq!(output.stderr, "", "{hello}");
    }
}

#[test]
fn arguments_pass_through_as_they_are() {
    let env = test_env!();
    for hello in hellos() {
        let args = ["--cpu", "--", "-x", "", "two words", "ünï", "--help"];
        let output = env.run(["run", hello.as_str()].iter().chain(&args));
        output.prints("--cpu\n--\n-x\n\ntwo words\nünï\n--help\n");
    }
}

#[test]
fn standard_input_passes_through() {
    let env = test_env!();
    // More than any pipe or buffer in between holds.
    let text = "the quick brown fox\n".repeat(50_000);
    for hello in hellos() {
        env.walnut(["run", &hello, "--stdin"]).stdin(text.as_str()).run().prints(&text);
        env.walnut(["run", &hello, "--stdin"]).run().prints("");
    }
}

#[test]
fn standard_error_passes_through() {
    let env = test_env!();
    for hello in hellos() {
        let output = env.run(["run", &hello, "--stderr", "a complaint"]).succeeds();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", "a complaint\n"), "{hello}");
    }
}

#[test]
fn the_exit_code_passes_through() {
    let env = test_env!();
    for code in [0, 1, 7, 42, 125, 255] {
        // WASI 0.2 has only success and failure.
        for hello in [RUST_P1_HELLO, RUST_P3_HELLO].map(guest) {
            let output = env.run(["run", &hello, "--exit", &code.to_string()]).exits_with(code);
            assert_eq!(output.stderr, "", "a guest's own code needs no explanation");
        }
    }
    env.run(["run", &guest(RUST_P2_HELLO), "--exit", "0"]).exits_with(0);
    env.run(["run", &guest(RUST_P2_HELLO), "--exit", "7"]).exits_with(1);
    env.run(["run", &guest(RUST_P3_HELLO), "--fail"]).exits_with(1);
    env.run(["run", &crate::python(), "--exit-failure"]).exits_with(1);
}

#[test]
fn a_reader_that_leaves_is_no_crash() {
    let env = test_env!();
    let mut child = env
        .command()
        .args(["run", &guest(walnut_test_programs::RUST_P1_BOMBS), "spam", "100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let code = output.status.code().expect("no signal ends walnut");
    assert!([1, 134].contains(&code), "{output:?}");
}

/// The steps of a person who has not read the documentation.
#[test]
fn a_person_is_refused_reads_the_grant_and_succeeds() {
    let env = test_env!();
    let greet = format!("{EXAMPLES}/greet/greet.wat");
    let refused = env.run(["run", &greet]).exits_with(1);
    assert_eq!(refused.stdout, "I may not read /data/name.txt\n");
    insta::assert_snapshot!(refused.stderr, @r#"
    denied: greet.wat asked to read /data/name.txt
      through: wasi:filesystem/types.open-at
      because: nothing grants it
      allow it: --dir ./data::/data
      or in walnut.toml: dir = ["./data::/data"]
    "#);
    let flag =
        refused.stderr.lines().find_map(|line| line.trim().strip_prefix("allow it: ")).expect("a grant is shown");
    env.file("data/name.txt", "Ada\n");
    env.run(["run"].into_iter().chain(flag.split(' ')).chain([greet.as_str()])).prints("hello, Ada\n");
}

#[test]
fn the_hello_example_needs_nothing() {
    test_env!().run(["run", &format!("{EXAMPLES}/hello/hello.wat")]).prints("hello from a sealed component\n");
}

#[test]
fn all_languages_read_what_they_are_granted_and_nothing_else() {
    let env = test_env!();
    env.file("data/name.txt", "Ada\n");
    for (program, args) in
        [(guest(C_P1_HELLO), &["/data/name.txt"][..]), (crate::python(), &["--read", "/data/name.txt"][..])]
    {
        let granted = ["run", "--dir", "data::/data", &program];
        env.run(granted.iter().chain(args)).prints("Ada\n");
        let sealed = ["run", &program];
        env.run(sealed.iter().chain(args)).exits_with(1).says("allow it: --dir ./data::/data");
    }
}

#[test]
fn allow_all_says_so_loudly() {
    let env = test_env!();
    let secret = env.file("secret.txt", "everything is open\n");
    let files = guest(walnut_test_programs::RUST_P1_FILES);
    let secret = secret.to_str().expect("text");
    let output = env.run(["run", "--allow-all", &files, "read", secret]);
    output.clone().prints("everything is open\n");
    insta::assert_snapshot!(output, @"
    --- stdout ---
    everything is open
    --- stderr ---
    warning: --allow-all: the guest may read and write every file and reach every address that you can
    --- exit code 0 ---
    ");
    let control = env.run(["run", &files, "read", secret]).exits_with(1);
    assert!(!control.stderr.contains("warning"), "{control}");
}

#[test]
fn allow_all_does_not_beat_a_denial() {
    let env = test_env!();
    let secret = env.file("private/secret.txt", "no\n");
    let open = env.file("open.txt", "yes\n");
    let files = guest(walnut_test_programs::RUST_P1_FILES);
    let private = secret.parent().and_then(|p| p.to_str()).expect("text");
    let run = |path: &std::path::Path| {
        env.run(["run", "--allow-all", "--deny-dir", private, &files, "read", path.to_str().expect("text")])
    };
    run(&secret).exits_with(1).says("a denial beats every grant");
    run(&open).prints("yes\n");
}

#[test]
fn usage_errors_exit_with_2() {
    let env = test_env!();
    for args in [&["run"][..], &["walk", "x"], &["run", "--cpu", "soon", "x"], &["run", "--memory", "much", "x"], &[]] {
        let output = env.run(args).exits_with(2);
        assert_eq!(output.stdout, "", "help that nobody asked for goes to standard error");
    }
    insta::assert_snapshot!(env.run(["run", "--memory", "much", "x"]), @"
    --- stderr ---
    error: invalid value 'much' for '--memory <SIZE>': `much` is not a size; write `64MiB`, `1GiB` or a number of bytes

    For more information, try '--help'.
    --- exit code 2 ---
    ");
    env.file("app.wasm", "");
    insta::assert_snapshot!(env.run(["app.wasm"]), @"
    --- stderr ---
    error: unrecognized subcommand 'app.wasm'

      tip: to run it, write 'walnut run app.wasm'

    Usage: walnut <COMMAND>

    For more information, try '--help'.
    --- exit code 2 ---
    ");
    // Habits of container users.
    insta::assert_snapshot!(env.run(["run", "-v", "./data:/data", "app.wasm"]), @"
    --- stderr ---
    error: unexpected argument '-v' found

      tip: a folder is granted with '--dir HOST::GUEST', and '::rw' after it to write

    Usage: walnut run [OPTIONS] <TARGET [ARGS]>...

    For more information, try '--help'.
    --- exit code 2 ---
    ");
    for (verb, flag, words) in [
        ("run", "-e", "tip: a variable is granted with '--env NAME=VALUE'"),
        ("run", "-it", "tip: leave it out"),
        ("run", "--rm", "tip: leave it out"),
        ("run", "--network=host", "'--http URL', '--connect HOST:PORT'"),
        ("run", "-m", "'--memory SIZE'"),
        ("run", "--cpus=2", "'--cpu TIME'"),
        ("serve", "-p", "'--addr 127.0.0.1:8080'"),
        ("serve", "--port", "tip: 'walnut serve' takes the address to listen on with '--addr 127.0.0.1:8080'"),
        ("serve", "--port=8080", "tip: 'walnut serve' takes the address to listen on with '--addr 127.0.0.1:8080'"),
        ("serve", "--host", "tip: 'walnut serve' takes the address to listen on with '--addr 127.0.0.1:8080'"),
        ("serve", "--bind=0.0.0.0:80", "'--addr 127.0.0.1:8080'"),
        ("run", "--handles=x", "`x` is not a number; write one without a unit, such as `100`"),
        ("run", "--connections=1k", "`1k` is not a number"),
        ("serve", "--sandboxes=0", "write a number between 1 and 5000"),
        ("serve", "--workers=many", "write a number between 1 and 1024"),
    ] {
        env.run([verb, flag, "x"]).exits_with(2).says(words);
    }
    insta::assert_snapshot!(env.run(["run", "--connnect", "a:1", "x"]), @"
    --- stderr ---
    error: unexpected argument '--connnect' found

      tip: a similar argument exists: '--connect'
      tip: to pass '--connnect' as a value, use '-- --connnect'

    Usage: walnut run --connect <HOST:PORT> <TARGET [ARGS]>...

    For more information, try '--help'.
    --- exit code 2 ---
    ");
}

/// Each row of the guide's table, and a run that ends with its code.
#[test]
fn exit_codes_are_those_of_the_guide() {
    let env = test_env!();
    let (hello, bombs) = (guest(RUST_P1_HELLO), guest(walnut_test_programs::RUST_P1_BOMBS));
    let ends: [(i32, &[&str]); 10] = [
        (0, &["run", &hello]),
        (2, &["run", "--cpu", "soon", &hello]),
        (124, &["run", "--cpu", "100ms", &bombs, "loop"]),
        (124, &["run", "--deadline", "100ms", &bombs, "sleep", "60000"]),
        (125, &["run", "--dir", "nowhere", &hello]),
        (126, &["serve", &hello]),
        (127, &["run", "nothing.wasm"]),
        (134, &["run", &bombs, "divide"]),
        (134, &["run", "--stack", "256KiB", &bombs, "overflow-stack"]),
        (137, &["run", "--memory", "32MiB", &bombs, "grow"]),
    ];
    for (code, args) in ends {
        env.run(args).exits_with(code);
    }
    let guide = include_str!("../../../../docs/guide/exit-codes.md");
    let (_, table) = guide.split_once("| code | when |\n|-|-|\n").expect("the guide has the table");
    let rows = table.lines().map_while(|row| row.strip_prefix("| "));
    let codes: BTreeSet<i32> = rows.filter_map(|row| row.split(' ').next()?.parse().ok()).collect();
    assert_eq!(codes, ends.iter().map(|(code, _)| *code).collect());
}

#[test]
fn a_target_of_another_verb_says_which() {
    let env = test_env!();
    insta::assert_snapshot!(env.run(["run", &guest(walnut_test_programs::RUST_P2_HTTP_HELLO)]), @"
    --- stderr ---
    error: [GUESTS]/rust_p2_http_hello.wasm cannot be run: it is an HTTP service, not a command
    hint: serve it: `walnut serve [GUESTS]/rust_p2_http_hello.wasm`
    --- exit code 126 ---
    ");
    insta::assert_snapshot!(env.run(["run", &guest(walnut_test_programs::WAT_CORE_ADD)]), @"
    --- stderr ---
    error: [GUESTS]/wat_core_add.wat cannot be run: it has no `run` function of wasi:cli
    hint: call one of its functions: `walnut call [GUESTS]/wat_core_add.wat 'NAME(ARGUMENTS)'`; `walnut inspect --wit [GUESTS]/wat_core_add.wat` lists them
    --- exit code 126 ---
    ");
    let text = std::fs::read(walnut_test_programs::WAT_CORE_ADD.path()).expect("the guest is there");
    insta::assert_snapshot!(env.walnut(["run", "-"]).stdin(text).run(), @"
    --- stderr ---
    error: standard input cannot be run: it has no `run` function of wasi:cli
    hint: call one of its functions: `walnut call - 'NAME(ARGUMENTS)'`; `walnut inspect --wit -` lists them
    --- exit code 126 ---
    ");
}

/// Files that are removed at run time are not left behind by a killed process.
#[cfg(target_os = "linux")]
#[test]
fn the_root_is_gone_while_it_is_used() {
    let env = test_env!();
    env.folder("data");
    let mut command = env.command();
    command.args(["run", "--dir", "data::/data/one", &guest(walnut_test_programs::RUST_P1_BOMBS), "spam", "1000000"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    lines.next().expect("it writes").expect("it is text");
    let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).expect("it runs");
    let open = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let roots: Vec<_> = open.map(|to| to.display().to_string()).filter(|to| to.contains("walnut-root-")).collect();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(roots.len() == 2 && roots.iter().all(|to| to.ends_with(" (deleted)")), "/ and /data: {roots:?}");
    let left: Vec<_> = std::fs::read_dir(env.temp()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
