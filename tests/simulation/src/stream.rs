//! A stream: shards with records that arrive over time, splits and merges.

use tripline_stream::mapping::{PutRecord, ShardOrigin};

use crate::clock::{BEGIN_MS, HOUR};
use crate::coverage::{Feature, Seen};
use crate::dice::Dice;
use crate::rides::{Kind, payload, sequence};
use crate::schedule::StreamPlan;

/// A shard with all that it will ever hold.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// As events name it.
    pub(crate) origin: ShardOrigin,
    /// Indices of the shards that it was made of.
    pub(crate) parents: Vec<usize>,
    /// Its records, in order.
    pub(crate) records: Vec<PutRecord>,
    /// What each of them is.
    pub(crate) kinds: Vec<Kind>,
    /// When each can be read, milliseconds since the schedule began; ascending.
    pub(crate) readable: Vec<u64>,
    /// Numbers of the records.
    pub(crate) numbers: Vec<u64>,
}

/// A stream's shards, parents before their children.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// All of them.
    pub(crate) shards: Vec<Shard>,
}

impl Stream {
    /// Draws a stream.
    #[must_use]
    pub(crate) fn draw(plan: &StreamPlan, dice: &Dice, seen: &Seen) -> Self {
        let mut draft = Draft { plan, dice, shards: Vec::new(), next_number: 1 };
        for _ in 0..plan.roots {
            draft.add(Vec::new(), 0);
        }
        if plan.merges && draft.shards.len() >= 2 {
            seen.saw(Feature::Merged);
            let closed = draft.closed(&[0, 1]);
            draft.add(vec![0, 1], closed);
        }
        if plan.splits {
            seen.saw(Feature::Split);
            let parent = draft.shards.len() - 1;
            let closed = draft.closed(&[parent]);
            draft.add(vec![parent], closed);
            draft.add(vec![parent], closed);
        }
        Self { shards: draft.shards }
    }

    /// Every record: the shard's index, the record's index in it, its number and kind.
    pub(crate) fn records(&self) -> impl Iterator<Item = (usize, usize, u64, Kind)> {
        self.shards.iter().enumerate().flat_map(|(shard, of)| {
            let records = of.numbers.iter().zip(&of.kinds).enumerate();
            records.map(move |(index, (&number, &kind))| (shard, index, number, kind))
        })
    }
}

struct Draft<'a> {
    plan: &'a StreamPlan,
    dice: &'a Dice,
    shards: Vec<Shard>,
    next_number: u64,
}

impl Draft<'_> {
    /// When the last of these shards gets its last record.
    fn closed(&self, shards: &[usize]) -> u64 {
        let last = shards.iter().filter_map(|&shard| self.shards[shard].readable.last());
        last.copied().max().unwrap_or_default()
    }

    fn add(&mut self, parents: Vec<usize>, from: u64) {
        let shard = format!("shardId-{:012}", self.shards.len());
        let origin = ShardOrigin {
            source: "arn:aws:kinesis:us-east-1:123456789012:stream/rides".to_owned(),
            shard,
            invoke_identity_arn: "arn:aws:iam::123456789012:role/ingest".to_owned(),
        };
        let mut shard = Shard {
            origin,
            parents,
            records: Vec::new(),
            kinds: Vec::new(),
            readable: Vec::new(),
            numbers: Vec::new(),
        };
        let mut readable = from;
        for _ in 0..self.dice.between(1..=self.plan.records) {
            let is_night = self.dice.hits(self.plan.nights);
            readable += self.dice.roll(if is_night { 8 * HOUR } else { self.plan.gap });
            let (number, kind) = (self.next_number, self.kind());
            self.next_number += self.dice.between(1..=3);
            // Told arrival times are approximate: neighbours may be out of order by a little.
            let arrival_ms = BEGIN_MS + readable as i64 - self.dice.roll(500) as i64;
            shard.records.push(PutRecord {
                sequence: sequence(number),
                partition_key: if number.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
                data: payload(number, kind),
                arrival_ms: Some(arrival_ms),
            });
            shard.kinds.push(kind);
            shard.readable.push(readable);
            shard.numbers.push(number);
        }
        self.shards.push(shard);
    }

    fn kind(&self) -> Kind {
        if !self.dice.hits(self.plan.poison) {
            return if self.dice.hits(50) { Kind::Watermark } else { Kind::Ride };
        }
        if self.dice.hits(500) { Kind::Malformed } else { Kind::UnknownType }
    }
}
