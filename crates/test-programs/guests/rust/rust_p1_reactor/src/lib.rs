//! A library as a core module: no `_start`, an `_initialize`, and functions over numbers.

use std::cell::Cell;

thread_local! {
    static CALLS: Cell<i32> = const { Cell::new(0) };
}

#[unsafe(no_mangle)]
pub extern "C" fn add(left: i32, right: i32) -> i32 {
    CALLS.set(CALLS.get() + 1);
    left.wrapping_add(right)
}

/// Calls of `add` in this instance.
#[unsafe(no_mangle)]
pub extern "C" fn calls() -> i32 {
    CALLS.get()
}

#[unsafe(no_mangle)]
pub extern "C" fn divide(dividend: f64, divisor: f64) -> f64 {
    dividend / divisor
}

#[unsafe(no_mangle)]
pub extern "C" fn speak() {
    println!("the reactor speaks");
}
