//! The simulation can fail: whatever the protocol's conditions, if one is not met, some schedule tells.
#![allow(clippy::expect_used)]

use std::io::Write;

use tripline_simulation::{Campaign, Mutant};

/// Schedules within which each mutant must be found. It takes tens for most of them.
const SCHEDULES: u64 = 12_000;

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::ALL {
        let campaign = Campaign { first: 0, schedules: SCHEDULES, time: None, mutant };
        let failure = campaign.play().expect_err("some schedule finds it");
        // Not `println!`, which the test harness keeps from the reader.
        let (seed, told) = (failure.seed, failure.message.chars().take(160).collect::<String>());
        let _ = writeln!(std::io::stderr(), "{mutant:?}: seed {seed}: {told}");
    }
}
