//! The binary from end to end: what is typed, what is seen, and how it ends.
//!
//! One module per verb or subject, all in one binary, because linking is what takes time.

mod run;
