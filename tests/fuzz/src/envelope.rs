//! Events of Kinesis and Kafka against `serde_json`'s reading of them, and a naive reading of what is aggregated
//! in those of Kinesis.

use serde_json::Value;
use tripline_model::source::Payload;
use tripline_oracle::event::{self, EventRecord};
use tripline_oracle::{Reading, aggregate};
use tripline_stream::{Event, PartitionRecords, Source};

use crate::input::Plan;

/// An event is read as `serde_json` reads it, or refused where that finds fault with it.
pub fn envelope(input: &[u8]) {
    let built = Plan::of(input).map(build);
    let body = built.as_deref().unwrap_or(input);
    // Memory that another invocation has left, as it is in a warm function.
    let mut arena = vec![0xA5; body.len() / 2];
    let ours = Event::parse(body, &mut arena, "epoch");
    let shown = || String::from_utf8_lossy(body);
    match (event::read(body), ours) {
        (Reading::Unknown, _) | (Reading::Refused, Err(_)) => {}
        (Reading::Read(theirs), Ok(ours)) => compare(&theirs, &ours),
        // Of members that stand there twice the last counts, but a first "Records" must be sound too.
        (Reading::Read(_), Err(_)) if body_has_records_twice(body) => {}
        (Reading::Read(_), Err(error)) => panic!("refused ({error}): {}", shown()),
        (theirs, ours) => panic!("serde_json says {theirs:?}, we say {ours:?}: {}", shown()),
    }
}

fn body_has_records_twice(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    // By their end, which escapes of single letters before leave as it is.
    body.matches("ecords\"").count() > 1 || body.contains("\\u")
}

/// A record with its index in the aggregate that it was in.
type Part = (u32, EventRecord);

/// What a record of Kinesis holds: its user records where it is an aggregate, else itself.
fn unpack(record: &EventRecord) -> Vec<Part> {
    let aggregated = record.payload.as_ref().ok().and_then(|payload| aggregate::read(payload));
    let Some(users) = aggregated else { return vec![(0, record.clone())] };
    let user = |(partition_key, data)| EventRecord { partition_key, payload: Ok(data), ..record.clone() };
    (0..).zip(users.into_iter().map(user)).collect()
}

fn compare(theirs: &[EventRecord], ours: &Event<'_>) {
    let is_kafka = ours.source == Source::Kafka;
    let mut partitions: Vec<&PartitionRecords<'_>> = ours.partitions.iter().collect();
    let theirs: Vec<Part> = if is_kafka {
        partitions.sort_by_key(|group| &group.partition.partition);
        theirs.iter().map(|record| (0, record.clone())).collect()
    } else {
        theirs.iter().flat_map(unpack).collect()
    };
    let mut groups: Vec<(&str, &str, Vec<&Part>)> = Vec::new();
    for part in &theirs {
        let (_, record) = part;
        match groups
            .iter_mut()
            .find(|(source, shard, _)| (*source, *shard) == (&record.source, &record.shard))
        {
            Some((.., group)) => group.push(part),
            None => groups.push((&record.source, &record.shard, vec![part])),
        }
    }
    assert_eq!(partitions.len(), groups.len());
    for (ours, (source, shard, theirs)) in partitions.into_iter().zip(groups) {
        let partition = &ours.partition;
        assert_eq!((&*partition.source, &*partition.partition, &*partition.epoch), (source, shard, "epoch"));
        assert_eq!(ours.records.len(), theirs.len());
        for (ours, (sub_position, theirs)) in ours.records.iter().zip(theirs) {
            assert_eq!(ours.position.to_string(), theirs.position);
            assert_eq!(ours.sub_position, *sub_position);
            assert_eq!(ours.partition_key, theirs.partition_key);
            assert!(is_payload(ours.payload, &theirs.payload), "{ours:?} is not {theirs:?}");
            let same_arrival = if is_kafka {
                ours.arrival_ms == theirs.arrival.as_i64()
            } else {
                is_arrival(ours.arrival_ms, &theirs.arrival)
            };
            assert!(same_arrival, "{ours:?} is not {theirs:?}");
        }
    }
}

fn is_payload(ours: Payload<'_>, theirs: &Result<Vec<u8>, Value>) -> bool {
    let as_it_stands = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    match (ours, theirs) {
        (Payload::Bytes(ours), Ok(theirs)) => ours == theirs,
        (Payload::Undecodable(ours), Err(Value::Null)) => ours.is_empty() || ours == b"null",
        (Payload::Undecodable(ours), Err(theirs @ Value::String(_))) => {
            as_it_stands(&[b"\"", ours, b"\""].concat()).as_ref() == Some(theirs)
        }
        (Payload::Undecodable(ours), Err(theirs)) => as_it_stands(ours).as_ref() == Some(theirs),
        (Payload::Bytes(_), Err(_)) | (Payload::Undecodable(_), Ok(_)) => false,
    }
}

