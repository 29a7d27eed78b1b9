use walnut_test_programs::RUST_P1_HELLO;
use walnut_test_support::{guest, test_env};

#[test]
fn streams_and_arguments_pass_through() {
    let env = test_env!();
    env.run(["run", &guest(RUST_P1_HELLO), "one", "two"]).prints("one\ntwo\n");
}
