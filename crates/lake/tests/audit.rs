//! The audit: it notices every kind of damage, and nothing that is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::Schema;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use support::*;
use tripline_lake::audit::audit;
use tripline_lake::publish::{FileFormat, PublishOptions, file_metadata};
use tripline_lake::store::{Condition, MemoryStore, ObjectStore, Put};
use tripline_lake::{FailPoint, Lake, Role};
use tripline_model::batch::metadata;
use tripline_model::decode::digest;

const CHECKPOINT: &str = "_tripline/checkpoint.json";

struct Bench {
    world: World,
    store: MemoryStore,
    lake: Lake,
}

/// A lake with records 1 to 30 of one shard in three published entries.
async fn published() -> Bench {
    let bench = bench().await;
    bench.append("shard-0", &[1..=10, 11..=20, 21..=30]).await;
    bench.publish(FileFormat::Parquet).await;
    assert_clean(&bench.store).await;
    bench
}

async fn bench() -> Bench {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    let lake = Lake::open(Arc::new(store.clone()), world.environment.clone(), &pipeline()).await.unwrap();
    Bench { world, store, lake }
}

impl Bench {
    async fn append(&self, shard_name: &str, ranges: &[std::ops::RangeInclusive<u64>]) {
        let (journal, pipeline) = (self.lake.journal(Role::Lake), pipeline());
        for numbers in ranges {
            let records = Records::range(numbers.clone());
            journal.append(&pipeline, &shard(shard_name), &records.borrow(), FAR).await.unwrap();
        }
    }

    async fn publish(&self, format: FileFormat) {
        let options = PublishOptions { format, ..PublishOptions::default() };
        self.lake.publisher(options).run(FAR).await.unwrap();
    }

    /// Lets retention pass, so that the entries that are published are deleted.
    async fn outlive_retention(&self) {
        self.world.clock.advance(8 * 24 * HOUR_MS);
        self.publish(FileFormat::Parquet).await;
        assert!(self.keys("_journal/").await.is_empty());
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.store.list(prefix, None, 1_000).await.unwrap();
        listed.into_iter().map(|object| object.key).collect()
    }

    async fn body(&self, key: &str) -> Bytes {
        self.store.get(key).await.unwrap().unwrap().body
    }

    async fn create(&self, key: &str, body: impl Into<Bytes>) {
        let put = self.store.put(key, body.into(), Condition::Absent).await.unwrap();
        assert!(matches!(put, Put::Stored { .. }), "{key} is there already");
    }

    async fn replace(&self, key: &str, body: impl Into<Bytes>) {
        self.store.delete(key).await.unwrap();
        self.create(key, body).await;
    }

    async fn edit_checkpoint(&self, edit: impl FnOnce(&mut Value)) {
        let mut checkpoint: Value = serde_json::from_slice(&self.body(CHECKPOINT).await).unwrap();
        edit(&mut checkpoint);
        self.replace(CHECKPOINT, checkpoint.to_string()).await;
    }

    /// Every fault names what is wrong: `words` are in one of them.
    async fn assert_fault(&self, words: &[&str]) {
        let faults = audit_of(&self.store).await.faults;
        let told = faults.iter().any(|fault| words.iter().all(|word| fault.contains(word)));
        assert!(told, "no fault says {words:?}: {faults:#?}");
    }
}

/// The one lane's position in a checkpoint.
fn position(checkpoint: &mut Value) -> &mut Value {
    checkpoint["lanes"].as_object_mut().unwrap().values_mut().next().unwrap()
}

/// A published file's rows and label, to be written again with a difference.
struct Opened {
    rows: RecordBatch,
    label: BTreeMap<String, String>,
}

