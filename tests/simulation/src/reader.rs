//! A reader of the plain layout, who may look at any moment.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::time::sleep;
use tripline_lake::checkpoint::{self, Checkpoint};
use tripline_lake::invariants::Invariant;
use tripline_lake::store::ObjectStore;

use crate::coverage::Feature;
use crate::marks;
use crate::rides::{PIPELINE, folder, is_wild, number_of};
use crate::scene::{Scene, must};

/// What a file holds, by the records' numbers.
#[derive(Clone, Debug, Default)]
struct File {
    tag: String,
    rides: Vec<u64>,
    dead_letters: Vec<u64>,
    refused: Vec<u64>,
}

/// A reader with what it has seen.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Files are read once: the same tag is the same content.
    files: BTreeMap<String, File>,
    checkpoint: Option<Checkpoint>,
}

/// The records that a reader sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// How often each record is a row.
    pub(crate) rides: BTreeMap<u64, u32>,
    /// How often each record is a dead letter because it is no event.
    pub(crate) dead_letters: BTreeMap<u64, u32>,
    /// How often each record is a dead letter because the cluster has no document of it.
    pub(crate) refused: BTreeMap<u64, u32>,
}

/// Looks again and again.
pub(crate) async fn read_for_ever(scene: Scene) {
    let mut reader = Reader::default();
    loop {
        sleep(scene.dice.pause(scene.schedule.look)).await;
        reader.look(&scene).await;
    }
}

impl Reader {
    /// Looks at all tables and at the checkpoint, and checks what must hold at every moment.
    pub(crate) async fn look(&mut self, scene: &Scene) -> View {
        let marks = marks::read(scene).await;
        let listed = scene.store.memory.list("", None, usize::MAX).await.unwrap_or_default();
        let mut before = std::mem::take(&mut self.files);
        for object in listed.iter().filter(|object| object.key.ends_with(".parquet")) {
            let file = match before.remove(&object.key) {
                Some(known) if known.tag == object.tag.as_str() => known,
                known => {
                    let file = read(scene, &object.key).await;
                    let is_alike = known.is_none_or(|known| {
                        known.rides == file.rides
                            && known.dead_letters == file.dead_letters
                            && known.refused == file.refused
                    });
                    must(Invariant::RebuiltAlike, is_alike, || object.key.clone());
                    file
                }
            };
            self.files.insert(object.key.clone(), file);
        }
        let gone: Vec<_> = before.keys().collect();
        must(Invariant::SeenAtMostOnce, gone.is_empty(), || {
            format!("files were seen and are gone: {gone:?}")
        });
        let mut view = View::default();
        for file in self.files.values() {
            file.rides.iter().for_each(|&number| *view.rides.entry(number).or_default() += 1);
            scene.seen.saw_if(file.rides.iter().any(|&number| is_wild(number)), Feature::WildClock);
            file.dead_letters.iter().for_each(|&number| *view.dead_letters.entry(number).or_default() += 1);
            file.refused.iter().for_each(|&number| *view.refused.entry(number).or_default() += 1);
        }
        scene.trace.note(format_args!(
            "a reader sees {} rows, {} dead letters",
            view.rides.len(),
            view.dead_letters.len() + view.refused.len()
        ));
        view.require_at_most_once();
        self.look_at_checkpoint(scene).await;
        let rows = self.files.iter().map(|(key, file)| (key.as_str(), file.rides.len() as u64));
        marks::judge(scene, &marks, &rows.collect(), self.checkpoint.as_ref());
        view
    }

