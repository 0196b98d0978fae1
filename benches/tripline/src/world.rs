//! The real functions over what is in this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use tripline_ingest::{Ingest, IngestOptions, Malformed, Sinks};
use tripline_lake::publish::{PublishOptions, PublishReport};
use tripline_lake::store::{FaultStore, MemoryStore, ObjectStore, Operation};
use tripline_lake::{Environment, Lake};
use tripline_model::pipeline::Pipeline;
use tripline_search::{SearchOptions, SearchSink};
use tripline_settings::search_environment;

use crate::cluster::Yes;
use crate::input::{FULL_EVENT_RECORDS, Trips, kinesis_event};

/// No deadline.
const FAR_MS: i64 = i64::MAX;

/// A lake, a search cluster, and an `ingest` that feeds them.
#[derive(Debug)]
pub struct World {
    /// The pipeline of the benchmarks.
    pub pipeline: Arc<Pipeline>,
    /// Its lake.
    pub lake: Lake,
    /// The search cluster.
    pub cluster: Arc<Yes>,
    ingest: Ingest,
}

/// The pipeline of the benchmarks.
///
/// # Errors
/// When it cannot be read.
pub fn pipeline() -> anyhow::Result<Arc<Pipeline>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline");
    Ok(Arc::new(Pipeline::load(&folder)?))
}

impl World {
    /// A world over a store. With `gzip`, bodies of bulk requests are compressed.
    ///
    /// # Errors
    /// When the lake cannot be opened.
    pub async fn over(
        pipeline: Arc<Pipeline>,
        store: Arc<dyn ObjectStore>,
        gzip: bool,
    ) -> anyhow::Result<Self> {
        let environment = Environment::default();
        let lake = Lake::open(store, environment.clone(), &pipeline).await?;
        let cluster = Arc::new(Yes::new(gzip));
        let search = SearchSink::over(
            Arc::clone(&pipeline),
            SearchOptions::default(),
            search_environment(&environment),
            Arc::clone(&cluster) as _,
        );
        let sinks = Sinks::lake(&lake).with_search(search, &lake, Malformed::Elsewhere);
        let clock = Arc::clone(&environment.clock);
        let ingest = Ingest::feeding(sinks, Arc::clone(&pipeline), clock, IngestOptions::default());
        Ok(Self { pipeline, lake, cluster, ingest })
    }

    /// Hands an event over, as an invocation does. Returns its rows.
    ///
    /// # Errors
    /// When the invocation fails, or a record is not both a row and a document.
    pub async fn ingest(&self, event: &[u8]) -> anyhow::Result<u64> {
        let batch = self.ingest.handle(event, FAR_MS).await?.batch;
        let documents = batch.search.created + batch.search.updated;
        ensure!(
            batch.counts.rows == batch.delivered && documents == batch.delivered,
            "of {} records {} are rows and {documents} documents",
            batch.delivered,
            batch.counts.rows
        );
        Ok(batch.counts.rows)
    }

    /// Publishes all that is in the journal.
    ///
    /// # Errors
    /// When the publisher fails or leaves something.
    pub async fn publish(&self) -> anyhow::Result<PublishReport> {
        let report = self.lake.publisher(PublishOptions::default()).run(FAR_MS / 2).await?;
        if report.more || report.gave_way || !report.stopped.is_empty() {
            bail!("the journal was not published in whole: {report:?}");
        }
        Ok(report)
    }

    /// Writes every published file below `folder`, in the folder of its partition.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub async fn write_out(&self, report: &PublishReport, folder: &Path) -> anyhow::Result<()> {
        for file in &report.files {
            let object = self.lake.store().get(&file.key).await?.context("a published file is gone")?;
            let name = file.key.rsplit('/').next().unwrap_or_default();
            let below = folder.join(&file.partition);
            std::fs::create_dir_all(&below).with_context(|| format!("cannot make {}", below.display()))?;
            let path = below.join(name);
            std::fs::write(&path, &object.body)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Requests to the store for a full batch once a function is warm, counted at the store: PUTs, if nothing else is.
///
/// # Errors
/// When an invocation fails, or asks the store for anything but a PUT.
pub fn puts_per_batch() -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let mut trips = Trips::new(1);
        let mut event = |first| kinesis_event(&mut trips, first, FULL_EVENT_RECORDS);
        let store = FaultStore::counting(MemoryStore::default());
        let world = World::over(pipeline()?, Arc::new(store.clone()), false).await?;
        world.ingest(&event(0)).await?;
        let before = store.calls().len();
        world.ingest(&event(FULL_EVENT_RECORDS)).await?;
        let calls = store.calls().split_off(before);
        ensure!(calls.iter().all(|call| call.operation == Operation::Put), "not only PUTs: {calls:?}");
        Ok(calls.len() as f64)
    })
}
