//! The replay itself: what is due is sent, in chunks that are under way side by side, and counted once the
//! target has it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::checkpoint::{Checkpoint, Counts};
use super::event::Event;
use super::input::Handed;
use super::stage::{Item, Stage};
use super::target::{Capacity, Delivered, Target};

/// How often is looked whether to stop, to tell and to remember, where nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// Between two writes of the checkpoint.
const REMEMBER: Duration = Duration::from_secs(1);
/// Watermarks come that often, or after so many records, as the reference tool's.
const WATERMARK: Duration = Duration::from_secs(1);
const WATERMARK_RECORDS: u64 = 20_000;

/// What is told while a replay goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Telling {
    /// Since the replay began.
    pub(super) elapsed: Duration,
    /// Records that the target has from this run.
    pub(super) records: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// The latest event time among what was sent.
    pub(super) latest_ms: Option<i64>,
    /// How long after it was due the newest one was sent.
    pub(super) lag: Duration,
}

/// Told how far a replay is.
pub(super) trait Listener: Send {
    /// Called at every tick.
    fn progress(&mut self, telling: &Telling);
    /// Called as often as statistics are asked for.
    fn statistics(&mut self, telling: &Telling);
}

/// What a replay needs beside its events.
#[derive(Clone, Debug)]
pub(super) struct EngineOptions {
    /// Statistics are told that often; not at all if zero.
    pub(super) statistics: Duration,
    pub(super) watermarks: bool,
    /// Send in full chunks rather than soon: nothing is waited for.
    pub(super) unpaced: bool,
    pub(super) checkpoint: Option<PathBuf>,
    /// Set from outside: send no more, and see what is under way through.
    pub(super) stop: Arc<AtomicBool>,
}

/// What came of a replay.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How far it has come, earlier runs included.
    pub(super) checkpoint: Checkpoint,
    /// What the target has from this run.
    pub(super) counts: Counts,
    /// What was done for it.
    pub(super) delivered: Delivered,
    /// Watermark records.
    pub(super) watermarks: u64,
    /// Events that were taken from the input.
    pub(super) events: u64,
    pub(super) telling: Telling,
    /// Gaps of event time that were not waited for, and by how much in all.
    pub(super) cut: (u64, Duration),
    /// It was stopped from outside.
    pub(super) stopped: bool,
    /// What ended it early.
    pub(super) error: Option<anyhow::Error>,
}

/// A chunk whose turn is over.
enum Done {
    Chunk { first: u64, sent: Sent, result: anyhow::Result<Delivered> },
    Watermark(anyhow::Result<u64>),
}

/// What a chunk was.
#[derive(Clone, Copy, Debug)]
struct Sent {
    items: u64,
    counts: Counts,
    latest_ms: i64,
}

/// A replay.
pub(super) struct Engine {
    stage: Stage,
    target: Arc<dyn Target>,
    capacity: Capacity,
    options: EngineOptions,
    input: mpsc::Receiver<Handed>,
    input_open: bool,
    /// Why there is no more input, where that is not its end.
    unread: Option<anyhow::Error>,
    /// Events that the stage has not taken yet.
    incoming: VecDeque<Event>,
    ready: VecDeque<Item>,
    chunk: Vec<Item>,
    chunk_bytes: usize,
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Chunks that the target has before one with smaller numbers, by the first of their numbers.
    ahead: BTreeMap<u64, Sent>,
    /// Of all that the target has up to the checkpoint's number.
    latest_ms: Option<i64>,
    unmarked: u64,
    marked_at: Duration,
    marked_ms: Option<i64>,
    told_at: Duration,
    remembered_at: Duration,
    start: Instant,
    outcome: Outcome,
}

impl Engine {
    /// A replay that goes on from this checkpoint; its clock begins now.
    pub(super) fn new(
        stage: Stage,
        target: Arc<dyn Target>,
        input: mpsc::Receiver<Handed>,
        checkpoint: Checkpoint,
        options: EngineOptions,
        start: Instant,
    ) -> Self {
        let capacity = target.capacity();
        let outcome = Outcome {
            checkpoint,
            counts: Counts::default(),
            delivered: Delivered::default(),
            watermarks: 0,
            events: 0,
            telling: Telling::default(),
            cut: (0, Duration::ZERO),
            stopped: false,
            error: None,
        };
        Self {
            stage,
            target,
            capacity,
            options,
            input,
            input_open: true,
            unread: None,
            incoming: VecDeque::new(),
            ready: VecDeque::new(),
            chunk: Vec::new(),
            chunk_bytes: 0,
            in_flight: FuturesUnordered::new(),
            ahead: BTreeMap::new(),
            latest_ms: None,
            unmarked: 0,
            marked_at: Duration::ZERO,
            marked_ms: None,
            told_at: Duration::ZERO,
            remembered_at: Duration::ZERO,
            start,
            outcome,
        }
    }