impl Opened {
    fn read(body: Bytes) -> Self {
        let builder = ParquetRecordBatchReaderBuilder::try_new(body).unwrap();
        let pairs = builder.metadata().file_metadata().key_value_metadata().unwrap();
        let label = pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap())).collect();
        let rows = builder.build().unwrap().next().unwrap().unwrap();
        Self { rows, label }
    }

    /// Another ride takes the place of the first.
    fn replace_first_ride(&mut self) {
        let at = self.rows.schema().index_of("ride_id").unwrap();
        let mut rides = self.rows.column(at).as_primitive::<Int64Type>().values().to_vec();
        rides[0] = 1_000;
        let mut columns = self.rows.columns().to_vec();
        columns[at] = Arc::new(Int64Array::from(rides)) as ArrayRef;
        self.rows = RecordBatch::try_new(self.rows.schema(), columns).unwrap();
    }

    /// The label agrees with the rows again.
    fn mend_label(&mut self) {
        let of_table: arrow_schema::Metadata = [metadata::TIME_COLUMN, metadata::ID_COLUMNS]
            .map(|key| (key.to_owned(), self.label[key].clone()))
            .into_iter()
            .collect();
        let schema = Schema::new_with_metadata(self.rows.schema().fields().clone(), of_table);
        let rows = self.rows.clone().with_schema(Arc::new(schema)).unwrap();
        self.label.insert(file_metadata::DIGEST.to_owned(), digest(&rows).unwrap().to_string());
    }

    fn write(&self) -> Vec<u8> {
        let pairs = self.label.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), self.rows.schema(), Some(properties)).unwrap();
        writer.write(&self.rows).unwrap();
        writer.into_inner().unwrap()
    }
}

#[tokio::test]
async fn a_deleted_file_is_missed_by_table_and_by_lane() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    bench.store.delete(&key).await.unwrap();
    bench.assert_fault(&["table ride", "where the checkpoint committed 26"]).await;
    bench.assert_fault(&["shard-0", "files of table ride hold", "where 26 were committed"]).await;
}

#[tokio::test]
async fn a_file_that_is_there_twice_is_noticed() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    let body = bench.body(&key).await;
    bench.create(&key.replace("part-", "part-9"), body).await;
    bench.assert_fault(&["table ride", "where the checkpoint committed 26"]).await;
}

#[tokio::test]
async fn a_file_that_another_generation_holds_too_is_named() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    let mut file = Opened::read(bench.body(&key).await);
    file.label.insert(file_metadata::GENERATION.to_owned(), "77".to_owned());
    let copy = key.replace("part-", "part-9");
    bench.create(&copy, file.write()).await;
    bench.assert_fault(&["are in both", &key, &copy]).await;
}

#[tokio::test]
async fn a_replaced_row_is_noticed_although_the_counts_agree() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    let mut file = Opened::read(bench.body(&key).await);
    file.replace_first_ride();
    bench.replace(&key, file.write()).await;
    bench.assert_fault(&[&key, "do not hold the rows that its label counts"]).await;
    // A label that was changed along with the rows does not hide it.
    file.mend_label();
    bench.replace(&key, file.write()).await;
    let faults = audit_of(&bench.store).await.faults;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    bench.assert_fault(&["table ride", "not the same ones"]).await;
}

#[tokio::test]
async fn a_file_written_again_with_the_same_rows_is_fine() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    let file = Opened::read(bench.body(&key).await);
    bench.replace(&key, file.write()).await;
    assert_clean(&bench.store).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    let mut body = bench.body(&key).await.to_vec();
    body.truncate(body.len() / 2);
    bench.replace(&key, body).await;
    bench.assert_fault(&[&key]).await;
}

#[tokio::test]
async fn a_file_under_another_table_s_root_is_named() {
    let bench = published().await;
    let key = bench.keys("ride/").await.remove(0);
    let moved = key.replace("ride/", "dead_letter/");
    bench.create(&moved, bench.body(&key).await).await;
    bench.store.delete(&key).await.unwrap();
    bench.assert_fault(&[&moved, "its label names another table than dead_letter"]).await;
}

#[tokio::test]
async fn an_entry_missing_in_the_middle_of_a_lane_is_named() {
    let bench = published().await;
    let middle = bench.keys("_journal/").await.remove(1);
    bench.store.delete(&middle).await.unwrap();
    bench.assert_fault(&["entry 3", "entries 2 to 2 before it are missing"]).await;
}

#[tokio::test]
async fn the_newest_published_entry_is_missed() {
    let bench = published().await;
    let newest = bench.keys("_journal/").await.remove(2);
    bench.store.delete(&newest).await.unwrap();
    bench.assert_fault(&["entries around the published position 3 are missing"]).await;
}

#[tokio::test]
async fn an_entry_that_begins_before_its_predecessor_ends_is_named() {
    let bench = published().await;
    bench.create(&bench.keys("_journal/").await[2].replace("03", "04"), forged(4, 25..=40).await).await;
    bench.assert_fault(&["entry 4", "it begins with record 25 after 30"]).await;
}

#[tokio::test]
async fn an_entry_that_begins_before_deleted_ones_ended_is_named() {
    let bench = published().await;
    let next = bench.keys("_journal/").await[2].replace("03", "04");
    bench.outlive_retention().await;
    bench.create(&next, forged(4, 25..=40).await).await;
    bench.assert_fault(&["entry 4", "it begins with record 25 after 30"]).await;
}

