//! The poller's thread.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tripline_stream::mapping::kafka::{TopicPartition, TopicRecord};

use super::record::{ENVELOPE_BYTES, event_bytes, partition_bytes, record};
use super::{Batch, Done, FailedAt, PartitionState, PollSettings, Snapshot, Start};
use crate::connection::{Connection, Context};
use crate::error::KafkaError;

/// What the thread is asked.
pub(super) enum Command {
    Next(oneshot::Sender<Result<Batch, KafkaError>>),
    Done { batch: Batch, failed: Vec<FailedAt>, reply: oneshot::Sender<Done> },
    Lag(oneshot::Sender<Option<u64>>),
    Close(oneshot::Sender<()>),
}

/// How long a look for records lasts: while one is wanted, and while none is.
const WANTED: Duration = Duration::from_millis(20);
const UNWANTED: Duration = Duration::from_millis(3);

/// Messages taken in between two looks at the commands.
const RUN: usize = 1_000;

/// Batches' worth of records that wait here at most. Fetching pauses then, and begins anew after.
const BATCHES_AHEAD: usize = 3;

/// How long an answer to a batch waits for the brokers to have its offsets.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// As long at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// How often other members' offsets are asked for, once there is nothing left to do here.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(500);

const RETRY: Duration = Duration::from_millis(200);

/// How long a question to the brokers may hold everything else up.
const ASK: Duration = Duration::from_secs(5);

/// How long a refusal must stand until it is believed: of a client that was never let in, and of one that
/// was. Brokers that start say for a moment that a topic is not there.
const BELIEVE: Duration = Duration::from_secs(3);
const BELIEVE_LATER: Duration = Duration::from_secs(30);

/// A topic-partition.
type Key = (String, i32);

/// A topic-partition that is assigned here.
struct Part {
    /// Tells this assignment from others of the same partition.
    epoch: u64,
    /// The first offset that is not done.
    next: Option<i64>,
    /// All that there is has been fetched.
    fetched_all: bool,
    /// Records here: gathered or handed out.
    held: usize,
}

struct Gathered {
    key: Key,
    epoch: u64,
    bytes: usize,
    record: TopicRecord,
}

/// An answer that waits for its offsets to be committed.
struct Answer {
    reply: oneshot::Sender<Done>,
    lost: Vec<Key>,
    until: Instant,
}

/// Offsets on their way to the brokers.
struct Commit {
    offsets: BTreeMap<Key, (u64, i64)>,
}

pub(super) struct Worker {
    consumer: Arc<BaseConsumer<PollContext>>,
    committer: Committer,
    connection: Connection,
    topics: Vec<String>,
    start: Start,
    settings: PollSettings,
    commands: Receiver<Command>,
    snapshot: Arc<Mutex<Snapshot>>,

    /// The group has said what is assigned here.
    joined: bool,
    epochs: u64,
    parts: BTreeMap<Key, Part>,
    /// Where all partitions of the topics began and ended at start, whoever has them.
    ends: BTreeMap<Key, (i64, i64)>,
    /// All topics have said which partitions they have.
    knows_all: bool,
    /// Partitions that others have are done too, as far as was asked.
    is_done_elsewhere: bool,
    /// When to ask again where partitions begin and end.
    ask_at: Instant,

    gathered: VecDeque<Gathered>,
    gathered_bytes: usize,
    since: Option<Instant>,
    /// Whether fetching is paused; `None` when partitions came that were not told.
    paused: Option<bool>,
    handed_out: bool,
    wanted: Option<oneshot::Sender<Result<Batch, KafkaError>>>,
    refusal: Option<KafkaError>,
    /// When to see whether topics are really not there.
    doubted: Option<Instant>,

    to_commit: BTreeMap<Key, (u64, i64)>,
    commit: Option<Commit>,
    commit_at: Instant,
    answer: Option<Answer>,
    closing: Option<(oneshot::Sender<()>, Instant)>,
}

