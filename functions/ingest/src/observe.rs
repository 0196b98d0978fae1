//! What an invocation leaves for those who operate it: one log line, without payloads, and metrics.

use tripline_lake::{Role, invariants};
use tripline_metrics::catalogue::{
    BATCH_MILLIS, DEAD_LETTERS, DOCUMENTS, DUPLICATES, EVENT_LAG_MILLIS, FAILED_BATCHES, IGNORED_RECORDS,
    INVARIANT_VIOLATIONS, JOURNAL_BYTES, JOURNAL_ENTRIES, JOURNAL_RETRIES, KAFKA_MILLIS, KAFKA_RECORDS,
    KAFKA_RETRIED, KINESIS_MILLIS, KINESIS_RECORDS, KINESIS_RETRIED, KINESIS_THROTTLED, LAKE_MILLIS,
    PARTIAL_RESPONSES, RECORDS, ROWS, SEARCH_CONFLICTS, SEARCH_MILLIS, SEARCH_REFUSED, SEARCH_REQUESTS,
    SEARCH_RETRIED, SEARCH_THROTTLED, SINK_DEAD_LETTERS, UNKNOWN_FIELDS, WATERMARK_EVENTS,
};
use tripline_metrics::{Metric, Metrics, Points};
use tripline_model::pipeline::Target;

use crate::batch::{Answer, Batch, IngestError};

/// Times are in milliseconds since 1970 UTC.
pub(crate) fn observe(metrics: &Metrics, result: &Result<Answer, IngestError>, began_ms: i64, ended_ms: i64) {
    let violations = invariants::take_unreported();
    match result {
        Ok(answer) => log(answer, violations, ended_ms.saturating_sub(began_ms)),
        Err(error) => tracing::error!(%error, invariant_violations = violations, "batch failed"),
    }
    if !metrics.is_on() {
        return;
    }
    let mut points = Points::at(ended_ms);
    points.tell(BATCH_MILLIS, millis(began_ms, ended_ms));
    points.tell(INVARIANT_VIOLATIONS, violations);
    match result {
        Ok(Answer { response, batch }) => {
            batch.tell(&mut points, ended_ms);
            points.tell(PARTIAL_RESPONSES, response.failures.len() as u64);
        }
        Err(_) => points.tell(FAILED_BATCHES, 1),
    }
    metrics.emit(&points);
    if let Ok(Answer { batch, .. }) = result {
        metrics.emit_reasons(ended_ms, &batch.dead_letter_reasons);
    }
}

fn millis(from_ms: i64, to_ms: i64) -> u64 {
    u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or_default()
}

/// How the time that a sink took is called.
const fn sink_millis(role: Role) -> Metric {
    match role {
        Role::Lake => LAKE_MILLIS,
        Role::Search => SEARCH_MILLIS,
        Role::Kinesis => KINESIS_MILLIS,
        Role::Kafka => KAFKA_MILLIS,
    }
}

impl Batch {
    fn tell(&self, points: &mut Points, now_ms: i64) {
        points.tell(RECORDS, self.delivered);
        points.tell(ROWS, self.counts.rows);
        points.tell(DEAD_LETTERS, self.counts.dead_letters);
        points.tell(DUPLICATES, self.duplicates);
        points.tell(JOURNAL_BYTES, self.bytes);
        points.tell(JOURNAL_ENTRIES, self.entries);
        points.tell(JOURNAL_RETRIES, self.puts.saturating_sub(self.entries));
        points.tell(WATERMARK_EVENTS, self.counts.watermarks);
        points.tell(IGNORED_RECORDS, self.counts.ignored);
        points.tell(UNKNOWN_FIELDS, self.counts.unknown_fields);
        if let Some(event_time_ms) = self.event_time_max_ms {
            points.tell(EVENT_LAG_MILLIS, millis(event_time_ms, now_ms));
        }
        for (role, took_ms) in &self.sink_millis {
            points.tell(sink_millis(*role), u64::try_from(*took_ms).unwrap_or_default());
        }
        if self.sink_millis.keys().any(|role| *role != Role::Lake) {
            points.tell(SINK_DEAD_LETTERS, self.sink_dead_letters);
        }
        if self.sink_millis.contains_key(&Role::Search) {
            let search = &self.search;
            points.tell(DOCUMENTS, search.created + search.updated + search.deleted);
            points.tell(SEARCH_REQUESTS, search.requests);
            points.tell(SEARCH_CONFLICTS, search.conflicts);
            points.tell(SEARCH_REFUSED, search.refused);
            points.tell(SEARCH_THROTTLED, search.throttled);
            points.tell(SEARCH_RETRIED, search.retried);
        }
        for (target, sent) in &self.streams {
            let (taken, retried) = match target {
                Target::Kinesis => (KINESIS_RECORDS, KINESIS_RETRIED),
                Target::Kafka => (KAFKA_RECORDS, KAFKA_RETRIED),
            };
            points.tell(taken, sent.taken);
            points.tell(retried, sent.retried);
            if *target == Target::Kinesis {
                points.tell(KINESIS_THROTTLED, sent.throttled);
            }
        }
    }
}

/// One line a batch; no payloads.
fn log(answer: &Answer, invariant_violations: u64, millis: i64) {
    let batch = &answer.batch;
    if batch.delivered > 0 && batch.duplicates == batch.delivered {
        tracing::warn!(
            records = batch.delivered,
            "every record of the batch was in already: a redelivery, or the mapping was rewound"
        );
    }
    let sent = |target| batch.streams.get(&target).copied().unwrap_or_default();
    tracing::info!(
        records = batch.delivered,
        rows = batch.counts.rows,
        dead_letters = batch.counts.dead_letters,
        duplicates = batch.duplicates,
        watermarks = batch.counts.watermarks,
        ignored = batch.counts.ignored,
        unknown_fields = batch.counts.unknown_fields,
        source_partitions = batch.partitions,
        entries = batch.entries,
        bytes = batch.bytes,
        puts = batch.puts,
        documents = batch.search.created + batch.search.updated,
        search_conflicts = batch.search.conflicts,
        sink_dead_letters = batch.sink_dead_letters,
        search_requests = batch.search.requests,
        search_throttled = batch.search.throttled,
        search_retried = batch.search.retried,
        search_deleted = batch.search.deleted,
        search_malformed = batch.search.malformed,
        search_ignored = batch.search.ignored,
        search_letters_shown = batch.search.letters_shown,
        search_letters_not_shown = batch.search.letters_not_shown,
        search_possible_duplicates = batch.search.possible_duplicates,
        kinesis_records = sent(Target::Kinesis).taken,
        kinesis_retried = sent(Target::Kinesis).retried,
        kinesis_throttled = sent(Target::Kinesis).throttled,
        kafka_records = sent(Target::Kafka).taken,
        retried_from = answer.response.failures.len(),
        invariant_violations,
        millis,
        "batch"
    );
}
