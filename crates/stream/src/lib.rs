//! The streaming side of the function: the events that Lambda's event source mappings send, and what
//! is answered to them.
//!
//! * [`event`]: an event, told by its own source;
//! * `kinesis`, `kafka`: their envelopes, read in one walk over the body, into borrowed records;
//! * [`kpl`]: records that the Kinesis Producer Library has aggregated, taken apart;
//! * [`response`]: partial batch responses;
//! * [`sink`]: what other streams are given, and what they answer;
//! * [`mapping`]: Lambda's side of a Kinesis mapping as pure functions, for running and testing the
//!   handler without Lambda.

mod arrival;
pub mod event;
mod kafka;
mod kinesis;
pub mod kpl;
pub mod mapping;
mod protobuf;
mod records;
mod reply;
pub mod response;
mod shape;
pub mod sink;

pub use event::{EnvelopeError, Event, RecordProblem, Source};
pub use records::PartitionRecords;
pub use response::BatchResponse;
