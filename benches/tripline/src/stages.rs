//! The stages of the two functions, each by itself: one list for times and for instruction counts.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use tokio::runtime::Runtime;
use tripline_lake::journal::entry::{Origin, PackedEntry};
use tripline_lake::store::{MemoryStore, ObjectStore};
use tripline_lake::{Lane, Role};
use tripline_model::batch::DecodedBatch;
use tripline_model::decode::{Decoder, Notes, Pushed};
use tripline_model::document::{Documents, Reading};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::Position;
use tripline_stream::Event;

use crate::cluster::{created, gzip};
use crate::input::{Trips, aggregated_event, kinesis_event, msk_event, small_records};
use crate::naive::Naive;
use crate::world::{World, pipeline};

/// How much is measured at once.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Records of an event.
    pub records: usize,
    /// Records of an event of small ones.
    pub small: usize,
    /// Events of one `publish`.
    pub entries: usize,
}

/// Something to do, once and once more.
pub type Work = Box<dyn FnMut() -> anyhow::Result<()>>;

/// A stage, ready to run.
pub struct Prepared {
    /// Records of one run.
    pub records: usize,
    /// Sets back what a run has changed; not part of it.
    pub before: Option<Work>,
    /// The run.
    pub run: Work,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Prepared").field("records", &self.records).finish_non_exhaustive()
    }
}

/// A stage.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Its name, in reports and in the baseline.
    pub name: &'static str,
    /// Microseconds a record that it may cost, where there is such a goal.
    pub goal: Option<f64>,
    /// Makes it ready.
    pub prepare: fn(Size) -> anyhow::Result<Prepared>,
}

/// All of them, in the order in which a record meets them.
pub const STAGES: [Stage; 16] = [
    Stage { name: "envelope", goal: None, prepare: |size| envelope(size, event(size)) },
    Stage { name: "base64", goal: None, prepare: base64 },
    Stage { name: "decode", goal: None, prepare: decode },
    Stage { name: "journal", goal: None, prepare: journal },
    Stage { name: "documents", goal: None, prepare: documents },
    Stage { name: "documents-noted", goal: None, prepare: noted_documents },
    Stage { name: "gzip", goal: None, prepare: gzipped },
    Stage { name: "sign", goal: None, prepare: signed },
    Stage { name: "ingest", goal: Some(2.5), prepare: |size| ingest(size, false) },
    Stage { name: "ingest-gzip", goal: Some(3.9), prepare: |size| ingest(size, true) },
    Stage { name: "publish", goal: Some(0.9), prepare: publish },
    Stage { name: "answer", goal: None, prepare: answered },
    Stage { name: "naive", goal: None, prepare: naive },
    Stage { name: "small-records", goal: None, prepare: |size| envelope(size, small_records(0, size.small)) },
    Stage {
        name: "aggregated",
        goal: None,
        prepare: |size| envelope(size, aggregated_event(&mut Trips::new(1), 0, size.records)),
    },
    Stage {
        name: "kafka",
        goal: None,
        prepare: |size| envelope(size, msk_event(&mut Trips::new(1), 0, size.records, 8)),
    },
];

fn event(size: Size) -> Vec<u8> {
    kinesis_event(&mut Trips::new(1), 0, size.records)
}

fn prepared(records: usize, run: impl FnMut() -> anyhow::Result<()> + 'static) -> anyhow::Result<Prepared> {
    Ok(Prepared { records, before: None, run: Box::new(run) })
}

/// The event's bytes into records, with base64 and, where there are some, aggregates.
fn envelope(_: Size, body: Vec<u8>) -> anyhow::Result<Prepared> {
    let mut arena = Vec::new();
    let count = |event: &Event<'_>| event.partitions.iter().map(|partition| partition.records.len()).sum();
    let records: usize = count(&Event::parse(&body, &mut arena, "")?);
    prepared(records, move || {
        let event = Event::parse(&body, &mut arena, "")?;
        ensure!(count(&event) == records, "records are missing");
        Ok(())
    })
}

