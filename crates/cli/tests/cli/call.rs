//! `walnut call`: calls any export, with values of every kind, in WAVE.

use walnut_test_programs::{
    RUST_P1_REACTOR, RUST_P2_HTTP_HELLO, RUST_P2_LIBRARY, RUST_P3_HELLO, RUST_P3_HTTP_HELLO, WAT_CORE_ADD,
};
use walnut_test_support::{RunOutput, guest, test_env};

fn call(text: &str) -> RunOutput {
    test_env!().run(["call", &guest(RUST_P2_LIBRARY), text])
}

#[test]
fn every_type_goes_in_and_comes_out() {
    for (text, result) in [
        ("greet(\"Ada\")", "\"hello, Ada\""),
        ("area(circle({center: {x: 0, y: 0}, radius: 2}))", "ok(12.566370614359172)"),
        ("area(circle({center: {x: 0, y: 0}, radius: -1}))", "err(negative-radius(-1))"),
        ("area(polygon([{x: 0, y: 0}, {x: 4, y: 0}, {x: 0, y: 3}]))", "ok(6)"),
        ("area(polygon([]))", "err(too-few-points(0))"),
        ("area(empty)", "err(other(\"nothing has no area\"))"),
        (
            "describe({shape: empty, color: blue, style: {filled}, label: some(\"x\")})",
            "\"a filled blue nothing, called x\"",
        ),
        ("describe({shape: empty, color: red, style: {}, label: none})", "\"a red nothing\""),
        ("mix([green, red])", "some(green)"),
        ("mix([])", "none"),
        ("styles()", "{filled, bold}"),
        ("swap((7, \"seven\"))", "(\"seven\", 7)"),
        ("check(true)", "ok"),
        ("check(false)", "err"),
        ("sum([1, 2, 18446744073709551613])", "0"),
        ("add(-1, 2)", "1"),
        ("negate(9223372036854775807)", "-9223372036854775807"),
        ("halve(1)", "0.5"),
        ("small(255, -128, 65535, -32768)", "(255, -128, 65535, -32768)"),
        ("next-char('a')", "some('b')"),
        ("reverse(\"añ\\n\\\"\\u{1f600}\")", "\"😀\\\"\\nña\""),
        ("bytes(3)", "[0, 1, 2]"),
        ("nested([[some(1), none], [], [some(2)]])", "3"),
    ] {
        call(text).prints(&format!("{result}\n"));
    }
    call("nothing()").prints("()\n");
}

#[test]
fn a_function_is_found_by_each_of_its_names() {
    for name in
        ["add", "shapes.add", "acme:shapes/shapes.add", "acme:shapes/shapes@1.0.0.add", "acme:shapes/shapes@1.0.0#add"]
    {
        call(&format!("{name}(1, 2)")).prints("3\n");
    }
    call("other.add(1, 2)").exits_with(2);
}

#[test]
fn modules_can_be_called() {
    let env = test_env!();
    env.run(["call", &guest(WAT_CORE_ADD), "add(2, 3)"]).prints("5\n");
    env.run(["call", &guest(RUST_P1_REACTOR), "divide(1, 4)"]).prints("0.25\n");
    let text = std::fs::read(WAT_CORE_ADD.path()).expect("the guest is there");
    env.walnut(["call", "-", "add(2, 3)"]).stdin(text).run().prints("5\n");
}

/// Each call is a fresh sandbox.
#[test]
fn nothing_stays_from_call_to_call() {
    let env = test_env!();
    let reactor = guest(RUST_P1_REACTOR);
    env.run(["call", &reactor, "add(2, 3)"]).prints("5\n");
    env.run(["call", &reactor, "calls()"]).prints("0\n");
}

