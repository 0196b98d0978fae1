//! See tests/fuzz/src/record.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tripline_fuzz::record(input));
