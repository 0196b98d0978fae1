//! Sends events on into a topic.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, NoCustomPartitioner, Producer, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tripline_model::forward::Outgoing;
use tripline_stream::sink::{Fate, Sent, SentCounts, StreamSink};

use crate::connection::{Connection, Context, Trouble, cannot_make};
use crate::error::KafkaError;
use crate::options::{KafkaOptions, topic_fault};

/// The header with an event's place in its source: the same at every delivery, so that readers can drop
/// what comes twice.
pub const SOURCE_HEADER: &str = "tripline-source";

/// The header with an event's type.
pub const EVENT_TYPE_HEADER: &str = "tripline-event-type";

/// How often a sender looks up from waiting for reports.
const LOOK: Duration = Duration::from_millis(100);

/// How long a refusal must stand until it is believed: longer than between two tries to connect. A client
/// says the same thing of the same broker once in thirty seconds, so there is no waiting for a second time.
const BELIEVE: Duration = Duration::from_secs(3);

/// Kept back from a batch's time, to take back what is still on its way.
const TAKE_BACK: Duration = Duration::from_millis(300);

/// Producers that one batch may wear out.
const RENEWALS: usize = 3;

/// A batch is no longer than this, whatever records may be: librdkafka's own default.
const BATCH_BYTES: usize = 1_000_000;

/// Batches are not made shorter than this for a topic's sake.
const LEAST_BATCH_BYTES: usize = 16 << 10;

/// Records and bytes that wait in a producer at most.
const QUEUE_RECORDS: usize = 100_000;
const QUEUE_KIBIBYTES: usize = 64 << 10;

/// A topic that events are sent to, with the producer idempotent and all in-sync replicas asked.
///
/// Delivery is at least once. The producer's own retries neither double nor reorder records. What can come
/// twice is an event whose fate was open: its record may be in the topic, and the next delivery sends it
/// again, with the same [`SOURCE_HEADER`].
///
/// When [`send`](StreamSink::send) returns, nothing waits in the producer any more: what was open is taken
/// back from its queues, so that a Lambda function that is frozen and wakes up minutes later does not send
/// it then. A request that was already written to a connection cannot be taken back: the broker may get
/// it, at once or after the thaw, if the connection lives so long.
///
/// Events with the same key go to the same partition, the one that Java's clients choose, in their order.
/// An event that is refused is missing there; one that is open may come again after later ones.
#[derive(Debug)]
pub struct KafkaSink {
    connection: Connection,
    topic: String,
    message_bytes: usize,
    compression: &'static str,
    /// Longest batch: shorter than the option once the topic refused one that was no single record.
    batch_bytes: AtomicUsize,
    line: Mutex<Arc<Line>>,
}

impl KafkaSink {
    /// A sink for this topic. The cluster is not asked for anything yet.
    ///
    /// # Errors
    /// [`KafkaError::Options`] with everything that is wrong with the options.
    pub fn connect(options: &KafkaOptions, topic: impl Into<String>) -> Result<Self, KafkaError> {
        let topic = topic.into();
        let connection = Connection::new(options, topic_fault(&topic).into_iter().collect())?;
        let (message_bytes, compression) = (options.message_bytes, options.compression.name());
        let batch_bytes = message_bytes.min(BATCH_BYTES);
        let line = Line::new(&connection, message_bytes, compression, Batches::Bytes(batch_bytes))?;
        Ok(Self {
            connection,
            topic,
            message_bytes,
            compression,
            batch_bytes: AtomicUsize::new(batch_bytes),
            line: Mutex::new(Arc::new(line)),
        })
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new producer in the place of `old`, unless another batch did.
    fn renew(&self, old: &Arc<Line>) -> Result<(), KafkaError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&line, old) {
            let batches = Batches::Bytes(self.batch_bytes.load(Ordering::Relaxed));
            let new = Line::new(&self.connection, self.message_bytes, self.compression, batches)?;
            let old = mem::replace(&mut *line, Arc::new(new));
            drop(line);
            retire(old);
        }
        Ok(())
    }

    /// A batch of several was refused for its length, but not each of its records: the topic takes less
    /// than was thought.
    fn shorten(&self, line: &Arc<Line>) {
        let bytes = self.batch_bytes.load(Ordering::Relaxed);
        let shorter = (bytes / 2).max(LEAST_BATCH_BYTES);
        if shorter < bytes
            && self.batch_bytes.compare_exchange(bytes, shorter, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            tracing::warn!(
                topic = self.topic,
                batch_bytes = shorter,
                "the topic refuses batches for their length: they are made shorter; set \
                 TRIPLINE_KAFKA_MESSAGE_BYTES to the topic's max.message.bytes"
            );
            // Without a new producer batches stay as long, and go one by one when they are refused.
            let _ = self.renew(line);
        }
    }

    /// What a report says of an event.
    fn judge(&self, line: &Line, code: Code, alone: bool, bytes: usize) -> Verdict {
        match code {
            Code::PurgeQueue | Code::PurgeInflight | Code::Fatal => Verdict::Again,
            // A broker refuses a batch as a whole, so it is one of its records at least.
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
                if !alone =>
            {
                Verdict::Alone
            }
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Verdict::Is(self.too_large(bytes)),
            Code::InvalidRecord | Code::InvalidTimestamp => Verdict::Is(Fate::Refused {
                error: format!("the topic {} does not take such a record: {code}", self.topic),
            }),
            code => {
                let trouble = line.trouble().filter(|_| code == Code::MessageTimedOut);
                let error = match trouble {
                    Some((code, detail)) => self.connection.explain(code, &self.topic, Some(&detail)),
                    None => self.connection.explain(code, &self.topic, None),
                };
                Verdict::Is(Fate::Open { error })
            }
        }
    }

    fn too_large(&self, bytes: usize) -> Fate {
        let (topic, limit) = (&self.topic, self.message_bytes);
        Fate::Refused {
            error: format!(
                "its record of {bytes} bytes is too large for the topic {topic}, to which {limit} bytes at most are \
                 sent: raise the topic's max.message.bytes and TRIPLINE_KAFKA_MESSAGE_BYTES"
            ),
        }
    }

    /// Why events are still open: what the client said last, or that time was short.
    fn still_open(&self, line: &Line, within: Duration) -> String {
        match line.trouble() {
            Some((code, detail)) => self.connection.explain(code, &self.topic, Some(&detail)),
            None => format!(
                "the topic {} did not acknowledge it within {} ms: give batches more time, or look at the brokers' load",
                self.topic,
                within.as_millis()
            ),
        }
    }
}

