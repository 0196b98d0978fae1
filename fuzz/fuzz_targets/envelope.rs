//! See tests/fuzz/src/envelope.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tripline_fuzz::envelope(input));
