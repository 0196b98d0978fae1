//! What must hold once a schedule is over.

mod documents;
mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;

use tripline_lake::audit::{Audit, audit};
use tripline_lake::invariants::Invariant;
use tripline_lake::publish::PublishOptions;
use tripline_lake::{Lake, Role};

use crate::mapping::Mapping;
use crate::reader::{Reader, View};
use crate::rides::{Outcome, PIPELINE};
use crate::sandbox::FAR;
use crate::scene::{Scene, must};
use crate::stream::Stream;

/// Publishes what is left, calmly, and judges what the lake and the cluster hold.
pub(crate) async fn judge(scene: &Scene, stream: &Stream, mappings: &[Mapping]) {
    publish_the_rest(scene).await;
    let mut reader = Reader::default();
    let view = reader.look(scene).await;
    judge_records(scene, stream, mappings, &view);
    let audit = audited(scene).await;
    judge_counts(scene, stream, mappings, &audit, &view);
    documents::judge(scene, stream, mappings, &view);
    for mapping in mappings {
        replay::replay(scene, stream, mapping).await;
    }
    documents::judge(scene, stream, mappings, &view);
    let again = reader.look(scene).await;
    must(Invariant::ReplayChangesNothing, again == view, || "a replay changed what readers see".to_owned());
}

async fn publish_the_rest(scene: &Scene) {
    let pipeline = &scene.schedule.rides.pipeline;
    let opened = Lake::open(Arc::new(scene.store.memory.clone()), scene.calm(), pipeline).await;
    let lake = opened.unwrap_or_else(|error| panic!("the lake does not open: {error}"));
    let event_time = scene.schedule.publish.options.event_time.clone();
    let options = PublishOptions { event_time, ..PublishOptions::default() };
    let report = lake.publisher(options).run(FAR).await;
    must(Invariant::NothingLost, report.is_ok(), || format!("publish fails on a sound store: {report:?}"));
    let report = report.unwrap_or_default();
    must(Invariant::RecordOnce, report.stopped.is_empty() && !report.gave_way, || format!("{report:?}"));
}

/// Each record is a row, a dead letter, nothing to see, or at the on-failure destination, of each function.
fn judge_records(scene: &Scene, stream: &Stream, mappings: &[Mapping], view: &View) {
    let mut known = View { refused: view.refused.clone(), ..View::default() };
    for (shard, index, number, kind) in stream.records() {
        let outcome = scene.schedule.rides.outcome(kind);
        let rows = view.rides.get(&number).copied().unwrap_or_default();
        let dead = view.dead_letters.get(&number).copied().unwrap_or_default();
        let tell = || {
            format!("record {number} ({kind:?}), {index} of shard {shard}: {rows} rows, {dead} dead letters")
        };
        let has_lake = mappings.iter().any(|mapping| mapping.function.feeds_lake());
        let (may_be_row, may_be_dead) = (outcome == Outcome::Row && has_lake, outcome == Outcome::DeadLetter);
        must(Invariant::OneOutcome, (rows == 0 || may_be_row) && (dead == 0 || may_be_dead), tell);
        must(Invariant::RecordOnce, rows + dead <= 1, tell);
        for mapping in mappings {
            let is_kept = match outcome {
                Outcome::Row if mapping.function.feeds_lake() => rows == 1,
                Outcome::DeadLetter if mapping.function.keeps_malformed() => dead == 1,
                // Counted by lane, see `judge_counts`; for documents see `documents`.
                Outcome::Row | Outcome::DeadLetter | Outcome::Counted => mapping.has_acknowledged(number),
                Outcome::Refused => false,
            };
            must(Invariant::NothingLost, is_kept || mapping.destination.has(number), || {
                format!("{}, and not at the on-failure destination of {:?}", tell(), mapping.function)
            });
        }
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
fn judge_counts(scene: &Scene, stream: &Stream, mappings: &[Mapping], audit: &Audit, view: &View) {
    must(Invariant::RecordOnce, audit.is_clean(), || audit.faults.join("; "));
    let is_settled = audit.pending == 0 && audit.foreign.is_empty();
    must(Invariant::CommitReconciles, is_settled, || {
        format!("{} pending, foreign: {:?}", audit.pending, audit.foreign)
    });
    let lanes = |role| audit.lanes.iter().filter(move |lane| lane.lane.role == role);
    let letters: u64 = lanes(Role::Search).map(|lane| lane.totals.records).sum();
    let of_lake = mappings.iter().find(|mapping| mapping.function.feeds_lake());
    let malformed = if of_lake.is_none() { view.dead_letters.len() } else { 0 };
    must(Invariant::CommitReconciles, letters == (view.refused.len() + malformed) as u64, || {
        format!("{letters} letters of the search sink, {} refused, {malformed} malformed", view.refused.len())
    });
    let Some(mapping) = of_lake else { return };
    let lanes: BTreeMap<&str, _> =
        lanes(Role::Lake).map(|lane| (lane.lane.partition.as_str(), lane)).collect();
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
