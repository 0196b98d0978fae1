//! What a seed stands for: which things go wrong in its schedule, how often, and how long it is.
//!
//! Every feature is on in some schedules and off in others, so that rare combinations come up and none
//! hides behind one that is always there.

use tripline_lake::event_time::EventTimeRules;
use tripline_lake::publish::PublishOptions;
use tripline_model::pipeline::LatePolicy;
use tripline_stream::mapping::{INVOCATION_PAYLOAD_BYTES, MappingSettings};

use crate::clock::{HOUR, MINUTE, SECOND};
use crate::cluster::ClusterPlan;
use crate::dice::Dice;
use crate::feeding::Feeding;
use crate::rides::Rides;

/// The longest invocation that Lambda has.
pub(crate) const INVOCATION: u64 = 15 * MINUTE;

/// Schedules of a thousand in which there is a search cluster: they take longer than the others.
const SEARCHES: u64 = 250;

/// How calls of the store go, each in so many of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// The longest pause on the way of a call, milliseconds.
    pub(crate) slowest: u64,
    /// Calls that are slow.
    pub(crate) slow: u64,
    /// 500 and 503: nothing is done.
    pub(crate) fails: u64,
    /// It is done, and the answer is lost.
    pub(crate) loses_reply: u64,
    /// 409 to a conditional write.
    pub(crate) conflicts: u64,
    /// The call fails, and is done minutes later.
    pub(crate) late: u64,
    /// There is never an answer.
    pub(crate) hangs: u64,
}

/// How functions and the processes of publishers fare, each in so many of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fortune {
    /// Processes that freeze on the way.
    pub(crate) freezes: u64,
    /// Invocations and publish runs that are killed.
    pub(crate) kills: u64,
    /// Visits of named points that are the last.
    pub(crate) mishaps: u64,
    /// Processes with a wrong clock.
    pub(crate) skews: u64,
    /// New sandboxes although there are warm ones.
    pub(crate) cold_starts: u64,
    /// Sandboxes that get a second invocation beside the first.
    pub(crate) concurrent: u64,
}

