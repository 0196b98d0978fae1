//! Every metric that there is.

use metrique_writer_core::Unit;
use metrique_writer_core::unit::{NegativeScale, PositiveScale};

/// A metric of CloudWatch.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in CloudWatch.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// It is told even when it is zero. CloudWatch bills a metric by the hours in which it has values, so that trouble
    /// costs nothing where there is none.
    pub always: bool,
    /// What is counted or measured, for documentation.
    pub about: &'static str,
}

const COUNT: Unit = Unit::Count;
const BYTES: Unit = Unit::Byte(PositiveScale::One);
const MILLIS: Unit = Unit::Second(NegativeScale::Milli);

const ALWAYS: bool = true;
const IF_ANY: bool = false;

/// Constants, and the list of all of them.
macro_rules! metrics {
    ($(#[$about_list:meta])* $list:ident { $($constant:ident = $name:literal $unit:ident $always:ident $about:literal;)* }) => {
        $(#[doc = concat!("`", $name, "`: ", $about, ".")]
        pub const $constant: Metric = Metric { name: $name, unit: $unit, always: $always, about: $about };)*
        $(#[$about_list])*
        pub const $list: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    /// What `ingest` tells, once a batch.
    INGEST {
        RECORDS = "Records" COUNT ALWAYS "records delivered, redeliveries included";
        ROWS = "Rows" COUNT ALWAYS "rows committed to the journal";
        DEAD_LETTERS = "DeadLetters" COUNT ALWAYS "records that are no events and were committed as dead letters";
        DUPLICATES = "Duplicates" COUNT ALWAYS "records that were in already and were dropped";
        JOURNAL_ENTRIES = "JournalEntries" COUNT ALWAYS "journal entries committed";
        JOURNAL_BYTES = "JournalBytes" BYTES ALWAYS "their size";
        BATCH_MILLIS = "BatchMillis" MILLIS ALWAYS "from an event to its answer";
        LAKE_MILLIS = "LakeMillis" MILLIS ALWAYS "until the journal had the batch";
        EVENT_LAG_MILLIS = "EventLagMillis" MILLIS ALWAYS "from the latest event time of the batch to its end";
        JOURNAL_RETRIES = "JournalRetries" COUNT IF_ANY "PUTs to the journal beyond one an entry";
        WATERMARK_EVENTS = "WatermarkEvents" COUNT IF_ANY "watermark events";
        IGNORED_RECORDS = "IgnoredRecords" COUNT IF_ANY "records left out by the pipeline's policy";
        UNKNOWN_FIELDS = "UnknownFields" COUNT IF_ANY "members of events that the pipeline does not know";
        PARTIAL_RESPONSES = "PartialResponses" COUNT IF_ANY "source partitions of which a part must come again";
        FAILED_BATCHES = "FailedBatches" COUNT IF_ANY "batches that must come again whole";
    }
}

metrics! {
    /// What `ingest` tells where it feeds sinks beside the lake.
    SINKS {
        SINK_DEAD_LETTERS = "SinkDeadLetters" COUNT ALWAYS "dead letters of the sinks beside the lake";
    }
}

metrics! {
    /// What `ingest` tells where it feeds a search cluster.
    SEARCH {
        DOCUMENTS = "Documents" COUNT ALWAYS "documents created, updated or deleted";
        SEARCH_REQUESTS = "SearchRequests" COUNT ALWAYS "bulk requests";
        SEARCH_MILLIS = "SearchMillis" MILLIS ALWAYS "until the cluster had the batch, or the time was up";
        SEARCH_CONFLICTS = "SearchConflicts" COUNT IF_ANY "documents that gave way to a newer one of their id";
        SEARCH_REFUSED = "SearchRefused" COUNT IF_ANY "records without a document: no events, or refused by the cluster";
        SEARCH_THROTTLED = "SearchThrottled" COUNT IF_ANY "items and requests that the cluster was too busy for";
        SEARCH_RETRIED = "SearchRetried" COUNT IF_ANY "items sent again";
    }
}

metrics! {
    /// What `ingest` tells where it feeds other streams.
    STREAMS {
        KINESIS_RECORDS = "KinesisRecords" COUNT ALWAYS "records that the outgoing Kinesis stream took";
        KINESIS_MILLIS = "KinesisMillis" MILLIS ALWAYS "until it had the batch, or the time was up";
        KINESIS_RETRIED = "KinesisRetried" COUNT IF_ANY "records sent to it again";
        KINESIS_THROTTLED = "KinesisThrottled" COUNT IF_ANY "records that it was too busy for";
        KAFKA_RECORDS = "KafkaRecords" COUNT ALWAYS "records that the outgoing Kafka topic took";
        KAFKA_MILLIS = "KafkaMillis" MILLIS ALWAYS "until it had the batch, or the time was up";
        KAFKA_RETRIED = "KafkaRetried" COUNT IF_ANY "records sent to it again";
    }
}

metrics! {
    /// What `publish` tells, once a run.
    PUBLISH {
        PUBLISH_RUNS = "PublishRuns" COUNT ALWAYS "runs that ended well and gave way to no other";
        PUBLISHED_ENTRIES = "PublishedEntries" COUNT ALWAYS "journal entries whose rows became visible";
        PUBLISHED_ROWS = "PublishedRows" COUNT ALWAYS "rows, dead letters included, that became visible";
        PUBLISHED_FILES = "PublishedFiles" COUNT ALWAYS "files that became visible";
        PUBLISHED_BYTES = "PublishedBytes" BYTES ALWAYS "their size";
        FILE_BYTES = "FileBytes" BYTES ALWAYS "size of a file, on average over a run";
        PUBLISH_MILLIS = "PublishMillis" MILLIS ALWAYS "how long the run took";
        PUBLISH_LAG_MILLIS = "PublishLagMillis" MILLIS ALWAYS "from an entry's commit until its rows were visible, the longest of a run";
        PUBLISH_BACKLOG = "PublishBacklog" COUNT ALWAYS "runs that ended before the journal did";
        STOPPED_LANES = "StoppedLanes" COUNT ALWAYS "lanes that stand still until a person looks";
        RECONCILE_GAP = "ReconcileGap" COUNT ALWAYS "runs that stopped as their files had not the rows of their entries";
        WATERMARK_LAG_MILLIS = "WatermarkLagMillis" MILLIS ALWAYS "how far the watermark is behind the clock";
        LATE_ROWS = "LateRows" COUNT IF_ANY "rows of partitions that were complete";
        LATENESS_MILLIS = "LatenessMillis" MILLIS IF_ANY "how far behind the watermark the latest of them was";
        COMPLETED_PARTITIONS = "CompletedPartitions" COUNT IF_ANY "partitions that became complete";
        REBUILT_FILES = "RebuiltFiles" COUNT IF_ANY "lost uploads that were built again";
        DELETED_ENTRIES = "DeletedEntries" COUNT IF_ANY "entries deleted after retention";
        FAILED_PUBLISH_RUNS = "FailedPublishRuns" COUNT IF_ANY "runs that failed";
    }
}

metrics! {
    /// What both functions tell.
    BOTH {
        INVARIANT_VIOLATIONS = "InvariantViolations" COUNT IF_ANY "things seen that must never be";
    }
}

metrics! {
    /// What `ingest` tells by reason, with the further dimension `Reason`.
    BY_REASON {
        DEAD_LETTERS_BY_REASON = "DeadLettersByReason" COUNT IF_ANY "dead letters of the lake that have this reason";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_metrics_have_the_same_name() {
        let all = [INGEST, SINKS, SEARCH, STREAMS, PUBLISH, BOTH, BY_REASON].concat();
        let names: BTreeSet<_> = all.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