#[async_trait]
impl StreamSink for KafkaSink {
    async fn send(&self, events: &[Outgoing<'_>], within: Duration) -> Sent {
        let began = Instant::now();
        let deadline = began + within.saturating_sub(TAKE_BACK.min(within / 4));
        let mut sending = Sending {
            sink: self,
            events,
            fates: vec![None; events.len()],
            retried: 0,
            is_stale: false,
            began,
            deadline,
        };
        let mut todo: Vec<usize> = (0..events.len()).collect();
        let mut error = None;
        for _ in 0..=RENEWALS {
            let line = self.line();
            let mut after = sending.round(&line, &todo, false).await;
            if !after.alone.is_empty() {
                after.again.extend(sending.one_by_one(&line, &after.alone).await);
                after.again.sort_unstable();
            }
            if let Some(reason) = after.given_up {
                error = Some(reason);
            } else if let Some((code, reason)) = line.producer.client().fatal_error() {
                tracing::warn!(%code, reason, topic = self.topic, "the Kafka producer lost its order: a new one goes on");
                let refused = code == Code::ClusterAuthorizationFailed;
                if refused {
                    error = Some(self.connection.explain(code, &self.topic, Some(&reason)));
                }
                if let Err(failed) = self.renew(&line) {
                    error = Some(failed.to_string());
                }
            }
            todo = after.again;
            if todo.is_empty() || error.is_some() || Instant::now() >= deadline {
                break;
            }
            sending.retried += u64::try_from(todo.len()).unwrap_or_default();
        }
        let line = self.line();
        if sending.is_stale {
            let _ = self.renew(&line);
        }
        let error = error.unwrap_or_else(|| self.still_open(&line, within));
        sending.finish(&error)
    }
}

/// A batch on its way.
struct Sending<'s> {
    sink: &'s KafkaSink,
    events: &'s [Outgoing<'s>],
    fates: Vec<Option<Fate>>,
    retried: u64,
    /// The producer believes that the topic is not there, and would not look again for minutes.
    is_stale: bool,
    began: Instant,
    deadline: Instant,
}

/// What a round left to do, in the order of the events.
#[derive(Default)]
struct After {
    /// To be sent again.
    again: Vec<usize>,
    /// To be sent each in a batch of its own.
    alone: Vec<usize>,
    /// Why going on is no use.
    given_up: Option<String>,
}

enum Verdict {
    Is(Fate),
    Again,
    Alone,
}

