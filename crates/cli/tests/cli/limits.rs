//! Every limit ends its guest, names itself in the message, and leaves others alone.

use std::time::{Duration, Instant};
use walnut_test_programs::{
    Guest, RUST_P1_BOMBS, RUST_P2_LIBRARY, WAT_LOOP_IN_START, WAT_TABLE_BOMB, WAT_TWO_MEMORIES,
};
use walnut_test_support::{RunOutput, TestEnv, guest, test_env};

/// Far more than any of these takes on a slow machine, far less than the default limits.
const AT_MOST: Duration = Duration::from_secs(40);

fn run(env: &TestEnv, program: Guest, flags: &[&str], args: &[&str]) -> RunOutput {
    let started = Instant::now();
    let program = guest(program);
    let output = env.run(["run"].iter().chain(flags).chain(&[program.as_str()]).chain(args));
    assert!(started.elapsed() < AT_MOST, "it took {:?}:\n{output}", started.elapsed());
    output
}

#[test]
fn an_endless_loop_ends_by_its_processor_time() {
    let _toolchain = crate::toolchain_filters();
    let mut settings = insta::Settings::clone_current();
    // The loop has two lines.
    settings.add_filter("main.rs:89", "main.rs:88");
    let _line = settings.bind_to_scope();
    let env = test_env!();
    insta::assert_snapshot!(run(&env, RUST_P1_BOMBS, &["--cpu", "200ms"], &["loop"]), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm used up its processor time (limit: 200ms)
      at rust_p1_bombs::spin (rust_p1_bombs/src/main.rs:88)
      at rust_p1_bombs::main (rust_p1_bombs/src/main.rs:27)
      last host calls: [CALLS]
    hint: raise it with `--cpu N`, or `limits.cpu` in walnut.toml (now 200ms), or find out why the guest needs so much
    --- exit code 124 ---
    ");
    run(&env, RUST_P1_BOMBS, &["--cpu", "10s"], &["sleep", "1"]).prints("slept\n");
}

#[test]
fn a_loop_in_start_ends_too() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    insta::assert_snapshot!(run(&env, WAT_LOOP_IN_START, &["--cpu", "200ms"], &[]), @"
    --- stderr ---
    error: [GUESTS]/wat_loop_in_start.wat used up its processor time (limit: 200ms)
      at forever (guests/wat/wat_loop_in_start.wat:3)
    hint: raise it with `--cpu N`, or `limits.cpu` in walnut.toml (now 200ms), or find out why the guest needs so much
    --- exit code 124 ---
    ");
    insta::assert_snapshot!(run(&env, WAT_LOOP_IN_START, &["--deadline", "200ms"], &[]), @"
    --- stderr ---
    error: [GUESTS]/wat_loop_in_start.wat used up its time (limit: 200ms)
      at forever (guests/wat/wat_loop_in_start.wat:3)
    hint: raise it with `--deadline N`, or `limits.deadline` in walnut.toml (now 200ms), or find out why the guest needs so much
    --- exit code 124 ---
    ");
    let path = guest(WAT_LOOP_IN_START);
    env.run(["serve", "--addr", "127.0.0.1:0", &path]).exits_with(126);
}

#[test]
fn a_storm_of_host_calls_ends_too() {
    let _toolchain = crate::toolchain_filters();
    let mut settings = insta::Settings::clone_current();
    // The limit may be reached inside of the host call, below the guest's own code.
    settings.add_filter(r"(?m)^  at (?:<wasi_snapshot_preview1|clock_time_get|__).*\n", "");
    let _host_call = settings.bind_to_scope();
    let env = test_env!();
    insta::assert_snapshot!(run(&env, RUST_P1_BOMBS, &["--cpu", "200ms"], &["storm"]), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm used up its processor time (limit: 200ms)
      at rust_p1_bombs::storm (rust_p1_bombs/src/main.rs:98)
      at rust_p1_bombs::main (rust_p1_bombs/src/main.rs:28)
      last host calls: [CALLS]
    hint: raise it with `--cpu N`, or `limits.cpu` in walnut.toml (now 200ms), or find out why the guest needs so much
    --- exit code 124 ---
    ");
    run(&env, RUST_P1_BOMBS, &["--deadline", "200ms"], &["storm"]).exits_with(124).says("used up its time");
}

#[test]
fn the_deadline_ends_a_loop_and_a_wait() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    let flags = ["--deadline", "200ms"];
    insta::assert_snapshot!(run(&env, RUST_P1_BOMBS, &flags, &["sleep", "3600000"]), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm used up its time (limit: 200ms)
      last host calls: [CALLS]
    hint: raise it with `--deadline N`, or `limits.deadline` in walnut.toml (now 200ms), or find out why the guest needs so much
    --- exit code 124 ---
    ");
    run(&env, RUST_P1_BOMBS, &flags, &["loop"]).exits_with(124).says("used up its time (limit: 200ms)");
    run(&env, RUST_P1_BOMBS, &["--deadline", "1m"], &["sleep", "1"]).prints("slept\n");
    run(&env, RUST_P1_BOMBS, &["--deadline", "200ms"], &["sleep", "3600000"])
        .exits_with(124)
        .says("monotonic-clock.subscribe-duration, poll.poll");
}

/// Waiting takes no CPU time.
#[test]
fn a_wait_does_not_use_processor_time() {
    let env = test_env!();
    run(&env, RUST_P1_BOMBS, &["--cpu", "300ms"], &["sleep", "600"]).prints("slept\n");
}

#[test]
fn memory_has_an_end() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    let flags = ["--memory", "32MiB"];
    insta::assert_snapshot!(run(&env, RUST_P1_BOMBS, &flags, &["memory", "1000"]), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm used up its memory (limit: 32MiB)
      at sbrk (libc-bottom-half/sources/sbrk.c:9)
      at dlmalloc (dlmalloc/src/malloc.c:4130)
      at malloc (dlmalloc/src/dlmalloc.c:68)
      at rust_p1_bombs::main ([LIBRARY])
      last host calls: [CALLS]
    hint: raise it with `--memory N`, or `limits.memory` in walnut.toml (now 32MiB), or find out why the guest needs so much
    --- exit code 137 ---
    ");
    run(&env, RUST_P1_BOMBS, &flags, &["grow"]).exits_with(137).says("used up its memory (limit: 32MiB)");
    run(&env, RUST_P1_BOMBS, &flags, &["memory", "20"]).prints("touched 20 MiB\n");
    run(&env, RUST_P1_BOMBS, &["--memory", "2GiB"], &["memory", "64"]).prints("touched 64 MiB\n");
}

/// The limit is for the sum: each of two memories stays below it.
#[test]
fn two_memories_share_the_limit() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    insta::assert_snapshot!(run(&env, WAT_TWO_MEMORIES, &["--memory", "32MiB"], &[]), @"
    --- stderr ---
    error: [GUESTS]/wat_two_memories.wat used up its memory (limit: 32MiB)
      at grow (guests/wat/wat_two_memories.wat:11)
    hint: raise it with `--memory N`, or `limits.memory` in walnut.toml (now 32MiB), or find out why the guest needs so much
    --- exit code 137 ---
    ");
    let within = "(module (memory (export \"memory\") 1) (memory 1)
        (func (export \"pages\") (result i32)
            (drop (memory.grow 0 (i32.const 250))) (drop (memory.grow 1 (i32.const 250)))
            (i32.add (memory.size 0) (memory.size 1))))";
    env.file("within.wat", within);
    env.run(["call", "--memory", "33MiB", "within.wat", "pages()"]).prints("502\n");
    env.run(["call", "--memory", "31MiB", "within.wat", "pages()"]).exits_with(137);
}

#[test]
fn tables_count_as_memory() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    insta::assert_snapshot!(run(&env, WAT_TABLE_BOMB, &["--memory", "32MiB"], &[]), @"
    --- stderr ---
    error: [GUESTS]/wat_table_bomb.wat used up its memory (limit: 32MiB)
      at grow (guests/wat/wat_table_bomb.wat:9)
    hint: raise it with `--memory N`, or `limits.memory` in walnut.toml (now 32MiB), or find out why the guest needs so much
    --- exit code 137 ---
    ");
    let within = "(module (table $t 1 funcref)
        (func (export \"elements\") (result i32)
            (drop (table.grow $t (ref.null func) (i32.const 100000))) (table.size $t)))";
    env.file("within.wat", within);
    env.run(["call", "--memory", "32MiB", "within.wat", "elements()"]).prints("100001\n");
    env.run(["call", "--memory", "64KiB", "within.wat", "elements()"]).exits_with(137);
}

#[test]
fn a_memory_that_starts_too_large_is_told_so() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    env.file("large.wat", "(module (memory (export \"memory\") 1000) (func (export \"_start\")))");
    insta::assert_snapshot!(env.run(["run", "--memory", "32MiB", "large.wat"]), @"
    --- stderr ---
    error: large.wat starts with 64000KiB of memory, more than its limit
    hint: raise it with `--memory 64000KiB`, or `limits.memory` in walnut.toml
    --- exit code 137 ---
    ");
    env.run(["run", "--memory", "128MiB", "large.wat"]).succeeds();
}

#[test]
fn the_stack_has_an_end() {
    let env = test_env!();
    let output = run(&env, RUST_P1_BOMBS, &[], &["overflow-stack"]);
    output.exits_with(134).says("used up its call stack (limit: 2MiB)").says("rust_p1_bombs::recurse");
    run(&env, RUST_P1_BOMBS, &["--stack", "256KiB"], &["overflow-stack"]).exits_with(134).says("(limit: 256KiB)");
    run(&env, RUST_P1_BOMBS, &["--stack", "256KiB"], &["sleep", "1"]).prints("slept\n");
}

#[test]
fn handles_have_an_end() {
    let env = test_env!();
    env.file("data/file", "");
    let flags = ["--dir", "data::/data", "--handles", "50"];
    let output = run(&env, RUST_P1_BOMBS, &flags, &["handles", "1000", "/data/file"]);
    output.exits_with(134).says("used up its host-side handles (limit: 50)").says("--handles");
    run(&env, RUST_P1_BOMBS, &flags, &["handles", "20", "/data/file"]).prints("holding 20 handles\n");
}

/// The output of a command is passed on, however large.
#[test]
fn much_talk_is_passed_on() {
    let env = test_env!();
    let output = run(&env, RUST_P1_BOMBS, &[], &["spam", "100000"]).succeeds();
    assert_eq!(output.stdout.lines().count(), 100_000);
    run(&env, RUST_P1_BOMBS, &[], &["spam", "1"]).prints("line 0 of too many lines\n");
}

#[test]
fn limits_hold_in_call_as_well() {
    let _toolchain = crate::toolchain_filters();
    let env = test_env!();
    let library = guest(RUST_P2_LIBRARY);
    insta::assert_snapshot!(env.run(["call", "--cpu", "200ms", &library, "forever()"]), @"
    --- stderr ---
    error: [GUESTS]/rust_p2_library.wasm used up its processor time (limit: 200ms)
      at function [N]
      (its functions' names were stripped; build it with them to see them here)
    hint: raise it with `--cpu N`, or `limits.cpu` in walnut.toml (now 200ms), or find out why the guest needs so much
    --- exit code 124 ---
    ");
    env.run(["call", "--deadline", "200ms", &library, "forever()"]).exits_with(124).says("used up its time");
    env.run(["call", "--cpu", "200ms", &library, "add(1, 2)"]).prints("3\n");
    env.run(["call", "--memory", "32MiB", &guest(WAT_TWO_MEMORIES), "pages()"]).exits_with(137);
    env.run(["call", "--memory", "32MiB", &guest(WAT_TABLE_BOMB), "elements()"]).exits_with(137);
}

/// The signal that stops a guest at its limit does nothing when somebody else sends it.
#[test]
#[cfg(target_os = "linux")]
fn a_stray_signal_stops_nobody() {
    let env = test_env!();
    let mut command = env.command();
    command.args(["run", "--cpu", "2s", &guest(RUST_P1_BOMBS), "loop"]).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten().flatten();
        for task in tasks {
            let thread = task.file_name().into_string().expect("it is a number");
            let _ = std::process::Command::new("kill").args(["-URG", &thread]).output();
        }
    }
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(124) && said.contains("used up its processor time"), "{said}");
}

/// The limits of the system are no fault of the guest, and end with a reason.
#[test]
#[cfg(target_os = "linux")]
fn limits_of_the_system_are_told() {
    let env = test_env!().with_own_cache();
    let program = guest(walnut_test_programs::RUST_P2_HELLO);
    let within = |limit: &str| {
        let walnut = env.command();
        let mut shell = std::process::Command::new("bash");
        shell.current_dir(env.dir()).env_clear();
        shell.envs(walnut.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("WALNUT", walnut.get_program());
        shell.args(["-c", &format!("ulimit {limit}; exec \"$WALNUT\" run {program}")]);
        let output = shell.output().expect("bash is there");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    let hello = b"hello from a sealed component\n";
    let (code, said, stdout) = within("-f 10");
    assert!(code == Some(0) && said.contains("the compiled code is not kept") && stdout == hello, "{code:?} {said}");
    assert_eq!(std::fs::read_dir(env.cache().join("code")).expect("it is there").count(), 0);
    let (code, said, _) = within("-v 4000000");
    assert!(code == Some(125) && said.contains("raise the limit of this process"), "{code:?} {said}");
    assert_eq!(within("-v unlimited"), (Some(0), String::new(), hello.to_vec()));
}