impl Worker {
    pub(super) fn new(
        consumer: BaseConsumer<PollContext>,
        connection: Connection,
        topics: Vec<String>,
        start: Start,
        settings: PollSettings,
        commands: Receiver<Command>,
        snapshot: Arc<Mutex<Snapshot>>,
    ) -> Result<Self, KafkaError> {
        let now = Instant::now();
        let consumer = Arc::new(consumer);
        let committer = Committer::start(Arc::clone(&consumer))?;
        Ok(Self {
            consumer,
            committer,
            connection,
            topics,
            start,
            settings,
            commands,
            snapshot,
            joined: false,
            epochs: 0,
            parts: BTreeMap::new(),
            ends: BTreeMap::new(),
            knows_all: false,
            is_done_elsewhere: false,
            ask_at: now,
            gathered: VecDeque::new(),
            gathered_bytes: 0,
            since: None,
            paused: Some(false),
            handed_out: false,
            wanted: None,
            refusal: None,
            doubted: None,
            to_commit: BTreeMap::new(),
            commit: None,
            commit_at: now,
            answer: None,
            closing: None,
        })
    }

    /// Works until the poller is dropped or closed.
    pub(super) fn run(mut self) {
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) if self.closing.is_some() => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.gather();
            self.ask();
            self.look_for_refusals();
            self.commit();
            self.keep_pace();
            self.hand_out();
            self.show();
            if let Some((_, until)) = &self.closing
                && (self.is_committed() || Instant::now() >= *until)
            {
                let Some((reply, _)) = self.closing.take() else { return };
                let has_idle_committer = self.commit.is_none();
                let Self { consumer, committer, .. } = self;
                committer.end(has_idle_committer);
                // The last one leaves the group.
                drop(consumer);
                let _ = reply.send(());
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Next(reply) if self.handed_out => drop(reply.send(Err(KafkaError::Unanswered))),
            Command::Next(reply) => match self.refusal.take() {
                Some(refusal) => drop(reply.send(Err(refusal))),
                None => self.wanted = Some(reply),
            },
            Command::Done { batch, failed, reply } => self.done(batch, &failed, reply),
            Command::Lag(reply) => drop(reply.send(self.lag())),
            Command::Close(reply) => self.closing = Some((reply, Instant::now() + CLOSE_PATIENCE)),
        }
    }

    /// Takes in what the client has: messages, rebalances, answers to commits.
    fn gather(&mut self) {
        let is_full = self.is_batch_full();
        let mut wait = if self.wanted.is_some() && !is_full { WANTED } else { UNWANTED };
        if is_full && self.wanted.is_some() {
            wait = Duration::ZERO;
        }
        for _ in 0..RUN {
            let gathered = match self.consumer.poll(wait) {
                None => None,
                Some(Ok(message)) => {
                    let key = (message.topic().to_owned(), message.partition());
                    Some(Ok((key, record(&message))))
                }
                Some(Err(error)) => Some(Err(error)),
            };
            // Told before the message that comes after them.
            let is_told = self.take_in();
            match gathered {
                None if is_told => {}
                None => break,
                Some(Ok((key, record))) => self.keep(key, record),
                Some(Err(error)) => self.hear(&error),
            }
            wait = Duration::ZERO;
        }
    }

    fn keep(&mut self, key: Key, record: TopicRecord) {
        self.consumer.context().client.works();
        let Some(part) = self.parts.get_mut(&key) else { return };
        part.fetched_all = false;
        part.held += 1;
        let bytes = event_bytes(&key.0, &record);
        self.gathered_bytes += bytes;
        self.since.get_or_insert_with(Instant::now);
        self.gathered.push_back(Gathered { key, epoch: part.epoch, bytes, record });
    }

    /// What the context heard. Whether there was anything.
    fn take_in(&mut self) -> bool {
        let heard = mem::take(&mut *self.consumer.context().heard());
        let is_any = !heard.is_empty();
        for heard in heard {
            match heard {
                Heard::Assigned(keys) => self.assigned(keys),
                Heard::Revoked(keys) => self.revoked(&keys),
                Heard::Committed(error) => self.committed(error),
            }
        }
        is_any
    }

    fn assigned(&mut self, keys: Vec<Key>) {
        tracing::debug!(partitions = ?keys, "Kafka partitions are assigned");
        self.consumer.context().client.works();
        self.joined = true;
        for key in keys {
            self.epochs += 1;
            let part = Part { epoch: self.epochs, next: None, fetched_all: false, held: 0 };
            self.parts.insert(key, part);
        }
        self.ask_at = Instant::now();
        self.paused = None;
    }

    /// Forgets all about partitions that are somebody else's now.
    fn revoked(&mut self, keys: &[Key]) {
        tracing::debug!(partitions = ?keys, "Kafka partitions are revoked");
        self.is_done_elsewhere = false;
        for key in keys {
            self.parts.remove(key);
            if self.to_commit.remove(key).is_some() {
                self.lost(key.clone());
            }
        }
        // With none left the group is about to answer anew, be it that this member gets none.
        self.joined &= !self.parts.is_empty();
        let parts = &self.parts;
        self.gathered.retain(|gathered| parts.contains_key(&gathered.key));
        self.gathered_bytes = self.gathered.iter().map(|gathered| gathered.bytes).sum();
        if self.gathered.is_empty() {
            self.since = None;
        }
    }

    fn hear(&mut self, error: &ClientError) {
        match error {
            ClientError::PartitionEOF(partition) => {
                // The client does not say which topic's: told apart only where there is one.
                if let [topic] = self.topics.as_slice()
                    && let Some(part) = self.parts.get_mut(&(topic.clone(), *partition))
                {
                    part.fetched_all = true;
                }
            }
            error => match error.rdkafka_error_code() {
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                    self.doubted.get_or_insert_with(|| Instant::now() + BELIEVE);
                }
                Some(code @ (Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed)) => {
                    self.refuse(code, None);
                }
                _ => match self.consumer.client().fatal_error() {
                    Some((code, detail)) => self.refuse(code, Some(&detail)),
                    None => tracing::info!(%error, "the Kafka poller goes on trying"),
                },
            },
        }
    }

    fn refuse(&mut self, code: Code, detail: Option<&str>) {
        let reason = self.connection.explain(code, &self.topics.join(", "), detail);
        self.refusal = Some(KafkaError::Refused { reason });
    }

    fn look_for_refusals(&mut self) {
        if self.doubted.is_some_and(|at| Instant::now() >= at) {
            self.doubted = None;
            for topic in self.topics.clone() {
                let is_missing = match self.consumer.fetch_metadata(Some(&topic), ASK) {
                    Ok(metadata) => metadata.topics().iter().any(|topic| {
                        topic.error().is_some_and(|error| Code::from(error) == Code::UnknownTopicOrPartition)
                    }),
                    // Then it is not known.
                    Err(_) => false,
                };
                if is_missing {
                    let reason = self.connection.explain(Code::UnknownTopicOrPartition, &topic, None);
                    self.refusal = Some(KafkaError::Refused { reason });
                    // As long as it is not made, each further call says so too.
                    self.doubted = Some(Instant::now() + BELIEVE);
                    break;
                }
            }
        }
        let trouble = self.consumer.context().client.trouble().filter(|trouble| trouble.is_refusal());
        if let Some(trouble) = trouble
            && self.wanted.is_some()
            && trouble.since.elapsed() >= if self.joined { BELIEVE_LATER } else { BELIEVE }
        {
            self.refuse(trouble.code, Some(&trouble.detail));
        }
        if let Some(refusal) = self.refusal.take() {
            match self.wanted.take() {
                Some(wanted) => drop(wanted.send(Err(refusal))),
                None => self.refusal = Some(refusal),
            }
        }
    }

    /// Asks the brokers where partitions begin and end, and how far others have come with theirs.
    fn ask(&mut self) {
        if !self.joined || Instant::now() < self.ask_at {
            return;
        }
        let asked = self.know_all().and_then(|()| self.know_parts()).and_then(|()| self.look_elsewhere());
        let wait = match asked {
            Ok(()) => LOOK_ELSEWHERE,
            Err(error) => {
                tracing::debug!(%error, "where Kafka partitions begin and end is asked again");
                RETRY
            }
        };
        self.ask_at = Instant::now() + wait;
    }

    /// Learns once where all partitions of the topics begin and end.
    fn know_all(&mut self) -> KafkaResult<()> {
        if self.knows_all {
            return Ok(());
        }
        for topic in &self.topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), ASK)?;
            let partitions: Vec<i32> = metadata
                .topics()
                .iter()
                .filter(|found| found.name() == topic && found.error().is_none())
                .flat_map(|found| found.partitions().iter().map(|partition| partition.id()))
                .collect();
            if partitions.is_empty() {
                return Err(ClientError::MetadataFetch(Code::UnknownTopicOrPartition));
            }
            for partition in partitions {
                let key = (topic.clone(), partition);
                if !self.ends.contains_key(&key) {
                    let ends = self.consumer.fetch_watermarks(topic, partition, ASK)?;
                    self.ends.insert(key, ends);
                }
            }
        }
        self.knows_all = true;
        Ok(())
    }

    /// Learns where partitions that are new here begin.
    fn know_parts(&mut self) -> KafkaResult<()> {
        let is_new = |(_, part): &(&Key, &Part)| part.next.is_none();
        let keys: Vec<Key> = self.parts.iter().filter(is_new).map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let committed = self.group_offsets(&keys)?;
        for (key, committed) in keys.into_iter().zip(committed) {
            let (low, high) = match self.ends.get(&key) {
                Some(ends) => *ends,
                // Added to the topic since.
                None => self.consumer.fetch_watermarks(&key.0, key.1, ASK)?,
            };
            let start = match (committed, self.start) {
                (Some(offset), _) => offset.max(low),
                (None, Start::TrimHorizon) => low,
                (None, Start::Latest) => high,
            };
            if let Some(part) = self.parts.get_mut(&key) {
                part.next.get_or_insert(start);
            }
        }
        Ok(())
    }

    /// Once all is done here, sees whether other members are done too.
    fn look_elsewhere(&mut self) -> KafkaResult<()> {
        self.is_done_elsewhere = false;
        if !self.is_done_here() {
            return Ok(());
        }
        let others = self.ends.iter().filter(|(key, _)| !self.parts.contains_key(*key));
        let (keys, ends): (Vec<Key>, Vec<(i64, i64)>) =
            others.map(|(key, ends)| (key.clone(), *ends)).unzip();
        let committed = self.group_offsets(&keys)?;
        self.is_done_elsewhere =
            committed.iter().zip(&ends).all(|(committed, (low, high))| match committed {
                Some(offset) => offset >= high,
                None => self.start == Start::Latest || low == high,
            });
        Ok(())
    }

    /// The group's committed offsets, where it has some.
    fn group_offsets(&self, keys: &[Key]) -> KafkaResult<Vec<Option<i64>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::new();
        for (topic, partition) in keys {
            list.add_partition(topic, *partition);
        }
        let committed = self.consumer.committed_offsets(list, ASK)?;
        let offsets = keys.iter().map(|(topic, partition)| {
            match committed.find_partition(topic, *partition).map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            }
        });
        Ok(offsets.collect())
    }

    fn is_done_here(&self) -> bool {
        self.parts.iter().all(|(key, part)| match (part.next, self.ends.get(key)) {
            // Records of a transaction's ends are never handed out: a fetch that found no more says it too.
            (Some(next), Some((_, end))) => next >= *end || (part.fetched_all && part.held == 0),
            // Added since the start.
            (Some(_), None) => true,
            (None, _) => false,
        })
    }

    fn lag(&self) -> Option<u64> {
        let mut lag = 0;
        for ((topic, partition), part) in &self.parts {
            let (_, high) = self.consumer.fetch_watermarks(topic, *partition, ASK).ok()?;
            lag += u64::try_from(high - part.next?).unwrap_or_default();
        }
        self.joined.then_some(lag)
    }

    fn is_batch_full(&self) -> bool {
        self.gathered.len() >= self.settings.batch_size.max(1)
            || self.gathered_bytes + ENVELOPE_BYTES >= self.settings.payload_bytes
    }

    /// Stops fetching while there is enough here, and goes on when there is not. Polling goes on all the
    /// time, or the group would think that this member is gone.
    fn keep_pace(&mut self) {
        let records = self.settings.batch_size.max(1).saturating_mul(BATCHES_AHEAD);
        let bytes = self.settings.payload_bytes.saturating_mul(BATCHES_AHEAD);
        let is_enough = self.gathered.len() >= records.max(RUN) || self.gathered_bytes >= bytes;
        let pause = is_enough || (self.paused == Some(true) && self.is_batch_full());
        if self.paused == Some(pause) {
            return;
        }
        let Ok(assignment) = self.consumer.assignment() else { return };
        let changed =
            if pause { self.consumer.pause(&assignment) } else { self.consumer.resume(&assignment) };
        match changed {
            Ok(()) => self.paused = Some(pause),
            Err(error) => tracing::debug!(%error, "fetching goes on"),
        }
    }

    /// Hands out a batch, if one is wanted and there is one: full, or its window over.
    fn hand_out(&mut self) {
        let is_due = self.since.is_some_and(|since| since.elapsed() >= self.settings.window);
        if self.gathered.is_empty() || !(is_due || self.is_batch_full()) {
            return;
        }
        let Some(wanted) = self.wanted.take() else { return };
        let batch = self.cut();
        match wanted.send(Ok(batch)) {
            Ok(()) => self.handed_out = true,
            // Whoever asked is gone, and the poller with them.
            Err(Ok(batch)) => self.put_back(batch, |_, _| 0),
            Err(Err(_)) => {}
        }
    }

    fn cut(&mut self) -> Batch {
        let mut batch = Batch { partitions: Vec::new(), epochs: Vec::new() };
        let mut places: BTreeMap<Key, usize> = BTreeMap::new();
        let (mut records, mut bytes) = (0, ENVELOPE_BYTES);
        while let Some(next) = self.gathered.front() {
            let is_new = !places.contains_key(&next.key);
            let more = next.bytes + if is_new { partition_bytes(&next.key.0) } else { 0 };
            if records > 0
                && (records >= self.settings.batch_size.max(1) || bytes + more > self.settings.payload_bytes)
            {
                break;
            }
            let Some(Gathered { key, epoch, bytes: own, record }) = self.gathered.pop_front() else { break };
            self.gathered_bytes = self.gathered_bytes.saturating_sub(own);
            records += 1;
            bytes += more;
            let place = *places.entry(key).or_insert_with_key(|(topic, partition)| {
                batch.epochs.push(epoch);
                let (topic, partition) = (topic.clone(), *partition);
                batch.partitions.push(TopicPartition { topic, partition, records: Vec::new() });
                batch.partitions.len() - 1
            });
            if let Some(partition) = batch.partitions.get_mut(place) {
                partition.records.push(record);
            }
        }
        // What stays has waited already, but a window is a batch's.
        self.since = (!self.gathered.is_empty()).then(Instant::now);
        batch
    }

    /// Puts records back to the front, of each partition those from an index on.
    fn put_back(&mut self, batch: Batch, from: impl Fn(&Key, &[TopicRecord]) -> usize) {
        for (partition, epoch) in batch.partitions.into_iter().zip(batch.epochs).rev() {
            let key = (partition.topic, partition.partition);
            if self.parts.get(&key).is_none_or(|part| part.epoch != epoch) {
                continue;
            }
            let from = from(&key, &partition.records);
            for record in partition.records.into_iter().skip(from).rev() {
                let bytes = event_bytes(&key.0, &record);
                self.gathered_bytes += bytes;
                self.gathered.push_front(Gathered { key: key.clone(), epoch, bytes, record });
            }
        }
        if !self.gathered.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn done(&mut self, batch: Batch, failed: &[FailedAt], reply: oneshot::Sender<Done>) {
        self.handed_out = false;
        let mut lost = Vec::new();
        // The first record of each partition that is not done, as an index.
        let done_before = |key: &Key, records: &[TopicRecord]| {
            let failures = failed.iter().filter(|failed| failed.topic == key.0 && failed.partition == key.1);
            let indices = failures.map(|failed| {
                records.iter().position(|record| record.offset == failed.offset).unwrap_or_default()
            });
            indices.min().unwrap_or(records.len())
        };
        for (partition, epoch) in batch.partitions.iter().zip(&batch.epochs) {
            let key = (partition.topic.clone(), partition.partition);
            let Some(part) = self.parts.get_mut(&key).filter(|part| part.epoch == *epoch) else {
                lost.push(key);
                continue;
            };
            let done = done_before(&key, &partition.records);
            part.held = part.held.saturating_sub(done);
            let last = done.checked_sub(1).and_then(|last| partition.records.get(last));
            if let Some(next) = last.and_then(|last| i64::try_from(last.offset + 1).ok()) {
                part.next = Some(next);
                self.to_commit.insert(key, (*epoch, next));
            }
        }
        self.put_back(batch, done_before);
        self.answer = Some(Answer { reply, lost, until: Instant::now() + COMMIT_PATIENCE });
    }

    /// A partition went away before its offset was committed: its records come again, elsewhere or here.
    fn lost(&mut self, key: Key) {
        if let Some(answer) = &mut self.answer {
            answer.lost.push(key);
        }
    }

    fn is_committed(&self) -> bool {
        self.to_commit.is_empty() && self.commit.is_none()
    }

    /// Sends what is to be committed, and answers whoever waits for it.
    fn commit(&mut self) {
        let now = Instant::now();
        if self.commit.is_none() && !self.to_commit.is_empty() && now >= self.commit_at {
            let offsets = mem::take(&mut self.to_commit);
            self.committer.commit(&offsets);
            self.commit = Some(Commit { offsets });
        }
        let is_committed = self.is_committed();
        if let Some(Answer { reply, lost, .. }) =
            self.answer.take_if(|answer| is_committed || now >= answer.until)
        {
            if !lost.is_empty() {
                tracing::info!(partitions = ?lost, "Kafka partitions were taken away before their batch was done");
            }
            if !is_committed {
                tracing::warn!("the Kafka brokers do not take offsets; it is tried on");
            }
            let _ = reply.send(Done { uncommitted: !is_committed, lost });
        }
    }

    /// The answer to a commit.
    fn committed(&mut self, error: Option<Code>) {
        let Some(Commit { offsets }) = self.commit.take() else { return };
        match error {
            None | Some(Code::NoOffset) => return self.consumer.context().client.works(),
            Some(code @ (Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed)) => {
                self.refuse(code, None);
            }
            // Another generation of the group, say: partitions that are not here any more are revoked soon,
            // and those that are can be committed by this member as it is then.
            Some(code) => tracing::debug!(%code, "Kafka offsets are committed again"),
        }
        self.commit_again(offsets);
    }

    fn commit_again(&mut self, offsets: BTreeMap<Key, (u64, i64)>) {
        for (key, (epoch, offset)) in offsets {
            if self.parts.get(&key).is_some_and(|part| part.epoch == epoch) {
                self.to_commit.entry(key).or_insert((epoch, offset));
            } else {
                self.lost(key);
            }
        }
        self.commit_at = Instant::now() + RETRY;
    }

    fn show(&self) {
        let has_others = self.ends.keys().any(|key| !self.parts.contains_key(key));
        let end_reached =
            self.joined && self.knows_all && self.is_done_here() && (!has_others || self.is_done_elsewhere);
        let partitions = self.parts.iter().map(|(key, part)| PartitionState {
            topic: key.0.clone(),
            partition: key.1,
            next: part.next.and_then(|next| u64::try_from(next).ok()),
            end_at_start: self.ends.get(key).and_then(|(_, end)| u64::try_from(*end).ok()),
        });
        let partitions = partitions.collect();
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot { partitions, end_reached };
    }
}

