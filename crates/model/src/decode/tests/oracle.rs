//! The decoder against a naive one made of `serde_json`.

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::batch::{Counts, DEAD_LETTER_TABLE};
use crate::pipeline::{Event, Field, FieldType};
use crate::time;

/// A row by column.
type Row = BTreeMap<String, Value>;

/// What the naive decoder makes of a payload.
#[derive(Debug, PartialEq)]
enum Naive {
    Row(Row),
    Watermark,
    Bad,
}

fn naive(payload: &[u8]) -> Naive {
    naive_option(payload).unwrap_or(Naive::Bad)
}

fn naive_option(payload: &[u8]) -> Option<Naive> {
    let object: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let event = &TAXI.events[TAXI.event_of_type(object.get("type")?.as_str()?)?];
    let mut row = Row::new();
    for field in &event.fields {
        let value = object.get(&field.from).unwrap_or(&Value::Null);
        if value.is_null() && field.required {
            return None;
        }
        row.insert(field.name.clone(), if value.is_null() { Value::Null } else { convert(field, value)? });
    }
    if event.type_value == "watermark" {
        return Some(Naive::Watermark);
    }
    let zone = row["pickup_location_id"].as_i64();
    let borough = zone.and_then(|zone| BOROUGHS.get(&zone)).map_or("Unknown", String::as_str);
    row.insert("borough".to_owned(), borough.into());
    Some(Naive::Row(row))
}

static BOROUGHS: LazyLock<BTreeMap<i64, String>> = LazyLock::new(|| {
    let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi/taxi_zone_lookup.csv");
    let mut reader = csv::Reader::from_path(zones).unwrap();
    reader.records().map(|row| row.unwrap()).map(|row| (row[0].parse().unwrap(), row[1].to_owned())).collect()
});

fn convert(field: &Field, value: &Value) -> Option<Value> {
    let number = match value {
        Value::String(text) => serde_json::from_str::<Value>(text).ok().filter(|_| text.trim() == text),
        other => Some(other.clone()),
    };
    let integer = |number: &Value| {
        number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        })
    };
    match field.kind {
        FieldType::Bool => value.as_bool().map(Into::into),
        FieldType::Int32 => integer(&number?).filter(|value| i32::try_from(*value).is_ok()).map(Into::into),
        FieldType::Int64 => integer(&number?).map(Into::into),
        FieldType::Float64 => number?.as_f64().map(Into::into),
        FieldType::String => value.is_string().then(|| value.clone()),
        FieldType::Timestamp => match value {
            Value::String(text) => time::parse(text.as_bytes()).ok().map(Into::into),
            other => integer(other).filter(|ms| time::in_range(*ms)).map(Into::into),
        },
    }
}

fn rows_of(section: &Section, event: &Event) -> Vec<Row> {
    let cell = |name: &str, row: usize| {
        let column = section.rows.column_by_name(name).unwrap();
        if column.is_null(row) {
            return Value::Null;
        }
        match event
            .fields
            .iter()
            .find(|field| field.name == name)
            .map_or(FieldType::String, |field| field.kind)
        {
            FieldType::Bool => column.as_boolean().value(row).into(),
            FieldType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
            FieldType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
            FieldType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
            FieldType::String => column.as_string::<i32>().value(row).into(),
            FieldType::Timestamp => column.as_primitive::<TimestampMillisecondType>().value(row).into(),
        }
    };
    let schema = section.rows.schema();
    let names = || schema.fields().iter().map(|field| field.name().clone());
    (0..section.rows.num_rows())
        .map(|row| names().map(|name| (name.clone(), cell(&name, row))).collect())
        .collect()
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

pub(crate) fn payload() -> impl Strategy<Value = Vec<u8>> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decodes_as_a_naive_decoder_does(payloads in prop::collection::vec(payload(), 0..12)) {
        let (pushed, batch) = decode(&TAXI, &payloads);
        let expected: Vec<Naive> = payloads.iter().map(|payload| naive(payload)).collect();
        let outcome = |naive: &Naive| match naive {
            Naive::Row(_) => Pushed::Stored,
            Naive::Watermark => Pushed::Watermark,
            Naive::Bad => Pushed::DeadLetter,
        };
        prop_assert_eq!(&pushed, &expected.iter().map(outcome).collect::<Vec<_>>());
        let expected: Vec<Row> =
            expected.into_iter().filter_map(|naive| if let Naive::Row(row) = naive { Some(row) } else { None }).collect();
        let rows: Vec<Row> = batch.sections.iter().filter(|section| &*section.table == "trip")
            .flat_map(|section| rows_of(section, &TAXI.events[0])).collect();
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn every_record_has_one_outcome_and_the_counts_add_up(payloads in prop::collection::vec(payload(), 0..12)) {
        let (pushed, batch) = decode(&TAXI, &payloads);
        let Counts { records, rows, dead_letters, watermarks, ignored, .. } = batch.counts;
        prop_assert_eq!(records, payloads.len() as u64);
        prop_assert_eq!(records, rows + dead_letters + watermarks + ignored);
        let count = |wanted: &Pushed| pushed.iter().filter(|pushed| *pushed == wanted).count() as u64;
        prop_assert_eq!((rows, dead_letters), (count(&Pushed::Stored), count(&Pushed::DeadLetter)));
        prop_assert_eq!(dead_letters, batch.dead_letter_reasons.iter().map(|(_, count)| count).sum::<u64>());
        for section in &batch.sections {
            let wanted = if &*section.table == DEAD_LETTER_TABLE { dead_letters } else { rows };
            prop_assert_eq!(section.rows.num_rows() as u64, wanted);
            prop_assert_eq!(section.partition_of.len() as u64, wanted);
            prop_assert!(section.partition_of.iter().all(|&index| usize::from(index) < section.partitions.len()));
            let mut paths: Vec<_> = section.partitions.iter().collect();
            paths.sort();
            paths.dedup();
            prop_assert_eq!(paths.len(), section.partitions.len());
        }
    }
}
