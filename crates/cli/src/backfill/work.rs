//! Sources side by side: each worker takes the next one, and one place counts and publishes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tripline_ingest::{Ingest, Place};
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_lake::publish::Publisher;

use super::feed::{Feed, FeedOptions, Rows, Source, open};
use crate::objects::Buckets;
use crate::publish::all;
use crate::send::{INVOCATION_MS, Outcome, send_counted};
use crate::text::grouped;

/// What there is to do, and with what.
pub(super) struct Work {
    pub(super) ingest: Arc<Ingest>,
    pub(super) buckets: Arc<Buckets>,
    pub(super) source_epoch: String,
    /// Rows of a batch at most.
    pub(super) rows: usize,
    /// Sources worked on at a time.
    pub(super) at_once: usize,
    /// `None` where others publish.
    pub(super) publisher: Option<Publisher>,
    /// Batches between two publish runs.
    pub(super) publish_every: u64,
}

/// What it came to.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Sources that are in as a whole.
    pub(super) done: u64,
    pub(super) records: u64,
    pub(super) outcome: Outcome,
    /// Files published, and their bytes.
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    /// What is to be told at the end.
    pub(super) notes: Vec<String>,
    /// Sources that could not be read as a whole, and lanes that stand still.
    failed: u64,
    /// What ended the work before its time.
    pub(super) fault: Option<anyhow::Error>,
}

impl Sum {
    pub(super) const fn is_whole(&self) -> bool {
        self.failed == 0
    }
}

/// What a worker has to tell.
enum Told {
    Batch {
        records: u64,
        outcome: Outcome,
        bytes: u64,
    },
    Done,
    Note(String),
    /// A source cannot be read; the others can.
    Unreadable(String),
    /// A sink does not take rows, or the database does not give them.
    Failed(anyhow::Error),
}

impl Work {
    /// Works until every source is done, or a sink, the database or publishing fails; publishes what is in.
    pub(super) async fn run(self, sources: Vec<Source>, bytes: u64) -> Sum {
        let (to, mut told) = mpsc::channel(self.at_once * 2);
        let queue = Arc::new(Queue { sources: Mutex::new(sources.into()), closed: AtomicBool::new(false) });
        let mut workers = JoinSet::new();
        let options = FeedOptions {
            buckets: Arc::clone(&self.buckets),
            source_epoch: self.source_epoch.clone(),
            rows: self.rows,
        };
        for _ in 0..self.at_once {
            let (queue, ingest) = (Arc::clone(&queue), Arc::clone(&self.ingest));
            let worker = Worker { ingest, options: options.clone(), to: to.clone(), queue };
            workers.spawn(async move {
                while let Some(source) = worker.queue.next() {
                    if let Err(error) = worker.work(&source).await.with_context(|| source.name()) {
                        worker.queue.close();
                        worker.tell(Told::Failed(error)).await?;
                    }
                }
                anyhow::Ok(())
            });
        }
        drop(to);
        let (bar, mut sum, mut batches) = (progress_bar(bytes), Sum::default(), 0_u64);
        while let Some(told) = told.recv().await {
            match told {
                Told::Batch { records, outcome, bytes } => {
                    sum.records += records;
                    sum.outcome.add(&outcome);
                    bar.inc(bytes);
                    bar.set_message(format!(
                        "{} records, {} files done",
                        grouped(sum.records),
                        grouped(sum.done)
                    ));
                    batches += 1;
                    if batches.is_multiple_of(self.publish_every) {
                        self.publish_or_close(&mut sum, &queue).await;
                    }
                }
                Told::Failed(error) => {
                    sum.fault.get_or_insert(error);
                }
                Told::Done => sum.done += 1,
                Told::Note(note) => sum.notes.push(note),
                Told::Unreadable(why) => {
                    sum.failed += 1;
                    sum.notes.push(why);
                }
            }
        }
        while let Some(worker) = workers.join_next().await {
            if let Err(error) = worker.map_err(anyhow::Error::from).flatten() {
                sum.fault.get_or_insert(error);
            }
        }
        bar.set_message("publishing");
        self.publish_or_close(&mut sum, &queue).await;
        bar.finish_and_clear();
        sum
    }