#[test]
fn a_wrong_call_says_what_is_right() {
    insta::assert_snapshot!(call("ad(1, 2)"), @"
    --- stderr ---
    error: it exports no function `ad`; it has:
      acme:shapes/shapes@1.0.0.add(left: s32, right: s32) -> s32
      acme:shapes/shapes@1.0.0.area(shape: variant { circle(record { center: record { x: f64, y: f64 }, radius: f64 }), polygon(list<record { x: f64, y: f64 }>), empty }) -> result<f64, variant { negative-radius(f64), too-few-points(u32), other(string) }>
      acme:shapes/shapes@1.0.0.halve(number: f32) -> f32
      acme:shapes/shapes@1.0.0.describe(thing: record { shape: variant { circle(record { center: record { x: f64, y: f64 }, radius: f64 }), polygon(list<record { x: f64, y: f64 }>), empty }, color: enum { red, green, blue }, style: flags { filled, dashed, bold }, label: option<string> }) -> string
      acme:shapes/shapes@1.0.0.[method]counter.next(self: (a handle)) -> u32
      acme:shapes/shapes@1.0.0.[static]counter.combine(left: (a handle), right: (a handle)) -> (a handle)
      greet(name: string) -> string
      acme:shapes/shapes@1.0.0.[constructor]counter(start: u32) -> (a handle)
    --- exit code 2 ---
    ");
    insta::assert_snapshot!(call("add(1)"), @"
    --- stderr ---
    error: the arguments of `add` do not fit: there are too few
      it takes: acme:shapes/shapes@1.0.0.add(left: s32, right: s32) -> s32
    --- exit code 2 ---
    ");
    insta::assert_snapshot!(call("add(1, two)"), @"
    --- stderr ---
    error: the arguments of `add` do not fit: `two` is of another type
      it takes: acme:shapes/shapes@1.0.0.add(left: s32, right: s32) -> s32
    --- exit code 2 ---
    ");
    insta::assert_snapshot!(call("add(1, 2, 3)"), @"
    --- stderr ---
    error: the arguments of `add` do not fit: there are too many, from `3` on
      it takes: acme:shapes/shapes@1.0.0.add(left: s32, right: s32) -> s32
    --- exit code 2 ---
    ");
    insta::assert_snapshot!(call("add"), @r#"
    --- stderr ---
    error: `add` is not a call; write `function(arguments)`, for example `add(1, 2)` or `greet("Ann")`
    --- exit code 2 ---
    "#);
    insta::assert_snapshot!(call("mix([mauve])"), @"
    --- stderr ---
    error: the arguments of `mix` do not fit: expected a enum { red, green, blue }; got mauve, at `mauve`
      it takes: acme:shapes/shapes@1.0.0.mix(colors: list<enum { red, green, blue }>) -> option<enum { red, green, blue }>
    --- exit code 2 ---
    ");
    for text in
        ["", "(", ")", "add(", "add)", "add(1, 2", "()", "add(4294967296, 1)", "next-char('ab')", "small(256, 0, 0, 0)"]
    {
        call(text).exits_with(2).says("error: ");
    }
}

#[test]
fn what_has_no_written_form_cannot_be_called() {
    insta::assert_snapshot!(call("[constructor]counter(1)"), @"
    --- stderr ---
    error: `[constructor]counter` cannot be called from here: WAVE has no form for handles: resources, streams and futures
      it is: acme:shapes/shapes@1.0.0.[constructor]counter(start: u32) -> (a handle)
    --- exit code 2 ---
    ");
    for function in
        ["[static]counter.combine", "shapes.[method]counter.next", "acme:shapes/shapes@1.0.0#[method]counter.next"]
    {
        call(&format!("{function}(1)")).exits_with(2).says("WAVE has no form for handles");
    }
    let env = test_env!();
    for (service, function) in [(RUST_P2_HTTP_HELLO, "handle(1, 2)"), (RUST_P3_HTTP_HELLO, "handle(1)")] {
        env.run(["call", &guest(service), function]).exits_with(2).says("WAVE has no form for handles");
    }
    // A function of WASI 0.3 with such a name can be called.
    env.run(["call", &guest(RUST_P3_HELLO), "run()"]).prints("hello from a sealed component\nok\n");
}

#[test]
fn a_value_that_never_ends_is_refused() {
    let deep = format!("nested({}{})", "[".repeat(50_000), "]".repeat(50_000));
    call(&deep).exits_with(2);
    let long = format!("greet(\"{}\")", "x".repeat(100_000));
    call(&long).succeeds();
}

/// A value is many times larger on the host than in the guest.
#[test]
fn a_result_that_would_fill_the_host_is_refused() {
    let output = test_env!().run(["call", &guest(RUST_P2_LIBRARY), "bytes(30000000)"]).exits_with(134);
    assert_eq!(output.stdout, "");
    output.says("trapped: it handed over more in one call than the host takes (128 MiB, or 4 MiB where it is not alone, as the host keeps it)");
    assert_eq!(call("bytes(100000)").succeeds().stdout.matches(", ").count(), 99_999);
}

#[test]
fn grants_hold_in_call_as_well() {
    let env = test_env!();
    env.run(["call", &guest(walnut_test_programs::RUST_P1_HELLO), "run()"])
        .prints("hello from a sealed component\nok\n");
}
