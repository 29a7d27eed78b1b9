//! Two compilers: a program starts with baseline code, and its next start has optimised code.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::*;
use walnut_test_support::{TestEnv, guest, test_env};

/// Returns the name of the only entry that a run with this tier leaves.
fn entry(program: &str, tier: &str) -> String {
    let env = test_env!().with_own_cache();
    env.run(["run", "--tier", tier, program]).succeeds();
    let mut names = code(&env);
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

/// Lists the names of the entries.
fn code(env: &TestEnv) -> Vec<String> {
    let Ok(folder) = std::fs::read_dir(env.cache().join("code")) else { return Vec::new() };
    let paths = folder.map(|entry| entry.expect("it can be listed").path());
    let is_code = |path: &Path| path.extension().is_some_and(|e| e == "code");
    paths.filter(|path| is_code(path)).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

/// A program that runs until its input ends.
fn reader(env: &TestEnv, program: &str) -> Child {
    let mut command = env.command();
    command.args(["run", program, "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A program with much code, which reads its input to the end.
fn large_program() -> String {
    let mut text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\10\00\00\00")
        (func (export "_start")
            (loop
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if 0 (i32.load (i32.const 8)))))
        "#
    .to_owned();
    let work = "local.get 0 i32.const 3 i32.mul i32.const 7 i32.add local.set 0 ".repeat(100);
    for _ in 0..500 {
        text += &format!("(func (param i32) (result i32) {work} local.get 0)\n");
    }
    text + ")"
}

#[test]
fn a_cold_start_of_a_large_program_runs_baseline_code_and_leaves_the_optimised() {
    let env = test_env!().with_own_cache();
    env.file("large.wat", large_program());
    let program = env.path("large.wat").into_os_string().into_string().expect("it is text");
    let (baseline, optimised) = (entry(&program, "baseline"), entry(&program, "optimised"));
    assert_ne!(baseline, optimised);
    // A program that ends at once is not held up.
    env.run(["run", &program]).succeeds();
    assert_eq!(code(&env), [baseline.as_str()]);
    // A program that lives long enough gets optimised code, which replaces the first entry.
    let mut long = reader(&env, &program);
    wait_for("the optimised code is never ready", || code(&env) == [optimised.as_str()]);
    drop(long.stdin.take());
    assert!(long.wait().expect("it ends").success());
    // The next start uses it.
    let kept = |env: &TestEnv| std::fs::metadata(env.cache().join("code").join(&optimised)).and_then(|m| m.modified());
    let before = kept(&env).expect("it is there");
    env.run(["run", &program]).succeeds();
    assert_eq!(code(&env), [optimised.as_str()]);
    assert_eq!(kept(&env).expect("it is there"), before);
}

/// Optimising a small program takes no longer than a person notices.
#[test]
fn a_cold_start_of_a_small_program_has_optimised_code() {
    for program in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO] {
        let (env, program) = (test_env!().with_own_cache(), guest(program));
        env.run(["run", &program]).succeeds();
        assert_eq!(code(&env), [entry(&program, "optimised")]);
    }
}

/// Lists processes of this environment, recognised by its cache folder; `None` where the system
/// does not show them.
fn processes(env: &TestEnv) -> Vec<String> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let cache = env.cache().to_str().expect("it is text").as_bytes();
    let shown = |process: std::fs::DirEntry| {
        let variables = std::fs::read(process.path().join("environ")).ok()?;
        let is_its = variables.windows(cache.len()).any(|part| part == cache);
        is_its.then(|| std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default())
    };
    all.filter_map(|process| shown(process.ok()?)).collect()
}

/// A program that ends early leaves no compiling process behind, neither at once nor later.
#[test]
fn nothing_goes_on_behind_a_program_that_ends_at_once() {
    let env = test_env!().with_own_cache();
    env.file("large.wat", large_program());
    let program = env.path("large.wat").into_os_string().into_string().expect("it is text");
    let baseline = entry(&program, "baseline");
    env.run(["run", &program]).succeeds();
    assert_eq!(processes(&env), [""; 0]);
    // Longer than the compilation takes.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(code(&env), [baseline]);
    assert_eq!(processes(&env), [""; 0]);
    // Control: a process that does run is seen.
    let env = test_env!().with_own_cache();
    let mut long = reader(&env, &guest(RUST_P2_HELLO));
    wait_for("it is not seen", || {
        !cfg!(target_os = "linux") || processes(&env).iter().any(|line| line.contains("run"))
    });
    drop(long.stdin.take());
    assert!(long.wait().expect("it ends").success());
}

/// The life of the program decides: code that is not ready at its end is given up, and whole
/// entries are never lost by it.
#[test]
fn an_end_in_the_middle_of_optimising_leaves_a_good_cache() {
    let (env, program) = (test_env!().with_own_cache(), guest(GO_P1_HELLO));
    let baseline = entry(&program, "baseline");
    for wait in [0, 30, 60, 120] {
        let mut cut = env.command();
        cut.args(["run", &program]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = cut.spawn().expect("the binary starts");
        wait_for("no baseline code", || code(&env).contains(&baseline));
        thread::sleep(Duration::from_millis(wait));
        let _ = child.kill();
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("it is text");
        assert_eq!(said, "");
        child.wait().expect("it ends");
        env.run(["run", &program]).succeeds();
    }
    env.run(["run", "--tier", "optimised", &program]).succeeds();
}

/// Several processes make the code of one program: all but one wait for it.
#[test]
fn several_at_once_agree_on_one_entry() {
    let (env, program) = (test_env!().with_own_cache(), guest(RUST_P2_HELLO));
    let optimised = entry(&program, "optimised");
    let mut children: Vec<_> = (0..6).map(|_| reader(&env, &program)).collect();
    wait_for("the optimised code is never ready", || code(&env) == [optimised.as_str()]);
    for child in &mut children {
        drop(child.stdin.take());
        assert!(child.wait().expect("it ends").success());
    }
    assert_eq!(code(&env), [optimised]);
}

const TAIL_CALL: &str = r#"(module
    (func $count (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0))
            (then (i32.const 42))
            (else (return_call $count (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "count") (result i32) (call $count (i32.const 1000000))))"#;

#[test]
fn what_the_baseline_compiler_cannot_compile_runs_with_every_tier() {
    let env = test_env!().with_own_cache();
    env.file("tail.wat", TAIL_CALL);
    for tier in ["baseline", "optimised", "both"] {
        env.run(["call", "--tier", tier, "tail.wat", "count()"]).prints("42\n");
    }
}

/// Returns standard error of `walnut` when that is a terminal.
#[cfg(target_os = "linux")]
fn on_a_terminal(env: &TestEnv, line: &str) -> String {
    let walnut = env.command();
    let mut script = std::process::Command::new("script");
    script.current_dir(env.dir()).env_clear().envs(walnut.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.args(["--quiet", "--return", "--command", &format!("exec \"$WALNUT\" {line} > stdout"), "/dev/null"]);
    let output = script.env("WALNUT", walnut.get_program()).stdin(Stdio::null()).output();
    let output = output.expect("script is there, as on every Debian");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// Elsewhere standard error is the program's.
#[test]
#[cfg(target_os = "linux")]
fn what_the_baseline_compiler_cannot_compile_is_said_on_a_terminal_once() {
    let words = "took longer to compile, as the baseline compiler cannot: ";
    let call = "call --tier baseline tail.wat 'count()'";
    let world = || {
        let env = test_env!().with_own_cache();
        env.file("tail.wat", TAIL_CALL);
        env
    };
    let env = world();
    let said = on_a_terminal(&env, call);
    assert!(said.starts_with(&format!("tail.wat: {words}")) && said.lines().count() == 1, "{said:?}");
    // The code is there by now.
    assert_eq!(on_a_terminal(&env, call), "");
    let env = world();
    let piped = env.run(["call", "--tier", "baseline", "tail.wat", "count()"]).prints("42\n");
    assert_eq!(piped.stderr, "");
}

/// Frames of the baseline compiler are larger. A deep recursion within the limit runs with either
/// compiler.
#[test]
fn a_deep_recursion_runs_with_either() {
    let env = test_env!().with_own_cache();
    env.file(
        "deep.wat",
        r#"(module (func $down (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))))
            (func (export "down") (param i32) (result i32) (call $down (local.get 0))))"#,
    );
    for tier in ["optimised", "baseline"] {
        env.run(["call", "--tier", tier, "deep.wat", "down(15000)"]).prints("15000\n");
    }
}
