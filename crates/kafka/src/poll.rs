//! Does what Lambda's event source mapping for Kafka does, as a member of a consumer group.

mod record;
mod worker;

use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::oneshot;
use tripline_stream::mapping::INVOCATION_PAYLOAD_BYTES;
use tripline_stream::mapping::kafka::TopicPartition;

use crate::connection::{Connection, cannot_make};
use crate::error::KafkaError;
use crate::options::{KafkaOptions, topic_fault};
use worker::{Command, PollContext, Worker};

/// Where a group begins in a partition of which it has no offset yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there.
    TrimHorizon,
    /// At the first one to come.
    Latest,
}

/// How records are gathered into batches, with Lambda's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollSettings {
    /// Most records in a batch, of all partitions together; 0 is taken as 1.
    pub batch_size: usize,
    /// Bytes of a batch's event at most. A record that is over it by itself is a batch of its own.
    pub payload_bytes: usize,
    /// How long a batch that is not full waits for more, from its first record on.
    pub window: Duration,
}

impl Default for PollSettings {
    /// Lambda's defaults: 100 records within half a second, 6 MiB.
    fn default() -> Self {
        Self { batch_size: 100, payload_bytes: INVOCATION_PAYLOAD_BYTES, window: Duration::from_millis(500) }
    }
}

/// Records to be handled together, of one or several topic-partitions.
#[derive(Debug)]
pub struct Batch {
    partitions: Vec<TopicPartition>,
    /// Which assignment each partition's records came by.
    epochs: Vec<u64>,
}

impl Batch {
    /// The records, each partition's in the order of their offsets.
    #[must_use]
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> usize {
        self.partitions.iter().map(|partition| partition.records.len()).sum()
    }

    /// The failures that say that nothing of it is done: for a function that failed as a whole.
    #[must_use]
    pub fn all_failed(&self) -> Vec<FailedAt> {
        let partitions = self.partitions.iter();
        let failed = partitions.filter_map(|TopicPartition { topic, partition, records }| {
            let first = records.first()?;
            Some(FailedAt { topic: topic.clone(), partition: *partition, offset: first.offset })
        });
        failed.collect()
    }
}

/// The first record of a topic-partition that is not done. All after it come again too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAt {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Its offset. One that the batch does not have stands for the batch's first.
    pub offset: u64,
}

/// What became of a batch's offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The brokers did not acknowledge all offsets in time. Commits go on being tried; should they never
    /// succeed, the records come again to whoever is assigned the partition next.
    pub uncommitted: bool,
    /// Topic-partitions that were taken away meanwhile: whoever is assigned them next gets their records again.
    pub lost: Vec<(String, i32)>,
}

/// How far a topic-partition that is assigned here has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The first offset that is not done; `None` until the brokers have said.
    pub next: Option<u64>,
    /// The offset after its last record at start; `None` until the brokers have said, and where the partition is
    /// younger.
    pub end_at_start: Option<u64>,
}

/// A member of a consumer group that hands out batches one after the other, as Lambda's event source mapping
/// does: a record comes again until it is done, and offsets are committed only once their records are.
///
/// ```text
/// let mut poller = KafkaPoller::subscribe(&options, "group", &topics, Start::TrimHorizon, settings)?;
/// while !poller.end_reached() {
///     if let Ok(batch) = timeout(SECOND, poller.next_batch()).await {
///         let batch = batch?;
///         let failed = invoke(batch.partitions()).await;
///         poller.done(batch, &failed).await?;
///     }
/// }
/// poller.close().await;
/// ```
///
/// It works on a thread of its own, so that it stays in its group however long a batch takes. Brokers that
/// are down are waited for. Dropped, it leaves the group; what was not done comes again to the next member.
pub struct KafkaPoller {
    commands: Sender<Command>,
    /// Asked for, and not here yet: kept, so that a caller may stop waiting without losing a batch.
    asked: Option<oneshot::Receiver<Result<Batch, KafkaError>>>,
    snapshot: Arc<Mutex<Snapshot>>,
}

impl fmt::Debug for KafkaPoller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KafkaPoller").field("partitions", &self.assignment()).finish_non_exhaustive()
    }
}

/// What can be seen without asking the thread.
#[derive(Debug, Default)]
struct Snapshot {
    partitions: Vec<PartitionState>,
    end_reached: bool,
}

