//! Targets that cannot be loaded: a reason of one line, the right exit code, and never a panic.

use std::fmt::Write;
use std::fs;
use walnut_test_programs::{
    Guest, RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO, WAT_MISSING_IMPORT, WAT_UNKNOWN_CORE_IMPORT, WAT_VERSION_SKEW,
};
use walnut_test_support::{RunOutput, TestEnv, guest, test_env};

/// Asserts that there is a single error of one line, with hints at most, and without internals.
#[track_caller]
fn is_explained(output: &RunOutput) {
    let mut lines = output.stderr.lines();
    assert!(lines.next().is_some_and(|l| l.starts_with("error: ")), "{output}");
    assert!(lines.all(|l| l.starts_with("hint: ")), "{output}");
    speaks_plainly(output);
}

#[track_caller]
fn speaks_plainly(output: &RunOutput) {
    for word in ["panicked", "0x", "offset", "wasmtime", "Error {", "thread '"] {
        assert!(!output.stderr.contains(word), "it says {word:?}:\n{output}");
    }
}

#[test]
fn a_target_that_is_not_there() {
    let env = test_env!();
    env.file("a-file", "");
    insta::assert_snapshot!(env.run(["run", "nothing.wasm"]), @"
    --- stderr ---
    error: there is no file nothing.wasm
    hint: a target is the path of a .wasm or .wat file, or `-` for standard input
    --- exit code 127 ---
    ");
    env.file("code/shop.wasm", "");
    env.run(["run", "code/shp.wasm"]).exits_with(127).says("hint: did you mean `code/shop.wasm`?");
    for verb in ["run", "serve", "inspect"] {
        env.run([verb, "no/such/file.wasm"]).exits_with(127);
        env.run([verb, "a-file/below.wasm"]).exits_with(127);
        env.run([verb, ""]).exits_with(127);
    }
    env.run(["call", "nothing.wasm", "f()"]).exits_with(127);
    env.run(["run", &guest(RUST_P1_HELLO)]).exits_with(0);
}

/// Only `serve` takes one.
#[test]
fn an_app_is_for_serve() {
    let env = test_env!();
    env.file("shop/walnut.toml", "");
    for (args, target) in [
        (&["run", "shop"][..], "shop"),
        (&["run", "shop/walnut.toml"], "shop/walnut.toml"),
        (&["inspect", "shop"], "shop"),
        (&["call", "shop", "f()"], "shop"),
    ] {
        let said = env.run(args).exits_with(126).says(&format!("error: {target} is an app, not a component\n"));
        let _ = said.says(&format!("hint: serve it: `walnut serve {target}`\n"));
    }
    let _ = env.run(["run", "."]).exits_with(126).says("a target is a .wasm file or .wat text");
}

#[cfg(target_os = "linux")]
#[test]
fn a_target_that_cannot_be_read() {
    let env = test_env!();
    std::os::unix::fs::symlink("circle.wasm", env.path("circle.wasm")).expect("a link can be made");
    insta::assert_snapshot!(env.run(["run", "circle.wasm"]), @"
    --- stderr ---
    error: circle.wasm could not be read: Too many levels of symbolic links (os error 40)
    hint: look at it, and who may read it: `ls -l circle.wasm`
    --- exit code 125 ---
    ");
}

#[test]
fn what_is_not_webassembly() {
    let env = test_env!();
    env.folder("folder");
    env.file("empty", "");
    env.file("text", "hello, this is text\n");
    env.file("binary", [0xff, 0xfe, 0x00, 0x80]);
    env.file("elf", *b"\x7fELF\x02\x01\x01");
    env.file("script", "#!/bin/sh\necho hello\n");
    env.file("page.html", "<!doctype html>\n");
    env.file("zip", *b"PK\x03\x04");
    env.file("gzip", [0x1f, 0x8b, 8, 0]);
    env.file("short", *b"\0as");
    let mut all = String::new();
    for target in ["folder", "empty", "text", "binary", "elf", "script", "page.html", "zip", "gzip", "short"] {
        for verb in ["run", "serve", "inspect"] {
            // A folder may be an app, and this one is none.
            let code = if (verb, target) == ("serve", "folder") { 127 } else { 126 };
            let output = env.run([verb, target]).exits_with(code);
            is_explained(&output);
        }
        let output = env.run(["run", target]);
        let _ = writeln!(all, "{}", output.stderr.lines().next().unwrap_or_default());
    }
    insta::assert_snapshot!(all, @"
    error: folder is not WebAssembly: it is a folder
    error: empty is not WebAssembly: it is empty
    error: text is not WebAssembly: it is text, but not WebAssembly text
    error: binary is not WebAssembly: it starts with other bytes
    error: elf is not WebAssembly: it is a native program or precompiled code (ELF)
    error: script is not WebAssembly: it is a script
    error: page.html is not WebAssembly: it is a web page or XML
    error: zip is not WebAssembly: it is a zip archive
    error: gzip is not WebAssembly: it is gzip-compressed
    error: short is not WebAssembly: it is text, but not WebAssembly text
    ");
    insta::assert_snapshot!(env.run(["run", "text"]), @"
    --- stderr ---
    error: text is not WebAssembly: it is text, but not WebAssembly text
    hint: a target is a .wasm file or .wat text: a WASI 0.1 module, or a component of WASI 0.2 or 0.3
    --- exit code 126 ---
    ");
}

#[test]
fn a_header_of_another_kind() {
    let env = test_env!();
    for (name, bytes) in [
        ("header-only", &b"\0asm"[..]),
        ("version-2", b"\0asm\x02\0\0\0"),
        ("old-component", b"\0asm\x0a\0\x01\0"),
        ("garbage-after", b"\0asm\x01\0\0\0\xff\xff\xff"),
        ("huge-section", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f"),
    ] {
        env.file(name, bytes);
        for verb in ["run", "serve", "inspect"] {
            let output = env.run([verb, name]).exits_with(126);
            is_explained(&output);
        }
    }
    insta::assert_snapshot!(env.run(["run", "version-2"]), @"
    --- stderr ---
    error: version-2 is damaged or not valid WebAssembly: it is of no version of WebAssembly that there is
    hint: build it again, or copy it again
    --- exit code 126 ---
    ");
    insta::assert_snapshot!(env.run(["run", "huge-section"]), @"
    --- stderr ---
    error: huge-section is damaged or not valid WebAssembly: unexpected end-of-file
    hint: build it again, or copy it again
    --- exit code 126 ---
    ");
}

#[test]
fn text_that_does_not_parse_shows_the_place() {
    let env = test_env!();
    env.file("t.wat", "(module\n  (func (result i32)\n    i32.cnst 1))\n");
    insta::assert_snapshot!(env.run(["run", "t.wat"]), @"
    --- stderr ---
    error: t.wat is damaged or not valid WebAssembly: its text does not parse
    unknown operator or unexpected token
         --> t.wat:3:5
          |
        3 |     i32.cnst 1))
          |     ^
    --- exit code 126 ---
    ");
    env.file("open.wat", "(module");
    env.run(["run", "open.wat"]).exits_with(126).says("open.wat:1:8");
    env.file("types.wat", "(module (func (result i32)))");
    insta::assert_snapshot!(env.run(["run", "types.wat"]), @"
    --- stderr ---
    error: types.wat is damaged or not valid WebAssembly: type mismatch: expected i32 but nothing on stack
    hint: build it again, or copy it again
    --- exit code 126 ---
    ");
    env.file("bare.wat", "(module (func (export \"_start\")))");
    env.run(["run", "bare.wat"]).prints("");
    env.file("good.wat", ";; a comment first\n(module (memory (export \"memory\") 1) (func (export \"_start\")))");
    env.run(["run", "good.wat"]).prints("");
}

#[test]
fn standard_input_is_a_target() {
    let env = test_env!();
    let hello = |program: Guest| fs::read(program.path()).expect("the guest is there");
    for program in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO] {
        env.walnut(["run", "-"]).stdin(hello(program)).run().prints("hello from a sealed component\n");
    }
    env.walnut(["run", "-", "one", "-"]).stdin(hello(RUST_P1_HELLO)).run().prints("one\n-\n");
    insta::assert_snapshot!(env.walnut(["run", "-"]).run(), @"
    --- stderr ---
    error: standard input is not WebAssembly: it is empty
    hint: a target is a .wasm file or .wat text: a WASI 0.1 module, or a component of WASI 0.2 or 0.3
    --- exit code 126 ---
    ");
    insta::assert_snapshot!(env.walnut(["run", "-"]).stdin("no module").run(), @"
    --- stderr ---
    error: standard input is not WebAssembly: it is text, but not WebAssembly text
    hint: a target is a .wasm file or .wat text: a WASI 0.1 module, or a component of WASI 0.2 or 0.3
    --- exit code 126 ---
    ");
}

#[test]
fn a_missing_import_says_who_needs_it_and_what_to_do() {
    let env = test_env!();
    insta::assert_snapshot!(env.run(["run", &guest(WAT_MISSING_IMPORT)]), @"
    --- stderr ---
    error: [GUESTS]/wat_missing_import.wat needs `acme:missing/thing@1.0.0`, which is no part of WASI, so another component has to provide it
    hint: compose it with a component that exports `acme:missing/thing@1.0.0`
    --- exit code 126 ---
    ");
    insta::assert_snapshot!(env.run(["run", &guest(WAT_VERSION_SKEW)]), @"
    --- stderr ---
    error: [GUESTS]/wat_version_skew.wat needs 2 imports that cannot be satisfied:
      `wasi:cli/environment@0.9.0`, which is version 0.9.0; Walnut has wasi:cli/environment@0.2.12 and wasi:cli/environment@0.3.0
      `wasi:clocks/monotonic-clock@1.2.3`, which is version 1.2.3; Walnut has wasi:clocks/monotonic-clock@0.2.12 and wasi:clocks/monotonic-clock@0.3.0
    hint: rebuild the component with a toolchain for WASI 0.2 or for the final WASI 0.3
    --- exit code 126 ---
    ");
    insta::assert_snapshot!(env.run(["run", &guest(WAT_UNKNOWN_CORE_IMPORT)]), @"
    --- stderr ---
    error: [GUESTS]/wat_unknown_core_import.wat needs `env.thing`, and modules can only import WASI 0.1 (`wasi_snapshot_preview1`)
    hint: provide `env` at build time, or make it a component that imports an interface of that kind
    --- exit code 126 ---
    ");
}

#[test]
fn the_nearest_name_is_suggested() {
    let env = test_env!();
    env.file("typo.wat", "(component (import \"wasi:cli/enviroment@0.2.0\" (instance)))");
    insta::assert_snapshot!(env.run(["run", "typo.wat"]), @"
    --- stderr ---
    error: typo.wat needs `wasi:cli/enviroment@0.2.0`, which nothing provides
    hint: did you mean `wasi:cli/environment`?
    --- exit code 126 ---
    ");
    env.file("draft.wat", "(component (import \"wasi:cli/environment@0.3.0-rc-2025-09-16\" (instance)))");
    insta::assert_snapshot!(env.run(["run", "draft.wat"]), @"
    --- stderr ---
    error: draft.wat needs `wasi:cli/environment@0.3.0-rc-2025-09-16`, which is a draft that WASI has replaced; Walnut has wasi:cli/environment@0.2.12 and wasi:cli/environment@0.3.0
    hint: rebuild the component with a toolchain for WASI 0.2 or for the final WASI 0.3
    --- exit code 126 ---
    ");
    env.file("later.wat", "(component (import \"wasi:keyvalue/store@0.2.0\" (instance)))");
    insta::assert_snapshot!(env.run(["run", "later.wat"]), @"
    --- stderr ---
    error: later.wat needs `wasi:keyvalue/store@0.2.0`, which is a part of WASI that Walnut does not provide yet
    hint: build the component without `wasi:keyvalue/store`, or compose it with one that exports `wasi:keyvalue/store`
    --- exit code 126 ---
    ");
    env.file("old.wat", "(module (import \"wasi_unstable\" \"fd_write\" (func)) (func (export \"_start\")))");
    insta::assert_snapshot!(env.run(["run", "old.wat"]), @"
    --- stderr ---
    error: old.wat needs `wasi_unstable.fd_write`, which is WASI of before 0.1
    hint: build it with a toolchain of 2020 or later, for the target wasm32-wasip1 or wasm32-wasip2
    --- exit code 126 ---
    ");
    env.file(
        "typo-0.1.wat",
        "(module (import \"wasi_snapshot_preview1\" \"fd_wriet\" (func)) (func (export \"_start\")))",
    );
    insta::assert_snapshot!(env.run(["run", "typo-0.1.wat"]), @"
    --- stderr ---
    error: typo-0.1.wat needs `wasi_snapshot_preview1.fd_wriet`, which is no function of WASI 0.1
    hint: did you mean `fd_write`?
    --- exit code 126 ---
    ");
    let odd = "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)) (memory (export \"memory\") 1) (func (export \"_start\")))";
    env.file("odd-type.wat", odd);
    insta::assert_snapshot!(env.run(["run", "odd-type.wat"]), @"
    --- stderr ---
    error: odd-type.wat is damaged or not valid WebAssembly: it cannot be made a component: type mismatch for function `fd_write`: expected `[] -> []` but found `[I32, I32, I32, I32] -> [I32]`
    hint: build it again, or copy it again
    --- exit code 126 ---
    ");
}

#[test]
fn a_program_of_threads_is_told_that_there_are_none() {
    let env = test_env!();
    env.file("alone.wat", "(module (memory 1 1 shared) (func (export \"_start\")))");
    insta::assert_snapshot!(env.run(["run", "alone.wat"]), @"
    --- stderr ---
    error: alone.wat needs `shared memory`, which is for several threads; a sandbox has one
    hint: build it without threads: for the target wasm32-wasip1 or wasm32-wasip2 instead of wasm32-wasip1-threads, and C without `-pthread`
    --- exit code 126 ---
    ");
    let threads = r#"(module
      (import "env" "table" (table 0 funcref))
      (import "env" "memory" (memory 1 2 shared))
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (func (export "wasi_thread_start") (param i32 i32))
      (func (export "_start") (drop (call $spawn (i32.const 0)))))"#;
    env.file("threads.wat", threads);
    insta::assert_snapshot!(env.run(["run", "threads.wat"]), @"
    --- stderr ---
    error: threads.wat needs 2 imports that cannot be satisfied:
      `env.memory`, which is memory for several threads; a sandbox has one
      `wasi.thread-spawn`, which is the withdrawn wasi-threads proposal
    hint: build it without threads: for the target wasm32-wasip1 or wasm32-wasip2 instead of wasm32-wasip1-threads, and C without `-pthread`
    --- exit code 126 ---
    ");
    let inside = r#"(component
      (core module $m (memory 1 1 shared) (func (export "f")))
      (core instance $i (instantiate $m))
      (func (export "f") (canon lift (core func $i "f"))))"#;
    env.file("inside.wat", inside);
    insta::assert_snapshot!(env.run(["call", "inside.wat", "f()"]), @"
    --- stderr ---
    error: inside.wat needs `shared memory`, which is for several threads; a sandbox has one
    hint: build it without threads: for the target wasm32-wasip1 or wasm32-wasip2 instead of wasm32-wasip1-threads, and C without `-pthread`
    --- exit code 126 ---
    ");
    // With the functions of WASI, which want a memory of their own kind.
    let exported = r#"(module
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1 2 shared)
      (func (export "_start")))"#;
    env.file("exported.wat", exported);
    env.run(["run", "exported.wat"]).exits_with(126).says("exported.wat needs `shared memory`, which is for several");
    let inspected = env.run(["inspect", "exported.wat"]).succeeds();
    let refused = "cannot get:\n  shared memory, which is for several threads; a sandbox has one\n";
    assert!(inspected.stdout.contains(refused), "{inspected}");
    // A module that uses atomics and shares nothing needs no threads.
    let atomics = r#"(module (memory (export "memory") 1)
      (func (export "_start") (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))))"#;
    env.file("atomics.wat", atomics);
    env.run(["run", "atomics.wat"]).prints("");
}

/// Every minor version of 0.2 is the same WASI.
#[test]
fn every_minor_of_0_2_is_there() {
    let env = test_env!();
    for minor in ["0.2.0", "0.2.3", "0.2.6", "0.2.99"] {
        let text = format!(
            "(component
              (import \"wasi:cli/environment@{minor}\" (instance $e (export \"get-arguments\" (func (result (list string))))))
              (core module $m (func (export \"run\") (result i32) (i32.const 0)))
              (core instance $i (instantiate $m))
              (func $run (result (result)) (canon lift (core func $i \"run\")))
              (instance $cli-run (export \"run\" (func $run)))
              (export \"wasi:cli/run@{minor}\" (instance $cli-run)))"
        );
        env.file("minor.wat", text);
        env.run(["run", "minor.wat"]).prints("");
    }
}

/// Returns the ends of the outermost sections of `bytes`, and whether each is a custom section.
fn sections(bytes: &[u8]) -> Vec<(usize, bool)> {
    let mut ends = vec![(8, false)];
    let mut at = 8;
    while at < bytes.len() {
        let is_custom = bytes[at] == 0;
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(bytes[at] & 0x7f) << shift;
            shift += 7;
            if bytes[at] < 0x80 {
                break;
            }
        }
        at += 1 + size;
        ends.push((at, is_custom));
    }
    assert_eq!(at, bytes.len(), "the sections are the whole file");
    ends
}

#[test]
fn a_module_that_is_cut_anywhere() {
    cut_everywhere(RUST_P1_HELLO);
}

#[test]
fn a_component_of_0_2_that_is_cut_anywhere() {
    cut_everywhere(RUST_P2_HELLO);
}

#[test]
fn a_component_of_0_3_that_is_cut_anywhere() {
    cut_everywhere(RUST_P3_HELLO);
}

fn cut_everywhere(program: Guest) {
    let env = test_env!();
    let bytes = fs::read(program.path()).expect("the guest is there");
    let ends = sections(&bytes);
    let last_needed = ends.iter().rfind(|(_, is_custom)| !is_custom).map_or(0, |(end, _)| *end);
    let mut cuts: Vec<usize> = (0..8).collect();
    for pair in ends.windows(2) {
        let (start, end) = (pair[0].0, pair[1].0);
        cuts.extend([start, usize::midpoint(start, end)]);
    }
    cuts.sort_unstable();
    cuts.dedup();
    for cut in cuts.into_iter().filter(|cut| *cut < bytes.len()) {
        env.file("cut.wasm", &bytes[..cut]);
        let output = env.run(["run", "cut.wasm"]);
        let at_boundary = ends.iter().any(|(end, _)| *end == cut);
        if cut >= last_needed && at_boundary {
            // Without some of the custom sections at its end it is a whole program.
            output.prints("hello from a sealed component\n");
        } else if at_boundary && output.code() == 134 {
            // Without its data it is a whole program too, and fails by itself.
            speaks_plainly(&output);
        } else {
            assert_eq!(output.code(), 126, "{} cut at {cut} of {}:\n{output}", program.name, bytes.len());
            is_explained(&output);
        }
    }
    env.file("cut.wasm", &bytes);
    env.run(["run", "cut.wasm"]).prints("hello from a sealed component\n");
}

/// A component that can add, with others nested below it.
fn nested(depth: usize) -> String {
    format!(
        "(component {}{}
          (core module $m (func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
          (core instance $i (instantiate $m))
          (func (export \"add\") (param \"a\" u32) (param \"b\" u32) (result u32) (canon lift (core func $i \"add\"))))",
        "(component ".repeat(depth),
        ")".repeat(depth)
    )
}

/// The same as bytes, made without a parser that has limits of its own.
fn nested_bytes(depth: usize) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..depth {
        let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
        outer.push(4);
        let mut size = bytes.len();
        loop {
            let low = u8::try_from(size & 0x7f).expect("seven bits");
            size >>= 7;
            outer.push(if size > 0 { low | 0x80 } else { low });
            if size == 0 {
                break;
            }
        }
        outer.append(&mut bytes);
        bytes = outer;
    }
    bytes
}

#[test]
fn components_in_components() {
    let env = test_env!();
    let add = |depth| {
        env.file("nested.wat", nested(depth));
        env.run(["call", "nested.wat", "add(1, 2)"])
    };
    add(10).prints("3\n");
    let output = add(100);
    is_survived(&output);
    for depth in [100, 1_000, 5_000] {
        env.file("nested.wasm", nested_bytes(depth));
        for args in [&["run", "nested.wasm"][..], &["inspect", "nested.wasm"], &["inspect", "--wit", "nested.wasm"]] {
            is_survived(&env.run(args));
        }
    }
    env.file("deep.wat", format!("(component {}", "(component ".repeat(100_000)));
    is_survived(&env.run(["run", "deep.wat"]));
    env.file("deep.wat", format!("(module (func {}", "(block ".repeat(100_000)));
    is_survived(&env.run(["run", "deep.wat"]));
}

/// Refused with a reason or run, but without a crash.
#[track_caller]
fn is_survived(output: &RunOutput) {
    let code = output.code();
    assert!(code == 0 || code == 126, "{output}");
    speaks_plainly(output);
}

#[test]
fn ten_thousand_imports() {
    let env = test_env!();
    let mut text = "(component".to_owned();
    for i in 0..10_000 {
        let _ = write!(text, "(import \"f{i}\" (func))");
    }
    env.file("imports.wat", text + ")");
    let output = env.run(["run", "imports.wat"]).exits_with(126).says("10000 imports that cannot be satisfied");
    assert!(output.stderr.lines().count() < 30, "nobody reads ten thousand lines:\n{output}");
    speaks_plainly(&output);
    env.run(["inspect", "imports.wat"]).succeeds();
    env.file("one.wat", "(component (import \"f0\" (func)))");
    env.run(["run", "one.wat"]).exits_with(126).says("needs `f0`");
    let mut text = "(component".to_owned();
    for i in 0..10_000 {
        let _ = write!(text, "(import \"acme:many/i{i}@1.0.0\" (instance))");
    }
    env.file("instances.wat", text + ")");
    is_explained(&env.run(["run", "instances.wat"]).exits_with(126));

    let many = |count: usize| {
        let mut text = "(module".to_owned();
        for i in 0..count {
            let _ = write!(text, "(import \"wasi_snapshot_preview1\" \"sched_yield\" (func $f{i} (result i32)))");
        }
        env.file("many.wat", text + "(memory (export \"memory\") 1) (func (export \"_start\") (drop (call $f0))))");
        env.run(["run", "many.wat"])
    };
    many(1).prints("");
    is_survived(&many(10_000));
    let output = many(30_000).exits_with(126);
    is_explained(&output);
}

#[test]
fn many_functions_and_large_bodies_do_not_harm() {
    let env = test_env!();
    let deep = format!("(module (func (export \"_start\") {} nop {}))", "block ".repeat(50_000), "end ".repeat(50_000));
    env.file("deep.wat", deep);
    is_survived(&env.run(["run", "deep.wat"]));
    let locals = format!("(module (func (export \"_start\") (local {})))", "i64 ".repeat(60_000));
    env.file("locals.wat", locals);
    is_survived(&env.run(["run", "locals.wat"]));
}

/// A pipe that never ends never holds a whole module.
#[test]
fn what_is_larger_than_anything_is_not_read() {
    let env: TestEnv = test_env!();
    let output = env.run(["run", "/dev/zero"]).exits_with(126).says("/dev/zero");
    is_explained(&output);
}

#[test]
fn proposals_that_are_not_supported_are_named() {
    let env = test_env!();
    let body = |text: &str| format!("(module (memory (export \"memory\") 1) {text})");
    for (name, text, proposal) in [
        (
            "legacy",
            body("(tag $e) (func (export \"_start\") try throw $e catch $e end)"),
            "the legacy form of exceptions",
        ),
        (
            "stack",
            body(
                "(type $f (func)) (type $c (cont $f)) (func $g) (elem declare func $g)
                (func (export \"_start\") (resume $c (cont.new $c (ref.func $g))))",
            ),
            "stack switching",
        ),
        (
            "wide",
            body("(func (param i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 0)))"),
            "wide arithmetic",
        ),
        (
            "pages",
            "(module (memory (export \"memory\") 1 (pagesize 1)) (func (export \"_start\")))".into(),
            "custom page sizes",
        ),
    ] {
        let file = format!("{name}.wat");
        env.file(&file, text);
        for verb in ["run", "serve"] {
            let refused =
                env.run([verb, &file]).exits_with(126).says(&format!("uses {proposal}, which Walnut does not"));
            assert!(refused.stderr.contains("hint: build it with") && !refused.stderr.contains("damaged"), "{refused}");
        }
    }
}

#[test]
fn a_draft_of_a_command_is_told_as_one() {
    let env = test_env!();
    for version in ["0.2.0-rc-2023-12-05", "0.3.0-rc-2026-03-15"] {
        let text = format!(
            "(component (core module $m (func (export \"run\") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i \"run\")))
            (instance $run (export \"run\" (func $run))) (export \"wasi:cli/run@{version}\" (instance $run)))"
        );
        env.file("draft.wat", text);
        let refused = env.run(["run", "draft.wat"]).exits_with(126);
        refused.says(&format!("it exports `wasi:cli/run@{version}` of a draft that WASI has replaced"));
    }
}

/// As `cat` does.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let env = test_env!();
    env.file("add.wat", r#"(module (func (export "one") (result i32) i32.const 1))"#);
    for args in
        [&["inspect", "add.wat"][..], &["inspect", "--json", "add.wat"], &["call", "add.wat", "one()"], &["cache"]]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = env.command().args(args).stdout(full).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(125) && said.contains("standard output cannot be written to"), "{said}");
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let output = env.command().args(args).stdout(writer).output().expect("it starts");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    }
}
