//! `tripline events`: sample Lambda events of every shape, made from real trips.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tripline_model::source::Position;
use tripline_stream::kpl::{Aggregator, UserRecord};
use tripline_stream::mapping::kafka::{self, Cluster, TimestampType, TopicPartition, TopicRecord};
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
const TRIPS: usize = 110;
/// A sequence number as Kinesis gives them; the records count on from it.
const FIRST_SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";
/// When the first record arrived: the evening of the sample's last day, milliseconds since 1970 UTC.
const FIRST_ARRIVAL_MS: i64 = 1_554_076_800_000;
const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/taxi-trips";
const TOPIC: &str = "taxi-trips";
const CLUSTER: &str =
    "arn:aws:kafka:us-east-1:123456789012:cluster/taxi/3f2b8c54-7a01-4a7e-8f5b-0d3c5e9a6b21-2";
const BROKERS: &str = "b-1.taxi.3f2b8c.c2.kafka.us-east-1.amazonaws.com:9098,\
                       b-2.taxi.3f2b8c.c2.kafka.us-east-1.amazonaws.com:9098";
const ROLE: &str = "arn:aws:iam::123456789012:role/tripline-ingest";

/// Writes the samples.
///
/// # Errors
/// When the input has too few trips or a file cannot be written.
pub fn run(arguments: &EventsArguments) -> anyhow::Result<ExitCode> {
    let trips = read_trips(&arguments.input)?;
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make the folder {}", arguments.output.display()))?;
    for (name, event) in samples(&trips)? {
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
fn samples(trips: &[Vec<u8>]) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let mut trips = trips.iter().cloned();
    let mut take = |count: usize| trips.by_ref().take(count).collect::<Vec<_>>();
    let plain = numbered(0, take(30));
    Ok(vec![
        ("kinesis-trips.json", event(0, plain.iter().take(20))),
        // A retry cut elsewhere: its first ten records were in the batch before.
        ("kinesis-recut.json", event(0, plain.iter().skip(10))),
        ("kinesis-poison.json", spoil_base64(&event(1, &numbered(0, poison(take(8)))))),
        ("kinesis-duplicates.json", event(2, &duplicates(take(10)))),
        ("kinesis-late.json", event(3, &numbered(0, late(take(12))))),
        ("kinesis-empty.json", event(4, &[])),
        ("kinesis-aggregated.json", event(5, &aggregated(plain.get(..20).unwrap_or(&plain))?)),
        ("kafka-trips.json", kafka_event(true, partitioned(take(20)))),
        ("kafka-self-managed.json", kafka_event(false, partitioned(take(6)))),
        ("kafka-wire.json", kafka_event(true, vec![topic_partition(0, wire(take(3)))])),
        ("kafka-topics.json", kafka_event(true, topics())),
    ])
}

fn kafka_event(msk: bool, partitions: Vec<TopicPartition>) -> Vec<u8> {
    let (arn, servers) = if msk {
        (Some(CLUSTER), BROKERS)
    } else {
        (None, "kafka-1.example.com:9092,kafka-2.example.com:9092")
    };
    let cluster = Cluster { arn: arn.map(str::to_owned), bootstrap_servers: servers.to_owned() };
    let mut event = kafka::write_event(&cluster, &partitions);
    event.push(b'\n');
    event
}

/// One half in each of two partitions.
fn partitioned(mut trips: Vec<Vec<u8>>) -> Vec<TopicPartition> {
    let second = trips.split_off(trips.len() / 2);
    let values = |trips: Vec<Vec<u8>>| trips.into_iter().map(Some).collect();
    vec![topic_partition(0, values(trips)), topic_partition(1, values(second))]
}

/// Records with keys, and headers that are no text.
fn topic_partition(partition: i32, values: Vec<Option<Vec<u8>>>) -> TopicPartition {
    let record = |(value, number): (Option<Vec<u8>>, u64)| TopicRecord {
        offset: 15 + number,
        timestamp_ms: FIRST_ARRIVAL_MS + i64::try_from(number).unwrap_or_default() * 137,
        timestamp_type: TimestampType::CreateTime,
        key: Some(format!("{partition}-{number}").into_bytes()),
        value,
        headers: vec![("producer".to_owned(), vec![b't', b'l', b'c', 0xff])],
    };
    let records = values.into_iter().zip(0..).map(record).collect();
    TopicPartition { topic: TOPIC.to_owned(), partition, records }
}

/// Impressions and a click on one of them, of the pipeline `adtech`, that tell neither their type nor their time.
fn topics() -> Vec<TopicPartition> {
    let values = |texts: &[&str]| texts.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
    let impressions = values(&[
        r#"{"bid_id":"0414641663","campaign_id":"567714536X","creative_details":"teal","country_code":"NZ"}"#,
        r#"{"bid_id":"0414641671","campaign_id":"567714536X","creative_details":"gold","country_code":"NA"}"#,
    ]);
    let clicks = values(&[r#"{"correlation_id":"0414641663","tracker":"k3v9q0zjx41mtbw"}"#]);
    let of_topic =
        |topic: &str, values| TopicPartition { topic: topic.to_owned(), ..topic_partition(0, values) };
    vec![of_topic("impressions", impressions), of_topic("clicks", clicks)]
}

/// Trips behind the headers of schema registries, what is no JSON behind them, and a tombstone.
fn wire(trips: Vec<Vec<u8>>) -> Vec<Option<Vec<u8>>> {
    const CONFLUENT: &[u8] = b"\x00\x00\x00\x00\x07";
    const GLUE: &[u8] = b"\x03\x00\xb7\xb4\xa7\xf0\x9c\x96\x4e\x4a\xa6\x87\xfb\x5d\xe9\xef\x0c\x63";
    let headers = [b"", CONFLUENT, GLUE];
    let mut values: Vec<_> =
        headers.into_iter().zip(trips).map(|(header, trip)| Some([header, &trip].concat())).collect();
    values.push(Some([CONFLUENT, b"\x02\x06avro"].concat()));
    values.push(None);
    values
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

/// The same records as a producer with the Kinesis Producer Library sends them: some together, one alone.
fn aggregated(records: &[PutRecord]) -> anyhow::Result<Vec<PutRecord>> {
    let mut rest = records;
    let mut sent = Vec::new();
    for (number, length) in (0..).zip([9, 1, 8, 2]) {
        let (together, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        let data = match together {
            [alone] => alone.data.clone(),
            _ => aggregate(together)?,
        };
        sent.push(record(number, data));
    }
    Ok(sent)
}

fn aggregate(records: &[PutRecord]) -> anyhow::Result<Vec<u8>> {
    let mut aggregator = Aggregator::default();
    for PutRecord { partition_key, data, .. } in records {
        let fits = aggregator.push(&UserRecord { partition_key, data });
        ensure!(fits, "a record does not fit into an aggregate");
    }
    aggregator.finish().context("there is nothing to aggregate")
}
