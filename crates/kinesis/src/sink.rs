//! Sends events into the stream.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tripline_model::forward::Outgoing;
use tripline_pace::{Pace, Permit};
use tripline_stream::sink::{Fate, Sent, StreamSink};

use crate::error::KinesisError;
use crate::ledger::{Answer, Ledger, Mood, Outcome, Request};
use crate::limits::{KEY_CHARACTERS, LARGEST_RECORD_BYTES, request_bytes};
use crate::options::KinesisOptions;
use crate::patience::backoff;
use crate::stream::{AwsStream, Record, Stream};

/// The Kinesis sink. Safe for concurrent use: all that is sent at a time shares its connections and its pace.
#[derive(Debug)]
pub struct KinesisSink {
    options: KinesisOptions,
    stream: Arc<dyn Stream>,
    pace: Pace,
    /// The stream has taken a record.
    proven: AtomicBool,
}

/// A request's way: what was sent and what came of it.
struct Done<'s> {
    request: Request,
    permit: Permit<'s>,
    outcome: Outcome,
}

impl KinesisSink {
    /// A sink for the stream. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`KinesisError`] with everything that is wrong with the options.
    pub async fn connect(options: KinesisOptions) -> Result<Self, KinesisError> {
        let mut faults = options.faults();
        let stream = AwsStream::connect(&options, &mut faults).await;
        match stream.filter(|_| faults.is_empty()) {
            Some(stream) => Ok(Self::over(options, Arc::new(stream))),
            None => Err(KinesisError::new(&options.stream, faults)),
        }
    }

    fn over(options: KinesisOptions, stream: Arc<dyn Stream>) -> Self {
        let pace = Pace::new(options.max_in_flight);
        Self { options, stream, pace, proven: AtomicBool::new(false) }
    }

    /// The size of a record, or why the stream will not take it.
    fn size(&self, key: &str, data: &[u8]) -> Result<usize, String> {
        let characters = key.chars().count();
        if !(1..=KEY_CHARACTERS).contains(&characters) {
            return Err(format!(
                "its partition key has {characters} characters, and Kinesis takes 1 to {KEY_CHARACTERS}: \
                 partition by another field"
            ));
        }
        let (bytes, most) = (key.len() + data.len(), self.options.max_record_bytes);
        if bytes <= most {
            return Ok(bytes);
        }
        let advice = if bytes > LARGEST_RECORD_BYTES {
            "no stream takes it: make the event smaller"
        } else {
            "raise the stream's MaxRecordSizeInKiB and TRIPLINE_KINESIS_RECORD_BYTES"
        };
        Err(format!(
            "it has {bytes} bytes with its partition key, more than the {most} of a record: {advice}"
        ))
    }

    async fn send_all(&self, records: &[(&str, Cow<'_, [u8]>)], ledger: &mut Ledger, within: Duration) {
        let start = Instant::now();
        let mut under_way = FuturesUnordered::new();
        loop {
            let now = start.elapsed();
            if now >= within {
                return;
            }
            // Before the permit is asked for, so that one that is given back in between is not missed.
            let freed = self.pace.freed();
            let permit = if ledger.has_ready(now) { self.pace.try_begin() } else { None };
            if let Some(permit) = permit
                && let Some(request) = ledger.next(now)
            {
                under_way.push(self.request(records, request, permit, within - now));
                continue;
            }
            let held_back = ledger.has_ready(now);
            let later = ledger.next_ready().filter(|&ready| ready > now && ready < within);
            // A retry that would come too late is not waited for.
            if under_way.is_empty() && (!ledger.has_waiting() || !held_back && later.is_none()) {
                return;
            }
            let wait = later.unwrap_or(within) - now;
            tokio::select! {
                biased;
                Some(done) = under_way.next() => {
                    self.take(done, ledger, start);
                }
                () = freed, if held_back => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn request<'s>(
        &'s self,
        records: &[(&str, Cow<'_, [u8]>)],
        request: Request,
        permit: Permit<'s>,
        left: Duration,
    ) -> Done<'s> {
        let chosen = request.records.iter().filter_map(|&index| records.get(index));
        let chosen: Vec<Record> =
            chosen.map(|(key, data)| Record { key: (*key).to_owned(), data: data.to_vec() }).collect();
        let limit = self.options.request_timeout.saturating_add(upload_time(&chosen)).min(left);
        let outcome = match tokio::time::timeout(limit, self.stream.put(chosen)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Silence { told: format!("there was no answer within {limit:.1?}") },
        };
        Done { request, permit, outcome }
    }

    fn take(&self, done: Done<'_>, ledger: &mut Ledger, start: Instant) {
        let Done { request, permit, outcome } = done;
        if let Outcome::Answers(answers) = &outcome
            && answers.iter().any(|answer| matches!(answer, Answer::Taken))
        {
            self.proven.store(true, Ordering::Relaxed);
        }
        let proven = self.proven.load(Ordering::Relaxed);
        let now = start.elapsed();
        match ledger.settle(request, outcome, proven, |tries| now + backoff(tries)) {
            Mood::Fine => permit.taken(),
            Mood::Busy => permit.refused(),
        }
    }
}

/// What a request is given for its size, lest a slow line never get it through.
fn upload_time(records: &[Record]) -> Duration {
    const BYTES_A_MILLISECOND: usize = 512;
    let bytes: usize = records.iter().map(|record| record.key.len() + record.data.len()).sum();
    Duration::from_millis((bytes / BYTES_A_MILLISECOND) as u64)
}

#[async_trait]
impl StreamSink for KinesisSink {
    async fn send(&self, events: &[Outgoing<'_>], within: Duration) -> Sent {
        let mut records: Vec<(&str, Cow<'_, [u8]>)> = Vec::with_capacity(events.len());
        for event in events {
            let data = match &self.options.source_member {
                Some(member) => Cow::Owned(event.with_source(member)),
                None => Cow::Borrowed(event.payload.as_ref()),
            };
            records.push((&event.key, data));
        }
        let sizes = records.iter().map(|(key, data)| self.size(key, data));
        let mut ledger = Ledger::new(sizes, request_bytes(self.options.max_record_bytes));
        self.send_all(&records, &mut ledger, within).await;
        let mut sent = ledger.finish(self.proven.load(Ordering::Relaxed));
        for fate in &mut sent.fates {
            if let Fate::Refused { error } | Fate::Open { error } = fate {
                error.insert_str(0, &format!("the Kinesis stream '{}': ", self.options.stream));
            }
        }
        sent
    }
}