/// The event source mapping, its function, and what it does beyond its settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MappingPlan {
    /// What decides how batches are cut and retried.
    pub(crate) settings: MappingSettings,
    /// `MaximumBatchingWindowInSeconds`, in milliseconds.
    pub(crate) window: u64,
    /// `MaximumRetryAttempts`; `None` stands for -1.
    pub(crate) retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`, in milliseconds; `None` stands for -1.
    pub(crate) max_age: Option<u64>,
    /// The function's time-out.
    pub(crate) timeout: u64,
    /// Invocations, in a thousand, of which the mapping loses sight before they end.
    pub(crate) impatience: u64,
    /// Batches, in a thousand, that come again after success.
    pub(crate) redeliveries: u64,
    /// Batches, in a thousand, after which the mapping goes back.
    pub(crate) rewinds: u64,
    /// Answers, in a thousand, that name several records that are in.
    pub(crate) over_reports: u64,
    /// Children are read before their parents are done.
    pub(crate) is_hasty: bool,
}

/// The stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamPlan {
    /// Shards at the beginning.
    pub(crate) roots: u64,
    /// Records in each shard, at most.
    pub(crate) records: u64,
    /// Records, in a thousand, that cannot be rows.
    pub(crate) poison: u64,
    /// The usual pause between two records, at most.
    pub(crate) gap: u64,
    /// Pauses of hours, in a thousand.
    pub(crate) nights: u64,
    /// A shard is split.
    pub(crate) splits: bool,
    /// Two shards are merged.
    pub(crate) merges: bool,
}

/// The publishers and what surrounds them.
#[derive(Clone, Debug)]
pub(crate) struct PublishPlan {
    /// How many.
    pub(crate) publishers: u64,
    /// The pause between two runs of one, at most.
    pub(crate) pause: u64,
    /// Bounds of their runs.
    pub(crate) options: PublishOptions,
    /// Uploads expire this often, at most; 0: never.
    pub(crate) expiry: u64,
}

/// A schedule's settings.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The pipeline.
    pub(crate) rides: Rides,
    /// What is fed.
    pub(crate) feeding: Feeding,
    /// The search cluster.
    pub(crate) cluster: ClusterPlan,
    /// The stream.
    pub(crate) stream: StreamPlan,
    /// The mapping.
    pub(crate) mapping: MappingPlan,
    /// The publishers.
    pub(crate) publish: PublishPlan,
    /// The store, for functions.
    pub(crate) weather: Weather,
    /// The store, for publishers.
    pub(crate) publish_weather: Weather,
    /// The processes.
    pub(crate) fortune: Fortune,
    /// There is no lake yet: the functions prove the store and sign the lake themselves.
    pub(crate) is_fresh: bool,
    /// The pause between two looks of a reader, at most.
    pub(crate) look: u64,
    /// The store answers a repeated completion with success.
    pub(crate) repeats_are_done: bool,
}

impl Schedule {
    /// Draws a schedule.
    #[must_use]
    pub(crate) fn draw(dice: &Dice) -> Self {
        // Now and then a long one; most are short, as most faults need little to show.
        let records = if dice.hits(20) { 120 } else { dice.between(6..=20) };
        let feeding = if dice.hits(SEARCHES) {
            dice.pick(&[Feeding::Both, Feeding::Both, Feeding::Search, Feeding::Apart])
        } else {
            Feeding::Lake
        };
        let policies = if dice.hits(600) { 0 } else { dice.index(Rides::POLICIES) };
        let rides = Rides::of(policies, if feeding.searches() { dice.index(Rides::SHAPES) } else { 0 });
        let stream = StreamPlan {
            roots: dice.between(1..=2),
            records,
            poison: dice.pick(&[0, 60, 150, 400]),
            gap: dice.pick(&[SECOND, 20 * SECOND, MINUTE, 10 * MINUTE]),
            nights: dice.pick(&[0, 60, 200, 400]),
            splits: dice.hits(250),
            merges: dice.hits(250),
        };
        let is_fresh = dice.hits(50);
        let weather = || if is_fresh { Weather::draw(dice).tempered() } else { Weather::draw(dice) };
        let mapping = MappingPlan::draw(dice, rides.refuses());
        let cluster = if feeding.searches() {
            ClusterPlan::draw(dice, mapping.retries.is_some() || mapping.max_age.is_some())
        } else {
            ClusterPlan::default()
        };
        Self {
            feeding,
            cluster,
            mapping,
            publish: PublishPlan::draw(dice, &rides),
            weather: weather(),
            publish_weather: weather(),
            fortune: Fortune::draw(dice),
            is_fresh,
            look: dice.pick(&[30 * MINUTE, 3 * HOUR, 8 * HOUR]),
            repeats_are_done: dice.hits(300),
            rides,
            stream,
        }
    }
}

/// Some value where the feature is on in this schedule, as every second time it is.
pub(crate) fn perhaps<T: Copy + Default>(dice: &Dice, choices: &[T]) -> T {
    if dice.hits(500) { dice.pick(choices) } else { T::default() }
}

impl Weather {
    fn draw(dice: &Dice) -> Self {
        Self {
            slowest: dice.pick(&[20, 20, 5 * SECOND, 2 * MINUTE, INVOCATION]),
            slow: dice.pick(&[10, 50, 200]),
            fails: perhaps(dice, &[10, 50, 150]),
            loses_reply: perhaps(dice, &[10, 50, 150]),
            conflicts: perhaps(dice, &[20, 200]),
            late: perhaps(dice, &[10, 50]),
            hangs: perhaps(dice, &[5, 20]),
        }
    }

    /// So that the forty calls of a store's proof, none of which may be repeated, get through some time.
    fn tempered(self) -> Self {
        let Self { slowest, slow, fails, loses_reply, conflicts, .. } = self;
        Self {
            slowest: slowest.min(SECOND),
            slow,
            fails: fails.min(10),
            loses_reply: loses_reply.min(10),
            conflicts: conflicts.min(20),
            late: 0,
            hangs: 0,
        }
    }
}

impl Fortune {
    fn draw(dice: &Dice) -> Self {
        Self {
            freezes: perhaps(dice, &[20, 100, 300]),
            kills: perhaps(dice, &[20, 100]),
            mishaps: perhaps(dice, &[5, 30, 100]),
            skews: perhaps(dice, &[100, 500]),
            cold_starts: dice.pick(&[20, 100, 500]),
            concurrent: perhaps(dice, &[100, 500]),
        }
    }
}

impl MappingPlan {
    fn draw(dice: &Dice, refuses: bool) -> Self {
        let settings = MappingSettings {
            batch_size: dice.pick(&[1, 2, 3, 5, 8, 8, 20, 100]),
            payload_bytes: dice.pick(&[INVOCATION_PAYLOAD_BYTES, INVOCATION_PAYLOAD_BYTES, 2_500]),
            report_batch_item_failures: dice.hits(500),
            bisect_batch_on_function_error: dice.hits(500),
        };
        let max_age = perhaps(dice, &[MINUTE, 10 * MINUTE, 2 * HOUR]);
        let retries = dice.pick(&[0, 0, 0, 1, 2, 5, 20]);
        // A refused record without an end of retries stops its shard for ever, as it is meant to.
        let is_endless = retries == 0 && !(refuses && max_age == 0);
        Self {
            settings,
            window: perhaps(dice, &[SECOND, 30 * SECOND, 300 * SECOND]),
            retries: (!is_endless).then_some(retries.max(1)),
            max_age: (max_age > 0).then_some(max_age),
            timeout: dice.pick(&[MINUTE, INVOCATION, INVOCATION]),
            impatience: perhaps(dice, &[50, 300]),
            redeliveries: perhaps(dice, &[50, 300]),
            rewinds: perhaps(dice, &[30, 150]),
            over_reports: perhaps(dice, &[50, 200]),
            is_hasty: dice.hits(500),
        }
    }
}

impl PublishPlan {
    fn draw(dice: &Dice, rides: &Rides) -> Self {
        let mut event_time = EventTimeRules::of(&rides.pipeline);
        event_time.allowed_lateness_ms = dice.pick(&[0, HOUR, 6 * HOUR]) as i64;
        event_time.idle_after_ms = dice.pick(&[10 * MINUTE, 2 * HOUR, 24 * HOUR]) as i64;
        event_time.late = dice.pick(&[LatePolicy::Append, LatePolicy::Divert]);
        let options = PublishOptions {
            // Publish itself sees to it that it is an hour at least.
            retention: std::time::Duration::from_millis(dice.pick(&[0, 0, 0, 2 * HOUR])),
            max_raw_bytes: dice.pick(&[1, 10_000, 128 << 20]),
            max_files: dice.pick(&[1, 3, 1_000]),
            reads_at_once: dice.pick(&[1, 8]),
            uploads_at_once: dice.pick(&[1, 4]),
            part_bytes: dice.pick(&[300, 8 << 20]),
            event_time,
            ..PublishOptions::default()
        };
        Self {
            publishers: dice.between(1..=3),
            pause: dice.pick(&[20 * MINUTE, 2 * HOUR, 6 * HOUR]),
            expiry: perhaps(dice, &[10 * MINUTE, HOUR, 10 * HOUR]),
            options,
        }
    }
}
