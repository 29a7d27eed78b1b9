//! Checks the list of guests, which is made from their folder.

use walnut_test_programs::{ALL, Guest, assert_test_exists, foreach_guest};

#[test]
fn the_macro_names_every_guest() {
    let mut named = Vec::new();
    macro_rules! note {
        ($name:ident) => {
            named.push(stringify!($name));
        };
    }
    foreach_guest!(note);
    let listed: Vec<&str> = ALL.iter().map(|guest| guest.name).collect();
    assert_eq!(named, listed);
}
assert_test_exists!(the_macro_names_every_guest);

#[test]
fn text_guests_need_no_build() {
    for guest in ALL.iter().filter(|guest| guest.is_text()) {
        guest.path();
    }
}

#[test]
#[should_panic = "run `cargo xtask guests` first"]
fn a_missing_guest_says_what_to_do() {
    Guest { name: "never_built", file: "never_built.wasm" }.path();
}
