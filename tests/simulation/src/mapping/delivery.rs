//! One batch, until it is done or given up: retries, bisecting, partial responses, age.

use std::ops::Range;

use tokio::time::sleep;
use tripline_stream::mapping::delivery::{Condition, Delivery};
use tripline_stream::mapping::{PutRecord, Reply, next_after, write_event};

use super::Mapping;
use crate::clock::MINUTE;
use crate::coverage::Feature;
use crate::stream::Shard;

/// The pause before a retry, at most.
const BACK_OFF: u64 = MINUTE;

impl Mapping {
    /// Delivers the records of `batch` as one batch at first.
    pub(super) async fn deliver(&self, shard: &Shard, batch: Range<usize>) {
        let Self { scene, .. } = self;
        let plan = &scene.schedule.mapping;
        let mut delivery = Delivery::new(batch);
        while let Some((part, retried)) = delivery.next_part() {
            let part = self.give_aged_up(shard, part);
            if part.is_empty() {
                continue;
            }
            let records = &shard.records[part.clone()];
            let reply =
                self.over_report(self.fleet.invoke(write_event(&shard.origin, records)).await, records);
            scene.trace.note(format_args!("{} {part:?} {reply:?}", shard.origin.shard));
            let left = next_after(&reply, records, &plan.settings);
            let done = left.first().map_or(records.len(), |first| first.start);
            self.acknowledge(&shard.numbers[part.start..part.start + done]);
            if left.is_empty() {
                if scene.dice.hits(plan.redeliveries) {
                    scene.seen.saw(Feature::Redelivered);
                    self.fleet.invoke(write_event(&shard.origin, records)).await;
                }
                continue;
            }
            scene.seen.saw_if(left.len() > 1, Feature::Bisected);
            let left: Vec<_> =
                left.into_iter().map(|left| part.start + left.start..part.start + left.end).collect();
            let given_up = delivery.again(left, retried, plan.retries);
            if !given_up.is_empty() {
                scene.seen.saw(Feature::GivenUpByRetries);
                for part in given_up {
                    self.give_up(shard, part, Condition::RetryAttemptsExhausted);
                }
                continue;
            }
            sleep(scene.dice.pause(BACK_OFF)).await;
        }
    }

    /// An answer that names more than it must: records that are in are asked for again.
    fn over_report(&self, reply: Reply, records: &[PutRecord]) -> Reply {
        let Self { scene, .. } = self;
        let plan = &scene.schedule.mapping;
        let is_success = reply == Reply::Response(Vec::new());
        if !is_success || !plan.settings.report_batch_item_failures || !scene.dice.hits(plan.over_reports) {
            return reply;
        }
        scene.seen.saw(Feature::SeveralIdentifiers);
        let any = || records.get(scene.dice.index(records.len())).map(|record| record.sequence.to_string());
        Reply::Response([any(), any()].into_iter().flatten().collect())
    }

    fn give_aged_up(&self, shard: &Shard, part: Range<usize>) -> Range<usize> {
        let Some(max_age) = self.scene.schedule.mapping.max_age else { return part };
        let oldest = self.scene.clock.elapsed().saturating_sub(max_age);
        let aged = shard.readable[part.clone()].iter().take_while(|&&readable| readable < oldest).count();
        let (aged, rest) = (part.start..part.start + aged, part.start + aged..part.end);
        if !aged.is_empty() {
            self.scene.seen.saw(Feature::GivenUpByAge);
            self.give_up(shard, aged, Condition::RecordAgeExceeded);
        }
        rest
    }

    fn give_up(&self, shard: &Shard, part: Range<usize>, condition: Condition) {
        self.scene.trace.note(format_args!("{} {part:?} is given up: {condition:?}", shard.origin.shard));
        self.destination.take(&shard.numbers[part], condition);
    }
}
