//! Damaged artifacts: whatever is cut off or flipped, loading ends with a component or with a
//! message for a person.

use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use walnut_engine::{Artifact, Engine, EngineConfig, Inspection, LoadError, parse_call};
use walnut_policy::Limits;

const MODULE: &str = r#"
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $count (mut i32) (i32.const 0))
  (table 2 funcref)
  (elem (i32.const 0) $main)
  (data (i32.const 16) "hello\n")
  (func $main (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 0))))
"#;

const PLAIN: &str = r#"(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#;

const COMPONENT: &str = r#"
(component
  (import "wasi:random/random@0.2.3" (instance $random (export "get-random-u64" (func (result u64)))))
  (core module $m
    (import "host" "random" (func $random (result i64)))
    (memory (export "memory") 1)
    (func (export "dice") (param i32) (result i32)
      (i32.rem_u (i32.wrap_i64 (call $random)) (local.get 0))))
  (core func $random (canon lower (func $random "get-random-u64")))
  (core instance $i (instantiate $m (with "host" (instance (export "random" (func $random))))))
  (func (export "dice") (param "sides" u32) (result u32) (canon lift (core func $i "dice"))))
"#;

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("a test's own text is right")
}

fn engine() -> &'static Arc<Engine> {
    static ENGINE: LazyLock<Arc<Engine>> =
        LazyLock::new(|| Engine::new(&EngineConfig::command(Limits::for_command()), None));
    &ENGINE
}

/// Calls everything that reads an artifact, in the order of the commands.
fn load(bytes: Vec<u8>) -> Result<(), LoadError> {
    let artifact = Artifact::from_bytes("damaged.wasm", bytes)?;
    let inspection = Inspection::of(&artifact);
    let wit = Inspection::wit(&artifact);
    engine().prepare(&artifact, None)?;
    inspection?;
    wit.map(drop)
}

/// Fails on a message that tells a person nothing.
#[track_caller]
fn check(error: &LoadError) {
    let text = std::iter::once(error.to_string()).chain(error.hints()).collect::<Vec<_>>().join("\n");
    assert!(text.starts_with("damaged.wasm "), "{text}");
    // Names inside the artifact may be damaged, too.
    let ours: String = text.split('`').step_by(2).collect();
    for word in ["0x", "::", "wasmtime", "wasmparser", "Error", "Some(", "None", "panicked", "unwrap"] {
        assert!(!ours.contains(word), "`{word}` in: {text}");
    }
    assert!(text.len() < 4000, "{} bytes: {text}", text.len());
}

#[test]
fn the_undamaged_ones_load() {
    for text in [MODULE, PLAIN, COMPONENT] {
        load(binary(text)).expect("it loads");
    }
}

/// Loads all prefixes. A prefix may be whole: it may end between two sections.
fn ends_in_words(whole: &[u8]) {
    for length in 0..whole.len() {
        if let Err(error) = load(whole[..length].to_vec()) {
            check(&error);
        }
    }
}

#[test]
fn a_module_cut_anywhere_ends_in_words() {
    ends_in_words(&binary(MODULE));
    ends_in_words(&binary(PLAIN));
}

#[test]
fn a_component_cut_anywhere_ends_in_words() {
    ends_in_words(&binary(COMPONENT));
}

#[test]
fn text_cut_anywhere_ends_in_words() {
    for length in 0..COMPONENT.len() {
        if let Err(error) = load(COMPONENT.as_bytes()[..length].to_vec()) {
            check(&error);
        }
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = 100_000;
    for text in ["(", "(module ", "(component ", "(;", "(module (func (block "] {
        let error = load(text.repeat(deep).into_bytes()).expect_err("it does not end");
        let text = error.to_string();
        assert!(text.len() < 4000, "{} bytes", text.len());
    }
    let nested = (0..200).fold(binary("(component)"), |inner, _| {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        outer.extend(leb128(inner.len()));
        outer.extend(inner);
        outer
    });
    if let Err(error) = load(nested) {
        check(&error);
    }
}

/// Encodes an unsigned number as WebAssembly does.
fn leb128(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(n & 0x7f).expect("seven bits");
        n >>= 7;
        if n == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_end_in_words(which in 0..3usize, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = binary([MODULE, PLAIN, COMPONENT][which]);
        for (at, byte) in flips {
            // The header tells the kind of the rest; damage to it has tests of its own.
            let at = 8 + at.index(bytes.len() - 8);
            bytes[at] = byte;
        }
        if let Err(error) = load(bytes) {
            check(&error);
        }
    }

    #[test]
    fn sections_in_any_order_end_in_words(cuts in prop::collection::vec(any::<prop::sample::Index>(), 2)) {
        let bytes = binary(COMPONENT);
        let (mut a, mut b) = (cuts[0].index(bytes.len()), cuts[1].index(bytes.len()));
        if a > b {
            std::mem::swap(&mut a, &mut b);
        }
        let twice = [&bytes[..b], &bytes[a..]].concat();
        if let Err(error) = load(twice) {
            check(&error);
        }
    }

    #[test]
    fn any_call_is_read_or_refused(call in prop_oneof![any::<String>(), "[a-z:/@.#]{0,12}\\(.{0,20}\\)?"]) {
        match parse_call(&call) {
            Ok(read) => {
                prop_assert!(!read.name.is_empty());
                prop_assert!(read.arguments.starts_with("f(") && read.arguments.ends_with(')'));
            }
            Err(error) => prop_assert!(error.to_string().contains("function(arguments)")),
        }
    }
}
