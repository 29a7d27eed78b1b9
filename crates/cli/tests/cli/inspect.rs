//! `walnut inspect`: describes a target without running it.

use serde_json::Value;
use std::collections::BTreeSet;
use walnut_test_programs::{
    ALL, Guest, JS_P2_HTTP_HELLO, RUST_P1_HELLO, RUST_P2_LIBRARY, RUST_P3_HTTP_HELLO, RUST_P3_SOCKETS, WAT_CORE_ADD,
    WAT_MISSING_IMPORT, WAT_UNKNOWN_CORE_IMPORT, WAT_VERSION_SKEW,
};
use walnut_test_support::{guest, test_env};

fn describe(program: Guest) -> String {
    test_env!().run(["inspect", &guest(program)]).succeeds().to_string()
}

fn json(program: Guest) -> Value {
    let output = test_env!().run(["inspect", "--json", &guest(program)]).succeeds();
    serde_json::from_str(&output.stdout).expect("it is JSON")
}

/// Sizes, digests and versions change with the compiler that built a guest.
fn with_filters(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"sha256:[0-9a-f]{64}", "sha256:[DIGEST]");
    settings.add_filter(r"(?m)^size .*$", "size         [SIZES]");
    settings.add_filter(r"(?m)^(language|processed-by|sdk) .*$", "$1 [PRODUCERS]");
    settings.bind(check);
}

