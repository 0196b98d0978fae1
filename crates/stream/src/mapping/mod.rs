//! Lambda's side of a Kinesis event source mapping, as pure functions: how a shard's records are
//! cut into batches, what an invocation's event looks like byte for byte, and what is delivered
//! again after an answer. It lets a laptop and the tests drive the handler as Lambda does.
//!
//! Rules from the AWS Lambda documentation: "Using Lambda to process records from Amazon Kinesis
//! Data Streams", "Lambda quotas", and "Configuring partial batch response with Kinesis Data
//! Streams and Lambda". Time is left to the caller: who runs a batch window calls
//! [`Batcher::finish`] when it ends.

pub mod delivery;
pub mod kafka;
pub mod on_failure;

use std::fmt::Write as _;
use std::mem;
use std::ops::Range;

use tripline_model::source::Position;

pub use crate::reply::{FailedOffset, Reply};

/// Lambda's limit on the event of a synchronous invocation: 6 MB, counted here as 6 MiB of JSON.
pub const INVOCATION_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// A record as a producer put it into a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRecord {
    /// Its sequence number; unique and ascending within the shard.
    pub sequence: Position,
    /// Partition key; Kinesis allows 256 characters of any Unicode.
    pub partition_key: String,
    /// The record's bytes, before base64.
    pub data: Vec<u8>,
    /// Milliseconds since 1970 UTC; `None` leaves the member out, for sources that do not know.
    pub arrival_ms: Option<i64>,
}

/// What is the same in all records of one mapping's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOrigin {
    /// The stream's ARN, or the URL of a source that has none.
    pub source: String,
    /// Shard id, such as `shardId-000000000006`.
    pub shard: String,
    /// The function's role.
    pub invoke_identity_arn: String,
}

impl ShardOrigin {
    /// The region as the ARN names it; `local` where the source is no ARN.
    fn region(&self) -> &str {
        match self.source.strip_prefix("arn:") {
            Some(arn) => arn.split(':').nth(2).unwrap_or("local"),
            None => "local",
        }
    }
}

/// The settings of an event source mapping that decide what is delivered, under Lambda's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingSettings {
    /// `BatchSize`: records in a batch at most; Lambda allows 1 to 10,000. 0 is taken as 1.
    pub batch_size: usize,
    /// Bytes of the event at most; [`INVOCATION_PAYLOAD_BYTES`] with Lambda. A record that is over
    /// it by itself is a batch of its own.
    pub payload_bytes: usize,
    /// `FunctionResponseTypes` holds `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// `BisectBatchOnFunctionError`.
    pub bisect_batch_on_function_error: bool,
}

impl Default for MappingSettings {
    /// Lambda's defaults: 100 records, neither partial responses nor bisecting.
    fn default() -> Self {
        Self {
            batch_size: 100,
            payload_bytes: INVOCATION_PAYLOAD_BYTES,
            report_batch_item_failures: false,
            bisect_batch_on_function_error: false,
        }
    }
}

const EVENT_START: &[u8] = br#"{"Records":["#;
const EVENT_END: &[u8] = b"]}";

/// Writes the event that Lambda sends for these records, with every member and in its order; the
/// optional `encryptionType` is left out, as Lambda mostly does.
#[must_use]
pub fn write_event<'r>(origin: &ShardOrigin, records: impl IntoIterator<Item = &'r PutRecord>) -> Vec<u8> {
    let tail = record_tail(origin);
    let mut event = EVENT_START.to_vec();
    for record in records {
        if event.len() > EVENT_START.len() {
            event.push(b',');
        }
        write_record(&mut event, origin, &tail, record);
    }
    event.extend_from_slice(EVENT_END);
    event
}

