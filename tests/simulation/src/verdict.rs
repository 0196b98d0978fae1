//! What must hold once a schedule is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use tripline_lake::Lake;
use tripline_lake::audit::{Audit, audit};
use tripline_lake::invariants::Invariant;
use tripline_lake::publish::PublishOptions;
use tripline_stream::mapping::write_event;

use crate::mapping::Mapping;
use crate::reader::{Reader, View};
use crate::rides::{Outcome, PIPELINE};
use crate::sandbox::{FAR, calm_function};
use crate::scene::{Scene, must};
use crate::stream::{Shard, Stream};

/// Publishes what is left, calmly, and judges what the lake holds.
pub(crate) async fn judge(scene: &Scene, stream: &Stream, mapping: &Mapping) {
    publish_the_rest(scene).await;
    let mut reader = Reader::default();
    let view = reader.look(scene).await;
    judge_records(scene, stream, mapping, &view);
    let audit = audited(scene).await;
    judge_counts(scene, stream, mapping, &audit);
    replay(scene, stream, mapping).await;
    let again = reader.look(scene).await;
    must(Invariant::ReplayChangesNothing, again == view, || "a replay changed what readers see".to_owned());
}

async fn publish_the_rest(scene: &Scene) {
    let opened = Lake::open(Arc::new(scene.store.memory.clone()), scene.calm(), PIPELINE).await;
    let lake = opened.unwrap_or_else(|error| panic!("the lake does not open: {error}"));
    let report = lake.publisher(PublishOptions::default()).run(FAR).await;
    must(Invariant::NothingLost, report.is_ok(), || format!("publish fails on a sound store: {report:?}"));
    let report = report.unwrap_or_default();
    must(Invariant::RecordOnce, report.stopped.is_empty() && !report.gave_way, || format!("{report:?}"));
}

/// Each record is a row, a dead letter, nothing to see, or at the on-failure destination.
fn judge_records(scene: &Scene, stream: &Stream, mapping: &Mapping, view: &View) {
    let mut known = View::default();
    for (shard, index, number, kind) in stream.records() {
        let outcome = scene.schedule.rides.outcome(kind);
        let rows = view.rides.get(&number).copied().unwrap_or_default();
        let dead = view.dead_letters.get(&number).copied().unwrap_or_default();
        let tell = || {
            format!("record {number} ({kind:?}), {index} of shard {shard}: {rows} rows, {dead} dead letters")
        };
        let (may_be_row, may_be_dead) = (outcome == Outcome::Row, outcome == Outcome::DeadLetter);
        must(Invariant::OneOutcome, (rows == 0 || may_be_row) && (dead == 0 || may_be_dead), tell);
        must(Invariant::RecordOnce, rows + dead <= 1, tell);
        let is_kept = match outcome {
            Outcome::Row | Outcome::DeadLetter => rows + dead == 1,
            // Counted by lane, see `judge_counts`.
            Outcome::Counted => mapping.has_acknowledged(number),
            Outcome::Refused => false,
        };
        must(Invariant::NothingLost, is_kept || mapping.destination.has(number), || {
            format!("{}, and not at the on-failure destination", tell())
        });
        if rows > 0 {
            known.rides.insert(number, rows);
        }
        if dead > 0 {
            known.dead_letters.insert(number, dead);
        }
    }
    must(Invariant::RecordOnce, known == *view, || {
        "the lake holds records that the stream never had".to_owned()
    });
}

/// The audit finds no fault, and its counts are the stream's.
fn judge_counts(scene: &Scene, stream: &Stream, mapping: &Mapping, audit: &Audit) {
    must(Invariant::RecordOnce, audit.is_clean(), || audit.faults.join("; "));
    let is_settled = audit.pending == 0 && audit.foreign.is_empty();
    must(Invariant::CommitReconciles, is_settled, || {
        format!("{} pending, foreign: {:?}", audit.pending, audit.foreign)
    });
    let lanes: BTreeMap<&str, _> =
        audit.lanes.iter().map(|lane| (lane.lane.partition.as_str(), lane)).collect();
    for shard in &stream.shards {
        let committed = lanes.get(shard.origin.shard.as_str()).map_or(0, |lane| lane.totals.records);
        let taken = |number: &u64, kind| {
            scene.schedule.rides.outcome(kind) != Outcome::Refused && !mapping.destination.has(*number)
        };
        let records = || shard.numbers.iter().zip(&shard.kinds);
        let least = records().filter(|(number, kind)| taken(number, **kind)).count() as u64;
        let most = records()
            .filter(|(_, kind)| scene.schedule.rides.outcome(**kind) != Outcome::Refused)
            .count() as u64;
        must(Invariant::BatchReconciles, (least..=most).contains(&committed), || {
            format!("{} has {committed} records committed, of {least} to {most}", shard.origin.shard)
        });
    }
}

async fn audited(scene: &Scene) -> Audit {
    let pipeline = &scene.schedule.rides.pipeline;
    let audit = audit(&scene.store.memory, PIPELINE, &|table| pipeline.schema(table)).await;
    audit.unwrap_or_else(|error| panic!("the lake cannot be audited: {error}"))
}

/// Delivers everything again that a shard has moved behind: as one batch, and record by record.
async fn replay(scene: &Scene, stream: &Stream, mapping: &Mapping) {
    let before = scene.store.contents().await.unwrap_or_default();
    let function = calm_function(scene).await;
    for shard in &stream.shards {
        let end = moved_behind(shard, mapping);
        let batches = [0..end, 0..end.min(1), end / 2..end];
        for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
            let event = write_event(&shard.origin, &shard.records[batch.clone()]);
            let answer = function.handle(&event, FAR).await;
            let is_known = answer.as_ref().is_ok_and(|answer| {
                answer.response.is_success() && answer.batch.duplicates == batch.len() as u64
            });
            must(Invariant::ReplayChangesNothing, is_known, || {
                format!("{} {batch:?} delivered again: {answer:?}", shard.origin.shard)
            });
        }
    }
    let after = scene.store.contents().await.unwrap_or_default();
    must(Invariant::ReplayChangesNothing, before == after, || "a replay changed the store".to_owned());
}

/// Records up to the last one that was acknowledged and is no refused one.
fn moved_behind(shard: &Shard, mapping: &Mapping) -> usize {
    shard.numbers.iter().rposition(|&number| mapping.has_acknowledged(number)).map_or(0, |last| last + 1)
}
