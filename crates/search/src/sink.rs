//! Delivers the records of a source partition to the cluster.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tripline_model::decode::{DeadLetter, Notes};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{SourcePartition, SourceRecord};
use tripline_pace::{Pace, Permit};

use crate::batch::Batch;
use crate::cluster::{Cluster, Failure};
use crate::delivered::{Delivered, SearchCounts};
use crate::delivery::{Delivery, Mood, Outcome, Request};
use crate::environment::Environment;
use crate::error::SearchError;
use crate::options::SearchOptions;
use crate::reply;
use crate::transport::Transport;

/// The search sink. Cheap to share, and safe for concurrent deliveries.
#[derive(Clone, Debug)]
pub struct SearchSink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pipeline: Arc<Pipeline>,
    options: SearchOptions,
    environment: Environment,
    cluster: Arc<dyn Cluster>,
    pace: Pace,
    /// That of dead letters: an index that is in trouble must not slow down events.
    letters_pace: Pace,
    /// Longest body sent: shorter than the option once the cluster refused one for its size.
    max_bytes: AtomicUsize,
    /// The cluster has taken a request.
    proven: AtomicBool,
}

/// No body is made shorter than this for the size of another.
const LEAST_BODY_BYTES: usize = 64 << 10;

/// Dead letters are shown within this time or not at all, milliseconds: they hold their batch meanwhile.
const LETTERS_MS: i64 = 3_000;

/// A request's way: what was sent and what came of it.
struct Sent<'s> {
    request: Request,
    permit: Permit<'s>,
    outcome: Outcome,
    bytes: usize,
}

impl SearchSink {
    /// A sink for the pipeline's documents. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// [`SearchError`] with everything that is wrong with the options, alone or for this pipeline.
    pub async fn connect(
        pipeline: Arc<Pipeline>,
        options: SearchOptions,
        environment: Environment,
    ) -> Result<Self, SearchError> {
        let mut faults = options.faults();
        if !pipeline.events.iter().any(|event| event.search.is_some()) {
            faults
                .push("every event type of the pipeline has `search = false`: nothing is indexed".to_owned());
        }
        let transport = Transport::new(&options, &environment, &mut faults).await;
        let transport = transport.filter(|_| faults.is_empty()).ok_or_else(|| SearchError::new(faults))?;
        Ok(Self::over(pipeline, options, environment, Arc::new(transport)))
    }

    /// A sink for the pipeline's documents over another way to a cluster than HTTP. What the options say of
    /// hosts, authentication and compression is that way's business.
    #[must_use]
    pub fn over(
        pipeline: Arc<Pipeline>,
        options: SearchOptions,
        environment: Environment,
        cluster: Arc<dyn Cluster>,
    ) -> Self {
        Self(Arc::new(Shared {
            pipeline,
            cluster,
            pace: Pace::new(options.max_in_flight),
            letters_pace: Pace::new(1),
            max_bytes: AtomicUsize::new(options.max_bytes),
            proven: AtomicBool::new(false),
            environment,
            options,
        }))
    }

