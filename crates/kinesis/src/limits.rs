//! What Kinesis takes (Amazon Kinesis Data Streams: quotas and limits; API reference, `PutRecords`).

/// Records in a request at most.
pub(crate) const REQUEST_RECORDS: usize = 500;

/// Bytes of a request's keys and data at most.
const REQUEST_BYTES: usize = 5 << 20;

/// The same where records may be larger than [`RECORD_BYTES`].
const LARGE_REQUEST_BYTES: usize = 10 << 20;

/// Bytes of a record's key and data at most, unless the stream allows more.
pub const RECORD_BYTES: usize = 1 << 20;

/// Bytes of a record that a stream can allow at most.
pub const LARGEST_RECORD_BYTES: usize = 10 << 20;

/// Characters of a partition key at most.
pub(crate) const KEY_CHARACTERS: usize = 256;

/// Bytes of a request's keys and data at most where records may have this many.
pub(crate) const fn request_bytes(max_record_bytes: usize) -> usize {
    if max_record_bytes > RECORD_BYTES { LARGE_REQUEST_BYTES } else { REQUEST_BYTES }
}
