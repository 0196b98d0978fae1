//! The real code under as many schedules as CI has time for, and the same seed twice.
#![allow(clippy::panic)]

use std::io::Write;

use tripline_simulation::{Campaign, Mutant, play_one};

/// Schedules of an ordinary test run; `make sim` and `make soak` play as many as they are asked for.
const SCHEDULES: u64 = 24_000;
/// Of so many schedules, each rare thing must happen in some: otherwise nothing is shown about it.
const AT_LEAST: u64 = 50;

#[test]
fn whatever_the_schedule_each_record_is_in_the_lake_once() {
    let campaign = Campaign { first: 0, schedules: SCHEDULES, time: None, mutant: Mutant::None };
    let summary = campaign.play().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(summary.schedules, SCHEDULES);
    // Not `println!`, which the test harness keeps from the reader.
    let _ = writeln!(std::io::stderr(), "{summary}");
    let rare: Vec<_> = summary.coverage.iter().filter(|(_, count)| *count < AT_LEAST).collect();
    assert!(rare.is_empty(), "too seldom to show anything: {rare:?}");
}

#[test]
fn a_seed_repeats_its_schedule_to_the_byte() {
    for seed in 0..100 {
        let digest = || play_one(seed, Mutant::None, false).map(|played| (played.steps, played.digest));
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}
