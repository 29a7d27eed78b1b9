//! `function(arguments)` as people type it for `walnut call`: the name is split off, the arguments
//! are read as WAVE and fitted to types.
//!
//! A bug is: a panic; a stack overflow by nesting; a hang; values that, written out again, do not
//! read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_wave::untyped::UntypedFuncCall;
use wasm_wave::value::{Type, Value};
use wasm_wave::wasm::DisplayFuncArgs;

fuzz_target!(|text: &str| {
    let Ok(call) = walnut_engine::parse_call(text) else { return };
    assert!(!call.name.is_empty());
    let Ok(parsed) = UntypedFuncCall::parse(&call.arguments) else { return };
    for types in signatures() {
        let Ok(values) = parsed.to_wasm_params::<Value>(&types) else { continue };
        let written = format!("f{}", DisplayFuncArgs(&values));
        let again = UntypedFuncCall::parse(&written).expect("what was written parses");
        let again = again.to_wasm_params::<Value>(&types).expect("what was written fits");
        assert_eq!(written, format!("f{}", DisplayFuncArgs(&again)));
    }
});

/// A list of parameters for each kind of type, so that every branch of the conversion is reached.
fn signatures() -> Vec<Vec<Type>> {
    let record = Type::record([("x", Type::S32), ("label", Type::option(Type::STRING))]).expect("it has fields");
    let variant = Type::variant([("none", None), ("some-of", Some(Type::list(Type::U8)))]).expect("it has cases");
    vec![
        vec![Type::BOOL],
        vec![Type::S64],
        vec![Type::U64, Type::U8],
        vec![Type::F64],
        vec![Type::CHAR],
        vec![Type::STRING],
        vec![Type::list(Type::list(Type::STRING))],
        vec![record],
        vec![variant],
        vec![Type::tuple([Type::F32, Type::CHAR]).expect("it has parts")],
        vec![Type::enum_ty(["red", "green"]).expect("it has cases")],
        vec![Type::flags(["read", "write"]).expect("it has flags")],
        vec![Type::result(Some(Type::S8), Some(Type::STRING)), Type::option(Type::option(Type::BOOL))],
    ]
}