/// The bytes of entry `number` of shard 0 with these records, as a lane would have had it if its
/// first entries had been shorter.
async fn forged(number: u64, records: std::ops::RangeInclusive<u64>) -> Bytes {
    let bench = bench().await;
    for before in 1..number {
        bench.append("shard-0", &[before..=before]).await;
    }
    bench.append("shard-0", &[records]).await;
    bench.body(bench.keys("_journal/").await.last().unwrap()).await
}

#[tokio::test]
async fn an_entry_under_another_number_is_named() {
    let bench = published().await;
    let keys = bench.keys("_journal/").await;
    bench.replace(&keys[1], bench.body(&keys[2]).await).await;
    bench.assert_fault(&["entry 2", "it is entry 3 of rides/lake"]).await;
}

#[tokio::test]
async fn a_damaged_entry_is_the_only_fault_that_is_told() {
    let bench = published().await;
    let key = bench.keys("_journal/").await.remove(1);
    let mut body = bench.body(&key).await.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    bench.replace(&key, body).await;
    let faults = audit_of(&bench.store).await.faults;
    assert!(faults.len() == 1 && faults[0].contains(&key) && faults[0].contains("damaged"), "{faults:#?}");
}

#[tokio::test]
async fn totals_of_the_checkpoint_that_were_edited_are_noticed() {
    type Edit = fn(&mut Value);
    let edits: [(Edit, &[&str]); 4] = [
        (|totals| totals["records"] = 31.into(), &["do not add up"]),
        (|totals| totals["tables"]["ride"]["rows"] = 27.into(), &["committed 27"]),
        (|totals| totals["tables"]["ride"]["digest"] = 1.into(), &["not the same ones"]),
        // These balance, and only the entries tell.
        (
            |totals| {
                totals["records"] = 31.into();
                totals["watermarks"] = 1.into();
            },
            &["counts other rows than its entries"],
        ),
    ];
    for (edit, words) in edits {
        let bench = published().await;
        bench.edit_checkpoint(|checkpoint| edit(&mut position(checkpoint)["totals"])).await;
        bench.assert_fault(words).await;
    }
}

#[tokio::test]
async fn an_edited_position_is_noticed() {
    let bench = published().await;
    // A cold writer would let records 26 to 30 in again, once the entries are deleted.
    bench.edit_checkpoint(|checkpoint| position(checkpoint)["last"] = "25".into()).await;
    bench.assert_fault(&["the checkpoint's position is 25", "entry 3 ends with 30"]).await;
    let bench = published().await;
    bench.edit_checkpoint(|checkpoint| position(checkpoint)["number"] = 2.into()).await;
    assert!(!audit_of(&bench.store).await.is_clean());
}

#[tokio::test]
async fn a_position_under_another_lane_s_name_is_noticed() {
    let bench = published().await;
    bench.outlive_retention().await;
    let edit = |checkpoint: &mut Value| position(checkpoint)["lane"]["partition"] = "shard-9".into();
    bench.edit_checkpoint(edit).await;
    bench.assert_fault(&["shard-9", "another lane's name"]).await;
}

#[tokio::test]
async fn a_lost_checkpoint_leaves_rows_that_nobody_committed() {
    let bench = published().await;
    bench.store.delete(CHECKPOINT).await.unwrap();
    bench.assert_fault(&["table ride", "its files hold 26 rows where the checkpoint committed 0"]).await;
    bench.assert_fault(&["which never published any"]).await;
}

#[tokio::test]
async fn a_place_without_a_lake_or_with_another_s_proves_nothing() {
    let bench = bench().await;
    assert_clean(&bench.store).await;
    let error = audit(&bench.store, "adtech", &|_| None).await.unwrap_err().to_string();
    assert!(error.contains("belongs to pipeline \"rides\""), "{error}");
    let empty = MemoryStore::new(bench.world.clock.clone());
    let error = audit(&empty, "rides", &|_| None).await.unwrap_err().to_string();
    assert!(error.contains("there is no lake at"), "{error}");
    assert!(empty.list("", None, 1).await.unwrap().is_empty(), "an audit writes nothing");
}

