//! The events of what is replayed.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use super::event::{Event, time_of};
use super::order::{Events, Merge, Window, sorted};
use crate::input::Input;
use crate::objects::{BucketOptions, Buckets, ObjectKey};
use crate::source::{self, Entry, Progress, RecordSource, Source};

/// Events handed over at a time.
const CHUNK: usize = 500;
/// Bytes that a window holds at most, whatever its size in events.
const WINDOW_BYTES: usize = 256 << 20;

/// How events are put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As they are in the files, one file after the other.
    Unsorted,
    /// Files merged; what is off by no more than so many events is put right.
    Window { events: usize, open_files: usize },
    /// All of them, on disk beyond so many bytes of memory.
    Full { memory: usize, folder: PathBuf },
}

/// What is read and in which order.
#[derive(Clone, Debug)]
pub(super) struct ReadOptions {
    pub(super) attribute: String,
    pub(super) order: Order,
    /// Events before it are left out.
    pub(super) seek_ms: Option<i64>,
    /// Events at most.
    pub(super) limit: Option<u64>,
    pub(super) buckets: BucketOptions,
}

/// What reading has met, while it goes on.
#[derive(Debug, Default)]
pub(super) struct ReadStats {
    /// Events that tell no time.
    pub(super) untimed: AtomicU64,
    /// Lines longer than a record may be, left out.
    pub(super) oversize: AtomicU64,
    /// Events before the one where the replay begins.
    pub(super) skipped: AtomicU64,
    /// Events that came after a later one.
    pub(super) unordered: AtomicU64,
    progress: Mutex<Vec<Progress>>,
}

impl ReadStats {
    /// Bytes read, compressed as they may be.
    pub(super) fn bytes_read(&self) -> u64 {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.iter().map(|file| file.bytes_read().min(file.bytes_total())).sum()
    }
}

/// What the reading thread hands over.
#[derive(Debug)]
pub(super) enum Handed {
    Events(Vec<Event>),
    /// There are no more.
    End,
    /// It cannot go on. What was handed over before is good.
    Failed(anyhow::Error),
}

/// Reads on a thread of its own, some chunks ahead.
///
/// # Errors
/// When there can be no thread.
pub(super) fn start(
    inputs: Vec<Input>,
    options: ReadOptions,
    stats: Arc<ReadStats>,
) -> io::Result<mpsc::Receiver<Handed>> {
    let (to, from) = mpsc::channel(8);
    let read = move || {
        let last = match read(inputs, &options, &stats, &to) {
            Ok(()) => Handed::End,
            Err(error) => Handed::Failed(error),
        };
        // Nobody listens any more when the replay has been stopped.
        let _ = to.blocking_send(last);
    };
    std::thread::Builder::new().name("replay-reader".to_owned()).spawn(read)?;
    Ok(from)
}

fn read(
    inputs: Vec<Input>,
    options: &ReadOptions,
    stats: &Arc<ReadStats>,
    to: &mpsc::Sender<Handed>,
) -> anyhow::Result<()> {
    let mut spool = Spool { buckets: Buckets::new(options.buckets.clone()), runtime: None };
    let attribute = options.attribute.clone();
    let (count, opened) = (inputs.len(), Arc::clone(stats));
    let open = move |(file, input): (u32, Input)| -> anyhow::Result<Events> {
        Ok(Box::new(FileEvents::open(&input, file, &attribute, &mut spool, Arc::clone(&opened))?))
    };
    let at_once = match options.order {
        Order::Unsorted => 1,
        Order::Window { open_files, .. } => open_files,
        Order::Full { .. } => 1,
    };
    let merged = Merge::new((0..).zip(inputs).take(count), at_once, open);
    let (seek, skipped) = (options.seek_ms, Arc::clone(stats));
    let sought = merged.filter(move |event| {
        let early = matches!((event, seek), (Ok(event), Some(seek)) if event.time_ms < seek);
        skipped.skipped.fetch_add(u64::from(early), Ordering::Relaxed);
        !early
    });
    let ordered: Events = match &options.order {
        Order::Unsorted => Box::new(sought),
        Order::Window { events, .. } => Box::new(Window::new(sought, *events, WINDOW_BYTES)),
        Order::Full { memory, folder } => sorted(sought, *memory, folder)?,
    };
    let limit = options.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (mut chunk, mut latest) = (Vec::with_capacity(CHUNK), i64::MIN);
    let mut failure = None;
    for event in ordered.take(limit) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        stats.unordered.fetch_add(u64::from(event.time_ms < latest), Ordering::Relaxed);
        latest = latest.max(event.time_ms);
        chunk.push(event);
        if chunk.len() == CHUNK {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            if to.blocking_send(Handed::Events(full)).is_err() {
                return Ok(());
            }
        }
    }
    if !chunk.is_empty() && to.blocking_send(Handed::Events(chunk)).is_err() {
        return Ok(());
    }
    failure.map_or(Ok(()), Err)
}