impl Sending<'_> {
    /// Sends these events and waits for a report on each, until it is of no use.
    async fn round(&mut self, line: &Arc<Line>, todo: &[usize], alone: bool) -> After {
        let mut after = After::default();
        let (reporter, mut reports) = unbounded_channel();
        let mut under_way = UnderWay { line, count: 0 };
        'events: for &index in todo {
            let Some(event) = self.events.get(index) else { continue };
            loop {
                match line.produce(&self.sink.topic, index, event, &reporter) {
                    Ok(()) => {
                        under_way.count += 1;
                        break;
                    }
                    Err(Code::QueueFull) => {
                        self.wait(line, &mut reports, &mut under_way, &mut after, alone).await;
                        if self.is_over(line, &mut after) {
                            break 'events;
                        }
                    }
                    // The client's own limit: no other record is concerned.
                    Err(Code::MessageSizeTooLarge) => {
                        let fate = self.sink.too_large(size(event));
                        self.settle(index, fate);
                        break;
                    }
                    Err(code) => {
                        self.judged(line, index, code, alone, &mut after);
                        break;
                    }
                }
            }
        }
        while under_way.count > 0 && !self.is_over(line, &mut after) {
            self.wait(line, &mut reports, &mut under_way, &mut after, alone).await;
        }
        if under_way.count > 0 {
            under_way.take_back().await;
            while let Ok((index, result)) = reports.try_recv() {
                // Taken back is open, and not to be tried again: there is no time.
                if result.is_ok() {
                    self.settle(index, Fate::Taken);
                }
            }
        }
        after.again.sort_unstable();
        after.alone.sort_unstable();
        after
    }

    /// Sends each in a batch of its own, to tell which of them the topic refuses. Returns those to be sent
    /// again.
    async fn one_by_one(&mut self, line: &Arc<Line>, todo: &[usize]) -> Vec<usize> {
        let sink = self.sink;
        let Ok(single) = Line::new(&sink.connection, sink.message_bytes, sink.compression, Batches::Single)
        else {
            return Vec::new();
        };
        let single = Arc::new(single);
        self.retried += u64::try_from(todo.len()).unwrap_or_default();
        let after = self.round(&single, todo, true).await;
        retire(single);
        let taken =
            todo.iter().filter(|&&index| matches!(self.fates.get(index), Some(Some(Fate::Taken)))).count();
        if taken > 0 && taken == todo.len() {
            sink.shorten(line);
        }
        after.again
    }

    /// Waits a little for a report, and takes in all there are.
    async fn wait(
        &mut self,
        line: &Line,
        reports: &mut UnboundedReceiver<Report>,
        under_way: &mut UnderWay<'_>,
        after: &mut After,
        alone: bool,
    ) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut next = timeout(LOOK.min(left), reports.recv()).await.ok().flatten();
        while let Some((index, result)) = next {
            under_way.count = under_way.count.saturating_sub(1);
            match result {
                Ok(()) => self.settle(index, Fate::Taken),
                Err(code) => self.judged(line, index, code, alone, after),
            }
            next = reports.try_recv().ok();
        }
    }

    fn judged(&mut self, line: &Line, index: usize, code: Code, alone: bool, after: &mut After) {
        let bytes = self.events.get(index).map(size).unwrap_or_default();
        self.is_stale |=
            matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition);
        match self.sink.judge(line, code, alone, bytes) {
            Verdict::Is(fate) => self.settle(index, fate),
            Verdict::Again => after.again.push(index),
            Verdict::Alone => after.alone.push(index),
        }
    }

    /// Whether waiting on is no use: time is up, or the brokers refuse this client.
    fn is_over(&self, line: &Line, after: &mut After) -> bool {
        let trouble = line.producer.context().0.trouble().filter(Trouble::is_refusal);
        if let Some(Trouble { code, detail, since }) = trouble
            && since.elapsed() >= BELIEVE
            && self.began.elapsed() >= BELIEVE
        {
            after.given_up = Some(self.sink.connection.explain(code, &self.sink.topic, Some(&detail)));
            return true;
        }
        Instant::now() >= self.deadline
    }

    fn settle(&mut self, index: usize, fate: Fate) {
        if let Some(slot) = self.fates.get_mut(index) {
            *slot = Some(fate);
        }
    }

    /// What became of each; `error` is why those that nothing is known of are open.
    fn finish(self, error: &str) -> Sent {
        let mut counts = SentCounts { retried: self.retried, ..SentCounts::default() };
        let open = || Fate::Open { error: error.to_owned() };
        let fates: Vec<Fate> = self.fates.into_iter().map(|fate| fate.unwrap_or_else(open)).collect();
        for (fate, event) in fates.iter().zip(self.events) {
            match fate {
                Fate::Taken => {
                    counts.taken += 1;
                    counts.bytes += u64::try_from(event.key.len() + event.payload.len()).unwrap_or_default();
                }
                Fate::Refused { .. } => counts.refused += 1,
                Fate::Open { .. } => {}
            }
        }
        Sent { fates, counts }
    }
}