    async fn look_at_checkpoint(&mut self, scene: &Scene) {
        let Ok(loaded) = checkpoint::load(&scene.store.memory, PIPELINE).await else {
            must(Invariant::CheckpointForward, false, || "the checkpoint cannot be read".to_owned());
            return;
        };
        let next = loaded.checkpoint;
        if let Some(before) = &self.checkpoint {
            let is_forward = next.generation >= before.generation
                && before.lanes.iter().all(|(folder, position)| {
                    next.lanes
                        .get(folder)
                        .is_some_and(|next| next.number >= position.number && next.last >= position.last)
                });
            must(Invariant::CheckpointForward, is_forward, || {
                format!("generation {} after {}: a lane went back", next.generation, before.generation)
            });
            must(Invariant::WatermarkForward, next.watermark_ms >= before.watermark_ms, || {
                format!("{:?} after {:?}", next.watermark_ms, before.watermark_ms)
            });
            scene.seen.saw_if(next.watermark_ms > before.watermark_ms, Feature::WatermarkMoved);
        }
        self.checkpoint = Some(next);
    }
}

impl View {
    fn require_at_most_once(&self) {
        let counts =
            [("rows", &self.rides), ("dead letters", &self.dead_letters), ("refused", &self.refused)];
        for (what, counts) in counts {
            let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
            must(Invariant::SeenAtMostOnce, doubled.is_empty(), || format!("doubled {what}: {doubled:?}"));
        }
        let both: Vec<_> =
            self.rides.keys().filter(|number| self.dead_letters.contains_key(number)).collect();
        must(Invariant::OneOutcome, both.is_empty(), || format!("rows and dead letters: {both:?}"));
    }
}

async fn read(scene: &Scene, key: &str) -> File {
    let Ok(Some(object)) = scene.store.memory.get(key).await else { return File::default() };
    let mut file = File { tag: object.meta.tag.as_str().to_owned(), ..File::default() };
    let reader = ParquetRecordBatchReaderBuilder::try_new(object.body).and_then(|builder| builder.build());
    let batches = reader
        .map_err(|error| error.to_string())
        .and_then(|batches| batches.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string()));
    match batches {
        Ok(batches) if key.starts_with("dead_letter/") => {
            let letters = batches.iter().flat_map(dead_letters);
            let (refused, dead_letters): (Vec<_>, Vec<_>) = letters.partition(|(_, stage)| stage == "search");
            file.refused = refused.into_iter().map(|(number, _)| number).collect();
            file.dead_letters = dead_letters.into_iter().map(|(number, _)| number).collect();
        }
        Ok(batches) => batches.iter().for_each(|batch| file.rides.extend(rides(key, batch))),
        Err(error) => must(Invariant::RecordOnce, false, || format!("{key}: {error}")),
    }
    file
}

/// The records of a file of dead letters, each with the stage at which it became one.
fn dead_letters(batch: &RecordBatch) -> Vec<(u64, String)> {
    let columns = ["position", "stage"].map(|name| batch.column_by_name(name).map(AsArray::as_string::<i32>));
    let [Some(positions), Some(stages)] = columns else { return Vec::new() };
    let letters = positions.iter().zip(stages).filter_map(|(position, stage)| position.zip(stage));
    letters.filter_map(|(position, stage)| Some((number_of(position)?, stage.to_owned()))).collect()
}

/// The rides of a file, each of which belongs where it lies.
fn rides(key: &str, batch: &RecordBatch) -> Vec<u64> {
    let columns = ["ride_id", "at", "zone"].map(|name| batch.column_by_name(name));
    let [Some(ids), Some(times), Some(zones)] = columns else { return Vec::new() };
    let ids = ids.as_primitive::<Int64Type>();
    let times = times.as_primitive::<TimestampMillisecondType>();
    for (time, zone) in times.values().iter().zip(zones.as_string::<i32>()) {
        let folder = folder(zone.unwrap_or_default(), *time);
        let place = key.strip_prefix("ride/").or_else(|| key.strip_prefix("ride_late/"));
        let is_there =
            place.and_then(|place| place.strip_prefix(&folder)).is_some_and(|rest| rest.starts_with('/'));
        must(Invariant::PartitionOfRow, is_there, || format!("a row of {folder} lies in {key}"));
    }
    ids.values().iter().filter_map(|&id| u64::try_from(id).ok()).collect()
}