    /// Sends everything, or what there is until it is stopped or something ends it. What is under way is always
    /// seen through.
    pub(super) async fn run(mut self, listener: &mut dyn Listener) -> Outcome {
        loop {
            let now = self.start.elapsed();
            self.tick(now, listener);
            if self.outcome.error.is_some() || self.outcome.stopped {
                break;
            }
            self.stage(now);
            self.collect(now);
            let is_full = self.ready.front().is_some_and(|item| item.due <= now);
            let is_last = self.ready.is_empty() && !self.input_open;
            let is_due = is_full || is_last || !self.options.unpaced;
            if is_due && !self.chunk.is_empty() && self.in_flight.len() < self.capacity.in_flight {
                self.dispatch();
                continue;
            }
            if is_last && self.chunk.is_empty() && self.in_flight.is_empty() {
                break;
            }
            self.wait(now).await;
        }
        while let Some(done) = self.in_flight.next().await {
            self.settle(done);
        }
        if let Some(error) = self.unread.take() {
            self.outcome.error.get_or_insert(error);
        }
        self.outcome.checkpoint.complete =
            self.outcome.error.is_none() && !self.outcome.stopped && self.ahead.is_empty();
        self.remember();
        self.outcome.events = self.stage.events();
        self.outcome.cut = self.stage.pacer.cut;
        self.outcome.telling.elapsed = self.start.elapsed();
        self.outcome
    }

    /// Makes items of events until one is ready, or no event has come yet.
    fn stage(&mut self, now: Duration) {
        while self.ready.is_empty() {
            if let Some(event) = self.incoming.pop_front() {
                self.stage.take(event, now, &mut self.ready);
                continue;
            }
            if !self.input_open {
                return;
            }
            match self.input.try_recv() {
                Ok(handed) => self.receive(Some(handed), now),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => self.receive(None, now),
            }
        }
    }

    fn receive(&mut self, handed: Option<Handed>, now: Duration) {
        match handed {
            Some(Handed::Events(events)) => self.incoming.extend(events),
            Some(Handed::End) => {
                self.input_open = false;
                self.stage.finish(now, &mut self.ready);
            }
            // What was read before goes out; what is held back stays, so that a later run has it in its turn.
            Some(Handed::Failed(error)) => {
                self.input_open = false;
                self.unread = Some(error);
            }
            None => {
                self.input_open = false;
                self.unread = Some(anyhow::anyhow!("reading ended in a panic; report it, please"));
            }
        }
    }

    /// Moves what is due into the chunk, while there is room.
    fn collect(&mut self, now: Duration) {
        while let Some(item) = self.ready.front() {
            let bytes = item.bytes();
            let has_room = self.chunk.len() < self.capacity.items
                && (self.chunk.is_empty() || self.chunk_bytes + bytes <= self.capacity.bytes);
            if item.due > now || !has_room {
                return;
            }
            self.outcome.telling.lag = now - item.due;
            if let Some(item) = self.ready.pop_front() {
                self.chunk_bytes += bytes;
                self.chunk.push(item);
            }
            if self.ready.is_empty() {
                self.stage(now);
            }
        }
    }

    fn dispatch(&mut self) {
        let items = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        let mut sent = Sent { items: items.len() as u64, counts: Counts::default(), latest_ms: i64::MIN };
        for item in &items {
            sent.counts.count(item);
            sent.latest_ms = sent.latest_ms.max(item.time_ms);
        }
        let first = items.first().map_or(0, |item| item.number);
        let target = Arc::clone(&self.target);
        self.in_flight.push(Box::pin(async move {
            let result = target.send(&items).await;
            Done::Chunk { first, sent, result }
        }));
    }

    /// Until something happens, or it is time to look around.
    async fn wait(&mut self, now: Duration) {
        let due = self.ready.front().map_or(TICK, |item| item.due.saturating_sub(now)).min(TICK);
        // Where the chunk is full, only an answer makes room.
        let due = if due.is_zero() { TICK } else { due };
        let wants_input = self.ready.is_empty() && self.input_open;
        tokio::select! {
            biased;
            Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => self.settle(done),
            handed = self.input.recv(), if wants_input => self.receive(handed, now),
            () = tokio::time::sleep(due) => {}
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Chunk { first, sent, result: Ok(delivered) } => self.count(first, sent, delivered),
            Done::Watermark(Ok(records)) => self.outcome.watermarks += records,
            Done::Chunk { result: Err(error), .. } | Done::Watermark(Err(error)) => {
                self.outcome.error.get_or_insert(error);
            }
        }
    }

