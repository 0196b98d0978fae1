//! How the cluster of a schedule treats what it is asked.

use std::time::Duration;

use tripline_search::SearchOptions;

use super::trouble::Mood;
use crate::clock::{HOUR, MINUTE, SECOND};
use crate::dice::Dice;
use crate::schedule::perhaps;

/// What befalls requests and documents, each in so many of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// The longest pause on the way of a request, milliseconds.
    pub(super) slowest: u64,
    /// Requests that are slow.
    pub(super) slow: u64,
    /// 429 to a request.
    pub(super) busy: u64,
    /// 503, 500 or nothing: nothing is done.
    pub(super) fails: u64,
    /// All is done, and the answer is lost or a 500.
    pub(super) loses_reply: u64,
    /// The first documents are done, and then nothing is heard.
    pub(super) breaks: u64,
    /// It is done minutes after it was given up.
    pub(super) late: u64,
    /// There is never an answer.
    pub(super) hangs: u64,
    /// The answer lacks documents or has them in another order.
    pub(super) garbles: u64,
    /// 429 to a document.
    pub(super) item_busy: u64,
    /// 503 or 500 to a document, done or not.
    pub(super) item_fails: u64,
}

/// The cluster, and the options of the sinks that write to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterPlan {
    /// What goes wrong at random.
    pub(super) faults: Faults,
    /// What it is in trouble with now and then.
    pub(super) troubles: &'static [Mood],
    /// The time between two troubles, at most.
    pub(super) calm: u64,
    /// Longest request taken; longer ones are answered with 413. 0: any.
    pub(super) longest: usize,
    /// The index's mapping fits no ride of which this divides the number; 0: it fits all.
    unfit: u64,
    /// Requests with a ride of which this divides the number are not understood; 0: all are.
    confusing: u64,
    /// When the mapping is mended and fits all rides, milliseconds since the schedule began.
    mended: Option<u64>,
    /// The sinks' options.
    pub(crate) options: SearchOptions,
}

const TROUBLES: [&[Mood]; 5] = [
    &[],
    &[Mood::Away],
    &[Mood::Overloaded],
    &[Mood::Forbids],
    &[Mood::Away, Mood::Overloaded, Mood::Forbids],
];

impl ClusterPlan {
    /// Draws a cluster. `has_end`: mappings give up what they cannot deliver.
    #[must_use]
    pub(crate) fn draw(dice: &Dice, has_end: bool) -> Self {
        Self {
            faults: Faults::draw(dice),
            troubles: TROUBLES[dice.index(TROUBLES.len())],
            calm: dice.pick(&[MINUTE, 10 * MINUTE, 2 * HOUR]),
            // The shortest that every ride's document fits into.
            longest: dice.pick(&[0, 0, 250, 600]),
            unfit: dice.pick(&[0, 0, 3, 7]),
            // Alone in a cold function's first request, such a ride stops delivery, as it is meant to.
            confusing: if has_end { dice.pick(&[0, 0, 0, 5]) } else { 0 },
            mended: dice.hits(200).then(|| dice.roll(4 * HOUR)),
            options: SearchOptions {
                max_bytes: dice.pick(&[5 << 20, 5 << 20, 600, 250]),
                max_actions: dice.pick(&[5_000, 5_000, 3, 1]),
                max_in_flight: dice.pick(&[4, 4, 1]),
                request_timeout: Duration::from_millis(dice.pick(&[30 * SECOND, 30 * SECOND, 3 * SECOND])),
                retry_for: Duration::from_millis(dice.pick(&[2 * MINUTE, 2 * MINUTE, 10 * SECOND])),
                ..SearchOptions::default()
            },
        }
    }

    /// Whether the index's mapping does not fit a ride, `elapsed` milliseconds since the schedule began.
    #[must_use]
    pub(super) fn is_unfit(&self, number: u64, elapsed: u64) -> bool {
        divides(self.unfit, number) && self.mended.is_none_or(|mended| elapsed < mended)
    }

    /// Whether a request with this ride is not understood.
    #[must_use]
    pub(crate) fn is_confusing(&self, number: u64) -> bool {
        divides(self.confusing, number)
    }

    /// Whether the cluster may ever refuse a ride's document.
    #[must_use]
    pub(crate) fn refuses(&self, number: u64) -> bool {
        divides(self.unfit, number) || self.is_confusing(number)
    }

    /// Whether the cluster takes a ride's document at no time.
    #[must_use]
    pub(crate) fn never_takes(&self, number: u64) -> bool {
        self.is_confusing(number) || divides(self.unfit, number) && self.mended.is_none()
    }
}

fn divides(divisor: u64, number: u64) -> bool {
    divisor > 0 && number.is_multiple_of(divisor)
}

impl Faults {
    fn draw(dice: &Dice) -> Self {
        Self {
            slowest: dice.pick(&[20, 20, 5 * SECOND, 2 * MINUTE]),
            slow: dice.pick(&[10, 50, 200]),
            busy: perhaps(dice, &[20, 100, 300]),
            fails: perhaps(dice, &[10, 50, 150]),
            loses_reply: perhaps(dice, &[10, 50, 150]),
            breaks: perhaps(dice, &[30, 100]),
            late: perhaps(dice, &[10, 50]),
            hangs: perhaps(dice, &[5, 20]),
            garbles: perhaps(dice, &[10, 50]),
            item_busy: perhaps(dice, &[20, 100, 300]),
            item_fails: perhaps(dice, &[10, 50]),
        }
    }
}