/// Ours is exact, a float is not; and ours has bounds.
fn is_arrival(ours: Option<i64>, theirs: &Value) -> bool {
    let seconds = match theirs {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|seconds: &f64| seconds.is_finite()),
        _ => None,
    };
    match (ours, seconds) {
        (Some(ours), Some(seconds)) => (ours as f64 - seconds * 1e3).abs() <= 1.5 + seconds.abs() * 1e-9,
        (None, Some(seconds)) => theirs.is_string() || seconds.abs() >= 9.2e15,
        (Some(_), None) => false,
        (None, None) => true,
    }
}

const SEQUENCE: &str = "\"49590338271490256608559692538361571095921575989136588898\"";

/// Members of a record and of its Kinesis part, each with a sound value.
const MEMBERS: [(&str, &str); 4] = [
    ("eventSource", "\"aws:kinesis\""),
    ("eventID", "\"shardId-000000000006:4959\""),
    ("eventSourceARN", "\"arn:aws:kinesis:us-east-2:123456789012:stream/trips\""),
    ("awsRegion", "\"us-east-2\""),
];
const KINESIS: [(&str, &str); 5] = [
    ("sequenceNumber", SEQUENCE),
    ("partitionKey", "\"1\""),
    ("data", "\"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==\""),
    ("approximateArrivalTimestamp", "1545084650.987"),
    ("kinesisSchemaVersion", "\"1.0\""),
];

/// Members of a Kafka event and of its records.
const CLUSTER: [(&str, &str); 3] = [
    ("eventSource", "\"aws:kafka\""),
    ("eventSourceArn", "\"arn:aws:kafka:us-east-1:123456789012:cluster/trips/5c3b-3\""),
    ("bootstrapServers", "\"b-2:9098,b-1:9098\""),
];
const TOPIC_RECORD: [(&str, &str); 6] = [
    ("offset", "15"),
    ("timestamp", "1545084650987"),
    ("key", "\"MTIz\""),
    ("value", "\"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==\""),
    ("headers", "[{\"source\":[104,255]}]"),
    ("topic", "\"trips\""),
];

fn build(mut plan: Plan<'_>) -> Vec<u8> {
    if plan.byte() >= 128 { build_kafka(plan) } else { build_kinesis(plan) }
}

fn build_kafka(mut plan: Plan<'_>) -> Vec<u8> {
    let mut partitions = Vec::new();
    while !plan.is_over() && partitions.len() < 4 {
        let name = plan.below(3);
        let count = plan.below(4);
        let records: Vec<_> = (0..count).map(|_| object(&mut plan, &TOPIC_RECORD, None)).collect();
        partitions.push([format!("\"t-{name}\":[").as_bytes(), &records.join(&b","[..]), b"]"].concat());
    }
    let records = [b"{", partitions.join(&b","[..]).as_slice(), b"}"].concat();
    object(&mut plan, &CLUSTER, Some((b"\"records\"", &records)))
}

fn build_kinesis(mut plan: Plan<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    while !plan.is_over() && records.len() < 8 {
        let kinesis = object(&mut plan, &KINESIS, None);
        records.push(object(&mut plan, &MEMBERS, Some((b"\"kinesis\"", &kinesis))));
    }
    [b"{\"Records\":[", records.join(&b","[..]).as_slice(), b"]}"].concat()
}

/// An object of these members: now and then one is left out, or of another value, or there once more.
fn object(plan: &mut Plan<'_>, members: &[(&str, &str)], part: Option<(&[u8], &[u8])>) -> Vec<u8> {
    let mut written: Vec<Vec<u8>> = Vec::new();
    let at = plan.below(members.len() + 1);
    for (index, (name, usual)) in members.iter().enumerate() {
        if let Some((key, value)) = part.filter(|_| index == at) {
            written.push([key, b":", value].concat());
        }
        let times = match plan.byte() {
            0..200 => 1,
            200..228 => 2,
            _ => 0,
        };
        for _ in 0..times {
            written.push([plan.key(name).as_slice(), b" :", &plan.json(usual)].concat());
        }
    }
    if let Some((key, value)) = part.filter(|_| at == members.len()) {
        written.push([key, b":", value].concat());
    }
    [b"{", written.join(&b","[..]).as_slice(), b"}"].concat()
}
