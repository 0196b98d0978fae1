//! How a run goes, for the person who watches: a live block on a terminal, else a line now and then.

mod meter;
mod render;
mod reporter;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tripline_model::pipeline::Target;

use super::delivered::Delivered;
pub(super) use reporter::Reporter;

/// What can be told of a run at any moment. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Status(Arc<Mutex<State>>);

/// A moment of a run.
#[derive(Clone, Debug)]
struct State {
    began: Instant,
    /// Shards, topic-partitions or files, by name.
    parts: BTreeMap<String, Part>,
    totals: Totals,
    /// Batches that were given up, and their records.
    given_up: (u64, u64),
    newest_ms: Option<i64>,
    /// When files were published last, and how many in all.
    published: Option<(Instant, u64)>,
    /// The watermark since then, milliseconds since 1970 UTC.
    watermark_ms: Option<i64>,
    is_publishing: bool,
    /// Bytes of files that were read, and that there are.
    bytes: Option<(u64, u64)>,
    /// What stands in the way, and since how many tries.
    trouble: Option<(u32, String)>,
}

/// Where reading is in a shard, topic-partition or file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The last position that is done; empty where there is none.
    pub(super) position: String,
    pub(super) lag: Option<Lag>,
    /// Records read in this run.
    pub(super) records: u64,
    pub(super) state: PartState,
}

/// How far behind its end reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lag {
    Time(Duration),
    Records(u64),
}

/// What goes on in a shard, topic-partition or file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PartState {
    #[default]
    Reading,
    /// Its records are being delivered.
    Delivering,
    /// Nothing new.
    Idle,
    /// It was split, merged or read to its end.
    Ended,
}

/// Numbers that grow. `None`: there is no such sink, or nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    read: u64,
    rows: Option<u64>,
    documents: Option<u64>,
    kinesis: Option<u64>,
    kafka: Option<u64>,
    duplicates: Option<u64>,
    dead_letters: Option<u64>,
}

impl Status {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            began: Instant::now(),
            parts: BTreeMap::new(),
            totals: Totals::default(),
            given_up: (0, 0),
            newest_ms: None,
            published: None,
            watermark_ms: None,
            is_publishing: false,
            bytes: None,
            trouble: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is told of a shard, topic-partition or file.
    pub(super) fn part(&self, name: &str, change: impl FnOnce(&mut Part)) {
        let mut state = self.state();
        match state.parts.get_mut(name) {
            Some(part) => change(part),
            None => {
                let mut part = Part::default();
                change(&mut part);
                state.parts.insert(name.to_owned(), part);
            }
        }
    }

    /// Forgets those that are not read here any more.
    pub(super) fn keep(&self, is_here: impl Fn(&str) -> bool) {
        self.state().parts.retain(|name, _| is_here(name));
    }

    /// Records read.
    pub(super) fn read(&self, records: u64) {
        self.state().totals.read = records;
    }

    /// Bytes of files that were read, and that there are.
    pub(super) fn bytes(&self, read: u64, all: u64) {
        self.state().bytes = Some((read, all));
    }

    /// What a function in this process says that it did.
    pub(super) fn counts(&self, delivered: &Delivered) {
        let mut state = self.state();
        let sent = |target| delivered.streams.get(&target).map(|counts| counts.taken);
        state.totals = Totals {
            read: state.totals.read,
            rows: Some(delivered.appended.rows),
            documents: delivered.search.as_ref().map(|search| search.created + search.updated),
            kinesis: sent(Target::Kinesis),
            kafka: sent(Target::Kafka),
            duplicates: Some(delivered.duplicates),
            dead_letters: Some(delivered.appended.dead_letters + delivered.sink_dead_letters),
        };
        state.newest_ms = delivered.event_time_max_ms;
    }

    /// Batches that were given up, and their records.
    pub(super) fn given_up(&self, given_up: (u64, u64)) {
        self.state().given_up = given_up;
    }

    /// Nothing stands in the way.
    pub(super) fn works(&self) {
        self.state().trouble = None;
    }

    /// Something does, so many times in a row.
    pub(super) fn fails(&self, times: u32, why: &str) {
        self.state().trouble = Some((times, why.to_owned()));
    }

    pub(super) fn publishing(&self) {
        self.state().is_publishing = true;
    }

    pub(super) fn published(&self, files: u64, watermark_ms: Option<i64>) {
        let mut state = self.state();
        let before = state.published.map_or(0, |(_, files)| files);
        state.is_publishing = false;
        state.watermark_ms = watermark_ms;
        if files > 0 || state.published.is_some() {
            state.published = Some((Instant::now(), before + files));
        }
    }
}