impl KafkaPoller {
    /// Joins `group` for these topics.
    ///
    /// # Errors
    /// [`KafkaError::Options`] with everything that is wrong with the options, the group and the topics.
    pub fn subscribe(
        options: &KafkaOptions,
        group: &str,
        topics: &[String],
        start: Start,
        settings: PollSettings,
    ) -> Result<Self, KafkaError> {
        let mut faults: Vec<String> = topics.iter().filter_map(|topic| topic_fault(topic)).collect();
        if topics.is_empty() {
            faults.push("there is no topic to read: give at least one".to_owned());
        }
        if group.is_empty() || group.contains('\0') {
            faults.push(format!("{group:?} is no consumer group's name: one or more characters are wanted"));
        }
        let connection = Connection::new(options, faults)?;
        let mut config = connection.config.clone();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        let reset = match start {
            Start::TrimHorizon => "earliest",
            Start::Latest => "latest",
        };
        config.set("auto.offset.reset", reset).set("enable.partition.eof", "true");
        let defaults = [
            // Members keep the partitions that they had when another joins.
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("check.crcs", "true"),
            ("fetch.error.backoff.ms", "100"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        for (name, value) in defaults {
            if !options.extra.contains_key(name) {
                config.set(name, value);
            }
        }
        let context = PollContext::new(connection.context());
        let consumer: BaseConsumer<PollContext> =
            BaseConsumer::from_config_and_context(&config, context).map_err(|error| cannot_make(&error))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| cannot_make(&error))?;
        let snapshot = Arc::new(Mutex::new(Snapshot::default()));
        let (commands, received) = std::sync::mpsc::channel();
        let worker = Worker::new(
            consumer,
            connection,
            topics.to_vec(),
            start,
            settings,
            received,
            Arc::clone(&snapshot),
        )?;
        let spawned = thread::Builder::new().name("kafka-poller".to_owned()).spawn(move || worker.run());
        spawned.map_err(|error| KafkaError::fault(format!("no thread for the poller: {error}")))?;
        Ok(Self { commands, asked: None, snapshot })
    }

    /// The next batch, once there is one: waits for records as long as it takes. Dropping the future loses
    /// nothing: the next call goes on.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] when a topic is not there or this client may not read it, join the group or
    /// connect, upon which it may be called again; [`KafkaError::Unanswered`] when the last batch was not
    /// [`done`](Self::done).
    pub async fn next_batch(&mut self) -> Result<Batch, KafkaError> {
        let asked = match &mut self.asked {
            Some(asked) => asked,
            none => {
                let (reply, asked) = oneshot::channel();
                self.commands.send(Command::Next(reply)).map_err(|_| KafkaError::Ended)?;
                none.insert(asked)
            }
        };
        let batch = asked.await;
        self.asked = None;
        batch.map_err(|_| KafkaError::Ended)?
    }

    /// Says what became of the last batch: all is done but what `failed` names, which comes again, first of
    /// all. Returns when the brokers have the offsets, or after half a minute without them.
    ///
    /// # Errors
    /// [`KafkaError::Ended`].
    pub async fn done(&mut self, batch: Batch, failed: &[FailedAt]) -> Result<Done, KafkaError> {
        let (reply, done) = oneshot::channel();
        let command = Command::Done { batch, failed: failed.to_vec(), reply };
        self.commands.send(command).map_err(|_| KafkaError::Ended)?;
        done.await.map_err(|_| KafkaError::Ended)
    }

    /// Whether the group has done all that was there at start: of the partitions that are assigned here, and,
    /// by the offsets that others commit, of all others of the topics. Where a topic's last offsets are no
    /// records, as transactions leave them, that is told of the partitions here alone, and only if there is
    /// one topic: an end that another member reaches then never shows.
    #[must_use]
    pub fn end_reached(&self) -> bool {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).end_reached
    }

    /// The topic-partitions that are assigned here, and how far each has come.
    #[must_use]
    pub fn assignment(&self) -> Vec<PartitionState> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).partitions.clone()
    }

    /// Records of the assigned partitions that are not done, by offsets, asking the brokers; `None` where
    /// they do not say.
    ///
    /// # Errors
    /// [`KafkaError::Ended`].
    pub async fn lag(&self) -> Result<Option<u64>, KafkaError> {
        let (reply, lag) = oneshot::channel();
        self.commands.send(Command::Lag(reply)).map_err(|_| KafkaError::Ended)?;
        lag.await.map_err(|_| KafkaError::Ended)
    }

    /// Leaves the group once offsets that are under way are committed, within ten seconds, so that others get
    /// the partitions at once.
    pub async fn close(self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).is_ok() {
            let _ = closed.await;
        }
    }
}