    /// Delivers the records of one source partition, in their order. Returns when each is delivered, refused
    /// or left out, or at `deadline_ms` (milliseconds since 1970 UTC) at the latest; what is under way then
    /// is given up.
    pub async fn deliver(
        &self,
        origin: &SourcePartition,
        records: &[SourceRecord<'_>],
        deadline_ms: i64,
    ) -> Delivered {
        self.deliver_noted(origin, records, &OnceLock::new(), deadline_ms).await
    }

    /// As [`deliver`](Self::deliver); makes use of what a decoder of the same pipeline has noted of the records,
    /// if it has done so by now.
    pub async fn deliver_noted(
        &self,
        origin: &SourcePartition,
        records: &[SourceRecord<'_>],
        notes: &OnceLock<Notes>,
        deadline_ms: i64,
    ) -> Delivered {
        let shared = &*self.0;
        let began_ms = shared.environment.now_ms();
        let max_bytes = shared.options.max_bytes;
        let batch = Batch::new(&shared.pipeline, origin, records, notes.get(), began_ms, max_bytes);
        shared.deliver(&batch, &shared.pace, began_ms, deadline_ms).await
    }

    /// Shows dead letters of one source partition where the pipeline has an index for them. What the cluster
    /// does not take within some seconds, or by `deadline_ms`, is not shown: the letters themselves are the lake's.
    pub async fn show_letters(
        &self,
        origin: &SourcePartition,
        letters: &[DeadLetter<'_>],
        deadline_ms: i64,
    ) -> SearchCounts {
        let shared = &*self.0;
        let Some(index) = shared.pipeline.dead_letter_index.as_ref().filter(|_| !letters.is_empty()) else {
            return SearchCounts::default();
        };
        let began_ms = shared.environment.now_ms();
        let batch = Batch::of_letters(index, origin, letters, began_ms, shared.options.max_bytes);
        let deadline_ms = deadline_ms.min(began_ms.saturating_add(LETTERS_MS));
        let Delivered { counts, undelivered, refused } =
            shared.deliver(&batch, &shared.letters_pace, began_ms, deadline_ms).await;
        let shown = counts.created + counts.updated;
        let missing = (letters.len() as u64).saturating_sub(shown);
        if missing > 0 {
            let why = undelivered.map(|undelivered| undelivered.why.to_string());
            let why = why.or_else(|| refused.into_iter().next().map(|refused| refused.error));
            let why = why.unwrap_or_else(|| "longer than a request may be".to_owned());
            tracing::warn!(%origin, missing, why, "dead letters are in the lake, and cannot be seen in the cluster");
        }
        SearchCounts {
            letters_shown: shown,
            letters_not_shown: missing,
            requests: counts.requests,
            throttled: counts.throttled,
            retried: counts.retried,
            bytes_raw: counts.bytes_raw,
            bytes_sent: counts.bytes_sent,
            ..SearchCounts::default()
        }
    }
}

impl Shared {
    async fn deliver(&self, batch: &Batch, pace: &Pace, began_ms: i64, deadline_ms: i64) -> Delivered {
        let patience = i64::try_from(self.options.retry_for.as_millis()).unwrap_or(i64::MAX);
        let deadline_ms = deadline_ms.min(began_ms.saturating_add(patience));
        let mut delivery = Delivery::new(&self.pipeline, batch);
        let mut counts = SearchCounts::default();
        self.send_all(batch, pace, &mut delivery, &mut counts, deadline_ms).await;
        let mut delivered = delivery.finish(self.proven.load(Ordering::Relaxed));
        delivered.counts.add(&counts);
        delivered
    }

    async fn send_all(
        &self,
        batch: &Batch,
        pace: &Pace,
        delivery: &mut Delivery<'_>,
        counts: &mut SearchCounts,
        deadline_ms: i64,
    ) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let now_ms = self.environment.now_ms();
            if now_ms >= deadline_ms {
                return;
            }
            // Before the permit is asked for, so that one that is given back in between is not missed.
            let freed = pace.freed();
            let max_bytes = self.max_bytes.load(Ordering::Relaxed);
            let permit = pace.try_begin();
            let held_back = permit.is_none();
            let proven = self.proven.load(Ordering::Relaxed);
            if let Some(permit) = permit
                && let Some(request) = delivery.next(now_ms, max_bytes, self.options.max_actions, proven)
            {
                under_way.push(self.send(batch, request, permit, deadline_ms));
                continue;
            }
            let later_ms = delivery.next_ready_ms(now_ms).filter(|&ready_ms| ready_ms < deadline_ms);
            // A retry that would come too late is not waited for.
            if under_way.is_empty() && (!delivery.has_waiting() || !held_back && later_ms.is_none()) {
                return;
            }
            let wait = later_ms.unwrap_or(deadline_ms).saturating_sub(now_ms);
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
            tokio::select! {
                // What comes at one moment is taken in one order, so that a simulation repeats itself.
                biased;
                Some(sent) = under_way.next() => self.take(sent, delivery, counts),
                () = freed, if held_back => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn send<'s>(
        &'s self,
        batch: &Batch,
        request: Request,
        permit: Permit<'s>,
        deadline_ms: i64,
    ) -> Sent<'s> {
        let body = batch.body(&request.items, request.bytes);
        let left = deadline_ms.saturating_sub(self.environment.now_ms());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        let answer = self.cluster.bulk(body, left.min(self.options.request_timeout)).await;
        let (outcome, bytes) = match answer {
            Err(Failure { sent, reason }) => (Outcome::Nothing { sent, reason }, 0),
            Ok(answer) if (200..300).contains(&answer.status) => match reply::read(&answer.body) {
                Ok(items) => (Outcome::Items(items), answer.sent_bytes),
                Err(error) => (Outcome::Nothing { sent: true, reason: error.to_string() }, answer.sent_bytes),
            },
            Ok(answer) => {
                let reason = reply::reason(&answer.body);
                (Outcome::Status { status: answer.status, reason }, answer.sent_bytes)
            }
        };
        Sent { request, permit, outcome, bytes }
    }

    fn take(&self, sent: Sent<'_>, delivery: &mut Delivery<'_>, counts: &mut SearchCounts) {
        let Sent { request, permit, outcome, bytes } = sent;
        counts.requests += 1;
        counts.bytes_raw += request.bytes as u64;
        counts.bytes_sent += bytes as u64;
        if matches!(outcome, Outcome::Items(_)) {
            self.proven.store(true, Ordering::Relaxed);
        }
        let now_ms = self.environment.now_ms();
        let retry_ms = |tries| {
            let wait = self.environment.jitter_ms(self.options.window(tries));
            now_ms.saturating_add(wait)
        };
        match delivery.settle(&request, outcome, retry_ms) {
            Mood::Fine => permit.taken(),
            Mood::Busy => permit.refused(),
            Mood::TooLarge => {
                self.max_bytes.fetch_min((request.bytes / 2).max(LEAST_BODY_BYTES), Ordering::Relaxed);
                permit.taken();
            }
        }
    }
}