    async fn publish_or_close(&self, sum: &mut Sum, queue: &Queue) {
        if let Err(error) = self.publish(sum).await {
            queue.close();
            sum.fault.get_or_insert(error);
        }
    }

    async fn publish(&self, sum: &mut Sum) -> anyhow::Result<()> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let report = all(publisher).await?;
        sum.files += report.files.len() as u64;
        sum.file_bytes += report.files.iter().map(|file| file.bytes).sum::<u64>();
        for lane in &report.stopped {
            let note = format!("lane {} stands still at entry {}: {}", lane.folder, lane.entry, lane.reason);
            if !sum.notes.contains(&note) {
                sum.failed += 1;
                sum.notes.push(note);
            }
        }
        Ok(())
    }
}

/// Sources that nobody works on yet.
struct Queue {
    sources: Mutex<VecDeque<Source>>,
    closed: AtomicBool,
}

impl Queue {
    fn next(&self) -> Option<Source> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() { None } else { sources.pop_front() }
    }

    /// No other source is begun, and those under way end with their batches.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Takes sources in, one after the other.
struct Worker {
    ingest: Arc<Ingest>,
    options: FeedOptions,
    to: mpsc::Sender<Told>,
    queue: Arc<Queue>,
}

impl Worker {
    async fn work(&self, source: &Source) -> anyhow::Result<()> {
        let feed = match open(source, self.options.clone()).await {
            Ok(feed) => feed,
            Err(error) if matches!(source, Source::File(_)) => {
                return self.tell(Told::Unreadable(format!("{error:#}"))).await;
            }
            Err(error) => return Err(error),
        };
        let Feed { lane, mut rows } = feed;
        let mut bytes_told = 0;
        while let Some(next) = rows.recv().await {
            if self.queue.is_closed() {
                return Ok(());
            }
            let (batch, bytes) = match next {
                Ok(Rows::Batch(batch, bytes)) => (batch, bytes),
                Ok(Rows::Event(body)) => {
                    self.event(&body).await?;
                    continue;
                }
                Ok(Rows::End { unfinished }) => {
                    if let Some(position) = unfinished {
                        let note = format!(
                            "{}:{position}: left for the next back-fill, the line has no end yet",
                            source.name()
                        );
                        self.tell(Told::Note(note)).await?;
                    }
                    return self.tell(Told::Done).await;
                }
                Err(error) if matches!(source, Source::File(_)) => {
                    return self.tell(Told::Unreadable(format!("{error:#}"))).await;
                }
                Err(error) => return Err(error),
            };
            for (position, bytes) in &batch.oversize {
                let note = format!(
                    "{}:{position}: left out, {bytes} bytes are more than a stream's record may have",
                    source.name()
                );
                self.tell(Told::Note(note)).await?;
            }
            let Some(lane) = &lane else { continue };
            let mut outcome = Outcome::default();
            let sent =
                send_counted(&self.ingest, Place::of(lane), &batch.source_records(), &mut outcome).await;
            let records = batch.records.len() as u64;
            self.tell(Told::Batch { records, outcome, bytes: bytes.saturating_sub(bytes_told) }).await?;
            sent?;
            bytes_told = bytes_told.max(bytes);
        }
        bail!("its reader ended without a word; please report it")
    }

    /// A saved event goes in as its mapping would deliver it.
    async fn event(&self, body: &[u8]) -> anyhow::Result<()> {
        let answer = self.ingest.handle(body, SystemClock.now_ms() + INVOCATION_MS).await?;
        if !answer.response.is_success() {
            bail!("the function refuses records of the saved event");
        }
        let batch = answer.batch;
        let outcome = Outcome {
            rows: batch.counts.rows,
            dead_letters: batch.counts.dead_letters + batch.sink_dead_letters,
            duplicates: batch.duplicates,
            documents: batch.search.created + batch.search.updated,
            forwarded: batch.streams.values().map(|counts| counts.taken).sum(),
        };
        self.tell(Told::Batch { records: batch.delivered, outcome, bytes: 0 }).await
    }

    async fn tell(&self, what: Told) -> anyhow::Result<()> {
        // Who counts has given up, and says why.
        self.to.send(what).await.map_err(|_| anyhow::anyhow!("the back-fill was given up"))
    }
}

fn progress_bar(bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {elapsed}  {wide_msg}");
    // Drawn to standard error, and only to a terminal.
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
