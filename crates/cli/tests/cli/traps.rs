//! A trap is explained in words, with the guest's own function and line, and without addresses or
//! internals of the engine.

use walnut_test_programs::{C_P1_CRASH, Guest, RUST_P1_BOMBS, RUST_P2_LIBRARY, WAT_BAD_ALIGNMENT};
use walnut_test_support::{RunOutput, guest, test_env};

fn run(program: Guest, way: &str) -> RunOutput {
    let output = test_env!().run(["run", &guest(program), way]).exits_with(134);
    speaks_plainly(&output);
    output
}

/// Text that no message may contain.
#[track_caller]
fn speaks_plainly(output: &RunOutput) {
    for word in ["0x", "wasmtime", "wasm_trap", "::Err", "anyhow", "backtrace:", "core::", "<wasm", "Trap::", "adapter"]
    {
        assert!(!output.stderr.contains(word), "it says {word:?}:\n{output}");
    }
}

#[test]
fn traps_of_rust_name_cause_function_and_line() {
    let _toolchain = crate::toolchain_filters();
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
    let _toolchain = crate::toolchain_filters();
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
    let _toolchain = crate::toolchain_filters();
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
    let _toolchain = crate::toolchain_filters();
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

/// These traps have only the engine's own words.
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

/// A stream whose pollable is in use, and one that it gave away.
#[test]
fn what_is_done_to_handles_that_are_in_use_is_told_in_words() {
    let env = test_env!();
    let text = r#"(component
      (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $pollable (type $p))
        (export "pollable" (type $pollable (eq $p)))
        (export "input-stream" (type $in (sub resource)))
        (export "[method]input-stream.subscribe" (func (param "self" (borrow $in)) (result (own $pollable))))))
      (alias export $streams "input-stream" (type $stream))
      (import "wasi:cli/stdin@0.2.0" (instance $stdin
        (alias outer 1 $stream (type $s))
        (export "input-stream" (type $in (eq $s)))
        (export "get-stdin" (func (result (own $in))))))
      (core func $get (canon lower (func $stdin "get-stdin")))
      (core func $subscribe (canon lower (func $streams "[method]input-stream.subscribe")))
      (core func $drop (canon resource.drop $stream))
      (core func $drop-pollable (canon resource.drop $pollable))
      (core module $Main
        (import "h" "get" (func $get (result i32)))
        (import "h" "subscribe" (func $subscribe (param i32) (result i32)))
        (import "h" "drop" (func $drop (param i32)))
        (import "h" "drop-pollable" (func $drop-pollable (param i32)))
        (func (export "parent") (local $stream i32)
          (local.set $stream (call $get))
          (drop (call $subscribe (local.get $stream)))
          (call $drop (local.get $stream)))
        (func (export "twice") (local $stream i32)
          (local.set $stream (call $get))
          (call $drop (local.get $stream))
          (call $drop (local.get $stream)))
        (func (export "kind") (call $drop-pollable (call $get))))
      (core instance $main (instantiate $Main (with "h" (instance
        (export "get" (func $get)) (export "subscribe" (func $subscribe))
        (export "drop" (func $drop)) (export "drop-pollable" (func $drop-pollable))))))
      (func (export "parent") (canon lift (core func $main "parent")))
      (func (export "twice") (canon lift (core func $main "twice")))
      (func (export "kind") (canon lift (core func $main "kind"))))"#;
    env.file("handles.wat", text);
    for (function, words) in [
        ("parent", "it dropped a resource while others that came from it are in use"),
        ("twice", "it used a handle that it does not have, or that is of another kind"),
        ("kind", "it used a handle that it does not have, or that is of another kind"),
    ] {
        let output = env.run(["call", "handles.wat", &format!("{function}()")]).exits_with(134);
        speaks_plainly(&output);
        output.says(&format!("handles.wat trapped: {words}"));
    }
}

/// A component lends a handle to another, which keeps it; and a component passes text to another
/// that is not UTF-8.
#[test]
fn what_goes_wrong_between_components_is_told_in_words() {
    let env = test_env!();
    let text = r#"(component
      (component $Lender
        (type $r' (resource (rep i32)))
        (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core module $M (import "h" "new" (func $new (param i32) (result i32)))
          (func (export "make") (result i32) (call $new (i32.const 7))))
        (core instance $m (instantiate $M (with "h" (instance (export "new" (func $new))))))
        (func (export "make") (result (own $r)) (canon lift (core func $m "make"))))
      (component $Borrower
        (import "r" (type $r (sub resource)))
        (core module $M
          (memory (export "memory") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
          (func (export "keep") (param i32))
          (func (export "read") (param i32 i32)))
        (core instance $m (instantiate $M))
        (func (export "keep") (param "r" (borrow $r)) (canon lift (core func $m "keep")))
        (func (export "read") (param "text" string)
          (canon lift (core func $m "read") (memory $m "memory") (realloc (func $m "realloc")))))
      (component $User
        (import "r" (type $r (sub resource)))
        (import "make" (func $make (result (own $r))))
        (import "keep" (func $keep (param "r" (borrow $r))))
        (import "read" (func $read (param "text" string)))
        (core module $Memory (memory (export "memory") 1) (data (i32.const 0) "\ff"))
        (core instance $memory (instantiate $Memory))
        (core func $make' (canon lower (func $make)))
        (core func $keep' (canon lower (func $keep)))
        (core func $read' (canon lower (func $read) (memory $memory "memory")))
        (core module $M
          (import "h" "make" (func $make (result i32)))
          (import "h" "keep" (func $keep (param i32)))
          (import "h" "read" (func $read (param i32 i32)))
          (func (export "keep") (call $keep (call $make)))
          (func (export "unicode") (call $read (i32.const 0) (i32.const 1)))
          (func (export "outside") (call $read (i32.const 0) (i32.const 0x7fffff))))
        (core instance $m (instantiate $M (with "h" (instance
          (export "make" (func $make')) (export "keep" (func $keep')) (export "read" (func $read'))))))
        (func (export "keep") (canon lift (core func $m "keep")))
        (func (export "unicode") (canon lift (core func $m "unicode")))
        (func (export "outside") (canon lift (core func $m "outside"))))
      (instance $lender (instantiate $Lender))
      (instance $borrower (instantiate $Borrower (with "r" (type $lender "r"))))
      (instance $user (instantiate $User (with "r" (type $lender "r")) (with "make" (func $lender "make"))
        (with "keep" (func $borrower "keep")) (with "read" (func $borrower "read"))))
      (export "keep" (func $user "keep"))
      (export "unicode" (func $user "unicode"))
      (export "outside" (func $user "outside")))"#;
    env.file("two.wat", text);
    for (function, words) in [
        ("keep", "it kept, passed on or dropped a handle that was only lent"),
        ("unicode", "it handed over text that is not valid Unicode"),
        ("outside", "it handed over a value that lies outside its memory"),
    ] {
        let output = env.run(["call", "two.wat", &format!("{function}()")]).exits_with(134);
        speaks_plainly(&output);
        output.says(&format!("two.wat trapped: {words}"));
    }
}

/// Also when its code is in the cache, or in use, because another file has the same text.
#[test]
fn the_place_of_a_trap_is_in_the_file_that_runs() {
    let env = test_env!().with_own_cache();
    let text = "(module (func $inner\n (unreachable))\n (func (export \"_start\") (call $inner)))";
    for name in ["one.wat", "other.wat", "one.wat"] {
        env.file(name, text);
        env.run(["run", name]).exits_with(134).says(&format!("/{name}:2)"));
    }
}