/// Commits on a thread of its own: the client tells how a commit went only to who waits for it, and the
/// poller must poll meanwhile.
struct Committer {
    offsets: Sender<Vec<(Key, i64)>>,
    thread: JoinHandle<()>,
}

impl Committer {
    fn start(consumer: Arc<BaseConsumer<PollContext>>) -> Result<Self, KafkaError> {
        let (offsets, received) = channel::<Vec<(Key, i64)>>();
        let commit = move || {
            for offsets in received {
                let mut list = TopicPartitionList::new();
                let listed = offsets.iter().try_for_each(|((topic, partition), offset)| {
                    list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                });
                let result = listed.and_then(|()| consumer.commit(&list, CommitMode::Sync));
                let error = result.err().map(|error| error.rdkafka_error_code().unwrap_or(Code::Fail));
                consumer.context().heard().push(Heard::Committed(error));
            }
        };
        let thread = thread::Builder::new().name("kafka-committer".to_owned()).spawn(commit);
        let thread = thread.map_err(|error| KafkaError::fault(format!("no thread for commits: {error}")))?;
        Ok(Self { offsets, thread })
    }

    fn commit(&self, offsets: &BTreeMap<Key, (u64, i64)>) {
        let offsets = offsets.iter().map(|(key, (_, offset))| (key.clone(), *offset));
        // The thread lives as long as this.
        let _ = self.offsets.send(offsets.collect());
    }

    /// Ends the thread, and waits until it has, if told so.
    fn end(self, wait: bool) {
        drop(self.offsets);
        if wait {
            let _ = self.thread.join();
        }
    }
}

/// What is told while the client is polled.
pub(super) enum Heard {
    Assigned(Vec<Key>),
    Revoked(Vec<Key>),
    Committed(Option<Code>),
}

/// Hears of rebalances and commits.
pub(super) struct PollContext {
    client: Context,
    heard: Mutex<Vec<Heard>>,
}

impl PollContext {
    pub(super) const fn new(client: Context) -> Self {
        Self { client, heard: Mutex::new(Vec::new()) }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(list: &TopicPartitionList) -> Vec<Key> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

impl ClientContext for PollContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.client.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.client.generate_oauth_token(config)
    }
}

impl ConsumerContext for PollContext {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.heard().push(Heard::Revoked(keys(list)));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.heard().push(Heard::Assigned(keys(list)));
        }
    }
}
