//! Sizes and durations as people type them.
//!
//! A bug is: a panic; a size or a duration that reads back as another once its unit is spelled out;
//! a duration of zero, which would end every sandbox before it starts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walnut_policy::units::{parse_duration, parse_size};

fuzz_target!(|text: &str| {
    if let Ok(bytes) = parse_size(text) {
        assert_eq!(parse_size(&bytes.to_string()), Ok(bytes));
        assert_eq!(parse_size(&format!("{bytes}B")), Ok(bytes));
    }
    if let Ok(time) = parse_duration(text) {
        assert!(!time.is_zero());
        assert_eq!(parse_duration(&format!("{}ms", time.as_millis())), Ok(time));
    }
});
