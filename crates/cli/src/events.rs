//! `tripline events`: sample Lambda events of every shape, made from real trips.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tripline_model::source::Position;
use tripline_stream::mapping::{PutRecord, ShardOrigin, write_event};

use crate::source::{self, Entry, Source};

/// Arguments of `tripline events`.
#[derive(Clone, Debug, clap::Args)]
pub struct EventsArguments {
    /// Files or folders of trip records.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Folder to write the events into.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Trips that the samples are made of.
const TRIPS: usize = 90;
/// A sequence number as Kinesis gives them; the records count on from it.
const FIRST_SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";
/// When the first record arrived: the evening of the sample's last day, milliseconds since 1970 UTC.
const FIRST_ARRIVAL_MS: i64 = 1_554_076_800_000;
const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/taxi-trips";
const ROLE: &str = "arn:aws:iam::123456789012:role/tripline-ingest";

/// Writes the samples.
///
/// # Errors
/// When the input has too few trips or a file cannot be written.
pub fn run(arguments: &EventsArguments) -> anyhow::Result<ExitCode> {
    let trips = read_trips(&arguments.input)?;
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make the folder {}", arguments.output.display()))?;
    for (name, event) in samples(&trips) {
        let path = arguments.output.join(name);
        std::fs::write(&path, event).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn read_trips(inputs: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut trips = Vec::with_capacity(TRIPS);
    for path in inputs.iter().map(|path| source::files(path)).collect::<Result<Vec<_>, _>>()?.concat() {
        read_file(&path, &mut trips)?;
    }
    ensure!(trips.len() >= TRIPS, "the input has {} trips, {TRIPS} are needed", trips.len());
    Ok(trips)
}

fn read_file(path: &Path, trips: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
    let Source::Records(records) = source::open(path)? else { return Ok(()) };
    for entry in records {
        if trips.len() == TRIPS {
            break;
        }
        if let Entry::Record(record) = entry? {
            trips.push(record.data);
        }
    }
    Ok(())
}

/// The samples: file name and content.
fn samples(trips: &[Vec<u8>]) -> Vec<(&'static str, Vec<u8>)> {
    let mut trips = trips.iter().cloned();
    let mut take = |count: usize| trips.by_ref().take(count).collect::<Vec<_>>();
    let plain = numbered(0, take(30));
    vec![
        ("kinesis-trips.json", event(0, plain.iter().take(20))),
        // A retry cut elsewhere: its first ten records were in the batch before.
        ("kinesis-recut.json", event(0, plain.iter().skip(10))),
        ("kinesis-poison.json", spoil_base64(&event(1, &numbered(0, poison(take(8)))))),
        ("kinesis-duplicates.json", event(2, &duplicates(take(10)))),
        ("kinesis-late.json", event(3, &numbered(0, late(take(12))))),
        ("kinesis-empty.json", event(4, &[])),
    ]
}

fn numbered(from: u64, payloads: Vec<Vec<u8>>) -> Vec<PutRecord> {
    payloads.into_iter().zip(from..).map(|(data, number)| record(number, data)).collect()
}

fn record(number: u64, data: Vec<u8>) -> PutRecord {
    let (start, end) = FIRST_SEQUENCE.split_at(FIRST_SEQUENCE.len() - 8);
    let end = end.parse::<u64>().unwrap_or_default() + number;
    PutRecord {
        sequence: format!("{start}{end:08}").parse().unwrap_or_else(|_| Position::new(number)),
        partition_key: number.to_string(),
        data,
        arrival_ms: Some(FIRST_ARRIVAL_MS + i64::try_from(number).unwrap_or_default() * 137),
    }
}

fn event<'r>(shard: u32, records: impl IntoIterator<Item = &'r PutRecord>) -> Vec<u8> {
    let origin = ShardOrigin {
        source: STREAM.to_owned(),
        shard: format!("shardId-{shard:012}"),
        invoke_identity_arn: ROLE.to_owned(),
    };
    let mut event = write_event(&origin, records);
    event.push(b'\n');
    event
}

/// Good trips with every kind of bad record among them.
fn poison(good: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let bad: [&[u8]; 8] = [
        b"not json at all",
        br#"{"type":"trip","trip_id":1,"pickup_datetime":"2019-03-01T00:00:00.000Z"} and more"#,
        br#"{"type":"trip","pickup_datetime":"2019-03-01T00:00:00.000Z"}"#,
        br#"{"type":"trip","trip_id":"many","pickup_datetime":"2019-03-01T00:00:00.000Z"}"#,
        br#"{"type":"trip","trip_id":2,"pickup_datetime":"2019-02-30T00:00:00.000Z"}"#,
        br#"{"type":"scooter","trip_id":3}"#,
        b"\xff\xfe not UTF-8",
        SPOILED,
    ];
    good.into_iter().zip(bad).flat_map(|(good, bad)| [good, bad.to_vec()]).collect()
}

/// Becomes a data member that is not base64.
const SPOILED: &[u8] = b"this record's data is not base64";

fn spoil_base64(event: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(event);
    // "this record's…" in base64 begins so; the change makes it undecodable.
    text.replace("\"data\":\"dGhpcyByZWNvcmQn", "\"data\":\"*not base64*").into_bytes()
}

/// A record that is there twice (a redelivery), and a trip that its producer sent twice (two records).
fn duplicates(trips: Vec<Vec<u8>>) -> Vec<PutRecord> {
    let mut records = numbered(0, trips);
    let next = records.len() as u64;
    if let (Some(redelivered), Some(resent)) = (records.last().cloned(), records.first().cloned()) {
        records.push(redelivered);
        records.push(record(next, resent.data));
    }
    records
}

/// Trips after a watermark that has passed them, and one with a wild clock.
fn late(trips: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let watermark = |at: &str| format!(r#"{{"watermark":"{at}","type":"watermark"}}"#).into_bytes();
    let mut payloads = vec![watermark("2019-03-31T12:00:00.000Z")];
    payloads.extend(trips);
    payloads.push(
        br#"{"trip_id":2041,"pickup_datetime":"2041-01-01T00:00:00.000Z","pickup_location_id":132,"type":"trip"}"#.to_vec(),
    );
    payloads.push(watermark("2019-03-31T18:00:00.000Z"));
    payloads
}
