//! Journal entries that are damaged, or made by somebody who means harm.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;
use tripline_lake::journal::entry::{Entry, Origin, PackedEntry};
use tripline_lake::{Lane, Role};
use tripline_model::batch::DecodedBatch;
use tripline_model::source::{Position, SourcePartition};
use xxhash_rust::xxh3::xxh3_64;

use crate::input::Plan;
use crate::record::decode;

const MAGIC: &[u8] = b"TRIPJRN1";

/// An entry is read, or refused with a reason; what is read is the same when it is written and read again.
pub fn entry(input: &[u8]) {
    let built = Plan::of(input).map(build);
    let bytes = built.unwrap_or_else(|| Bytes::copy_from_slice(input));
    let Ok(entry) = Entry::parse(&bytes) else { return };
    let _ = entry.raw_length();
    let _ = entry.expect(&LANE, 1);
    let Ok(sections) = entry.sections() else { return };
    let rows: u64 = sections.iter().map(|section| section.rows.num_rows() as u64).sum();
    assert_eq!(rows, entry.header.sections.iter().map(|section| section.rows).sum::<u64>());
    let batch = DecodedBatch { sections, ..DecodedBatch::default() };
    let origin = Origin {
        lane: &entry.header.lane,
        range: (entry.header.first, entry.header.last),
        duplicates: 0,
        arrival_max_ms: None,
        written_at_ms: 0,
    };
    let mut packed = PackedEntry::pack(&origin, &batch).expect("what was read can be written");
    // The counts are not the sections', and such an entry is refused.
    let Ok(again) = Entry::parse(&packed.numbered(1, None).expect("it can be written")) else { return };
    for (again, first) in again.sections().expect("what was written can be read").iter().zip(&batch.sections)
    {
        assert_eq!((&again.rows, &again.partition_of), (&first.rows, &first.partition_of));
        assert_eq!((&again.table, &again.partitions), (&first.table, &first.partitions));
    }
}

static LANE: LazyLock<Lane> = LazyLock::new(|| {
    let [source, epoch, partition] = ["arn:stream", "1", "shard-0"].map(str::to_owned);
    Lane::new("fuzz", Role::Lake, &SourcePartition { source, epoch, partition })
});

/// The parts of a sound entry: its header, and its sections unpacked.
static SOUND: LazyLock<(Value, Vec<Vec<u8>>)> = LazyLock::new(|| {
    let payloads: [&[u8]; 4] = [
        br#"{"key":1,"at":1514766940000,"flag":true,"small":1,"float":0.5,"text":"a","t":0,"more":1}"#,
        b"not JSON",
        br#"{"key":2,"at":1514766940000}"#,
        br#"{"key":3,"at":"2019-01-01","text":"Staten Island"}"#,
    ];
    let (_, batch) = decode(&payloads);
    let origin = Origin {
        lane: &LANE,
        range: (Position::new(1), Position::new(4)),
        duplicates: 1,
        arrival_max_ms: Some(1),
        written_at_ms: 2,
    };
    let mut packed = PackedEntry::pack(&origin, &batch).expect("it can be packed");
    let bytes = packed.numbered(1, None).expect("it can be numbered");
    let length = u32::from_le_bytes(std::array::from_fn(|at| bytes[MAGIC.len() + at])) as usize;
    let (header, mut frames) = bytes[MAGIC.len() + 4..].split_at(length);
    let header: Value = serde_json::from_slice(header).expect("the header is JSON");
    let number = |section: &Value, name: &str| section[name].as_u64().unwrap_or_default() as usize;
    let sections = header["sections"].as_array().expect("it has sections").iter().map(|section| {
        let (frame, rest) = frames.split_at(number(section, "length"));
        frames = rest;
        zstd::bulk::decompress(frame, number(section, "raw_length")).expect("a frame")
    });
    (header.clone(), sections.collect())
});

/// The sound entry with some bytes of its parts changed, before they are compressed and the checksum is
/// taken, so that the changes get past both.
fn build(mut plan: Plan<'_>) -> Bytes {
    let (mut header, mut sections) = SOUND.clone();
    let of_header = plan.below(4);
    let mut late = Vec::new();
    while !plan.is_over() {
        let section = plan.below(sections.len() + of_header);
        let (at, what, bytes) = (plan.below(65_536), plan.byte(), plan.bytes());
        match sections.get_mut(section) {
            Some(section) => change(section, at, what, bytes),
            None => late.push((at, what, bytes)),
        }
    }
    let frames: Vec<Vec<u8>> = sections
        .iter()
        .map(|section| zstd::bulk::compress(section, 1).expect("it can be compressed"))
        .collect();
    for (listed, (section, frame)) in header["sections"]
        .as_array_mut()
        .expect("it has sections")
        .iter_mut()
        .zip(sections.iter().zip(&frames))
    {
        listed["raw_length"] = section.len().into();
        listed["length"] = frame.len().into();
    }
    let mut header = header.to_string().into_bytes();
    for (at, what, bytes) in late {
        change(&mut header, at, what, bytes);
    }
    let length = u32::try_from(header.len()).expect("it is short").to_le_bytes();
    let mut entry = [MAGIC, &length, &header, &frames.concat()].concat();
    entry.extend(xxh3_64(&entry).to_le_bytes());
    Bytes::from(entry)
}

/// Overwrites, inserts, or takes away.
fn change(part: &mut Vec<u8>, at: usize, what: u8, bytes: &[u8]) {
    let at = at % (part.len() + 1);
    let end = (at + bytes.len()).min(part.len());
    match what % 4 {
        0 | 1 => part[at..end].copy_from_slice(&bytes[..end - at]),
        2 => drop(part.splice(at..at, bytes.iter().copied())),
        _ => drop(part.drain(at..end)),
    }
}