/// Bytes of the record that an event becomes, without its frame.
fn size(event: &Outgoing<'_>) -> usize {
    event.key.len()
        + event.payload.len()
        + SOURCE_HEADER.len()
        + event.source.len()
        + EVENT_TYPE_HEADER.len()
        + event.event_type.len()
        + own_headers(event).map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

/// The headers that a record came with; of those that are set here it has one only.
fn own_headers(event: &Outgoing<'_>) -> impl Iterator<Item = (String, Vec<u8>)> {
    let is_own = |(name, _): &(String, Vec<u8>)| name != SOURCE_HEADER && name != EVENT_TYPE_HEADER;
    event.headers().into_iter().filter(is_own)
}

/// Records in a producer that nothing is known of yet. Dropped with some left, as by a caller that gave up
/// waiting, it takes them back.
struct UnderWay<'l> {
    line: &'l Arc<Line>,
    count: usize,
}

impl UnderWay<'_> {
    async fn take_back(&mut self) {
        self.count = 0;
        let line = Arc::clone(self.line);
        // It waits for threads that may be looking up a name or opening a connection.
        let taken = tokio::task::spawn_blocking(move || {
            line.producer.purge(PurgeConfig::default().queue().inflight());
        });
        if timeout(TAKE_BACK / 2, taken).await.is_err() {
            tracing::debug!("what waits for Kafka is still being taken back");
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.line.producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        }
    }
}

/// An event's index, and what the producer reports of it.
type Report = (usize, Result<(), Code>);

/// What becomes one batch.
#[derive(Clone, Copy)]
enum Batches {
    /// Records of so many bytes together.
    Bytes(usize),
    /// Each record by itself.
    Single,
}

/// A producer.
struct Line {
    producer: ThreadedProducer<SinkContext>,
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    fn new(
        connection: &Connection,
        message_bytes: usize,
        compression: &str,
        batches: Batches,
    ) -> Result<Self, KafkaError> {
        let mut config = connection.config.clone();
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("message.max.bytes", message_bytes.to_string()).set("compression.type", compression);
        // As long as an invocation can last: each batch takes back by itself what it has no time for.
        config.set("message.timeout.ms", "900000");
        config.set("queue.buffering.max.messages", QUEUE_RECORDS.to_string());
        config.set("queue.buffering.max.kbytes", QUEUE_KIBIBYTES.to_string());
        // How long a topic that is not there may be one that was made a moment ago.
        config.set("topic.metadata.propagation.max.ms", "5000");
        config.set("retry.backoff.ms", "100").set("retry.backoff.max.ms", "1000");
        if !connection.config.config_map().contains_key("partitioner") {
            config.set("partitioner", "murmur2_random");
        }
        match batches {
            Batches::Bytes(bytes) => {
                config.set("batch.size", bytes.to_string());
                if !connection.config.config_map().contains_key("linger.ms") {
                    config.set("linger.ms", "5");
                }
            }
            Batches::Single => {
                config.set("batch.num.messages", "1").set("linger.ms", "0");
            }
        }
        let context = SinkContext(connection.context());
        let producer = ThreadedProducer::from_config_and_context(&config, context);
        Ok(Self { producer: producer.map_err(|error| cannot_make(&error))? })
    }

    fn produce(
        &self,
        topic: &str,
        index: usize,
        event: &Outgoing<'_>,
        reporter: &UnboundedSender<Report>,
    ) -> Result<(), Code> {
        let mut headers = OwnedHeaders::new_with_capacity(2);
        for (name, value) in own_headers(event) {
            headers = headers.insert(Header { key: &name, value: Some(&value) });
        }
        // Who sends what has no source leaves it empty.
        let told = [(SOURCE_HEADER, event.source.as_str()), (EVENT_TYPE_HEADER, event.event_type)];
        for (key, value) in told.into_iter().filter(|(_, value)| !value.is_empty()) {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let record = BaseRecord::with_opaque_to(topic, Box::new((index, reporter.clone())))
            .key(event.key.as_str())
            .payload(&*event.payload)
            .headers(headers);
        self.producer.send(record).map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(Code::Fail))
    }

    /// What is wrong, as far as the client knows.
    fn trouble(&self) -> Option<(Code, String)> {
        self.producer.context().0.trouble().map(|trouble| (trouble.code, trouble.detail))
    }
}

/// Ends a producer on a thread of its own, since it waits for connections to close.
fn retire(line: Arc<Line>) {
    let ended = std::thread::Builder::new().name("kafka-producer-end".to_owned()).spawn(move || drop(line));
    if let Err(error) = ended {
        tracing::warn!(%error, "no thread to end a Kafka producer on");
    }
}

/// Tells a producer's reports to the batch that waits for them.
struct SinkContext(Context);

impl ClientContext for SinkContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.0.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ProducerContext<NoCustomPartitioner> for SinkContext {
    type DeliveryOpaque = Box<(usize, UnboundedSender<Report>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (index, reporter) = *opaque;
        let result = match result {
            Ok(_) => {
                self.0.works();
                Ok(())
            }
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        // Whoever waited may have given up.
        let _ = reporter.send((index, result));
    }
}
