//! What was delivered, over all invocations.

use std::collections::BTreeMap;

use tripline_ingest::Batch;
use tripline_model::batch::Counts;
use tripline_model::pipeline::Target;
use tripline_search::SearchCounts;
use tripline_stream::sink::SentCounts;

/// What was delivered. A function over HTTP does not say what it did with its records.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    pub(super) invocations: u64,
    /// Invocations that failed.
    pub(super) failures: u64,
    pub(super) duplicates: u64,
    pub(super) deaths: u64,
    /// What the answers say was appended. An entry whose writer died is not among it.
    pub(super) appended: Counts,
    pub(super) dead_letter_reasons: BTreeMap<&'static str, u64>,
    /// Dead letters of the sinks beside the lake.
    pub(super) sink_dead_letters: u64,
    /// The largest event time that was appended, milliseconds since 1970 UTC.
    pub(super) event_time_max_ms: Option<i64>,
    /// What the search sink did; `None` where there is none.
    pub(super) search: Option<SearchCounts>,
    /// What other streams took.
    pub(super) streams: BTreeMap<Target, SentCounts>,
    /// Batches that were given up, and their records.
    pub(super) given_up: (u64, u64),
}

impl Delivered {
    pub(super) fn add(&mut self, batch: &Batch) {
        self.duplicates += batch.duplicates;
        self.appended.add(&batch.counts);
        self.sink_dead_letters += batch.sink_dead_letters;
        self.event_time_max_ms = self.event_time_max_ms.max(batch.event_time_max_ms);
        if let Some(search) = &mut self.search {
            search.add(&batch.search);
        }
        for (target, counts) in &batch.streams {
            self.streams.entry(*target).or_default().add(counts);
        }
        for (reason, count) in &batch.dead_letter_reasons {
            *self.dead_letter_reasons.entry(reason).or_default() += count;
        }
    }
}
