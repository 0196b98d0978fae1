//! One shard's iterator: gathers batches, moves on, and sometimes goes back.

use std::ops::Range;
use std::time::Duration;

use tokio::time::sleep;
use tripline_stream::mapping::Batcher;

use super::Mapping;
use crate::coverage::Feature;
use crate::stream::Shard;

/// A mapping that went back ever again would never end.
const REWINDS: u32 = 4;

impl Mapping {
    /// Reads a shard to its end.
    pub(super) async fn shard(&self, shard: &Shard) {
        if self.is_parallel() {
            let (even, odd) = (shard.with_key("even"), shard.with_key("odd"));
            tokio::join!(self.iterate(&even), self.iterate(&odd));
            return;
        }
        self.iterate(shard).await;
    }

    async fn iterate(&self, shard: &Shard) {
        let plan = &self.scene.schedule.mapping;
        let dice = &self.scene.dice;
        let (mut next, mut rewinds) = (0, 0);
        while next < shard.records.len() {
            let batch = self.gather(shard, next).await;
            next = batch.end;
            self.deliver(shard, batch).await;
            if rewinds < REWINDS && dice.hits(plan.rewinds) {
                rewinds += 1;
                next = dice.index(next);
                self.scene.trace.note(format_args!("{} goes back to {next}", shard.origin.shard));
                self.scene.seen.saw(Feature::Rewound);
            }
        }
    }

    /// Waits for the batch that begins with record `next`: until it is full, or its window ends.
    async fn gather(&self, shard: &Shard, next: usize) -> Range<usize> {
        let plan = &self.scene.schedule.mapping;
        let now = self.scene.clock.elapsed();
        let begins = shard.readable_from(next).max(now);
        let ends = begins + plan.window;
        let mut batcher = Batcher::new(shard.origin.clone(), plan.settings);
        let waiting = shard.records.iter().zip(&shard.readable).skip(next);
        let mut full = None;
        for (record, &readable) in waiting.take_while(|(_, readable)| **readable <= ends) {
            full = batcher.push(record.clone()).map(|batch| (batch.len(), readable.max(begins)));
            if full.is_some() {
                break;
            }
        }
        let seen = &self.scene.seen;
        let (length, ready) = match full {
            Some((length, ready)) => {
                seen.saw_if(length < plan.settings.batch_size, Feature::PayloadLimit);
                (length, ready)
            }
            None => {
                seen.saw_if(plan.window > 0, Feature::BatchWindow);
                (batcher.finish().map_or(0, |batch| batch.len()), ends)
            }
        };
        sleep(Duration::from_millis(ready.saturating_sub(now))).await;
        next..next + length
    }
}

impl Shard {
    fn readable_from(&self, index: usize) -> u64 {
        self.readable.get(index).copied().unwrap_or_default()
    }

    /// The part of the shard that a second iterator would read.
    fn with_key(&self, key: &str) -> Self {
        let mut part = self.clone();
        let keep: Vec<bool> = self.records.iter().map(|record| record.partition_key == key).collect();
        let retain = |index: &mut usize| {
            *index += 1;
            keep[*index - 1]
        };
        let mut at = [0; 4];
        part.records.retain(|_| retain(&mut at[0]));
        part.kinds.retain(|_| retain(&mut at[1]));
        part.readable.retain(|_| retain(&mut at[2]));
        part.numbers.retain(|_| retain(&mut at[3]));
        part
    }
}
