//! Processor time.

use std::fs;
use std::time::Duration;

/// Processor time of the calling thread so far, by the kernel's scheduler: on a machine that others use too, wall
/// time says little. `None` where the kernel does not tell.
#[must_use]
pub fn of_thread() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
