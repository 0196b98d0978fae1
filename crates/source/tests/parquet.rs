//! Trip records as Parquet, in all the forms that they have had.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::TempDir;
use tripline_source::{Entry, NumberedRecord, Source, SourceError, open};

/// 2019-03-23 20:21:09 and 20:27:24, microseconds.
const PICKUP: i64 = 1_553_372_469_000_000;
const DROPOFF: i64 = 1_553_372_844_000_000;

fn write(folder: &TempDir, name: &str, compression: Compression, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = folder.path().join(name);
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn records(path: &Path) -> Vec<NumberedRecord> {
    let Source::Records(mut source) = open(path).unwrap() else { panic!("an event") };
    let all: Vec<_> = source
        .by_ref()
        .map(|entry| match entry.unwrap() {
            Entry::Record(record) => record,
            Entry::Oversize { .. } => panic!("too large"),
        })
        .collect();
    assert_eq!(source.progress().bytes_read(), fs::metadata(path).unwrap().len());
    assert_eq!(source.unfinished(), None);
    all
}

/// Events, each without its id, which is checked.
fn events(path: &Path) -> Vec<Value> {
    let mut ids = std::collections::HashSet::new();
    let event = |(record, position): (NumberedRecord, u64)| {
        assert_eq!(record.position, position);
        let mut event: Value = serde_json::from_slice(&record.data).unwrap();
        let id = event.as_object_mut().unwrap().remove("trip_id").unwrap();
        assert!(id.as_i64().is_some_and(|id| id > 0));
        assert_eq!(record.partition_key, id.to_string());
        assert!(ids.insert(record.partition_key), "an id stands there twice");
        event
    };
    records(path).into_iter().zip(1..).map(event).collect()
}

fn refusal(path: &Path) -> String {
    match open(path) {
        Err(error @ SourceError::Parquet { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn doubles(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn times(microseconds: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![Some(microseconds), Some(microseconds + 1_999)]))
}

fn yellow_2019(folder: &TempDir) -> PathBuf {
    write(
        folder,
        "yellow_tripdata_2019-03.parquet",
        Compression::GZIP(GzipLevel::default()),
        vec![
            ("VendorID", Arc::new(Int64Array::from(vec![1, 2]))),
            ("tpep_pickup_datetime", times(PICKUP)),
            ("tpep_dropoff_datetime", times(DROPOFF)),
            ("passenger_count", doubles(&[Some(1.0), None])),
            ("trip_distance", doubles(&[Some(1.6), Some(0.25)])),
            ("RatecodeID", doubles(&[Some(1.0), None])),
            ("store_and_fwd_flag", Arc::new(StringArray::from(vec![Some("N"), None]))),
            ("PULocationID", Arc::new(Int64Array::from(vec![141, 142]))),
            ("DOLocationID", Arc::new(Int64Array::from(vec![233, 264]))),
            ("payment_type", Arc::new(Int64Array::from(vec![1, 0]))),
            ("fare_amount", doubles(&[Some(7.0), Some(-7.5)])),
            ("total_amount", doubles(&[Some(12.95), Some(-8.3)])),
            ("congestion_surcharge", doubles(&[Some(2.5), None])),
            ("airport_fee", Arc::new(NullArray::new(2))),
        ],
    )
}

fn yellow_2026(folder: &TempDir) -> PathBuf {
    write(
        folder,
        "yellow_tripdata_2026-06.parquet",
        Compression::ZSTD(ZstdLevel::default()),
        vec![
            ("VendorID", Arc::new(Int32Array::from(vec![1, 2]))),
            ("tpep_pickup_datetime", times(PICKUP)),
            ("tpep_dropoff_datetime", times(DROPOFF)),
            ("passenger_count", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("trip_distance", doubles(&[Some(1.6), Some(0.25)])),
            ("RatecodeID", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("store_and_fwd_flag", Arc::new(LargeStringArray::from(vec![Some("N"), None]))),
            ("PULocationID", Arc::new(Int32Array::from(vec![141, 142]))),
            ("DOLocationID", Arc::new(Int32Array::from(vec![233, 264]))),
            ("payment_type", Arc::new(Int64Array::from(vec![1, 0]))),
            ("fare_amount", doubles(&[Some(7.0), Some(-7.5)])),
            ("total_amount", doubles(&[Some(12.95), Some(-8.3)])),
            ("congestion_surcharge", doubles(&[Some(2.5), None])),
            ("Airport_fee", doubles(&[Some(1.75), None])),
            ("cbd_congestion_fee", doubles(&[Some(0.75), Some(0.0)])),
            ("request_source", Arc::new(LargeStringArray::from(vec![Some("street"), None]))),
            ("a_column_of_later_years", Arc::new(Int64Array::from(vec![1, 2]))),
        ],
    )
}

fn yellow_events() -> Vec<Value> {
    vec![
        json!({"vendor_id": 1, "pickup_datetime": "2019-03-23T20:21:09.000Z",
            "dropoff_datetime": "2019-03-23T20:27:24.000Z", "passenger_count": 1, "trip_distance": 1.6,
            "ratecode_id": 1, "store_and_fwd_flag": "N", "pickup_location_id": 141,
            "dropoff_location_id": 233, "payment_type": 1, "fare_amount": 7.0, "total_amount": 12.95,
            "type": "trip", "congestion_surcharge": 2.5, "cab_type": "yellow"}),
        json!({"vendor_id": 2, "pickup_datetime": "2019-03-23T20:21:09.001Z",
            "dropoff_datetime": "2019-03-23T20:27:24.001Z", "trip_distance": 0.25,
            "pickup_location_id": 142, "dropoff_location_id": 264, "payment_type": 0, "fare_amount": -7.5,
            "total_amount": -8.3, "type": "trip", "cab_type": "yellow"}),
    ]
}

#[test]
fn yellow_trips_are_the_same_events_whatever_types_their_columns_had() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(events(&yellow_2019(&folder)), yellow_events());
    let mut newer = yellow_events();
    newer[0]["airport_fee"] = json!(1.75);
    newer[0]["cbd_congestion_fee"] = json!(0.75);
    newer[0]["request_source"] = json!("street");
    newer[1]["cbd_congestion_fee"] = json!(0.0);
    assert_eq!(events(&yellow_2026(&folder)), newer);
}

#[test]
fn a_file_gives_the_same_bytes_and_the_same_ids_every_time() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(records(&yellow_2019(&one)), records(&yellow_2019(&other)));
    let text = String::from_utf8(records(&yellow_2019(&one)).remove(0).data).unwrap();

    assert!(text.contains(r#""total_amount":12.95,"trip_id":"#), "{text}");
    assert!(text.ends_with(r#","type":"trip","congestion_surcharge":2.5,"cab_type":"yellow"}"#), "{text}");
}

#[test]
fn green_trips_have_their_own_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder,
        "green.parquet",
        Compression::SNAPPY,
        vec![
            ("VendorID", Arc::new(Int64Array::from(vec![2, 2]))),
            ("lpep_pickup_datetime", times(PICKUP)),
            ("lpep_dropoff_datetime", times(DROPOFF)),
            ("PULocationID", Arc::new(Int64Array::from(vec![7, 8]))),
            ("DOLocationID", Arc::new(Int64Array::from(vec![9, 10]))),
            ("ehail_fee", Arc::new(NullArray::new(2))),
            ("payment_type", doubles(&[Some(2.0), None])),
            ("trip_type", doubles(&[Some(1.0), None])),
        ],
    );
    let first = json!({"vendor_id": 2, "pickup_datetime": "2019-03-23T20:21:09.000Z",
        "dropoff_datetime": "2019-03-23T20:27:24.000Z", "pickup_location_id": 7, "dropoff_location_id": 9,
        "payment_type": 2, "trip_type": 1, "type": "trip", "cab_type": "green"});
    assert_eq!(events(&path)[0], first);
}

#[test]
fn for_hire_trips_are_read_in_the_case_and_types_of_their_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder,
        "fhv.parquet",
        Compression::SNAPPY,
        vec![
            ("dispatching_base_num", Arc::new(StringArray::from(vec!["B00014", "B00021         "]))),
            ("pickup_datetime", times(PICKUP)),
            ("dropOff_datetime", times(DROPOFF)),
            ("PUlocationID", doubles(&[None, Some(264.0)])),
            ("DOlocationID", Arc::new(Int64Array::from(vec![None, Some(4)]))),
            ("SR_Flag", Arc::new(NullArray::new(2))),
            ("Affiliated_base_number", Arc::new(StringArray::from(vec![Some("B00014"), None]))),
        ],
    );
    let expected = vec![
        json!({"dispatching_base_num": "B00014", "pickup_datetime": "2019-03-23T20:21:09.000Z",
            "dropoff_datetime": "2019-03-23T20:27:24.000Z", "affiliated_base_number": "B00014",
            "type": "trip", "cab_type": "fhv"}),
        json!({"dispatching_base_num": "B00021", "pickup_datetime": "2019-03-23T20:21:09.001Z",
            "dropoff_datetime": "2019-03-23T20:27:24.001Z", "pickup_location_id": 264,
            "dropoff_location_id": 4, "type": "trip", "cab_type": "fhv"}),
    ];
    assert_eq!(events(&path), expected);
}

#[test]
fn high_volume_trips_have_their_fares_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let nanoseconds = |us: i64| Arc::new(TimestampNanosecondArray::from(vec![us * 1_000, us * 1_000]));
    let path = write(
        &folder,
        "fhvhv.parquet",
        Compression::SNAPPY,
        vec![
            ("hvfhs_license_num", Arc::new(StringArray::from(vec!["HV0003", "HV0005"]))),
            ("dispatching_base_num", Arc::new(StringArray::from(vec!["B02867", "B02510"]))),
            ("originating_base_num", Arc::new(StringArray::from(vec![Some("B02867"), None]))),
            ("request_datetime", nanoseconds(PICKUP - 60_000_000)),
            ("on_scene_datetime", Arc::new(TimestampNanosecondArray::from(vec![None, None]))),
            ("pickup_datetime", nanoseconds(PICKUP)),
            ("dropoff_datetime", nanoseconds(DROPOFF)),
            ("PULocationID", Arc::new(Int64Array::from(vec![245, 1]))),
            ("DOLocationID", Arc::new(Int64Array::from(vec![251, 2]))),
            ("trip_miles", doubles(&[Some(2.45), Some(1.0)])),
            ("trip_time", Arc::new(Int64Array::from(vec![579, 600]))),
            ("base_passenger_fare", doubles(&[Some(9.35), None])),
            ("airport_fee", Arc::new(NullArray::new(2))),
            ("shared_request_flag", Arc::new(StringArray::from(vec!["Y", "N"]))),
            ("access_a_ride_flag", Arc::new(StringArray::from(vec![" ", "N"]))),
        ],
    );
    let first = json!({"hvfhs_license_num": "HV0003", "dispatching_base_num": "B02867",
        "originating_base_num": "B02867", "request_datetime": "2019-03-23T20:20:09.000Z",
        "pickup_datetime": "2019-03-23T20:21:09.000Z", "dropoff_datetime": "2019-03-23T20:27:24.000Z",
        "pickup_location_id": 245, "dropoff_location_id": 251, "trip_miles": 2.45, "trip_time": 579,
        "base_passenger_fare": 9.35, "shared_request_flag": "Y", "type": "trip", "cab_type": "fhvhv"});
    assert_eq!(events(&path)[0], first);
}

#[test]
fn what_json_or_the_column_cannot_hold_stays_visible_and_the_file_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder,
        "odd.parquet",
        Compression::UNCOMPRESSED,
        vec![
            ("tpep_pickup_datetime", Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, PICKUP]))),
            ("tpep_dropoff_datetime", times(DROPOFF)),
            ("PULocationID", Arc::new(Int64Array::from(vec![1, 2]))),
            ("passenger_count", doubles(&[Some(1.5), Some(-0.0)])),
            ("fare_amount", doubles(&[Some(f64::NAN), Some(1e300)])),
        ],
    );
    let events = events(&path);
    assert_eq!(events[0]["fare_amount"], "NaN");
    assert_eq!(events[0]["passenger_count"], 1.5);
    assert_eq!(events[0]["pickup_datetime"], i64::MAX / 1_000);
    assert_eq!(events[1]["fare_amount"], 1e300);
}

