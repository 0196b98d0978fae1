//! Delivering again what was acknowledged changes nothing.

use std::ops::Range;

use tripline_lake::invariants::Invariant;
use tripline_stream::mapping::write_event;

use crate::cluster::Document;
use crate::mapping::Mapping;
use crate::rides::Kind;
use crate::sandbox::{FAR, calm_function};
use crate::scene::{Scene, must};
use crate::stream::{Shard, Stream};

/// Delivers everything again that a function has been given and its shards have moved behind: in whole, in
/// halves, and record by record.
pub(super) async fn replay(scene: &Scene, stream: &Stream, mapping: &Mapping) {
    let before = (scene.store.contents().await.unwrap_or_default(), scene.indices.contents());
    let function = calm_function(scene, mapping.function).await;
    for shard in &stream.shards {
        for batch in batches(scene, shard, mapping) {
            let event = write_event(&shard.origin, &shard.records[batch.clone()]);
            let answer = function.handle(&event, FAR).await;
            let is_known = answer.as_ref().is_ok_and(|answer| {
                let duplicates = if mapping.function.feeds_lake() { batch.len() as u64 } else { 0 };
                answer.response.is_success() && answer.batch.duplicates == duplicates
            });
            must(Invariant::ReplayChangesNothing, is_known, || {
                format!("{} {batch:?} delivered again: {answer:?}", shard.origin.shard)
            });
        }
    }
    let after = (scene.store.contents().await.unwrap_or_default(), scene.indices.contents());
    must(Invariant::ReplayChangesNothing, before.0 == after.0, || "a replay changed the store".to_owned());
    // A cluster that was mended takes what it refused before, which may be newer.
    let is_as_before = |(place, document): &(&_, &Document)| {
        after.1.get(*place).is_some_and(|now| match document.version {
            None => now == *document,
            version => now.version >= version,
        })
    };
    let changed: Vec<_> = before.1.iter().filter(|entry| !is_as_before(entry)).collect();
    must(Invariant::ReplayChangesNothing, changed.is_empty(), || format!("a replay changed {changed:?}"));
}

fn batches(scene: &Scene, shard: &Shard, mapping: &Mapping) -> Vec<Range<usize>> {
    let cut = |run: Range<usize>| {
        let (start, end) = (run.start, run.end);
        [run, start..end.min(start + 1), start + (end - start) / 2..end]
    };
    if !mapping.function.feeds_search() {
        return cut(0..moved_behind(shard, mapping)).into_iter().filter(|batch| !batch.is_empty()).collect();
    }
    // A record that was given up may not be in the cluster yet, and would be now.
    let is_settled: Vec<bool> = shard.numbers.iter().map(|&number| mapping.has_settled(number)).collect();
    let mut start = 0;
    let mut runs = Vec::new();
    for run in is_settled.split_inclusive(|is_settled| !is_settled) {
        let length = run.iter().filter(|is_settled| **is_settled).count();
        runs.extend(cut(start..start + length));
        start += run.len();
    }
    runs.retain(|batch| !batch.is_empty() && is_understood(scene, shard, batch.clone()));
    runs
}

/// Whether a cold function can tell that it is the documents, not the cluster, if some are not understood.
fn is_understood(scene: &Scene, shard: &Shard, batch: Range<usize>) -> bool {
    let rides = || {
        let records = shard.numbers[batch.clone()].iter().zip(&shard.kinds[batch.clone()]);
        records.filter(|(_, kind)| **kind == Kind::Ride).map(|(number, _)| *number)
    };
    let is_sent = |number: &u64| scene.schedule.rides.place(*number).is_some();
    let is_confusing = |number: &u64| scene.schedule.cluster.is_confusing(*number);
    let mut sent = rides().filter(is_sent);
    !rides().any(|number| is_confusing(&number)) || sent.any(|number| !is_confusing(&number))
}

/// Records up to the last one that was acknowledged and is no refused one.
fn moved_behind(shard: &Shard, mapping: &Mapping) -> usize {
    shard.numbers.iter().rposition(|&number| mapping.has_acknowledged(number)).map_or(0, |last| last + 1)
}
