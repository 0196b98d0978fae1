//! `make sim` and `make soak`: plays schedules and prints what they came to.
//!
//! `SEED` is the first seed, `SCHEDULES` their number, `MINUTES` the time after which to stop. One schedule
//! alone is printed step by step.

use std::process::ExitCode;
use std::time::Duration;

use tripline_simulation::{Campaign, Mutant, play_one};

fn main() -> ExitCode {
    let first = setting("SEED").unwrap_or(0);
    let minutes = setting("MINUTES");
    let schedules = setting("SCHEDULES").unwrap_or(if minutes.is_some() { u64::MAX } else { 1_000 });
    if schedules == 1 {
        return match play_one(first, Mutant::None, true) {
            Ok(played) => {
                println!("seed {first}: {} steps, digest {:016x}", played.steps, played.digest);
                ExitCode::SUCCESS
            }
            Err(failure) => report(&failure),
        };
    }
    let time = minutes.map(|minutes| Duration::from_secs(60 * minutes));
    match (Campaign { first, schedules, time, mutant: Mutant::None }).play() {
        Ok(summary) => {
            print!("{summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => report(&failure),
    }
}

fn report(failure: &tripline_simulation::Failure) -> ExitCode {
    eprintln!("{failure}");
    ExitCode::FAILURE
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
