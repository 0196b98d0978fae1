//! Documents are the events that were acknowledged, but for those that became dead letters.

use std::collections::BTreeMap;

use tripline_lake::invariants::Invariant;
use tripline_stream::mapping::PutRecord;

use crate::cluster::Document;
use crate::mapping::Mapping;
use crate::reader::View;
use crate::rides::{Kind, Shape, payload, ride_in};
use crate::scene::{Scene, must};
use crate::schedule::Schedule;
use crate::stream::Stream;

/// Rides by their numbers, with their arrival.
type Arrivals = BTreeMap<u64, u64>;

/// Compares the cluster's documents and the search sink's dead letters with the stream.
pub(super) fn judge(scene: &Scene, stream: &Stream, mappings: &[Mapping], view: &View) {
    let documents = scene.indices.contents();
    let Some(mapping) = mappings.iter().find(|mapping| mapping.function.feeds_search()) else {
        must(Invariant::DocumentsAreEvents, documents.is_empty() && view.refused.is_empty(), || {
            "nobody feeds the cluster".to_owned()
        });
        return;
    };
    let arrivals = arrivals(stream);
    for (&number, &arrival) in &arrivals {
        judge_ride(scene, mapping, view, &documents, (number, arrival));
    }
    let strange: Vec<_> = view.refused.keys().filter(|number| !arrivals.contains_key(number)).collect();
    must(Invariant::DocumentsAreEvents, strange.is_empty(), || format!("refused and no rides: {strange:?}"));
    for ((index, id), document) in &documents {
        let number = ride_in(&document.source);
        let tell = || format!("{index}/{id} is {document:?} of ride {number}");
        let Schedule { rides, cluster, .. } = &*scene.schedule;
        let is_event = arrivals.contains_key(&number)
            && rides.place(number) == Some((index.clone(), id.clone()))
            && document.source.as_bytes() == payload(number, Kind::Ride);
        must(Invariant::DocumentsAreEvents, is_event && !cluster.never_takes(number), tell);
        let version = arrivals.get(&number).copied().filter(|_| rides.shape == Shape::Latest);
        must(Invariant::NewestDocument, document.version == version, tell);
    }
}

/// A ride that was acknowledged has its document, or a newer one has its place, or it is a dead letter.
fn judge_ride(
    scene: &Scene,
    mapping: &Mapping,
    view: &View,
    documents: &BTreeMap<(String, String), Document>,
    (number, arrival): (u64, u64),
) {
    let Schedule { rides, cluster, .. } = &*scene.schedule;
    let letters = view.refused.get(&number).copied().unwrap_or_default();
    let place = rides.place(number);
    let document = place.as_ref().and_then(|place| documents.get(place));
    let tell = || format!("ride {number} at {place:?}: {letters} dead letters, {document:?}");
    let may_be_dead = (place.is_none() || cluster.refuses(number)) && rides.shape != Shape::Strict;
    must(Invariant::DocumentsAreEvents, letters <= u32::from(may_be_dead), tell);
    if !mapping.has_settled(number) || letters > 0 {
        return;
    }
    must(Invariant::DocumentsAreEvents, document.is_some() && !cluster.never_takes(number), tell);
    if rides.shape == Shape::Latest {
        let is_newest = document.and_then(|document| document.version) >= Some(arrival);
        must(Invariant::NewestDocument, is_newest, tell);
    }
}

fn arrivals(stream: &Stream) -> Arrivals {
    let records =
        stream.shards.iter().flat_map(|shard| shard.records.iter().zip(&shard.numbers).zip(&shard.kinds));
    let rides = records.filter(|(_, kind)| **kind == Kind::Ride);
    let arrival = |record: &PutRecord| record.arrival_ms.and_then(|ms| u64::try_from(ms).ok());
    rides.map(|((record, &number), _)| (number, arrival(record).unwrap_or_default())).collect()
}
