//! The guests: real programs that the tests run.
//!
//! The sources are in `guests/`, outside the workspace, because their target is another machine.
//! `cargo xtask guests` builds them into one folder, which this crate finds. A test file that
//! starts with
//!
//! ```ignore
//! use walnut_test_programs::{assert_test_exists, foreach_guest};
//! foreach_guest!(assert_test_exists);
//! ```
//!
//! does not compile until it has something named after each guest.

#![forbid(unsafe_code)]

mod guests;

pub use guests::*;