#[test]
fn descriptions() {
    with_filters(|| {
        insta::assert_snapshot!(describe(RUST_P1_HELLO), @"
        --- stdout ---
        name         [GUESTS]/rust_p1_hello.wasm
        digest       sha256:[DIGEST]
        kind         core module, WASI 0.1
        world        wasi:cli/command
        start it     walnut run [GUESTS]/rust_p1_hello.wasm
        size         [SIZES]

        could ask for:
          dir      wasi:filesystem/types@0.2.12, wasi:filesystem/preopens@0.2.12
          env      wasi:cli/environment@0.2.12

        imports without authority:
          wasi:cli/exit@0.2.12
          wasi:io/error@0.2.12
          wasi:io/streams@0.2.12
          wasi:cli/stdin@0.2.12
          wasi:cli/stdout@0.2.12
          wasi:cli/stderr@0.2.12
          wasi:clocks/wall-clock@0.2.12

        exports:
          wasi:cli/run@0.2.12
        --- exit code 0 ---
        ");
        insta::assert_snapshot!(describe(RUST_P2_LIBRARY), @"
        --- stdout ---
        name         [GUESTS]/rust_p2_library.wasm
        digest       sha256:[DIGEST]
        kind         component, WASI 0.2.12
        world        its own
        start it     walnut call [GUESTS]/rust_p2_library.wasm 'FUNCTION(ARGUMENTS)'
        size         [SIZES]
        language [PRODUCERS]
        processed-by [PRODUCERS]

        could ask for:
          dir      wasi:filesystem/types@0.2.12, wasi:filesystem/preopens@0.2.12
          env      wasi:cli/environment@0.2.12

        imports without authority:
          wasi:cli/exit@0.2.12
          wasi:io/error@0.2.12
          wasi:io/streams@0.2.12
          wasi:cli/stdin@0.2.12
          wasi:cli/stdout@0.2.12
          wasi:cli/stderr@0.2.12
          wasi:clocks/wall-clock@0.2.12

        exports:
          greet
          acme:shapes/shapes@1.0.0
        --- exit code 0 ---
        ");
        insta::assert_snapshot!(describe(RUST_P3_HTTP_HELLO), @"
        --- stdout ---
        name         [GUESTS]/rust_p3_http_hello.wasm
        digest       sha256:[DIGEST]
        kind         component, WASI 0.2.12, 0.3.2
        world        wasi:http/service
        start it     walnut serve [GUESTS]/rust_p3_http_hello.wasm
        size         [SIZES]
        language [PRODUCERS]
        processed-by [PRODUCERS]

        could ask for: nothing

        imports without authority:
          wasi:http/types@0.3.2
          wasi:io/error@0.2.12
          wasi:io/streams@0.2.12
          wasi:cli/stdout@0.2.12
          wasi:cli/stderr@0.2.12
          wasi:cli/stdin@0.2.12

        exports:
          wasi:http/handler@0.3.2
        --- exit code 0 ---
        ");
        insta::assert_snapshot!(describe(WAT_CORE_ADD), @"
        --- stdout ---
        name         [GUESTS]/wat_core_add.wat
        digest       sha256:[DIGEST]
        kind         core module, no WASI
        world        its own
        start it     walnut call [GUESTS]/wat_core_add.wat 'FUNCTION(ARGUMENTS)'
        size         [SIZES]

        could ask for: nothing

        exports:
          add
          add-floats
        --- exit code 0 ---
        ");
        insta::assert_snapshot!(describe(WAT_MISSING_IMPORT), @"
        --- stdout ---
        name         [GUESTS]/wat_missing_import.wat
        digest       sha256:[DIGEST]
        kind         component, WASI 0.2.0
        world        wasi:cli/command
        start it     walnut run [GUESTS]/wat_missing_import.wat
        size         [SIZES]

        could ask for: nothing

        cannot get:
          acme:missing/thing@1.0.0, which is no part of WASI, so another component has to provide it

        exports:
          wasi:cli/run@0.2.0
        --- exit code 0 ---
        ");
        insta::assert_snapshot!(describe(WAT_VERSION_SKEW), @"
        --- stdout ---
        name         [GUESTS]/wat_version_skew.wat
        digest       sha256:[DIGEST]
        kind         component, WASI 0.2.0, 0.9.0, 1.2.3
        world        wasi:cli/command
        start it     walnut run [GUESTS]/wat_version_skew.wat
        size         [SIZES]

        could ask for: nothing

        cannot get:
          wasi:cli/environment@0.9.0, which is version 0.9.0; Walnut has wasi:cli/environment@0.2.12 and wasi:cli/environment@0.3.0
          wasi:clocks/monotonic-clock@1.2.3, which is version 1.2.3; Walnut has wasi:clocks/monotonic-clock@0.2.12 and wasi:clocks/monotonic-clock@0.3.0

        exports:
          wasi:cli/run@0.2.0
        --- exit code 0 ---
        ");
        insta::assert_snapshot!(describe(WAT_UNKNOWN_CORE_IMPORT), @"
        --- stdout ---
        name         [GUESTS]/wat_unknown_core_import.wat
        digest       sha256:[DIGEST]
        kind         core module, WASI 0.1
        world        wasi:cli/command
        start it     walnut run [GUESTS]/wat_unknown_core_import.wat
        size         [SIZES]

        could ask for: nothing

        cannot get:
          env.thing, and modules can only import WASI 0.1 (`wasi_snapshot_preview1`)

        exports:
          wasi:cli/run@0.2.12
        --- exit code 0 ---
        ");
    });
}

#[test]
fn every_guest_is_told_its_verb() {
    for program in ALL {
        let verb = if program.name.contains("_http_") {
            "serve"
        } else if ["rust_p1_reactor", "rust_p2_library", "wat_bad_alignment", "wat_core_add"].contains(&program.name) {
            "call"
        } else {
            "run"
        };
        assert_eq!(json(*program)["verb"], verb, "{}", program.name);
    }
}

#[test]
fn json_is_versioned_and_complete() {
    let about = json(RUST_P3_SOCKETS);
    assert_eq!(about["v"], 1);
    assert_eq!(about["kind"], "component");
    assert_eq!(about["world"], "wasi:cli/command");
    let words: Vec<_> = about["capabilities"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|use_| use_["capability"].as_str().expect("a word"))
        .collect();
    assert_eq!(words, ["dir", "env", "connect", "listen", "resolve", "http"]);
    let bytes = std::fs::metadata(RUST_P3_SOCKETS.path()).expect("it is there").len();
    assert_eq!(about["size"], bytes);
    let parts: u64 = about["parts"].as_object().expect("a table").values().filter_map(Value::as_u64).sum();
    assert!(parts > bytes * 9 / 10 && parts <= bytes, "the parts are {parts} of {bytes} bytes");
    assert!(about["digest"].as_str().is_some_and(|d| d.starts_with("sha256:") && d.len() == 71), "{about}");
    assert!(about["producers"]["language"].is_object(), "{about}");
    let is_0_3 = |v: &Value| v.as_str().is_some_and(|v| v.starts_with("0.3."));
    assert!(about["wasi"].as_array().is_some_and(|w| w.iter().any(is_0_3)), "{about}");
}

/// The guide's table has all fields of the JSON, each with the right type.
#[test]
fn json_has_the_fields_that_the_guide_names() {
    let guide = include_str!("../../../../docs/guide/inspect-and-call.md");
    let (_, table) = guide.split_once("| field | meaning |\n").expect("the guide has the table");
    let rows = table.split("\n## ").next().expect("it ends").lines().filter_map(|line| line.strip_prefix("| `"));
    let fields: BTreeSet<_> = rows.flat_map(|row| row.split(" |").next().unwrap_or_default().split("`, `")).collect();
    let fields: BTreeSet<_> = fields.into_iter().map(|field| field.trim_end_matches('`')).collect();
    for program in [RUST_P1_HELLO, RUST_P3_SOCKETS, WAT_CORE_ADD, WAT_VERSION_SKEW] {
        let about = json(program);
        let named: BTreeSet<_> = about.as_object().expect("a table").keys().map(String::as_str).collect();
        assert_eq!(named, fields, "{}", program.name);
        assert!(about["name"].as_str().is_some_and(|name| name == guest(program)), "{about}");
    }
    let skewed = json(WAT_VERSION_SKEW);
    assert_eq!(skewed["missing_imports"].as_array().map(Vec::len), Some(2), "{skewed}");
    assert_eq!(skewed["exports"], serde_json::json!(["wasi:cli/run@0.2.0"]));
    let hello = json(RUST_P1_HELLO);
    assert_eq!((&hello["kind"], &hello["wasi"]), (&"module".into(), &serde_json::json!(["0.1"])));
    assert!(hello["harmless_imports"].as_array().is_some_and(|all| all.contains(&"wasi:cli/stdout@0.2.12".into())));
    let sockets = json(RUST_P3_SOCKETS);
    assert!(sockets["modules"].as_u64().is_some_and(|n| n >= 1) && sockets["components"].is_u64(), "{sockets}");
    assert_eq!(json(WAT_CORE_ADD)["world"], Value::Null);
}

#[test]
fn the_digest_is_that_of_the_file() {
    let env = test_env!();
    env.file("empty.wat", "(module)");
    let output = env.run(["inspect", "empty.wat"]).succeeds();
    // `printf '(module)' | sha256sum`: the digest is that of the text as it was read.
    let digest = "sha256:1885772b94ca41b360d9bd07535547f4c8ef16cbe7e49d2c8e9780247e26c4de";
    assert!(output.stdout.contains(digest), "{output}");
}

#[test]
fn wit_can_be_read_again() {
    let output = test_env!().run(["inspect", "--wit", &guest(RUST_P2_LIBRARY)]).succeeds();
    for line in
        ["interface shapes {", "area: func(shape: shape) -> result<f64, fault>;", "flags style {", "resource counter {"]
    {
        assert!(output.stdout.contains(line), "no {line:?} in:\n{output}");
    }
    // Parts that are added to a module of 0.1 when it is loaded are not shown as its interface.
    let output = test_env!().run(["inspect", "--wit", &guest(RUST_P1_HELLO)]).succeeds();
    let exports: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("  export ")).collect();
    assert_eq!(exports, ["  export wasi:cli/run@0.2.12;"]);
    insta::assert_snapshot!(test_env!().run(["inspect", "--wit", &guest(WAT_CORE_ADD)]), @"
    --- stdout ---
    package root:component;

    world root {
      export add: func(p0: s32, p1: s32) -> s32;
      export add-floats: func(p0: f64, p1: f64) -> f64;
    }
    --- exit code 0 ---
    ");
}

#[test]
fn a_large_component_is_inspected_without_compiling_it() {
    let env = test_env!().with_own_cache();
    env.run(["inspect", &guest(JS_P2_HTTP_HELLO)]).succeeds();
    assert!(!env.cache().exists(), "inspecting compiles nothing");
}

#[test]
fn the_forms_exclude_each_other() {
    test_env!().run(["inspect", "--wit", "--json", &guest(WAT_CORE_ADD)]).exits_with(2);
}

#[test]
fn it_reads_standard_input() {
    let bytes = std::fs::read(RUST_P1_HELLO.path()).expect("the guest is there");
    let output = test_env!().walnut(["inspect", "-"]).stdin(bytes).run().succeeds();
    assert!(output.stdout.starts_with("name         standard input\n"), "{output}");
}

#[test]
fn a_name_cannot_forge_a_line_or_drive_the_terminal() {
    let env = test_env!();
    let forged =
        r#"(module (import "env" "x\0aerror: forged\1b[2J" (func)) (func (export "y\0aerror: forged\1b[2J")))"#;
    env.file("names.wat", forged);
    for args in [&["run", "names.wat"][..], &["inspect", "names.wat"], &["inspect", "--wit", "names.wat"]] {
        let output = env.run(args);
        let text = output.to_string();
        assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.starts_with("error: forged")), "{text}");
    }
    let described = env.run(["inspect", "names.wat"]).stdout;
    assert!(described.contains("y\\u{a}error: forged\\u{1b}[2J"), "{described}");
}
