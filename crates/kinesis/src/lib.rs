//! Kinesis data streams: the sink, by which events go into one, and the reading of one without Lambda.
//!
//! [`KinesisSink`] sends by `PutRecords`:
//!
//! * **At least once.** A request without an answer, or with one that cannot be trusted, may have put its
//!   records; they are sent again. A function that dies has its events delivered to it again. A reader tells
//!   what comes twice by the event's source, which every record carries in
//!   [a member of its JSON](KinesisOptions::source_member).
//! * **Only what failed is sent again**, within the time that a run of events has, after waits of up to
//!   100 ms, 200 ms, … 3 s (full jitter). Each record has an answer of its own, within HTTP 200. The SDK's own
//!   retries are off: they would send whole requests again.
//! * **Order.** The records of a request are in the order of the run, and a shard stores those it takes in
//!   it. Requests under way at once may overtake each other, and a record that failed comes after those that
//!   went with it; [`max_in_flight`](KinesisOptions::max_in_flight) of 1 leaves only the latter. Readers that
//!   need order take it from the events.
//! * **Limits.** 500 records and 5 MiB a request; 10 MiB where records may have more than 1 MiB. Records that
//!   are too large are refused, and so are those that Kinesis does not understand, found by halving; the
//!   others go on. While shards throttle, fewer requests are under way.
//! * **What only an operator can mend** (no such stream, no right, expired credentials, the KMS key) ends a
//!   run at once: its events stay open, with what to do.
//!
//! The role needs `kinesis:PutRecords` on the stream, and for a stream that is encrypted with a customer's
//! key `kms:GenerateDataKey` on the key.
//!
//! [`StreamReader`] reads a stream as Lambda's event source mapping does: see [`read`].

mod error;
mod ledger;
mod limits;
mod lineage;
mod options;
mod patience;
pub mod read;
mod sink;
mod stream;
mod verdict;

pub use error::KinesisError;
pub use limits::{LARGEST_RECORD_BYTES, RECORD_BYTES};
pub use options::KinesisOptions;
pub use read::StreamReader;
pub use sink::KinesisSink;
