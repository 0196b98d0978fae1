//! What the fuzzers in `fuzz/` run: one function a target, which panics where a promise is broken.
//!
//! They live here and not there, so that a plain `cargo test` runs the whole corpus through them, and so
//! that they need no other toolchain. An input that begins with a byte of [`input::BUILT`] is a plan by
//! which something is built that gets deep; any other is taken as it stands, so that what lies in the
//! corpus can be read.
#![allow(clippy::panic, clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod aggregate;
mod checkpoint;
mod entry;
mod envelope;
pub mod input;
mod record;

pub use aggregate::aggregate;
pub use checkpoint::checkpoint;
pub use entry::entry;
pub use envelope::envelope;
pub use record::record;

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("envelope", envelope),
    ("aggregate", aggregate),
    ("record", record),
    ("entry", entry),
    ("checkpoint", checkpoint),
];
