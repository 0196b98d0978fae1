//! Rows on their way from a file, an object or a query: read ahead by one batch.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tripline_model::source::SourcePartition;

use super::postgres::Query;
use crate::input::Input;
use crate::objects::Buckets;
use crate::source::{self, RecordSource, RowBatch, RowBatches};

/// What is read.
#[derive(Clone, Debug)]
pub(super) enum Source {
    File(Input),
    Query(Box<Query>),
}

impl Source {
    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(input) => input.name(),
            Self::Query(query) => query.name().to_owned(),
        }
    }

    /// Its size, compressed as it may be; that of a query is not known.
    pub(super) const fn bytes(&self) -> u64 {
        match self {
            Self::File(input) => input.bytes(),
            Self::Query(_) => 0,
        }
    }
}

/// What comes out of a source.
#[derive(Debug)]
pub(super) enum Rows {
    /// Rows that follow one another, and bytes of the source that have been read.
    Batch(RowBatch, u64),
    /// A saved event, whose records are those of a stream.
    Event(Vec<u8>),
    /// All of it has been read, but for a last line that has no end yet.
    End { unfinished: Option<u64> },
}

/// A source that is being read.
pub(super) struct Feed {
    /// What the journal knows it by; a saved event tells it itself.
    pub(super) lane: Option<SourcePartition>,
    pub(super) rows: mpsc::Receiver<anyhow::Result<Rows>>,
}

/// How sources are read.
#[derive(Clone, Debug)]
pub(super) struct FeedOptions {
    pub(super) buckets: Arc<Buckets>,
    pub(super) source_epoch: String,
    /// Rows of a batch at most.
    pub(super) rows: usize,
}

/// Opens a source and begins to read it.
pub(super) async fn open(source: &Source, options: FeedOptions) -> anyhow::Result<Feed> {
    let (to, rows) = mpsc::channel(1);
    let lane = match source {
        Source::Query(query) => {
            let lane = query.lane(&options.source_epoch);
            query.start(options.rows, to).await?;
            Some(lane)
        }
        Source::File(Input::File { path, .. }) => {
            let path = path.clone();
            match tokio::task::spawn_blocking(move || source::open(&path)).await?? {
                source::Source::Records(records) => {
                    let lane = records.lane(&options.source_epoch);
                    tokio::task::spawn_blocking(move || send(records, options.rows, &to));
                    Some(lane)
                }
                source::Source::SavedEvent(event) => {
                    // There is room for one.
                    let _ = to.send(Ok(Rows::Event(event.body))).await;
                    tokio::spawn(async move { to.send(Ok(Rows::End { unfinished: None })).await });
                    None
                }
            }
        }
        Source::File(Input::Object(object)) => {
            let spooled = options.buckets.fetch(object).await?;
            let lane = object.id.lane(&options.source_epoch);
            let id = object.id.clone();
            tokio::task::spawn_blocking(move || match source::open_fetched(&id, spooled.path()) {
                Ok(records) => send(records, options.rows, &to),
                Err(error) => drop(to.blocking_send(Err(error.into()))),
            });
            Some(lane)
        }
    };
    Ok(Feed { lane, rows })
}

/// Reads a file to its end, or until nobody listens any more.
fn send(records: RecordSource, rows: usize, to: &mpsc::Sender<anyhow::Result<Rows>>) {
    let mut batches = RowBatches::new(records, rows);
    loop {
        let batch = batches.next().transpose().context("what lies before it is in");
        let records = batches.source();
        let handed = match batch {
            Ok(Some(batch)) => to.blocking_send(Ok(Rows::Batch(batch, records.progress().bytes_read()))),
            Ok(None) => {
                // Nobody listens any more where the work has been given up.
                let _ = to.blocking_send(Ok(Rows::End { unfinished: records.unfinished() }));
                return;
            }
            Err(error) => {
                let _ = to.blocking_send(Err(error));
                return;
            }
        };
        if handed.is_err() {
            return;
        }
    }
}