    fn count(&mut self, first: u64, mut sent: Sent, delivered: Delivered) {
        sent.counts.refused = delivered.refused;
        let outcome = &mut self.outcome;
        outcome.delivered.refused += delivered.refused;
        outcome.delivered.refusal = outcome.delivered.refusal.take().or(delivered.refusal);
        outcome.delivered.requests += delivered.requests;
        outcome.delivered.retried += delivered.retried;
        outcome.delivered.throttled += delivered.throttled;
        outcome.counts.add(&sent.counts);
        outcome.telling.records = outcome.counts.records();
        outcome.telling.bytes = outcome.counts.bytes;
        outcome.telling.latest_ms = outcome.telling.latest_ms.max(Some(sent.latest_ms));
        self.ahead.insert(first, sent);
        while let Some(next) = self.ahead.remove(&outcome.checkpoint.next) {
            outcome.checkpoint.next += next.items;
            outcome.checkpoint.counts.add(&next.counts);
            self.latest_ms = self.latest_ms.max(Some(next.latest_ms));
            self.unmarked += next.items;
        }
    }

    fn tick(&mut self, now: Duration, listener: &mut dyn Listener) {
        self.outcome.telling.elapsed = now;
        if let Some(item) = self.ready.front() {
            self.outcome.telling.lag = self.outcome.telling.lag.max(now.saturating_sub(item.due));
        }
        listener.progress(&self.outcome.telling);
        if !self.options.statistics.is_zero() && now >= self.told_at + self.options.statistics {
            self.told_at = now;
            listener.statistics(&self.outcome.telling);
        }
        if now >= self.remembered_at + REMEMBER {
            self.remembered_at = now;
            self.remember();
        }
        if self.options.watermarks
            && (now >= self.marked_at + WATERMARK || self.unmarked >= WATERMARK_RECORDS)
        {
            self.mark(now);
        }
        self.outcome.stopped |= self.options.stop.load(Ordering::Relaxed);
    }

    /// Sends a watermark where there is a later one than before: everything up to it is in the target.
    fn mark(&mut self, now: Duration) {
        (self.marked_at, self.unmarked) = (now, 0);
        let Some(latest_ms) = self.latest_ms.filter(|_| self.latest_ms > self.marked_ms) else { return };
        self.marked_ms = Some(latest_ms);
        let target = Arc::clone(&self.target);
        self.in_flight.push(Box::pin(async move { Done::Watermark(target.watermark(latest_ms).await) }));
    }

