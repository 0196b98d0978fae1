//! See tests/fuzz/src/entry.rs.
#![no_main]

use std::alloc::System;
use std::panic::{catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

use cap::Cap;

/// Twice what an entry may unpack to, as its columns are copied once, and something for the rest. Whoever
/// asks for more gets no memory, which ends the process.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, (2 << 30) + (256 << 20));

/// What the last panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

// libFuzzer's hook would end the process at any panic. Those of Arrow's reader are caught where it is
// called, and are findings only if they come as far as here.
libfuzzer_sys::fuzz_target!(
    init: set_hook(Box::new(|panic| *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string())),
    |input: &[u8]| {
        if catch_unwind(|| tripline_fuzz::entry(input)).is_err() {
            eprintln!("{}", PANIC.lock().unwrap_or_else(PoisonError::into_inner));
            std::process::abort();
        }
    }
);
