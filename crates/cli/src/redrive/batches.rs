//! Batches that an event source mapping gave up, sent again, to the sinks of the function that it invoked.
//!
//! Such a batch may be in as a whole, in part (its function failed behind the first records), or not at
//! all, and its lane may have moved on meanwhile. Its own mapping delivers it no more. Three steps bring each
//! record into the lake once:
//!
//! 1. The batch is appended to its own lane, as if it came again. What lies behind the lane's end is in
//!    then, and from now on the lane takes nothing at or before the batch's end.
//! 2. So the entries of that lane, and of other batches that were sent again, now tell for good which of
//!    its records are in.
//! 3. The others are appended to a lane of the batch's own, which drops them when this is repeated.
//!
//! Each other sink gets what its own lane does not show to have been settled: documents have ids and forwarded
//! events their source, but a dead letter must not be written twice. One redrive of batches at a time, as batches may overlap.

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use tripline_ingest::Place;
use tripline_lake::redrive::{Coverage, batch_origin};
use tripline_lake::store::ObjectStore;
use tripline_lake::{Lake, Role};
use tripline_model::source::SourceRecord;
use tripline_stream::PartitionRecords;
use tripline_stream::event::Event;

use super::send::Senders;
use crate::send::{Outcome, send as send_records};
use crate::text::grouped;

/// Keys asked for in one page of a listing.
const PAGE: usize = 1000;

/// An invocation record as Lambda writes it to an S3 destination (AWS Lambda: "Configuring destinations for
/// failed invocations", Kinesis). Only S3 gets the payload.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord {
    request_context: Option<RequestContext>,
    payload: Option<EventText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    function_arn: Option<String>,
}

/// The event: a text that holds JSON, or the JSON itself.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum EventText {
    Text(String),
    Json(serde_json::Value),
}

/// Where the batches lie, and whose they are.
pub(super) struct BatchesOf<'a> {
    pub(super) store: &'a dyn ObjectStore,
    pub(super) function: Option<String>,
    pub(super) epoch: &'a str,
}

impl BatchesOf<'_> {
    /// Whether a batch is to be sent. Without a name, all must be of one function: the batches of another
    /// one have sinks of their own.
    fn is_wanted(&self, record: &InvocationRecord, first: &mut Option<String>) -> anyhow::Result<bool> {
        let arn = record.request_context.as_ref().and_then(|context| context.function_arn.as_deref());
        let name = arn.and_then(|arn| arn.split(':').nth(6)).unwrap_or_default();
        match &self.function {
            Some(wanted) => Ok(wanted == name),
            None if first.get_or_insert_with(|| name.to_owned()) == name => Ok(true),
            None => bail!(
                "batches of several functions lie there, of {} and {name} among them: name one with --function, and give \
                 it the sinks that it has (TRIPLINE_SINKS)",
                first.as_deref().unwrap_or_default()
            ),
        }
    }
}

pub(super) async fn send(
    lake: &Lake,
    senders: &Senders,
    of: BatchesOf<'_>,
    dry_run: bool,
) -> anyhow::Result<ExitCode> {
    let (batches, mut function) = (of.store, None);
    let (mut found, mut records, mut missing, mut unsure) = (0_u64, 0, 0, 0);
    let mut outcome = Outcome::default();
    let mut after: Option<String> = None;
    loop {
        let page = batches.list("", after.as_deref(), PAGE).await?;
        after = page.last().map(|object| object.key.clone());
        for object in &page {
            let place = format!("{}/{}", batches.location(), object.key);
            let Some(object) = batches.get(&object.key).await? else { continue };
            let record = invocation(&object.body).with_context(|| place.clone())?;
            if !of.is_wanted(&record, &mut function)? {
                continue;
            }
            let body = event(record).with_context(|| place.clone())?;
            let mut arena = Vec::new();
            let event = Event::parse(&body, &mut arena, of.epoch).with_context(|| place.clone())?;
            found += 1;
            for partition in &event.partitions {
                let batch = Batch { lake, senders, partition };
                let sent = batch.send(dry_run).await.with_context(|| place.clone())?;
                records += partition.records.len() as u64;
                missing += sent.missing;
                unsure += sent.unsure;
                outcome.add(&sent.outcome);
                if sent.unsure > 0 {
                    println!(
                        "{place}: {} records are left out: the journal entries that would tell whether they are in have been \
                         deleted; look for their ids in the lake",
                        grouped(sent.unsure)
                    );
                }
            }
        }
        if page.len() < PAGE {
            break;
        }
    }
    println!(
        "{} batches with {} records; {} were not in",
        grouped(found),
        grouped(records),
        grouped(missing)
    );
    if !dry_run {
        println!("{outcome}");
    }
    Ok(if unsure == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn invocation(body: &[u8]) -> anyhow::Result<InvocationRecord> {
    serde_json::from_slice(body).context("it is no invocation record of Lambda's")
}

/// The event in an invocation record.
fn event(record: InvocationRecord) -> anyhow::Result<Vec<u8>> {
    match record.payload {
        Some(EventText::Text(text)) => Ok(text.into_bytes()),
        Some(EventText::Json(json)) => Ok(serde_json::to_vec(&json)?),
        None => Err(anyhow!(
            "it has no payload: only an S3 destination gets the records themselves. Read them from the stream by the \
             sequence numbers that it names"
        )),
    }
}

/// The records of one source partition in a batch.
struct Batch<'a> {
    lake: &'a Lake,
    senders: &'a Senders,
    partition: &'a PartitionRecords<'a>,
}

#[derive(Default)]
struct SentBatch {
    missing: u64,
    unsure: u64,
    outcome: Outcome,
}

impl Batch<'_> {
    async fn send(&self, dry_run: bool) -> anyhow::Result<SentBatch> {
        let PartitionRecords { partition, records } = self.partition;
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(SentBatch::default());
        };
        let range = (first.position, last.position);
        let lane = batch_origin(partition, &first.position.to_string(), &last.position.to_string());
        let mut sent = SentBatch::default();
        if let Some(ingest) = self.senders.single.get(&Role::Lake) {
            if !dry_run {
                let own = send_records(ingest, Place::of(partition), records).await?;
                sent.missing += own.rows + own.dead_letters;
                sent.outcome.add(&Outcome { duplicates: 0, ..own });
            }
            let coverage = Coverage::of(self.lake, Role::Lake, partition, range).await?;
            let mut rest: Vec<SourceRecord<'_>> = Vec::new();
            for record in records {
                match coverage.covers(record) {
                    Some(true) => {}
                    Some(false) => rest.push(*record),
                    None => sent.unsure += 1,
                }
            }
            sent.missing += rest.len() as u64;
            if !dry_run {
                let place = Place { lane: &lane, first: partition };
                sent.outcome.add(&send_records(ingest, place, &rest).await?);
            }
        }
        if dry_run {
            return Ok(sent);
        }
        for (role, ingest) in self.senders.single.iter().filter(|(role, _)| **role != Role::Lake) {
            // Between the letters of one entry every record was settled when it was written.
            let coverage = Coverage::of(self.lake, *role, partition, range).await?;
            let open: Vec<SourceRecord<'_>> =
                records.iter().filter(|record| coverage.covers(record) != Some(true)).copied().collect();
            let place = Place { lane: &lane, first: partition };
            sent.outcome.add(&send_records(ingest, place, &open).await?);
        }
        Ok(sent)
    }
}