    fn remember(&mut self) {
        if let Some(path) = &self.options.checkpoint
            && let Err(error) = self.outcome.checkpoint.save(path)
        {
            self.outcome.error.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::replay::pace::Pacer;
    use crate::replay::stage::{KeyRule, StageOptions};

    /// Notes when it was given what, and takes its time.
    #[derive(Debug)]
    struct Noting {
        start: Instant,
        took: Duration,
        capacity: Capacity,
        seen: Mutex<Vec<(Duration, u64)>>,
        fails_from: u64,
    }

    #[async_trait]
    impl Target for Noting {
        fn capacity(&self) -> Capacity {
            self.capacity
        }

        fn name(&self) -> String {
            "notes".to_owned()
        }

        async fn send(&self, items: &[Item]) -> anyhow::Result<Delivered> {
            let at = self.start.elapsed();
            tokio::time::sleep(self.took).await;
            for item in items {
                anyhow::ensure!(item.number < self.fails_from, "full");
                self.seen.lock().unwrap().push((at, item.number));
            }
            Ok(Delivered::default())
        }

        async fn watermark(&self, _: i64) -> anyhow::Result<u64> {
            Ok(1)
        }
    }

    #[derive(Default)]
    struct Silent(u64);

    impl Listener for Silent {
        fn progress(&mut self, _: &Telling) {}
        fn statistics(&mut self, _: &Telling) {
            self.0 += 1;
        }
    }

    const CAPACITY: Capacity = Capacity { items: 10, bytes: 1_000_000, in_flight: 2 };

    fn target(took: u64, capacity: Capacity) -> Noting {
        let (start, took) = (Instant::now(), Duration::from_millis(took));
        Noting { start, took, capacity, seen: Mutex::default(), fails_from: u64::MAX }
    }

    /// Events a second apart, at ten times their speed.
    async fn replay(
        target: Noting,
        events: u64,
        speedup: f64,
        stop: &Arc<AtomicBool>,
    ) -> (Outcome, Vec<(Duration, u64)>, u64) {
        let options = StageOptions {
            seed: 0,
            late: 0.0,
            duplicates: 0.0,
            poison: 0.0,
            late_by_ms: 1,
            key: KeyRule::Random,
            attribute: "at".to_owned(),
            adapt: false,
            newline: false,
            first: 0,
        };
        let (to, input) = mpsc::channel(8);
        tokio::spawn(async move {
            for number in 0..events {
                let time_ms = i64::try_from(number).unwrap() * 1000;
                let event =
                    Event { time_ms, is_timed: true, file: 0, position: number, data: b"{}".to_vec() };
                if to.send(Handed::Events(vec![event])).await.is_err() {
                    return;
                }
            }
            let _ = to.send(Handed::End).await;
        });
        let stage = Stage::new(options, Pacer::new(speedup, Duration::MAX), 0);
        let start = target.start;
        let target = Arc::new(target);
        let options = EngineOptions {
            statistics: Duration::from_secs(1),
            watermarks: true,
            unpaced: speedup == 0.0,
            checkpoint: None,
            stop: Arc::clone(stop),
        };
        let shared: Arc<dyn Target> = Arc::<Noting>::clone(&target);
        let engine = Engine::new(stage, shared, input, Checkpoint::new(String::new(), 0), options, start);
        let mut listener = Silent::default();
        let outcome = engine.run(&mut listener).await;
        let seen = target.seen.lock().unwrap().clone();
        (outcome, seen, listener.0)
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_sent_when_they_are_due_and_all_of_them() {
        let (outcome, mut seen, told) = replay(target(5, CAPACITY), 100, 10.0, &Arc::default()).await;
        seen.sort_by_key(|(_, number)| *number);
        assert_eq!(seen.len(), 100);
        let first = seen.first().unwrap().0;
        for (at, number) in &seen {
            let due = first + Duration::from_millis(number * 100);
            assert!(*at >= due && *at <= due + Duration::from_millis(10), "{number} at {at:?}");
        }
        assert_eq!((outcome.counts.records(), outcome.checkpoint.next), (100, 100));
        assert!(outcome.checkpoint.complete && outcome.error.is_none());
        // Ten seconds, and a watermark in each.
        assert!((8..=10).contains(&outcome.watermarks), "{}", outcome.watermarks);
        assert!((8..=10).contains(&told), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_is_too_slow_makes_a_lag_and_nothing_is_lost() {
        // 20 events a second at most, where 1,000 are due.
        let slow = target(500, Capacity { in_flight: 1, ..CAPACITY });
        let (outcome, seen, _) = replay(slow, 100, 1000.0, &Arc::default()).await;
        assert_eq!(seen.len(), 100);
        assert!(outcome.telling.lag > Duration::from_secs(4), "{:?}", outcome.telling.lag);
    }

    #[tokio::test(start_paused = true)]
    async fn unpaced_chunks_are_full() {
        let (outcome, seen, _) = replay(target(1, CAPACITY), 95, 0.0, &Arc::default()).await;
        assert_eq!((seen.len(), outcome.counts.events), (95, 95));
        let mut at: Vec<Duration> = seen.iter().map(|(at, _)| *at).collect();
        at.dedup();
        assert!(at.len() <= 10, "{at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replay_that_is_stopped_knows_what_the_target_has() {
        let stop = Arc::new(AtomicBool::new(false));
        let later = Arc::clone(&stop);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(2_950)).await;
            later.store(true, Ordering::Relaxed);
        });
        let (outcome, seen, _) = replay(target(300, CAPACITY), 100, 10.0, &stop).await;
        assert!(outcome.stopped && !outcome.checkpoint.complete);
        let next = outcome.checkpoint.next;
        assert!((20..50).contains(&next), "{next}");
        assert_eq!(seen.len() as u64, next);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_target_has_not_taken_is_not_counted() {
        let failing = Noting { fails_from: 42, ..target(5, Capacity { items: 1, ..CAPACITY }) };
        let (outcome, seen, _) = replay(failing, 100, 10.0, &Arc::default()).await;
        assert_eq!((outcome.checkpoint.next, seen.len()), (42, 42));
        assert_eq!(outcome.error.unwrap().to_string(), "full");
        assert!(!outcome.checkpoint.complete);
    }
}
