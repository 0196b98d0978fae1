//! Files as the source: each is one source partition.

use std::path::{Path, PathBuf};

use tripline_stream::mapping::delivery::ShardBatch;
use tripline_stream::mapping::{Batcher, MappingSettings, PutRecord, ShardOrigin};
use tripline_stream::{Event, PartitionRecords};

use super::Run;
use super::status::PartState;
use crate::source::{self, Entry, RecordSource, Source};

impl Run {
    /// Delivers files, one after the other.
    pub(super) async fn files(&mut self, files: &[PathBuf]) -> anyhow::Result<()> {
        let bytes = |path: &PathBuf| path.metadata().map_or(0, |file| file.len());
        let (mut before, all) = (0, files.iter().map(bytes).sum());
        for path in files {
            self.mapping.status.bytes(before, all);
            match source::open(path)? {
                Source::Records(records) => self.records(path, records, (before, all)).await?,
                Source::SavedEvent(event) => self.saved_event(&event.body).await?,
            }
            before += bytes(path);
            self.mapping.status.keep(|_| false);
            self.mapping.status.bytes(before, all);
        }
        Ok(())
    }

    /// Delivers a file's records as batches of one shard. `bytes`: of the files before it, and of all.
    async fn records(
        &mut self,
        path: &Path,
        mut records: RecordSource,
        bytes: (u64, u64),
    ) -> anyhow::Result<()> {
        let lane = records.lane("");
        let origin = ShardOrigin {
            source: lane.source,
            shard: lane.partition,
            invoke_identity_arn: "local".to_owned(),
        };
        let (name, mut count) = (path.display().to_string(), 0);
        let settings = MappingSettings { batch_size: self.batch_size, ..self.mapping.settings };
        let mut batcher = Batcher::new(origin.clone(), settings);
        while let Some(entry) = records.next() {
            match entry? {
                Entry::Record(record) => {
                    count += 1;
                    self.has_read(1);
                    if let Some(batch) = batcher.push(PutRecord::from(record)) {
                        self.show_file(&name, count, &batch);
                        self.deliver(&origin, &batch).await?;
                        self.mapping.status.bytes(bytes.0 + records.progress().bytes_read(), bytes.1);
                    }
                }
                Entry::Oversize { position, bytes } => self.notes.push(format!(
                    "{}:{position}: left out, {bytes} bytes are more than a stream's record may have",
                    records.path().display()
                )),
            }
        }
        if let Some(batch) = batcher.finish() {
            self.show_file(&name, count, &batch);
            self.deliver(&origin, &batch).await?;
        }
        if let Some(position) = records.unfinished() {
            self.notes.push(format!(
                "{}:{position}: left for the next run, the line has no end yet",
                records.path().display()
            ));
        }
        Ok(())
    }

    fn show_file(&self, name: &str, records: u64, batch: &[PutRecord]) {
        self.mapping.status.part(name, |part| {
            part.records = records;
            part.state = PartState::Delivering;
            part.position = batch.last().map(|last| last.sequence.to_string()).unwrap_or_default();
        });
    }

    /// Delivers a batch of a shard. Returns whether it is done: it is not if the run is stopped before.
    pub(super) async fn deliver(
        &mut self,
        origin: &ShardOrigin,
        records: &[PutRecord],
    ) -> anyhow::Result<bool> {
        let is_done = self.mapping.deliver_shard(ShardBatch { origin, records }).await?;
        if is_done {
            self.is_delivered().await?;
        }
        Ok(is_done)
    }

    async fn saved_event(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let mut arena = Vec::new();
        // What is no event at all is refused by the function, in its own words.
        let records = Event::parse(body, &mut arena, "").map_or(0, |event| {
            event.partitions.iter().map(|PartitionRecords { records, .. }| records.len() as u64).sum()
        });
        self.mapping.deliver_event(body).await?;
        self.has_read(records);
        self.batches += 1;
        Ok(())
    }
}