fn base64(size: Size) -> anyhow::Result<Prepared> {
    let texts: Vec<String> =
        Trips::new(1).take(size.records).map(|trip| base64_simd::STANDARD.encode_to_string(trip)).collect();
    let mut buffer = Vec::new();
    prepared(texts.len(), move || {
        buffer.clear();
        for text in &texts {
            base64_simd::STANDARD.decode_append(text, &mut buffer).map_err(|error| anyhow!("{error}"))?;
        }
        Ok(())
    })
}

/// Records as the two sinks get them, at home in memory that is not given back.
fn records(size: Size) -> anyhow::Result<(Arc<Pipeline>, &'static Event<'static>)> {
    let (body, arena) = (event(size).leak(), Box::leak(Box::default()));
    Ok((pipeline()?, Box::leak(Box::new(Event::parse(body, arena, "")?))))
}

fn decoded(pipeline: &Pipeline, event: &Event<'_>) -> anyhow::Result<DecodedBatch> {
    let group = event.partitions.first().context("there is no record")?;
    let mut decoder = Decoder::new(pipeline, &group.partition, 0);
    for record in &group.records {
        ensure!(decoder.push(record) == Pushed::Stored, "a record is no row");
    }
    Ok(decoder.finish()?)
}

fn decode(size: Size) -> anyhow::Result<Prepared> {
    let (pipeline, event) = records(size)?;
    prepared(size.records, move || decoded(&pipeline, event).map(drop))
}

/// Columns into the bytes of a journal entry.
fn journal(size: Size) -> anyhow::Result<Prepared> {
    let (pipeline, event) = records(size)?;
    let batch = decoded(&pipeline, event)?;
    let group = event.partitions.first().context("there is no record")?;
    let lane = Lane::new(&pipeline.id, Role::Lake, &group.partition);
    prepared(size.records, move || {
        let range = (Position::new(1), Position::new(2));
        let origin = Origin { lane: &lane, range, duplicates: 0, arrival_max_ms: None, written_at_ms: 0 };
        PackedEntry::pack(&origin, &batch)?.numbered(1, None)?;
        Ok(())
    })
}

/// Records into documents; the lines around them are cheap.
fn documents(size: Size) -> anyhow::Result<Prepared> {
    let (pipeline, event) = records(size)?;
    documents_of(size, pipeline, event, None)
}

/// The same, beside a decoder that has taken the records before: as in a function that feeds both sinks.
fn noted_documents(size: Size) -> anyhow::Result<Prepared> {
    let (pipeline, event) = records(size)?;
    let group = event.partitions.first().context("there is no record")?;
    let mut decoder = Decoder::new(&pipeline, &group.partition, 0);
    let mut notes = Notes::new(&pipeline, group.records.len());
    for (index, record) in group.records.iter().enumerate() {
        ensure!(decoder.push(record) == Pushed::Stored, "a record is no row");
        decoder.note(record, &mut notes, index);
    }
    documents_of(size, Arc::clone(&pipeline), event, Some(notes))
}

fn documents_of(
    size: Size,
    pipeline: Arc<Pipeline>,
    event: &'static Event<'static>,
    notes: Option<Notes>,
) -> anyhow::Result<Prepared> {
    let mut body = Vec::new();
    prepared(size.records, move || {
        body.clear();
        let group = event.partitions.first().context("there is no record")?;
        let mut documents = Documents::new(&pipeline, &group.partition, 0);
        for (index, record) in group.records.iter().enumerate() {
            let noted = notes.as_ref().map(|notes| (notes, index));
            let reading = documents.read_noted(record, noted, &mut body);
            ensure!(matches!(reading, Reading::Document(_)), "a record is no document");
        }
        Ok(())
    })
}

fn bulk_body(size: Size) -> Vec<u8> {
    Trips::new(1).take(size.records).fold(Vec::new(), |mut body, trip| {
        body.extend_from_slice(b"{\"index\":{\"_index\":\"trips-2018\",\"_id\":\"1000000000\"}}\n");
        body.extend_from_slice(trip.as_bytes());
        body.push(b'\n');
        body
    })
}

