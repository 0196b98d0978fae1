//! The taxi pipeline, and records that are mostly trips.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tripline_model::pipeline::{FieldType, Pipeline};
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};
use tripline_model::time;

/// 2018-01-02T03:04:05Z.
pub const NOW: i64 = 1_514_862_245_000;

pub fn taxi_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi")
}

pub static TAXI: LazyLock<Pipeline> =
    LazyLock::new(|| Pipeline::load(&taxi_folder()).unwrap_or_else(|error| panic!("{error}")));

pub fn origin() -> SourcePartition {
    let [source, epoch, partition] = ["arn:stream", "1", "shard-0"].map(str::to_owned);
    SourcePartition { source, epoch, partition }
}

pub fn record(position: u64, payload: &[u8]) -> SourceRecord<'_> {
    SourceRecord {
        position: Position::new(position),
        sub_position: 0,
        arrival_ms: Some(NOW),
        partition_key: "key",
        headers: "",
        payload: Payload::Bytes(payload),
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (-5_i64..300).prop_map(Value::from),
        3 => (-1000_i32..100_000).prop_map(|cents| json!(f64::from(cents) / 100.0)),
        1 => prop_oneof![Just(i64::from(i32::MAX) + 1), Just(i64::MAX), Just(-1)].prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => (-20_i64..400).prop_map(|number| number.to_string().into()),
        1 => prop::sample::select(vec!["N", "x", "", "1.5", "2018-01-01", "é\n\"", " 7", "7e0", "null"]).prop_map(Value::from),
        1 => Just(json!({"a": [1]})),
    ]
}

fn datetime() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0_i64..4_000_000_000_000).prop_map(|ms| time::rfc3339(ms).into()),
        1 => (-70_000_000_000_000_i64..300_000_000_000_000).prop_map(Value::from),
        1 => prop::sample::select(vec!["2018-01-01 00:35:40", "2018-02-30", "now", "2018-01-01T00:35:40+02:00"]).prop_map(Value::from),
    ]
}

/// Records that are mostly trips, with a member or two gone wrong here and there.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let trip = &TAXI.events[TAXI.event_of_type("trip").unwrap()];
    let numbers: Vec<String> = trip
        .fields
        .iter()
        .filter(|field| matches!(field.kind, FieldType::Float64 | FieldType::Int32))
        .map(|field| field.name.clone())
        .collect();
    let name = prop_oneof![
        8 => prop::sample::select(numbers),
        1 => prop::sample::select(vec!["cab_type", "store_and_fwd_flag", "padding", "watermark", "vendor_id", "new", "", "é"]).prop_map(str::to_owned),
    ];
    let kind = prop_oneof![9 => Just(json!("trip")), 1 => Just(json!("watermark")), 1 => value()];
    let id = prop_oneof![9 => any::<i64>().prop_map(Value::from), 1 => value()];
    let fixed =
        (prop::option::weighted(0.95, kind), prop::option::weighted(0.95, id), datetime(), datetime());
    let plain = prop_oneof![4 => (0_i64..300).prop_map(Value::from), 1 => value()];
    (fixed, prop::collection::vec((name, plain), 0..8)).prop_map(|((kind, id, pickup, dropoff), others)| {
        let mut members =
            vec![("pickup_datetime".to_owned(), pickup), ("dropoff_datetime".to_owned(), dropoff)];
        members.extend(id.map(|id| ("trip_id".to_owned(), id)));
        members.extend(others);
        members.extend(kind.map(|kind| ("type".to_owned(), kind)));
        members
    })
}

/// Text of an object whose keys may come twice.
fn object(members: &[(String, Value)]) -> Vec<u8> {
    let member = |(name, value): &(String, Value)| format!("{}: {value}", Value::from(name.as_str()));
    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", ")).into_bytes()
}

/// Records as bytes: trips, some of them damaged, and anything else.
pub fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => members().prop_shuffle_members().prop_map(|members| object(&members)),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (members(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(members, at, byte)| {
            let mut text = object(&members);
            let at = at.index(text.len());
            text[at] = byte;
            text
        }),
    ]
}

/// Members in any order.
trait ShuffleMembers: Strategy<Value = Vec<(String, Value)>> + Sized {
    fn prop_shuffle_members(self) -> impl Strategy<Value = Vec<(String, Value)>> {
        self.prop_shuffle()
    }
}

impl<S: Strategy<Value = Vec<(String, Value)>>> ShuffleMembers for S {}