/// Brings objects here, by a runtime of the reading thread.
struct Spool {
    buckets: Buckets,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Spool {
    fn fetch(&mut self, object: &ObjectKey) -> anyhow::Result<NamedTempFile> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        };
        let fetched = runtime.block_on(self.buckets.fetch(object));
        self.runtime = Some(runtime);
        fetched
    }
}

/// The events of one file.
struct FileEvents {
    records: RecordSource,
    file: u32,
    attribute: String,
    stats: Arc<ReadStats>,
    latest_ms: Option<i64>,
    /// Events at the beginning that tell no time, and the first that does.
    ahead: VecDeque<Event>,
    /// Goes when the file has been read.
    _spooled: Option<NamedTempFile>,
}

impl FileEvents {
    fn open(
        input: &Input,
        file: u32,
        attribute: &str,
        spool: &mut Spool,
        stats: Arc<ReadStats>,
    ) -> anyhow::Result<Self> {
        let (path, spooled) = match input {
            Input::File { path, .. } => (path.clone(), None),
            Input::Object(object) => {
                let spooled = spool.fetch(object)?;
                (spooled.path().to_owned(), Some(spooled))
            }
        };
        let Source::Records(records) = source::open_whole(&path).with_context(|| input.name())? else {
            bail!("{}: a saved Lambda event cannot be replayed; give files of events", input.name());
        };
        stats.progress.lock().unwrap_or_else(PoisonError::into_inner).push(records.progress().clone());
        let attribute = attribute.to_owned();
        Ok(Self {
            records,
            file,
            attribute,
            stats,
            latest_ms: None,
            ahead: VecDeque::new(),
            _spooled: spooled,
        })
    }

    fn read(&mut self) -> anyhow::Result<Option<Event>> {
        for entry in self.records.by_ref() {
            match entry? {
                Entry::Oversize { .. } => {
                    self.stats.oversize.fetch_add(1, Ordering::Relaxed);
                }
                Entry::Record(record) => {
                    let told = time_of(&record.data, &self.attribute);
                    self.stats.untimed.fetch_add(u64::from(told.is_none()), Ordering::Relaxed);
                    self.latest_ms = told.or(self.latest_ms);
                    return Ok(Some(Event {
                        time_ms: self.latest_ms.unwrap_or_default(),
                        is_timed: told.is_some(),
                        file: self.file,
                        position: record.position,
                        data: record.data,
                    }));
                }
            }
        }
        Ok(None)
    }

    fn step(&mut self) -> anyhow::Result<Option<Event>> {
        if let Some(event) = self.ahead.pop_front() {
            return Ok(Some(event));
        }
        let begins = self.latest_ms.is_none();
        let Some(event) = self.read()? else { return Ok(None) };
        if !begins || event.is_timed {
            return Ok(Some(event));
        }
        // They stand before the first event that tells its time, and take that; some thousands at most, lest a
        // file without any be held in memory.
        self.ahead.push_back(event);
        while self.ahead.len() < 10_000 {
            let Some(event) = self.read()? else { break };
            self.ahead.push_back(event);
            if self.latest_ms.is_some() {
                break;
            }
        }
        let first_ms = *self.latest_ms.get_or_insert(0);
        for event in &mut self.ahead {
            event.time_ms = first_ms;
        }
        Ok(self.ahead.pop_front())
    }
}

impl Iterator for FileEvents {
    type Item = anyhow::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