#[test]
fn files_of_other_kinds_are_refused_with_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Compression::UNCOMPRESSED;
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    for (name, columns, says) in [
        ("weather", vec![("celsius", numbers())], "no header of yellow or green"),
        ("2010", vec![("pickup_datetime", numbers()), ("pickup_longitude", numbers())], "coordinates"),
        ("2009", vec![("Trip_Pickup_DateTime", numbers()), ("Start_Lon", numbers())], "coordinates"),
        (
            "half",
            vec![("tpep_pickup_datetime", numbers()), ("tpep_dropoff_datetime", numbers())],
            "pulocationid",
        ),
        (
            "twice",
            vec![
                ("tpep_pickup_datetime", numbers()),
                ("tpep_dropoff_datetime", numbers()),
                ("PULocationID", numbers()),
                ("airport_fee", numbers()),
                ("Airport_fee", numbers()),
            ],
            "twice",
        ),
    ] {
        let path = write(&folder, name, plain, columns);
        let said = refusal(&path);
        assert!(said.contains(says) && said.contains(name), "{said}");
    }
    let cut = yellow_2019(&folder);
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let said = refusal(&cut);
    assert!(said.contains("cut short"), "{said}");
}

#[test]
fn a_file_without_rows_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let none = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(Vec::<i64>::new())) };
    let path = write(
        &folder,
        "none.parquet",
        Compression::SNAPPY,
        vec![
            ("tpep_pickup_datetime", none()),
            ("tpep_dropoff_datetime", none()),
            ("PULocationID", Arc::new(Int64Array::from(Vec::<i64>::new()))),
        ],
    );
    assert!(records(&path).is_empty());
}