fn gzipped(size: Size) -> anyhow::Result<Prepared> {
    let body = bulk_body(size);
    prepared(size.records, move || {
        ensure!(!gzip(&body).is_empty(), "nothing came of it");
        Ok(())
    })
}

/// What the cluster of these benchmarks does in the place of a real one: it is in the figures of `ingest`, and no
/// work of ours.
fn answered(size: Size) -> anyhow::Result<Prepared> {
    let body = bulk_body(size);
    prepared(size.records, move || {
        ensure!(created(&body).len() > size.records, "not every document is answered");
        Ok(())
    })
}

/// Signs a compressed body as the search sink does.
fn signed(size: Size) -> anyhow::Result<Prepared> {
    let body = gzip(&bulk_body(size));
    let identity = Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    prepared(size.records, move || {
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("es")
            .time(std::time::UNIX_EPOCH)
            .settings(settings.clone())
            .build()?
            .into();
        let headers = [("host", "search.example.com"), ("content-encoding", "gzip")].into_iter();
        let uri = "https://search.example.com/_bulk";
        let request = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(&body))?;
        ensure!(!sign(request, &parameters)?.signature().is_empty(), "there is no signature");
        Ok(())
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_time().build()?)
}

/// Events that follow one another in a shard.
fn events(size: Size, count: usize) -> Vec<Vec<u8>> {
    let mut trips = Trips::new(1);
    (0..count).map(|index| kinesis_event(&mut trips, index * size.records, size.records)).collect()
}

/// Whole invocations of a warm function: into a journal entry and a bulk body, both in memory.
fn ingest(size: Size, gzip: bool) -> anyhow::Result<Prepared> {
    const EVENTS: usize = 6;
    let runtime = runtime()?;
    let events = events(size, EVENTS);
    let pipeline = pipeline()?;
    let warm = move |runtime: &Runtime, first: &[u8]| {
        runtime.block_on(async {
            let world = World::over(Arc::clone(&pipeline), Arc::new(MemoryStore::default()), gzip).await?;
            world.ingest(first).await?;
            anyhow::Ok(world)
        })
    };
    let mut world = warm(&runtime, events.first().context("no event")?)?;
    let mut next = 1;
    prepared(size.records, move || {
        let event = events.get(next).context("no event")?;
        runtime.block_on(world.ingest(event))?;
        next += 1;
        if next == events.len() {
            world = warm(&runtime, events.first().context("no event")?)?;
            next = 1;
        }
        Ok(())
    })
}

/// One run of the publisher over a journal in memory.
fn publish(size: Size) -> anyhow::Result<Prepared> {
    let runtime = Arc::new(runtime()?);
    let store = MemoryStore::default();
    let world = runtime.block_on(World::over(pipeline()?, Arc::new(store.clone()), false))?;
    for event in events(size, size.entries) {
        runtime.block_on(world.ingest(&event))?;
    }
    let reset_by = Arc::clone(&runtime);
    let before: Work = Box::new(move || {
        reset_by.block_on(async {
            for object in store.list("", None, usize::MAX).await? {
                if !object.key.starts_with("_journal/") && !object.key.ends_with("identity.json") {
                    store.delete(&object.key).await?;
                }
            }
            anyhow::Ok(())
        })
    });
    let records = size.records * size.entries;
    let run = move || {
        let report = runtime.block_on(world.publish())?;
        let rows: u64 = report.files.iter().map(|file| file.rows).sum();
        ensure!(rows == records as u64, "{rows} rows were published of {records}");
        Ok(())
    };
    Ok(Prepared { records, before: Some(before), run: Box::new(run) })
}

/// What [`crate::naive`] makes of an event: Parquet and a bulk body at once.
fn naive(size: Size) -> anyhow::Result<Prepared> {
    let event = event(size);
    let naive = Naive::new(false)?;
    prepared(size.records, move || {
        ensure!(!naive.handle(&event, |_, _| Ok(()))?.is_empty(), "nothing came of it");
        Ok(())
    })
}