#[tokio::test]
async fn foreign_files_are_listed_and_no_fault() {
    let bench = published().await;
    let mut file = Opened::read(bench.body(&bench.keys("ride/").await[0]).await);
    file.label.clear();
    let unlabelled = file.write();
    file.label.insert(file_metadata::PIPELINE.to_owned(), "adtech".to_owned());
    let foreign = [
        ("notes/readme.txt", b"hello".to_vec()),
        ("ride/area=north/export.csv", b"1,2".to_vec()),
        ("ride/area=north/from-spark.parquet", unlabelled),
        ("ride/area=north/of-another-pipeline.parquet", file.write()),
        ("ride/area=north/part-00000.json.gz", b"{}".to_vec()),
    ];
    for (key, body) in &foreign {
        bench.create(key, body.clone()).await;
    }
    bench.create("ride/area=north/_SUCCESS", "").await;
    let audit = assert_clean(&bench.store).await;
    assert_eq!(audit.foreign, foreign.map(|(key, _)| key));
}

#[tokio::test]
async fn a_stray_object_in_the_journal_is_named() {
    let bench = published().await;
    let stray = format!("{}.bak", bench.keys("_journal/").await[0]);
    bench.create(&stray, "x").await;
    bench.assert_fault(&[&stray, "no journal entry"]).await;
}

#[tokio::test]
async fn uploads_that_are_committed_and_not_completed_are_counted_and_no_fault() {
    let bench = published().await;
    bench.append("shard-0", &[31..=50]).await;
    let mut environment = bench.world.environment.clone();
    let dies = |point| Arc::new(DieAt { at: Some((point, 1)), ..DieAt::default() });
    environment.mishaps = dies(FailPoint::PublishAfterCommit);
    let dying = Lake::open(Arc::new(bench.store.clone()), environment.clone(), &pipeline()).await.unwrap();
    assert!(dying.publisher(PublishOptions::default()).run(FAR).await.is_err());
    let audit = assert_clean(&bench.store).await;
    let (files, pending) = (audit.tables["ride"].files, audit.pending);
    assert!(pending > 1);
    // One of them has become visible: it is there, and no longer awaited.
    environment.mishaps = dies(FailPoint::PublishAfterComplete);
    let dying = Lake::open(Arc::new(bench.store.clone()), environment, &pipeline()).await.unwrap();
    assert!(dying.publisher(PublishOptions::default()).run(FAR).await.is_err());
    let audit = assert_clean(&bench.store).await;
    let visible: u64 = audit.tables.values().map(|table| table.files).sum();
    assert!(visible > files);
    assert_eq!(audit.pending, pending - 1);
    bench.publish(FileFormat::Parquet).await;
    assert_eq!(assert_clean(&bench.store).await.pending, 0);
}

#[tokio::test]
async fn a_lake_with_a_past_is_clean() {
    let bench = bench().await;
    bench.append("shard-0", &[1..=10, 5..=15]).await;
    bench.publish(FileFormat::JsonLines).await;
    bench.append("shard-1", &[1..=20]).await;
    bench.publish(FileFormat::Parquet).await;
    bench.outlive_retention().await;
    bench.append("shard-1", &[21..=30]).await;
    let newer = PIPELINE.replace("schema_version = 1", "schema_version = 2").replace(
        "{ name = \"zone\", type = \"string\" },",
        "{ name = \"zone\", type = \"string\" },\n{ name = \"tip\", type = \"float64\" },",
    );
    let newer = pipeline_from(&newer);
    let records = Records::range(12..=40);
    let journal = bench.lake.journal(Role::Lake);
    journal.append(&newer, &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    bench.publish(FileFormat::Parquet).await;
    bench.append("shard-1", &[25..=33]).await;
    let audit = audit(&bench.store, "rides", &|table| newer.schema(table)).await.unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.faults);
    let lanes: Vec<_> = audit
        .lanes
        .iter()
        .map(|lane| (lane.lane.partition.as_str(), lane.published_entries, lane.waiting_entries))
        .collect();
    assert_eq!(lanes, [("shard-0", 3, 0), ("shard-1", 2, 1)]);
    let totals = |at: usize| &audit.lanes[at].totals;
    assert_eq!((totals(0).records, totals(1).records), (40, 33));
    assert_eq!((totals(0).duplicates, totals(1).duplicates), (6 + 4, 6));
    let dead = (1..=40).chain(1..=30).filter(|&number| is_poison(number)).count() as u64;
    assert_eq!(audit.tables["dead_letter"].found.rows, dead);
    assert_eq!(audit.tables["ride"].found, audit.tables["ride"].expected);
    assert_eq!(audit.lanes[0].last, "40");
}
