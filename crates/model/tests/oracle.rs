//! The decoder against a naive one made of `serde_json`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use support::{NOW, TAXI, origin, payload, record, taxi_folder};
use tripline_model::batch::{Counts, DEAD_LETTER_TABLE, DecodedBatch};
use tripline_model::decode::{Decoder, Pushed};
use tripline_oracle::Reading;
use tripline_oracle::record::{Decoded, Lookup, RecordOracle, Row, rows_of};

static ORACLE: LazyLock<RecordOracle<'static>> = LazyLock::new(|| {
    let mut reader = csv::Reader::from_path(taxi_folder().join("taxi_zone_lookup.csv")).unwrap();
    let zones = reader.records().map(|row| row.unwrap());
    let texts = zones.map(|row| (row[0].parse().unwrap(), row[1].to_owned())).collect();
    let (key, default) = ("pickup_location_id".to_owned(), "Unknown".to_owned());
    RecordOracle::new(&TAXI, BTreeMap::from([("borough".to_owned(), Lookup { key, texts, default })]))
});

fn decode(payloads: &[Vec<u8>]) -> (Vec<Pushed>, DecodedBatch) {
    let mut decoder = Decoder::new(&TAXI, &origin(), NOW);
    let pushed =
        (0..).zip(payloads).map(|(number, payload)| decoder.push(&record(number, payload))).collect();
    (pushed, decoder.finish().unwrap())
}

/// The payloads that the oracle can tell apart, with its readings.
fn told_apart(payloads: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<Reading<Decoded>>) {
    let read = payloads.into_iter().map(|payload| (ORACLE.read(&payload), payload));
    read.filter(|(reading, _)| *reading != Reading::Unknown)
        .map(|(reading, payload)| (payload, reading))
        .unzip()
}

#[test]
fn what_the_oracle_cannot_tell_is_left_out() {
    let told = br#"{"trip_id":"x"}"#.to_vec();
    let untold = br#"{"trip_id":1E309}"#.to_vec();
    assert_eq!(told_apart(vec![untold, told.clone()]), (vec![told], vec![Reading::Refused]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decodes_as_a_naive_decoder_does(payloads in prop::collection::vec(payload(), 0..12)) {
        let (payloads, expected) = told_apart(payloads);
        let (pushed, batch) = decode(&payloads);
        let outcome = |reading: &Reading<Decoded>| match reading {
            Reading::Read(Decoded::Row { .. }) => Pushed::Stored,
            Reading::Read(Decoded::Watermark) => Pushed::Watermark,
            Reading::Refused | Reading::Unknown => Pushed::DeadLetter,
        };
        prop_assert_eq!(&pushed, &expected.iter().map(outcome).collect::<Vec<_>>());
        let expected: Vec<Row> = expected
            .into_iter()
            .filter_map(|reading| if let Reading::Read(Decoded::Row { row, .. }) = reading { Some(row) } else { None })
            .collect();
        let trips = batch.sections.iter().filter(|section| &*section.table == "trip");
        let rows: Vec<Row> = trips.flat_map(|section| rows_of(section, &TAXI.events[0]).unwrap()).collect();
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn every_record_has_one_outcome_and_the_counts_add_up(payloads in prop::collection::vec(payload(), 0..12)) {
        let (pushed, batch) = decode(&payloads);
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
