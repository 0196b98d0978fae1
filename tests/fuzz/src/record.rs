//! One record against a naive decoder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use tripline_model::batch::{DEAD_LETTER_TABLE, DecodedBatch};
use tripline_model::decode::{Decoder, Pushed, digest};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};
use tripline_oracle::Reading;
use tripline_oracle::record::{Decoded, RecordOracle, Row, rows_of};

use crate::input::Plan;

/// 2018-01-02T03:04:05Z.
const NOW: i64 = 1_514_862_245_000;

/// A sound record, and the row that it becomes.
const SOUND: &[u8] =
    br#"{"key":7,"at":"2018-01-01T00:00:00Z","flag":true,"small":1,"text":"x","t":0,"more":[1]}"#;

/// The pipeline of the folder `pipeline`.
pub(crate) static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline");
    Pipeline::load(&folder).unwrap_or_else(|error| panic!("{error}"))
});

/// A record becomes the row that the naive decoder makes of it, or a dead letter where that makes none;
/// and it changes nothing about its neighbours.
pub fn record(input: &[u8]) {
    let built = Plan::of(input).map(build);
    let payload = built.as_deref().unwrap_or(input);
    let (pushed, batch) = decode(&[SOUND, payload, SOUND]);
    check(&batch, payload);
    let oracle = RecordOracle::new(&PIPELINE, BTreeMap::new());
    let theirs = oracle.read(payload);
    if theirs == Reading::Unknown {
        return;
    }
    let rows: Vec<Row> = batch
        .sections
        .iter()
        .filter(|section| &*section.table == "row")
        .flat_map(|section| rows_of(section, &PIPELINE.events[0]).expect("columns are of the fields' types"))
        .collect();
    let shown = || String::from_utf8_lossy(payload);
    let Reading::Read(Decoded::Row { row: sound, .. }) = oracle.read(SOUND) else { panic!("it is sound") };
    assert_eq!((rows.first(), rows.last()), (Some(&sound), Some(&sound)), "its neighbours: {}", shown());
    match (theirs, &pushed[1]) {
        (Reading::Read(Decoded::Row { row, .. }), Pushed::Stored) => {
            assert_eq!(rows[1..], [row, sound], "{}", shown())
        }
        (Reading::Read(Decoded::Watermark), Pushed::Watermark) | (Reading::Refused, Pushed::DeadLetter) => {
            assert_eq!(rows.len(), 2, "{}", shown())
        }
        (theirs, ours) => panic!("serde_json says {theirs:?}, we say {ours:?}: {}", shown()),
    }
}

pub(crate) fn decode(payloads: &[&[u8]]) -> (Vec<Pushed>, DecodedBatch) {
    let [source, epoch, partition] = ["arn:stream", "1", "shard-0"].map(str::to_owned);
    let mut decoder = Decoder::new(&PIPELINE, &SourcePartition { source, epoch, partition }, NOW);
    let numbered = (1..).zip(payloads).map(|(number, payload)| SourceRecord {
        position: Position::new(number),
        sub_position: 0,
        arrival_ms: Some(NOW),
        partition_key: "key",
        headers: "",
        payload: Payload::Bytes(payload),
    });
    let pushed = numbered.map(|record| decoder.push(&record)).collect();
    (pushed, decoder.finish().expect("a batch can be finished"))
}

/// Counts add up, digests are right, partitions are named once, and a dead letter holds its bytes.
fn check(batch: &DecodedBatch, payload: &[u8]) {
    let counts = batch.counts;
    assert_eq!(counts.records, 3);
    assert_eq!(counts.records, counts.rows + counts.dead_letters + counts.watermarks + counts.ignored);
    assert!(batch.dead_letter_reasons.iter().all(|&(reason, _)| reason != "internal"), "decoding panicked");
    for section in &batch.sections {
        assert_eq!(section.digest, digest(&section.rows).expect("rows have a digest"));
        assert_eq!(section.partition_of.len(), section.rows.num_rows());
        let mut paths: Vec<_> = section.partitions.iter().collect();
        assert!(section.partition_of.iter().all(|&index| usize::from(index) < paths.len()));
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), section.partitions.len());
        if &*section.table == DEAD_LETTER_TABLE {
            let column = section.rows.column_by_name("payload").expect("it has the payload");
            let bytes = column.to_data().buffers()[1].clone();
            assert_eq!(&bytes[..payload.len()], payload);
        }
    }
}

/// Members of a record with sound values.
const MEMBERS: [(&str, &str); 12] = [
    ("key", "9007199254740993"),
    ("at", "\"2018-01-01T00:35:40.000Z\""),
    ("key", "-1e3"),
    ("at", "1514766940000"),
    ("flag", "true"),
    ("small", "-2147483648"),
    ("float", "-52.5"),
    ("text", "\"Staten Island\""),
    ("t", "\"2018-01-01 02:35:40+02:00\""),
    ("more", "{\"a\":[1.5e-7,null]}"),
    ("upto", "\"2018-01-01\""),
    ("type", "\"mark\""),
];

fn build(mut plan: Plan<'_>) -> Vec<u8> {
    let mut members = Vec::new();
    // The required ones, mostly.
    for (name, usual) in &MEMBERS[..2] {
        if plan.byte() < 240 {
            members.push([plan.key(name).as_slice(), b":", &plan.json(usual)].concat());
        }
    }
    while !plan.is_over() && members.len() < 20 {
        let (name, usual) = *plan.choice(&MEMBERS);
        members.push([plan.key(name).as_slice(), b": ", &plan.json(usual)].concat());
    }
    [b"{", members.join(&b","[..]).as_slice(), b"}"].concat()
}
