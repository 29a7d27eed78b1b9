//! A trap is told in words, with the guest's own function and line, and never with an address or an internal of the engine.

use walnut_test_programs::{C_P1_CRASH, Guest, RUST_P1_BOMBS, RUST_P2_LIBRARY, WAT_BAD_ALIGNMENT};
use walnut_test_support::{Output, guest, test_env};

fn run(program: Guest, way: &str) -> Output {
    let output = test_env!().run(["run", &guest(program), way]).exits_with(134);
    speaks_plainly(&output);
    output
}

/// What no message may have in it.
#[track_caller]
fn speaks_plainly(output: &Output) {
    for word in ["0x", "wasmtime", "wasm_trap", "::Err", "anyhow", "backtrace:", "core::", "<wasm", "Trap::", "adapter"]
    {
        assert!(!output.stderr.contains(word), "it says {word:?}:\n{output}");
    }
}

#[test]
fn traps_of_rust_name_cause_function_and_line() {
    let _steady = crate::whatever_built_it();
    insta::assert_snapshot!(run(RUST_P1_BOMBS, "panic"), @"
    --- stderr ---

    thread 'main' (1) panicked at rust_p1_bombs/src/main.rs:20:22:
    this panic is on purpose
    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
    error: [GUESTS]/rust_p1_bombs.wasm trapped: it gave up (a panic, an abort or a failed assertion ends in `unreachable`)
      at rust_p1_bombs::main (rust_p1_bombs/src/main.rs:20)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(run(RUST_P1_BOMBS, "unreachable"), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm trapped: it gave up (a panic, an abort or a failed assertion ends in `unreachable`)
      at rust_p1_bombs::main (rust_p1_bombs/src/main.rs:21)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(run(RUST_P1_BOMBS, "divide"), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm trapped: it divided an integer by zero
      at rust_p1_bombs::divide ([LIBRARY])
      at rust_p1_bombs::main (rust_p1_bombs/src/main.rs:22)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(run(RUST_P1_BOMBS, "out-of-bounds"), @"
    --- stderr ---
    error: [GUESTS]/rust_p1_bombs.wasm trapped: it read or wrote outside its memory
      at rust_p1_bombs::out_of_bounds (rust_p1_bombs/src/main.rs:69)
      at rust_p1_bombs::main (rust_p1_bombs/src/main.rs:24)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
}

#[test]
fn traps_of_c_name_cause_function_and_line() {
    let _steady = crate::whatever_built_it();
    insta::assert_snapshot!(run(C_P1_CRASH, "null-call"), @"
    --- stderr ---
    error: [GUESTS]/c_p1_crash.wasm trapped: it called a function pointer that is null
      at call_nothing (guests/c/c_p1_crash.c:9)
      at main (guests/c/c_p1_crash.c:25)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(run(C_P1_CRASH, "abort"), @"
    --- stderr ---
    error: [GUESTS]/c_p1_crash.wasm trapped: it gave up (a panic, an abort or a failed assertion ends in `unreachable`)
      at main (guests/c/c_p1_crash.c:27)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(run(C_P1_CRASH, "out-of-bounds"), @"
    --- stderr ---
    error: [GUESTS]/c_p1_crash.wasm trapped: it read or wrote outside its memory
      at write_far (guests/c/c_p1_crash.c:15)
      at main (guests/c/c_p1_crash.c:29)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(run(C_P1_CRASH, "divide"), @"
    --- stderr ---
    error: [GUESTS]/c_p1_crash.wasm trapped: it divided an integer by zero
      at divide (guests/c/c_p1_crash.c:19)
      at main (guests/c/c_p1_crash.c:31)
      last host calls: [CALLS]
    --- exit code 134 ---
    ");
}

#[test]
fn a_trap_without_names_says_why_there_are_none() {
    let _steady = crate::whatever_built_it();
    let env = test_env!();
    let bytes = wat::parse_str("(module (func (export \"go\") unreachable))").expect("it is good text");
    env.file("bare.wasm", bytes);
    insta::assert_snapshot!(env.run(["call", "bare.wasm", "go()"]), @"
    --- stderr ---
    error: bare.wasm trapped: it gave up (a panic, an abort or a failed assertion ends in `unreachable`)
      at function [N]
      (its functions' names were stripped; build it with them to see them here)
    --- exit code 134 ---
    ");
}

#[test]
fn a_trap_in_text_names_its_line() {
    let env = test_env!();
    env.file("t.wat", "(module\n  (func $inner (drop (i32.div_u (i32.const 1) (i32.const 0))))\n  (func (export \"go\")\n    call $inner))\n");
    let output = env.run(["call", "t.wat", "go()"]).exits_with(134);
    speaks_plainly(&output);
    output.says("it divided an integer by zero").says("t.wat:2)").says("  at inner (");
}

#[test]
fn a_trap_in_call_is_told_the_same_way() {
    let output = test_env!().run(["call", &guest(RUST_P2_LIBRARY), "trap()"]).exits_with(134);
    speaks_plainly(&output);
    output.says("trapped: it gave up");
}

#[test]
fn values_that_break_the_rules_are_traps() {
    let _steady = crate::whatever_built_it();
    let env = test_env!();
    let program = guest(WAT_BAD_ALIGNMENT);
    let call = |function: &str| env.run(["call", &program, &format!("{function}()")]).exits_with(134);
    for function in ["misaligned", "out-of-bounds", "string-too-long", "not-utf8"] {
        speaks_plainly(&call(function));
    }
    insta::assert_snapshot!(call("misaligned"), @"
    --- stderr ---
    error: [GUESTS]/wat_bad_alignment.wat trapped: it handed over an address that is not aligned
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(call("string-too-long"), @"
    --- stderr ---
    error: [GUESTS]/wat_bad_alignment.wat trapped: it handed over a value that lies outside its memory
    --- exit code 134 ---
    ");
    insta::assert_snapshot!(call("not-utf8"), @"
    --- stderr ---
    error: [GUESTS]/wat_bad_alignment.wat trapped: it handed over text that is not valid Unicode
    --- exit code 134 ---
    ");
    env.run(["call", &program, "fine()"]).prints("\"fine\"\n");
}

/// Each has no words of its own but the engine's.
#[test]
fn values_and_handles_that_are_none_are_told_in_words() {
    let env = test_env!();
    let text = r#"(component
      (import "wasi:io/error@0.2.0" (instance $io
        (export "error" (type $e (sub resource)))
        (export "[method]error.to-debug-string" (func (param "self" (borrow $e)) (result string)))))
      (import "wasi:cli/exit@0.2.0" (instance $cli (export "exit" (func (param "status" (result))))))
      (alias export $io "error" (type $error))
      (core module $Memory
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
      (core instance $memory (instantiate $Memory))
      (core func $drop (canon resource.drop $error))
      (core func $tell (canon lower (func $io "[method]error.to-debug-string")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
      (core func $exit (canon lower (func $cli "exit")))
      (core module $Main
        (import "h" "drop" (func $drop (param i32)))
        (import "h" "tell" (func $tell (param i32 i32)))
        (import "h" "exit" (func $exit (param i32)))
        (func (export "character") (result i32) (i32.const 0xd800))
        (func (export "case") (result i32) (i32.const 9))
        (func (export "drop") (call $drop (i32.const 99)))
        (func (export "lend") (call $tell (i32.const 99) (i32.const 8)))
        (func (export "result") (call $exit (i32.const 7))))
      (core instance $main (instantiate $Main (with "h" (instance
        (export "drop" (func $drop)) (export "tell" (func $tell)) (export "exit" (func $exit))))))
      (type $enum (enum "a" "b"))
      (export $exported "enum" (type $enum))
      (func (export "character") (result char) (canon lift (core func $main "character")))
      (func (export "case") (result $exported) (canon lift (core func $main "case")))
      (func (export "drop") (canon lift (core func $main "drop")))
      (func (export "lend") (canon lift (core func $main "lend")))
      (func (export "result") (canon lift (core func $main "result"))))"#;
    env.file("broken.wat", text);
    for (function, words) in [
        ("character", "it handed over a number that is no character"),
        ("case", "it handed over a case that its type does not have"),
        ("drop", "it used a handle that it does not have"),
        ("lend", "it used a handle that it does not have"),
        ("result", "it handed over a case that its type does not have"),
    ] {
        let output = env.run(["call", "broken.wat", &format!("{function}()")]).exits_with(134);
        speaks_plainly(&output);
        output.says(&format!("broken.wat trapped: {words}"));
    }
    let random = r#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start") (drop (call $random (i32.const 0) (i32.const -1)))))"#;
    env.file("random.wat", random);
    env.run(["run", "random.wat"])
        .exits_with(134)
        .says("it asked for more random bytes in one call than the host gives");
}