/// The members after `eventID`, the same for all records of a shard.
fn record_tail(origin: &ShardOrigin) -> Vec<u8> {
    let mut tail = br#"","eventName":"aws:kinesis:record","invokeIdentityArn":""#.to_vec();
    push_escaped(&mut tail, &origin.invoke_identity_arn);
    tail.extend_from_slice(br#"","awsRegion":""#);
    push_escaped(&mut tail, origin.region());
    tail.extend_from_slice(br#"","eventSourceARN":""#);
    push_escaped(&mut tail, &origin.source);
    tail.extend_from_slice(br#""}"#);
    tail
}

fn write_record(event: &mut Vec<u8>, origin: &ShardOrigin, tail: &[u8], record: &PutRecord) {
    let sequence = record.sequence.to_string();
    event.extend_from_slice(br#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":""#);
    push_escaped(event, &record.partition_key);
    event.extend_from_slice(br#"","sequenceNumber":""#);
    event.extend_from_slice(sequence.as_bytes());
    event.extend_from_slice(br#"","data":""#);
    base64_simd::STANDARD.encode_append(&record.data, event);
    event.push(b'"');
    if let Some(arrival_ms) = record.arrival_ms {
        event.extend_from_slice(br#","approximateArrivalTimestamp":"#);
        push_seconds(event, arrival_ms);
    }
    event.extend_from_slice(br#"},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":""#);
    push_escaped(event, &origin.shard);
    event.push(b':');
    event.extend_from_slice(sequence.as_bytes());
    event.extend_from_slice(tail);
}

/// Decimal seconds with as many decimals as are needed: 980 ms are `.98`.
fn push_seconds(event: &mut Vec<u8>, milliseconds: i64) {
    let size = milliseconds.unsigned_abs();
    let sign = if milliseconds < 0 { "-" } else { "" };
    let mut text = format!("{sign}{}.{:03}", size / 1000, size % 1000);
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    event.extend_from_slice(text.as_bytes());
}

/// Writes text as the inside of a JSON string.
fn push_escaped(event: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        event.extend_from_slice(text.as_bytes());
        return;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // Writing to a String cannot fail.
            control if control < ' ' => drop(write!(escaped, "\\u{:04x}", u32::from(control))),
            other => escaped.push(other),
        }
    }
    event.extend_from_slice(escaped.as_bytes());
}

/// Cuts a shard's records into batches as its mapping does: in order, no more than `BatchSize`
/// records, and an event within the payload limit, counted with its envelope.
#[derive(Debug)]
pub struct Batcher {
    origin: ShardOrigin,
    tail: Vec<u8>,
    settings: MappingSettings,
    batch: Vec<PutRecord>,
    event_bytes: usize,
    scratch: Vec<u8>,
}

impl Batcher {
    /// A batcher for one shard.
    #[must_use]
    pub fn new(origin: ShardOrigin, settings: MappingSettings) -> Self {
        let tail = record_tail(&origin);
        Self { origin, tail, settings, batch: Vec::new(), event_bytes: 0, scratch: Vec::new() }
    }

    /// Takes the shard's next record in; returns a batch when one is full.
    #[must_use]
    pub fn push(&mut self, record: PutRecord) -> Option<Vec<PutRecord>> {
        self.scratch.clear();
        write_record(&mut self.scratch, &self.origin, &self.tail, &record);
        let record_bytes = self.scratch.len();
        let separator = 1;
        let full = if !self.batch.is_empty()
            && self.event_bytes + separator + record_bytes + EVENT_END.len() > self.settings.payload_bytes
        {
            self.finish()
        } else {
            None
        };
        self.event_bytes +=
            if self.batch.is_empty() { EVENT_START.len() + record_bytes } else { separator + record_bytes };
        self.batch.push(record);
        // Both cannot happen at once: a batch that `full` emptied holds one record, and with a
        // batch size of one nothing was there to be emptied.
        if full.is_none() && self.batch.len() >= self.settings.batch_size {
            return self.finish();
        }
        full
    }

    /// Whether nothing has gathered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Returns what has gathered, if anything: at the end of the batch window or of the source.
    #[must_use]
    pub fn finish(&mut self) -> Option<Vec<PutRecord>> {
        self.event_bytes = 0;
        let batch = mem::take(&mut self.batch);
        (!batch.is_empty()).then_some(batch)
    }
}

/// What the mapping delivers next for a batch after the function's answer: the parts of `batch` to
/// send, in order, each as a batch of its own. Empty: the batch is done and the shard moves on.
///
/// * An error: the whole batch; with bisecting, its two halves.
/// * A partial response: the lowest failed sequence number and everything after it; bisecting splits
///   at that number, which comes to the same as what stands before it is done.
/// * A partial response that names a record that is not in the batch: the whole batch, once more.
/// * Without `ReportBatchItemFailures`, anything but an error is success.
///
/// Counting attempts and giving up (`MaximumRetryAttempts`, `MaximumRecordAgeInSeconds`) are
/// [`delivery`]'s and the caller's.
#[must_use]
pub fn next_after(reply: &Reply, batch: &[PutRecord], settings: &MappingSettings) -> Vec<Range<usize>> {
    let end = batch.len();
    let identifiers = match reply {
        Reply::Error if settings.bisect_batch_on_function_error => return halves(end),
        Reply::Error => return non_empty(0..end),
        Reply::Response(_) if !settings.report_batch_item_failures => return Vec::new(),
        Reply::Unusable if !settings.report_batch_item_failures => return Vec::new(),
        Reply::Unusable => return non_empty(0..end),
        Reply::Response(identifiers) => identifiers,
    };
    let index_of = |sequence| batch.iter().position(|record| record.sequence == sequence);
    let mut first = end;
    for identifier in identifiers {
        match identifier.parse().ok().and_then(index_of) {
            Some(index) => first = first.min(index),
            None => return non_empty(0..end),
        }
    }
    non_empty(first..end)
}

fn halves(end: usize) -> Vec<Range<usize>> {
    let middle = end / 2;
    [0..middle, middle..end].into_iter().filter(|half| !half.is_empty()).collect()
}

fn non_empty(range: Range<usize>) -> Vec<Range<usize>> {
    if range.is_empty() { Vec::new() } else { vec![range] }
}
